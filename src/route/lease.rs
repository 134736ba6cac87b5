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

/// An endpoint in a pool. The facts are fixed, freshness and failure move.
#[derive(Debug)]
pub struct Lease {
    endpoint: Arc<Endpoint>,
    seen_ms: AtomicU64,
    failed_ms: AtomicU64,
}

impl Lease {
    /// A lease registered at `now`.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, now: Moment) -> Self {
        Self { endpoint, seen_ms: AtomicU64::new(now.as_ms()), failed_ms: AtomicU64::new(NEVER) }
    }

    /// The endpoint that is leased.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// When a registration last confirmed it.
    #[must_use]
    pub fn seen(&self) -> Moment {
        Moment::from_ms(self.seen_ms.load(Relaxed))
    }

    /// A registration confirmed it.
    pub fn renew(&self, now: Moment) {
        self.seen_ms.store(now.as_ms(), Relaxed);
    }

    /// A request failed here in a way that speaks against the endpoint.
    pub fn mark_failed(&self, now: Moment) {
        self.failed_ms.store(now.as_ms(), Relaxed);
    }

    /// Forgets a failure.
    pub fn clear_failure(&self) {
        self.failed_ms.store(NEVER, Relaxed);
    }

    /// Whether it failed less than `window` ago.
    #[must_use]
    pub fn is_resting(&self, now: Moment, window: Duration) -> bool {
        let failed = self.failed_ms.load(Relaxed);
        failed != NEVER && now.since(Moment::from_ms(failed)) < window
    }
}
