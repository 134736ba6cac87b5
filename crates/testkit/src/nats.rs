//! A small NATS server with faults on command: the core protocol (INFO, CONNECT, PING, PUB, SUB, UNSUB, MSG),
//! wildcards, queue groups, user and password, payload limit, TLS after the greeting. No headers, no clusters.
//!
//! What it does without faults must be what a real server does: the tests of this module run over both.

mod commands;
mod router;
mod session;
mod subject;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use router::Published;
pub use subject::matches;

use crate::house::House;
use crate::port::ReservedPort;
use crate::tls::ServerTls;
use router::Router;
use tokio_rustls::TlsAcceptor;

/// A running server. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Nats {
    house: House,
    router: Arc<Router>,
    login: Option<(String, String)>,
    tls: Option<ServerTls>,
}

/// A server about to start.
#[derive(Debug, Clone, Default)]
#[must_use = "call start()"]
pub struct NatsBuilder {
    port: Option<u16>,
    login: Option<(String, String)>,
    max_payload: Option<usize>,
    tls: Option<ServerTls>,
}

impl Nats {
    /// A server that lets anyone in, on a port of the kernel's choice on 127.0.0.1.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server to describe first.
    pub fn builder() -> NatsBuilder {
        NatsBuilder::default()
    }

    /// `nats://127.0.0.1:port`, with user and password if it wants them.
    pub fn url(&self) -> String {
        let login = self.login.as_ref().map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
        format!("nats://{login}{}", self.addr())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.house.addr()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// How many clients are connected and let in.
    pub fn clients(&self) -> usize {
        self.router.clients()
    }

    /// How many clients were ever let in.
    pub fn clients_ever(&self) -> u64 {
        self.router.clients_ever()
    }

    /// The subjects subscribed to now, sorted, one entry per subscription.
    pub fn subscriptions(&self) -> Vec<String> {
        self.router.subscriptions()
    }

    /// What clients published to subjects that match `pattern`, in order, dropped messages included: the last
    /// 100,000 of all.
    pub fn published(&self, pattern: &str) -> Vec<Published> {
        self.router.published(pattern)
    }

    /// Delivers a message as if a client had published it; faults apply.
    pub fn publish(&self, subject: &str, payload: impl AsRef<[u8]>) {
        self.router.publish(0, false, subject, None, payload.as_ref());
    }

    /// Drops every message to subjects that match `pattern`, until [`Nats::heal`].
    pub fn drop_messages(&self, pattern: &str) {
        self.drop_every(pattern, 1);
    }

    /// Drops every `nth` message to subjects that match `pattern`, counted from now.
    pub fn drop_every(&self, pattern: &str, nth: u64) {
        self.router.drop_every(pattern, nth);
    }

    /// Holds messages to subjects that match `pattern` back for this long; their order stays.
    pub fn delay(&self, pattern: &str, by: Duration) {
        self.router.delay(pattern, by);
    }

    /// Ends every fault but death.
    pub fn heal(&self) {
        self.router.heal();
    }

    /// Says nothing any more, not even PONG, on connections old and new, until [`Nats::heal`]: a stuck server.
    /// What clients publish meanwhile is lost.
    pub fn fall_silent(&self) {
        self.router.fall_silent();
    }

    /// Writes this to every client as it is: an -ERR, another INFO, garbage.
    pub fn say(&self, bytes: impl AsRef<[u8]>) {
        self.router.say(bytes.as_ref());
    }

    /// Tells every client that it is about to close, as a real server in lame duck mode; it doesn't.
    pub fn lame_duck(&self) {
        let info = serde_json::json!({ "server_id": "TRUEROUTETESTKIT", "server_name": "testkit", "version": "2.9.10",
            "proto": 1, "host": "127.0.0.1", "port": self.port(), "max_payload": 1_048_576, "ldm": true });
        self.say(format!("INFO {info}\r\n"));
    }

    /// Closes every connection and keeps listening.
    pub fn disconnect_clients(&self) {
        self.router.disconnect_clients();
    }

    /// Closes the port and every connection: dead. The port is kept for [`Nats::revive`].
    pub fn die(&self) {
        self.house.shut();
    }

    /// Listens again on the same port.
    pub fn revive(&self) {
        let router = self.router.clone();
        let tls = self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
        self.house.open(move |tcp, hands| session::run(tcp, router.clone(), tls.clone(), hands));
    }
}

impl NatsBuilder {
    /// Listens on this port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Wants this user and password.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Takes payloads up to so many bytes (1 MiB at first).
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// Speaks TLS on every connection.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Starts it. Panics if the port is taken.
    pub fn start(self) -> Nats {
        let port = match self.port {
            None => ReservedPort::new(),
            Some(port) => ReservedPort::at(port).unwrap_or_else(|e| panic!("port {port} is taken: {e}")),
        };
        let max_payload = self.max_payload.unwrap_or(1024 * 1024);
        let router = Arc::new(Router::new(port.port(), self.login.clone(), max_payload));
        let nats = Nats { house: House::new(port), router, login: self.login, tls: self.tls };
        nats.revive();
        nats
    }
}

#[cfg(test)]
mod tests;
