//! Listening sockets, and the thread that hands their connections round.
//!
//! One acceptor gives connections to the workers in turn. A socket per worker (SO_REUSEPORT) would spare
//! the hand-over, but it spreads few connections unevenly, and when it is closed for a drain the system
//! resets what waits in its queue. Here the queue is emptied before the listener goes: nothing is lost.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{connection::Door, worker::Workers};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How often a silent client is asked whether it is still there, as Go does. One that vanished without a word would
/// otherwise hold a tunnel, or an answer that waits for news, for ever.
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// How long accepting rests when the system has no more descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Binds `port` on all addresses of both families, or of IPv4 alone where the system has no IPv6.
///
/// # Errors
/// What the system says.
pub fn bind_all(port: u16) -> io::Result<TcpListener> {
    bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        _ => bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
    })
}

/// Binds `address`, non-blocking; an IPv6 wildcard takes IPv4 clients too.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Connections get it from the socket that they were accepted by.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Starts the thread that accepts at every door until `stop`, which is cancelled when a listener fails. It does nothing else, so that neither a flood
/// on the bus nor a busy worker keeps a client waiting at the door. `done` is dropped when the last
/// connection that the system had taken in was handed to a worker.
///
/// # Errors
/// The system gives no thread, or a listener cannot be watched.
pub fn start(
    doors: Vec<(TcpListener, Door)>,
    workers: Arc<Workers>,
    stop: CancellationToken,
    done: DropGuard,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watched = |(listener, door)| Ok((tokio::net::TcpListener::from_std(listener)?, door));
    let doors = {
        let _inside = runtime.enter();
        doors.into_iter().map(watched).collect::<io::Result<Vec<_>>>()?
    };
    let accept_all = async move {
        let accept = |(listener, door)| accept(listener, door, Arc::clone(&workers), stop.clone());
        futures_util::future::join_all(doors.into_iter().map(accept)).await;
        drop(done);
    };
    std::thread::Builder::new().name("acceptor".into()).spawn(move || runtime.block_on(accept_all))
}

/// Accepts until `stop`, then empties the queue once more and closes the listener.
async fn accept(listener: tokio::net::TcpListener, door: Door, workers: Arc<Workers>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(socket, from)| Ok((socket.into_std()?, from))) {
            Ok((socket, from)) => hand_over(&workers, socket, from, door),
            Err(error) if is_final(&error) => {
                tracing::error!(target: "router", %error, "Error occurred");
                stop.cancel();
            }
            Err(error) => pause(&error).await,
        }
    }
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((socket, from)) = listener.accept() {
        if socket.set_nonblocking(true).is_ok() {
            hand_over(&workers, socket, from, door);
        }
    }
}

fn hand_over(workers: &Workers, socket: TcpStream, from: SocketAddr, door: Door) {
    // Answers are written whole; waiting to fill a segment would only delay them.
    let _ = socket.set_nodelay(true);
    workers.hand_over(socket, from, door);
}

/// Whether there is no listening any more: it is not a listener, or no socket at all (EINVAL, EBADF).
fn is_final(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput || error.raw_os_error() == Some(9)
}

/// Most errors of `accept` are about one connection that is gone already; a lack of descriptors is not, and
/// spinning on it would take the processor from the connections whose end would cure it.
async fn pause(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => {}
        _ => {
            tracing::error!(target: "router", %error, "accept-failed");
            tokio::time::sleep(EXHAUSTED_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn a_listener_that_fails_ends_the_accepting_at_every_door() {
        let doors = [(); 2].map(|()| bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap());
        let addresses = doors.each_ref().map(|door| door.local_addr().unwrap());
        let broken = doors[0].try_clone().unwrap();
        let workers = Workers::start(Vec::new(), crate::lifecycle::Drain::new(), &Default::default()).unwrap();
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let doors = doors.into_iter().map(|door| (door, Door::Plain)).collect();
        let done = ended.clone().drop_guard();
        let acceptor = start(doors, Arc::new(workers), stop.clone(), done).unwrap();
        TcpStream::connect(addresses[1]).unwrap();
        assert!(!stop.is_cancelled());
        SockRef::from(&broken).shutdown(std::net::Shutdown::Both).unwrap();
        tokio::time::timeout(Duration::from_secs(10), ended.cancelled()).await.expect("it ends");
        assert!(stop.is_cancelled());
        acceptor.join().unwrap();
        assert!(TcpStream::connect(addresses[1]).is_err());
    }

    #[tokio::test]
    async fn clients_that_vanished_are_found_out() {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), PROBE_EVERY);
    }
}
