//! How a connection comes in, and the counting of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::io::Io;
use crate::pki::Leaf;
use crate::tls::ServerTls;

/// Plain or TLS. A [`Leaf`] or [`ServerTls`] turns into a TLS door by itself.
#[derive(Debug, Clone)]
pub enum Door {
    /// Plain TCP.
    Plain,
    /// TLS with these settings.
    Tls(ServerTls),
}

impl From<&Leaf> for Door {
    fn from(leaf: &Leaf) -> Self {
        Self::Tls(leaf.into())
    }
}

impl From<ServerTls> for Door {
    fn from(tls: ServerTls) -> Self {
        Self::Tls(tls)
    }
}

impl Door {
    pub(crate) fn ready(&self) -> ReadyDoor {
        match self {
            Self::Plain => ReadyDoor(None),
            Self::Tls(tls) => ReadyDoor(Some(TlsAcceptor::from(tls.config()))),
        }
    }
}

/// A door whose TLS configuration is built.
pub(crate) struct ReadyDoor(Option<TlsAcceptor>);

impl ReadyDoor {
    pub(crate) async fn admit(&self, tcp: TcpStream, counts: &Counts) -> io::Result<Io> {
        let Some(acceptor) = &self.0 else { return Ok(Io::Plain(tcp)) };
        let outcome = acceptor.accept(tcp).await;
        counts.handshake(outcome.is_ok());
        Ok(Io::Tls(Box::new(TlsStream::Server(outcome?))))
    }
}

/// Who came, and how far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    connections: AtomicU64,
    open: AtomicU64,
    handshakes: AtomicU64,
    failed_handshakes: AtomicU64,
    requests: AtomicU64,
    bytes_in: Arc<AtomicU64>,
}

impl Counts {
    pub(crate) fn arrive(self: &Arc<Self>) -> Here {
        self.connections.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Here(self.clone())
    }

    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn handshake(&self, completed: bool) {
        if completed { &self.handshakes } else { &self.failed_handshakes }.fetch_add(1, Relaxed);
    }

    pub(crate) fn meter(&self) -> Arc<AtomicU64> {
        self.bytes_in.clone()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    pub(crate) fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    pub(crate) fn handshakes(&self) -> u64 {
        self.handshakes.load(Relaxed)
    }

    pub(crate) fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }
}

/// One open connection; gone when dropped.
pub(crate) struct Here(Arc<Counts>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
