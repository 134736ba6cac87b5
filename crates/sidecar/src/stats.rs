//! What the sidecar has done so far, counted in memory.
//!
//! Owns the counters and nothing else: no exposition format, no clock. Every counter only grows, except the number
//! of active connections. Reads are relaxed and may be a moment behind each other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Something that happened and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A TCP connection was accepted.
    Accepted,
    /// A handshake ended well: the router's identity was proved where the mode demands it.
    HandshakeDone,
    /// The peer closed before it had sent a complete `ClientHello`: a bare TCP probe.
    HelloAbandoned,
    /// The first bytes were not TLS.
    NotTls,
    /// The handshake did not end before its deadline.
    HandshakeTimedOut,
    /// Strict: the peer presented no certificate.
    NoCertificate,
    /// Strict: the peer's certificate chains to no authority in the client CA.
    UnknownAuthority,
    /// Strict: the peer's certificate is expired or not yet valid.
    OutsideValidity,
    /// Strict: the peer's certificate carries none of the allowed names.
    NameNotAllowed,
    /// The handshake failed in any other way: no common version or suite, an alert of the peer, a reset.
    HandshakeFailed,
    /// There was no certificate to present yet, so the connection was reset.
    NoIdentity,
    /// A connection that had sent no `ClientHello` gave way to a newer one: the cap on handshakes was reached.
    GaveWay,
    /// The app was dialled.
    AppDialled,
    /// The app refused the connection, or could not be reached.
    AppRefused,
    /// The app did not answer within the dial timeout.
    AppTimedOut,
    /// The app could not be dialled for want of descriptors, ports or memory of our own.
    AppDialFailed,
    /// Both ends of a relay closed in order.
    RelayFinished,
    /// One end of a relay was reset or broke, and the other was reset in turn.
    RelayReset,
    /// A relay was closed because nothing had flowed for the idle timeout.
    RelayIdle,
    /// A relay was closed during the drain: idle, or still open when the drain time ended.
    RelayDrained,
    /// Accepting waited, because there were as many connections as may be.
    RoomFull,
    /// `accept` failed.
    AcceptFailed,
    /// The task of one connection panicked.
    Panicked,
    /// A registration was published.
    Registered,
    /// An unregistration was published.
    Unregistered,
}

const EVENTS: usize = Event::Unregistered as usize + 1;

/// Counters of one sidecar, shared by all its listeners.
#[derive(Debug)]
pub struct Stats {
    counts: [AtomicU64; EVENTS],
    active: AtomicU64,
}

impl Default for Stats {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), active: AtomicU64::new(0) }
    }
}

impl Stats {
    /// Counts one `event`.
    pub fn count(&self, event: Event) {
        self.counts[event as usize].fetch_add(1, Relaxed);
    }

    /// How often `event` has happened since the start.
    #[must_use]
    pub fn of(&self, event: Event) -> u64 {
        self.counts[event as usize].load(Relaxed)
    }

    /// Connections open now, handshakes included.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active.load(Relaxed)
    }

    /// Counts a connection as active until the returned mark is dropped.
    pub(crate) fn enter(&self) -> Active<'_> {
        self.active.fetch_add(1, Relaxed);
        Active(self)
    }
}

/// One connection that counts as active while this lives.
#[derive(Debug)]
pub(crate) struct Active<'a>(&'a Stats);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_only_for_itself() {
        let stats = Stats::default();
        stats.count(Event::Accepted);
        stats.count(Event::Unregistered);
        stats.count(Event::Unregistered);
        assert_eq!((stats.of(Event::Accepted), stats.of(Event::Unregistered), stats.of(Event::Registered)), (1, 2, 0));
    }

    #[test]
    fn a_connection_is_active_until_its_mark_drops() {
        let stats = Stats::default();
        let mark = stats.enter();
        assert_eq!(stats.active(), 1);
        drop(mark);
        assert_eq!(stats.active(), 0);
    }
}
