//! One route's claim on one endpoint: how fresh it is, and whether it lately failed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{endpoint::Endpoint, moment::Moment};

/// Marks "never failed"; a real moment is always smaller.
const NEVER: u64 = u64::MAX;
/// Set beside the moment while nobody but a former process has seen the endpoint.
const RESTORED: u64 = 1 << 63;

/// An endpoint in a pool. The facts are fixed, freshness and failure move.
#[derive(Debug)]
pub struct Lease {
    endpoint: Arc<Endpoint>,
    seen_ms: AtomicU64,
    failed_ms: AtomicU64,
    /// When the first of a row of suspicious ends was, shifted left, and how many there were since.
    suspicion: AtomicU64,
}

/// Suspicious ends within [`SUSPICION_MS`] that count as a refusal.
const SUSPICIONS: u64 = 3;
const SUSPICION_MS: u64 = 10_000;
/// Room for the count beside the moment.
const COUNT_BITS: u32 = 8;

impl Lease {
    /// A lease registered at `now`.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, now: Moment) -> Self {
        Self {
            endpoint,
            seen_ms: AtomicU64::new(now.as_ms()),
            failed_ms: AtomicU64::new(NEVER),
            suspicion: AtomicU64::new(0),
        }
    }

    /// A lease that a former process had; nobody has confirmed it to this one.
    #[must_use]
    pub fn restored(endpoint: Arc<Endpoint>, now: Moment) -> Self {
        Self { seen_ms: AtomicU64::new(now.as_ms() | RESTORED), ..Self::new(endpoint, now) }
    }

    /// Whether only a former process has seen the endpoint.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.seen_ms.load(Relaxed) & RESTORED != 0
    }

    /// The endpoint that is leased.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// When a registration last confirmed it.
    #[must_use]
    pub fn seen(&self) -> Moment {
        Moment::from_ms(self.seen_ms.load(Relaxed) & !RESTORED)
    }

    /// Counts as seen at `now`, though nobody confirmed it.
    pub fn refresh(&self, now: Moment) {
        let restored = self.seen_ms.load(Relaxed) & RESTORED;
        self.seen_ms.store(now.as_ms() | restored, Relaxed);
    }

    /// A registration confirmed it.
    pub fn renew(&self, now: Moment) {
        self.seen_ms.store(now.as_ms(), Relaxed);
    }

    /// A request failed here in a way that speaks against the endpoint.
    pub fn mark_failed(&self, now: Moment) {
        self.failed_ms.store(now.as_ms(), Relaxed);
    }

    /// A new connection was reset while the endpoint might still have been refusing our certificate. Once
    /// says nothing; whether it happens so often that it is a refusal whose alert was lost on the way
    /// (engineering.md B4, rule 6).
    pub fn suspect(&self, now: Moment) -> bool {
        let (since, count) = match self.suspicion.load(Relaxed) {
            row if row != 0 && now.as_ms().saturating_sub(row >> COUNT_BITS) <= SUSPICION_MS => {
                (row >> COUNT_BITS, (row & ((1 << COUNT_BITS) - 1)) + 1)
            }
            _ => (now.as_ms(), 1),
        };
        let convinced = count >= SUSPICIONS;
        self.suspicion.store(if convinced { 0 } else { (since << COUNT_BITS) | count }, Relaxed);
        convinced
    }

    /// Forgets a failure.
    pub fn clear_failure(&self) {
        self.failed_ms.store(NEVER, Relaxed);
    }

    /// How much longer than `now` it rests after a failure, for `window` in all; none if it does not rest.
    #[must_use]
    pub fn rests_for(&self, now: Moment, window: Duration) -> Option<Duration> {
        let failed = Some(self.failed_ms.load(Relaxed)).filter(|failed| *failed != NEVER)?;
        window.checked_sub(now.since(Moment::from_ms(failed))).filter(|left| !left.is_zero())
    }

    /// A lease that looks the same now, on which nothing that happens to either has an effect on the other.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            seen_ms: AtomicU64::new(self.seen_ms.load(Relaxed)),
            failed_ms: AtomicU64::new(self.failed_ms.load(Relaxed)),
            suspicion: AtomicU64::new(self.suspicion.load(Relaxed)),
        }
    }

    /// Whether it failed less than `window` ago.
    #[must_use]
    pub fn is_resting(&self, now: Moment, window: Duration) -> bool {
        let failed = self.failed_ms.load(Relaxed);
        failed != NEVER && now.since(Moment::from_ms(failed)) < window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{
        endpoint::Facts,
        peer::{Identity, Peer},
    };

    #[test]
    fn three_suspicious_ends_within_ten_seconds_are_a_refusal() {
        let endpoint = Endpoint::new(Peer::new("10.0.0.1", 80, Identity::Plain), Facts::default());
        let lease = Lease::new(Arc::new(endpoint), Moment::default());
        let at = |ms| lease.suspect(Moment::from_ms(ms));
        assert_eq!([at(0), at(9_000), at(10_000)], [false, false, true]);
        assert_eq!([at(20_000), at(29_000), at(31_000), at(32_000)], [false; 4], "a row that is too long starts anew");
    }
}
