//! Ports: a free one, and one that stays ours while nothing listens on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// How long a closed listener may linger: a process that another thread is just starting holds a copy of every
/// descriptor of ours from its birth until it runs its program.
const LINGER: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(1);

/// A port of 127.0.0.1 that nothing uses at this moment; somebody else may take it before you do. Prefer port 0, or a
/// [`ReservedPort`].
pub fn free_port() -> u16 {
    ReservedPort::new().port()
}

/// A port of 127.0.0.1 held by a bound socket that doesn't listen: connecting to it is refused, the kernel hands it to
/// nobody else, and anyone who names it and sets SO_REUSEADDR (Rust's and Go's listeners do) can listen on it, and
/// again after that listener is gone.
#[derive(Debug)]
pub struct ReservedPort {
    _holder: Socket,
    addr: SocketAddr,
}

impl ReservedPort {
    /// Reserves a port of the kernel's choice.
    pub fn new() -> Self {
        Self::at(0).expect("127.0.0.1 has a free port")
    }

    /// Reserves this port; fails if somebody listens on it.
    pub fn at(port: u16) -> io::Result<Self> {
        let holder = bound(port)?;
        let addr = holder.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { _holder: holder, addr })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The address, 127.0.0.1 and the port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until connecting is refused, which takes a moment after a listener was closed; see [`LINGER`].
    pub(crate) fn wait_refused(&self) {
        let started = Instant::now();
        let refused = || TcpStream::connect_timeout(&self.addr, LINGER).is_err();
        while !refused() && started.elapsed() < LINGER {
            std::thread::park_timeout(STEP);
        }
    }

    /// Listens on the port, non-blocking, ready for tokio's `from_std`.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = bound(self.port())?;
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    /// Listens and never accepts; the queue holds as few connections as the kernel allows.
    pub(crate) fn listen_short(&self) -> io::Result<TcpListener> {
        let socket = bound(self.port())?;
        socket.listen(0)?;
        Ok(socket.into())
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        Self::new()
    }
}

fn bound(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    let started = Instant::now();
    loop {
        match socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && started.elapsed() < LINGER => {
                std::thread::park_timeout(STEP);
            }
            bound => return bound.map(|()| socket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_refuses_until_someone_listens_and_again_after() {
        let port = ReservedPort::new();
        for _ in 0..3 {
            assert_eq!(TcpStream::connect(port.addr()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            let listener = port.listen().unwrap();
            TcpStream::connect(port.addr()).unwrap();
            drop(listener);
        }
    }

    #[test]
    fn a_listener_that_lingers_is_waited_for() {
        let port = ReservedPort::new();
        let listener = port.listen().unwrap();
        let closing = std::thread::spawn(move || {
            std::thread::park_timeout(STEP * 20);
            drop(listener);
        });
        drop(port.listen().unwrap());
        closing.join().unwrap();
        port.wait_refused();
        assert_eq!(TcpStream::connect(port.addr()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_plain_listener_may_take_the_reserved_port() {
        let port = ReservedPort::new();
        let listener = TcpListener::bind(port.addr()).unwrap();
        assert_eq!(listener.local_addr().unwrap(), port.addr());
    }
}
