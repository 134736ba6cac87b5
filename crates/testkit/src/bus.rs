//! One name for the small NATS server and a real one, so that every test of the bus runs over both.

use std::future::Future;
use std::net::SocketAddr;

use crate::nats::Nats;
use crate::pki::{Authority, Leaf};
use crate::real_nats::RealNats;
use crate::tls::ServerTls;

/// A NATS server of either kind.
#[derive(Debug)]
pub enum Bus {
    /// The small one, in this process.
    Small(Nats),
    /// A real nats-server, a child process.
    Real(RealNats),
}

impl Bus {
    /// The small one and, where there is a nats-server, a real one; see [`RealNats::start`] for what `CI` changes.
    pub fn each() -> Vec<Self> {
        let real = RealNats::start().map(Self::Real);
        [Some(Self::Small(Nats::start())), real].into_iter().flatten().collect()
    }

    /// The same with a user and a password.
    pub fn each_with_login(user: &str, password: &str) -> Vec<Self> {
        let small = Self::Small(Nats::builder().login(user, password).start());
        let real = RealNats::start_with_login(user, password).map(Self::Real);
        [Some(small), real].into_iter().flatten().collect()
    }

    /// The same over TLS, with a certificate demanded of every client.
    pub fn each_with_tls(leaf: &Leaf, clients: &Authority) -> Vec<Self> {
        let tls = ServerTls::new(leaf).require_client(clients);
        let small = Self::Small(Nats::builder().tls(tls).start());
        let real = RealNats::start_with_tls(leaf, clients).map(Self::Real);
        [Some(small), real].into_iter().flatten().collect()
    }

    /// A real one if there is one (never a panic, whatever `CI` says), else the small one.
    pub fn best() -> Self {
        RealNats::start_if_found().map_or_else(|| Self::Small(Nats::start()), Self::Real)
    }

    /// `small` or `real`, to tell in a message which one it was.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Small(_) => "small",
            Self::Real(_) => "real",
        }
    }

    /// `nats://[user:password@]127.0.0.1:port`.
    pub fn url(&self) -> String {
        match self {
            Self::Small(nats) => nats.url(),
            Self::Real(nats) => nats.url(),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Small(nats) => nats.addr(),
            Self::Real(nats) => nats.addr(),
        }
    }

    /// The host, 127.0.0.1.
    pub fn host(&self) -> String {
        self.addr().ip().to_string()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// Dies at once: port closed, connections gone. The port is kept.
    pub fn die(&self) {
        match self {
            Self::Small(nats) => nats.die(),
            Self::Real(nats) => nats.die(),
        }
    }

    /// Tells its clients that it is about to close.
    pub fn lame_duck(&self) {
        match self {
            Self::Small(nats) => nats.lame_duck(),
            Self::Real(nats) => nats.lame_duck(),
        }
    }

    /// Comes back on the same port; returns once it takes clients.
    pub fn revive(&self) {
        match self {
            Self::Small(nats) => nats.revive(),
            Self::Real(nats) => nats.revive(),
        }
    }
}

/// Runs a story over the small server and then over a real one where there is one. When the story fails, the standard
/// error says over which.
pub async fn for_each_bus<S, F>(story: S)
where
    S: Fn(Bus) -> F,
    F: Future<Output = ()>,
{
    for bus in Bus::each() {
        run(bus, &story).await;
    }
}

/// The same with a user and a password.
pub async fn for_each_bus_with_login<S, F>(user: &str, password: &str, story: S)
where
    S: Fn(Bus) -> F,
    F: Future<Output = ()>,
{
    for bus in Bus::each_with_login(user, password) {
        run(bus, &story).await;
    }
}

async fn run<F: Future<Output = ()>>(bus: Bus, story: impl Fn(Bus) -> F) {
    let blame = Blame(bus.kind());
    story(bus).await;
    drop(blame);
}

/// Speaks only when a story panics.
struct Blame(&'static str);

impl Drop for Blame {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this happened over the {} NATS server", self.0);
        }
    }
}
