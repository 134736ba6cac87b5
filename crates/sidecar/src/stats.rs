//! What the sidecar has done so far, counted in memory.
//!
//! Owns the counters and nothing else: no exposition format, no clock. Every counter only grows, except the number
//! of active connections. Reads are relaxed and may be a moment behind each other.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use trueroute_identity::accept::suite_names;

/// Something that happened and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A TCP connection was accepted.
    Accepted,
    /// A handshake ended well: the router's identity was proved where the mode demands it.
    HandshakeDone,
    /// A handshake ended well in TLS 1.2.
    SpokeTls12,
    /// A handshake ended well in TLS 1.3.
    SpokeTls13,
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
    /// A certificate, or whom to believe, came into force.
    CertificateTaken,
    /// New files held no usable certificate or authorities; what was in force stayed.
    CertificateRefused,
    /// A registration was published.
    Registered,
    /// An unregistration was published.
    Unregistered,
}

const EVENTS: usize = Event::Unregistered as usize + 1;

/// Suites that a handshake can agree on.
const SUITES: usize = 9;

/// Counters of one listener, or of a whole sidecar.
#[derive(Debug)]
pub struct Stats {
    counts: [AtomicU64; EVENTS],
    suites: [AtomicU64; SUITES],
    active: AtomicU64,
    relayed: AtomicU64,
    from_routers: AtomicU64,
    from_app: AtomicU64,
    /// Of the whole, where this is of a part.
    whole: Option<Arc<Stats>>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            suites: std::array::from_fn(|_| AtomicU64::new(0)),
            active: AtomicU64::new(0),
            relayed: AtomicU64::new(0),
            from_routers: AtomicU64::new(0),
            from_app: AtomicU64::new(0),
            whole: None,
        }
    }
}

impl Stats {
    /// Counters of a part of `whole`, which counts everything too.
    #[must_use]
    pub fn part_of(whole: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { whole: Some(Arc::clone(whole)), ..Self::default() })
    }

    /// Counts one `event`.
    pub fn count(&self, event: Event) {
        self.counts[event as usize].fetch_add(1, Relaxed);
        if let Some(whole) = &self.whole {
            whole.count(event);
        }
    }

    /// Counts a handshake that agreed on the suite of that name.
    pub(crate) fn count_suite(&self, name: &str) {
        let position = suite_names().iter().position(|known| *known == name);
        if let Some(count) = position.and_then(|position| self.suites.get(position)) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(whole) = &self.whole {
            whole.count_suite(name);
        }
    }

    /// Suites that were agreed on, by their names, and how often.
    pub fn suites(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.suites.iter().map(|count| count.load(Relaxed));
        suite_names().into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// Counts bytes that were passed on from a router to the app.
    pub(crate) fn count_upward(&self, bytes: usize) {
        self.from_routers.fetch_add(bytes as u64, Relaxed);
        if let Some(whole) = &self.whole {
            whole.count_upward(bytes);
        }
    }

    /// Counts bytes that were passed on from the app to a router.
    pub(crate) fn count_downward(&self, bytes: usize) {
        self.from_app.fetch_add(bytes as u64, Relaxed);
        if let Some(whole) = &self.whole {
            whole.count_downward(bytes);
        }
    }

    /// Bytes from routers and bytes from the app, without TLS around them.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.from_routers.load(Relaxed), self.from_app.load(Relaxed))
    }

    /// Sets every counter to zero; what is open now stays counted.
    pub fn reset(&self) {
        let counts = self.counts.iter().chain(&self.suites).chain([&self.from_routers, &self.from_app]);
        counts.for_each(|count| count.store(0, Relaxed));
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

    /// Connections to the app that are open now.
    #[must_use]
    pub fn relayed(&self) -> u64 {
        self.relayed.load(Relaxed)
    }

    /// Counts a connection as active until the returned mark is dropped.
    pub(crate) fn enter(&self) -> Active<'_> {
        Active::new(self, |stats| &stats.active)
    }

    /// Counts a connection to the app as open until the returned mark is dropped.
    pub(crate) fn relay(&self) -> Active<'_> {
        Active::new(self, |stats| &stats.relayed)
    }
}

/// One connection that counts while this lives.
#[derive(Debug)]
pub(crate) struct Active<'a> {
    stats: &'a Stats,
    which: fn(&Stats) -> &AtomicU64,
}

impl<'a> Active<'a> {
    fn new(stats: &'a Stats, which: fn(&Stats) -> &AtomicU64) -> Self {
        for each in [Some(stats), stats.whole.as_deref()].into_iter().flatten() {
            which(each).fetch_add(1, Relaxed);
        }
        Self { stats, which }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        for each in [Some(self.stats), self.stats.whole.as_deref()].into_iter().flatten() {
            (self.which)(each).fetch_sub(1, Relaxed);
        }
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
    fn the_whole_counts_what_its_parts_count() {
        let whole = Arc::new(Stats::default());
        let (one, other) = (Stats::part_of(&whole), Stats::part_of(&whole));
        one.count(Event::Accepted);
        other.count(Event::Accepted);
        assert_eq!(suite_names().len(), SUITES);
        one.count_suite("TLS_AES_128_GCM_SHA256");
        one.count_suite("of no name");
        assert_eq!(whole.suites().collect::<Vec<_>>(), [("TLS_AES_128_GCM_SHA256", 1)]);
        one.count_upward(3);
        other.count_downward(4);
        let mark = one.enter();
        assert_eq!((one.of(Event::Accepted), whole.of(Event::Accepted)), (1, 2));
        assert_eq!((one.bytes(), whole.bytes()), ((3, 0), (3, 4)));
        assert_eq!((one.active(), other.active(), whole.active()), (1, 0, 1));
        drop(mark);
        whole.reset();
        assert_eq!((one.active(), whole.active(), whole.of(Event::Accepted), one.of(Event::Accepted)), (0, 0, 0, 1));
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
