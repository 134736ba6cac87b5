//! The good peer: an app on raw sockets, plain or TLS, that says who it is and keeps what it got. It speaks HTTP/1.1,
//! and HTTP/2 where its door offers that by ALPN ([`crate::tls::ServerTls::alpn`]).
//!
//! Every response but [`Reply::Raw`] names the app in `x-app` and the instance in `x-instance`. Without a rule of the
//! test's own the path decides what it does, see [`Reply::by_path`].

mod http2;
mod received;
mod reply;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub use received::{KEPT, Received};
pub use reply::Reply;

use crate::house::House;
use crate::peers::Door;
use crate::pki::guid;
use crate::port::ReservedPort;
use serve::State;

/// A running app. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct App {
    house: House,
    door: Door,
    state: Arc<State>,
}

/// An app about to start.
#[must_use = "call start()"]
pub struct AppBuilder {
    name: String,
    instance: String,
    port: Option<u16>,
    door: Door,
    rule: Box<serve::Rule>,
    max_streams: Option<u32>,
}

impl App {
    /// A plain app called `name`, with an instance GUID of its own, on a port of the kernel's choice.
    pub fn start(name: &str) -> Self {
        Self::builder(name).start()
    }

    /// An app to describe first.
    pub fn builder(name: &str) -> AppBuilder {
        AppBuilder {
            name: name.to_owned(),
            instance: guid(),
            port: None,
            door: Door::Plain,
            rule: Box::new(Reply::by_path),
            max_streams: None,
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.house.addr()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// Its name, the value of `x-app`.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Its instance GUID, the value of `x-instance`.
    pub fn instance(&self) -> &str {
        &self.state.instance
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.state.counts.connections()
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> u64 {
        self.state.counts.open()
    }

    /// How many TLS handshakes were completed.
    pub fn handshakes(&self) -> u64 {
        self.state.counts.handshakes()
    }

    /// How many TLS handshakes failed on this side.
    pub fn failed_handshakes(&self) -> u64 {
        self.state.counts.failed_handshakes()
    }

    /// How many request heads came in whole, those of requests cut short later included.
    pub fn requests(&self) -> u64 {
        self.state.counts.requests()
    }

    /// How many bytes came in, after TLS: 0 means that nobody told this app anything.
    pub fn bytes_in(&self) -> u64 {
        self.state.counts.bytes_in()
    }

    /// How many bytes of streams and tunnels ([`Reply::Stream`], [`Reply::Tunnel`]) were written.
    pub fn bytes_out(&self) -> u64 {
        self.state.bytes_out.load(Relaxed)
    }

    /// How many HTTP/2 answers the client gave up before their end.
    pub fn cancelled(&self) -> u64 {
        self.state.cancelled.load(Relaxed)
    }

    /// Tells the client of every HTTP/2 connection that is open now to go elsewhere (GOAWAY), and finishes what it has
    /// begun there.
    pub fn go_away(&self) {
        let fresh = tokio_util::sync::CancellationToken::new();
        std::mem::replace(&mut *self.state.go_away.lock().expect("no holder panics"), fresh).cancel();
    }

    /// The requests so far, in the order in which they ended: the last [`KEPT`] of them.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().expect("no holder panics").iter().cloned().collect()
    }

    /// The last request that ended.
    pub fn last(&self) -> Option<Received> {
        self.state.received.lock().expect("no holder panics").back().cloned()
    }

    /// Lets one waiting step go on: a [`Reply::AfterRelease`], or one event of [`Reply::Events`]. Counts ahead if
    /// nobody waits yet.
    pub fn release(&self) {
        self.state.gate.add_permits(1);
    }

    /// Lets every step go on, from now on.
    pub fn release_all(&self) {
        self.state.gate.close();
    }

    /// Closes every connection that is open now (FIN, whatever it is doing) and keeps listening.
    pub fn hang_up(&self) {
        let fresh = tokio_util::sync::CancellationToken::new();
        let old = std::mem::replace(&mut *self.state.hang_up.lock().expect("no holder panics"), fresh);
        old.cancel();
    }

    /// Closes the port and every connection; connecting is refused from now on.
    pub fn die(&self) {
        self.house.shut();
    }

    /// Listens again on the same port.
    pub fn revive(&self) {
        let (door, state) = (Arc::new(self.door.ready()), self.state.clone());
        self.house.open(move |tcp, _| serve::connection(tcp, door.clone(), state.clone()));
    }
}

impl AppBuilder {
    /// The instance GUID.
    pub fn instance(mut self, guid: &str) -> Self {
        guid.clone_into(&mut self.instance);
        self
    }

    /// Listens on this port, which may be one that a dead app held.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Plain (the default) or TLS; a `&Leaf` or a [`crate::tls::ServerTls`] will do.
    pub fn door(mut self, door: impl Into<Door>) -> Self {
        self.door = door.into();
        self
    }

    /// Decides what to answer, once the body is in. [`Reply::by_path`] is what happens without a rule. Must not block.
    pub fn rule(mut self, rule: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        self.rule = Box::new(rule);
        self
    }

    /// How many HTTP/2 requests it takes at once on one connection.
    pub fn max_streams(mut self, streams: u32) -> Self {
        self.max_streams = Some(streams);
        self
    }

    /// Answers every request with exactly these bytes.
    pub fn raw(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        self.rule(move |_| Reply::Raw(bytes.clone()))
    }

    /// Starts it. Panics if the port is taken.
    pub fn start(self) -> App {
        let port = match self.port {
            None => ReservedPort::new(),
            Some(port) => ReservedPort::at(port).unwrap_or_else(|e| panic!("port {port} is taken: {e}")),
        };
        let app = App {
            house: House::new(port),
            door: self.door,
            state: Arc::new(State::new(self.name, self.instance, self.rule, self.max_streams)),
        };
        app.revive();
        app
    }
}

#[cfg(test)]
mod tests;
