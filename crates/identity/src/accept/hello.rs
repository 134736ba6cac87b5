//! Reading a ClientHello and nothing more.

use std::{cell::RefCell, io};

use rustls::{Error, server};
use tokio::net::TcpStream;

use super::AcceptRefusal;
use crate::frame::Frames;

/// What one read takes: most ClientHellos whole.
const READ: usize = 4096;

thread_local! {
    static WIRE: RefCell<[u8; READ]> = const { RefCell::new([0; READ]) };
}

/// Why there is no ClientHello, and what to tell the caller.
pub(super) struct NoHello {
    pub(super) refusal: AcceptRefusal,
    pub(super) alert: Vec<u8>,
}

/// What a caller has said so far: at least a whole ClientHello.
pub(super) struct Hello {
    pub(super) hello: server::Accepted,
    /// As it arrived.
    pub(super) wire: Vec<u8>,
    pub(super) frames: Frames,
}

/// Waits until a whole ClientHello has arrived.
pub(super) async fn read(io: &TcpStream) -> Result<Hello, NoHello> {
    let mut reading = Reading { acceptor: server::Acceptor::default(), frames: Frames::default(), wire: Vec::new() };
    loop {
        io.readable().await.map_err(|error| quiet(AcceptRefusal::Io(error)))?;
        if let Some(hello) = reading.take_in(io)? {
            return Ok(Hello { hello, wire: reading.wire, frames: reading.frames });
        }
    }
}

struct Reading {
    acceptor: server::Acceptor,
    frames: Frames,
    wire: Vec<u8>,
}

impl Reading {
    fn take_in(&mut self, io: &TcpStream) -> Result<Option<server::Accepted>, NoHello> {
        WIRE.with_borrow_mut(|wire| {
            let count = match io.try_read(wire) {
                Ok(0) if self.wire.is_empty() => return Err(quiet(AcceptRefusal::Silent)),
                Ok(0) => return Err(quiet(AcceptRefusal::Io(io::ErrorKind::UnexpectedEof.into()))),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(quiet(AcceptRefusal::Io(error))),
            };
            self.wire.extend_from_slice(&wire[..count]);
            self.judge(&wire[..count])
        })
    }

    fn judge(&mut self, mut wire: &[u8]) -> Result<Option<server::Accepted>, NoHello> {
        self.frames.follow(wire);
        while !wire.is_empty() {
            self.acceptor.read_tls(&mut wire).map_err(|error| quiet(AcceptRefusal::Io(error)))?;
        }
        self.acceptor.accept().map_err(|(error, mut alert)| {
            let mut bytes = Vec::new();
            // Writing into memory cannot fail.
            let _ = alert.write_all(&mut bytes);
            NoHello { refusal: self.refusal(error), alert: bytes }
        })
    }

    fn refusal(&self, error: Error) -> AcceptRefusal {
        match error {
            _ if !self.frames.began_with_tls() => AcceptRefusal::NotTls,
            Error::AlertReceived(alert) => AcceptRefusal::Alert(alert),
            error => AcceptRefusal::Tls(error),
        }
    }
}

/// A refusal that leaves nothing to say.
fn quiet(refusal: AcceptRefusal) -> NoHello {
    NoHello { refusal, alert: Vec::new() }
}
