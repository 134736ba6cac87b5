//! Peers named by their vice. Each listens on 127.0.0.1, counts who came and how far they got, and ends when dropped.
//!
//! The good peer is [`crate::App`]; the wrong identities of [`identity`] are apps too, so that a byte that reaches one
//! is on record.

mod door;
mod http;
pub mod http2;
pub mod identity;
mod line;
mod refusal;
mod transport;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use door::Counts;
pub use door::Door;
pub(crate) use door::ReadyDoor;
pub use http::{
    answers_413_early, answers_endless_head, answers_garbage, closes_after_request, closes_after_response,
    never_answers, resets_after_headers, resets_mid_body, slow_reader, slow_writer, truncates_body, unsolicited_101,
};
pub use identity::{certificate_of_another_instance, drained, expired, not_yet_valid, unknown_ca};
pub use line::Line;
pub use refusal::{Ending, refuses_at, refuses_our_certificate};
pub use transport::{
    closes_at_accept, closes_during_handshake, never_accepts, never_handshakes, plain_where_tls_is_expected,
    refuses_connections, resets_at_accept, resets_during_handshake, sends_alert, talks_first,
};

use crate::house::House;
use crate::port::ReservedPort;

/// A peer that runs a script on every connection.
#[derive(Debug)]
pub struct Peer {
    house: House,
    counts: Arc<Counts>,
    /// Connections to ourselves that keep the accept queue full.
    _crowd: Vec<std::net::TcpStream>,
    _queue: Option<std::net::TcpListener>,
}

impl Peer {
    /// Runs `script` on every connection that comes through `door` (with TLS: once the handshake is over). The
    /// connection closes when the script ends or drops its [`Line`]. The script must not block its thread.
    pub fn scripted<S, F>(door: impl Into<Door>, script: S) -> Self
    where
        S: Fn(Line) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (door, counts, script) = (Arc::new(door.into().ready()), Arc::new(Counts::default()), Arc::new(script));
        let house = House::new(ReservedPort::new());
        let seen = counts.clone();
        house.open(move |tcp, _| {
            let (door, counts, script) = (door.clone(), seen.clone(), script.clone());
            async move {
                let _here = counts.arrive();
                if let Ok(io) = door.admit(tcp, &counts).await {
                    script(Line::new(io, counts.clone())).await;
                }
            }
        });
        Self::at(house, counts)
    }

    fn at(house: House, counts: Arc<Counts>) -> Self {
        Self { house, counts, _crowd: Vec::new(), _queue: None }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.house.addr()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.counts.connections()
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> u64 {
        self.counts.open()
    }

    /// How many TLS handshakes were completed.
    pub fn handshakes(&self) -> u64 {
        self.counts.handshakes()
    }

    /// How many TLS handshakes failed on this side.
    pub fn failed_handshakes(&self) -> u64 {
        self.counts.failed_handshakes()
    }

    /// How many request heads were read to their end.
    pub fn requests(&self) -> u64 {
        self.counts.requests()
    }

    /// How many bytes scripts have read, after TLS.
    pub fn bytes_in(&self) -> u64 {
        self.counts.bytes_in()
    }
}

#[cfg(test)]
mod tests;
