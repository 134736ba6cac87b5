//! How the process begins and ends, as values one holds and drops.
//!
//! Owns nothing but counts and flags: [`Readiness`] is what the health port tells the load balancer,
//! [`Stopping`] asks every connection to finish after its current exchange, and [`Drain`] counts who is
//! still there. The assembly in `app` decides when each of them moves.

pub mod roster;
pub mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What the health port tells (gorouter.md §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The table is being preloaded; traffic ports are not open yet.
    Initializing,
    /// Traffic is welcome.
    Healthy,
    /// The router is on its way out. There is no way back.
    Degraded,
}

/// The one [`Health`] of the process, shared by clones.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

const INITIALIZING: u8 = 0;
const HEALTHY: u8 = 1;
const DEGRADED: u8 = 2;

impl Readiness {
    /// A process that is [`Health::Initializing`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The health at this moment.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.0.load(Ordering::Acquire) {
            INITIALIZING => Health::Initializing,
            HEALTHY => Health::Healthy,
            _ => Health::Degraded,
        }
    }

    /// Opens for traffic. False, and nothing changes, if the router is already leaving: a stop signal
    /// during the preload delay must not be forgotten.
    pub fn open(&self) -> bool {
        self.0.compare_exchange(INITIALIZING, HEALTHY, Ordering::AcqRel, Ordering::Acquire).is_ok()
            || self.health() == Health::Healthy
    }

    /// Withdraws for good.
    pub fn degrade(&self) {
        self.0.store(DEGRADED, Ordering::Release);
    }
}

/// The request to finish after the current exchange; asked once, seen by every clone and child.
#[derive(Clone, Debug)]
pub struct Stopping {
    /// Read once per request, so it is a plain flag: the token's own check takes a lock.
    asked: Arc<AtomicBool>,
    /// Asked here, heard by every child.
    root: CancellationToken,
    token: CancellationToken,
}

impl Default for Stopping {
    fn default() -> Self {
        let root = CancellationToken::new();
        Self { asked: Arc::default(), token: root.clone(), root }
    }
}

impl Stopping {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same signal with a waiting list of its own, one per worker: connections that come and go
    /// then never meet another worker's on a lock.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { asked: Arc::clone(&self.asked), root: self.root.clone(), token: self.root.child_token() }
    }

    /// Asks everyone who holds this signal, whether clone, parent or child.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.root.cancel();
    }

    /// Whether it was asked; a relaxed load's price, meant for the request path.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Waits until it is asked. Cancel-safe.
    pub async fn asked(&self) {
        self.token.cancelled().await;
    }
}

/// Counts those who must leave before the process may: connections and, apart from them, tunnels, since
/// a connection's own future ends when it is upgraded.
#[derive(Clone, Debug, Default)]
pub struct Drain(Arc<Outstanding>);

#[derive(Debug, Default)]
struct Outstanding {
    count: AtomicUsize,
    emptied: Notify,
}

impl Drain {
    /// Nobody is there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more; they leave by dropping the token.
    #[must_use]
    pub fn token(&self) -> DrainToken {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        DrainToken(Arc::clone(&self.0))
    }

    /// How many tokens are held.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Waits for a moment at which no token is held. Cancel-safe; put a deadline around it.
    pub async fn wait_empty(&self) {
        loop {
            // Made before the count is read: it hears of every emptying from its birth on.
            let emptied = self.0.emptied.notified();
            if self.outstanding() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// Held by whoever must leave before the process may.
#[derive(Debug)]
pub struct DrainToken(Arc<Outstanding>);

impl Drop for DrainToken {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn health_opens_once_and_never_comes_back() {
        let readiness = Readiness::new();
        assert_eq!(readiness.health(), Health::Initializing);
        assert!(readiness.open());
        assert!(readiness.open());
        let seen_elsewhere = readiness.clone();
        readiness.degrade();
        assert_eq!(seen_elsewhere.health(), Health::Degraded);
        assert!(!seen_elsewhere.open());
        assert_eq!(readiness.health(), Health::Degraded);
    }

    #[test]
    fn a_stop_during_the_preload_delay_is_not_forgotten() {
        let readiness = Readiness::new();
        readiness.degrade();
        assert!(!readiness.open());
        assert_eq!(readiness.health(), Health::Degraded);
    }

    #[test]
    fn everyone_hears_the_stop() {
        let stopping = Stopping::new();
        let (child, sibling) = (stopping.child(), stopping.child());
        let mut heard = Box::pin(child.asked());
        assert!(!child.is_asked());
        assert_eq!(heard.as_mut().now_or_never(), None);
        sibling.ask();
        assert!(child.is_asked() && stopping.is_asked());
        assert_eq!(heard.now_or_never(), Some(()));
        assert_eq!(stopping.asked().now_or_never(), Some(()));
    }

    #[test]
    fn drain_waits_for_the_last_token() {
        let drain = Drain::new();
        assert_eq!(drain.wait_empty().now_or_never(), Some(()));

        let (connection, tunnel) = (drain.token(), drain.token());
        assert_eq!(drain.outstanding(), 2);
        let mut waiting = Box::pin(drain.wait_empty());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(connection);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(tunnel);
        assert_eq!(waiting.now_or_never(), Some(()));
        assert_eq!(drain.outstanding(), 0);
    }

    #[test]
    fn a_drain_that_fills_again_is_waited_for_again() {
        let drain = Drain::new();
        let first = drain.token();
        let mut waiting = Box::pin(drain.wait_empty());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(first);
        let second = drain.token();
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(second);
        assert_eq!(waiting.now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn the_last_token_wakes_a_waiter_on_another_thread() {
        let drain = Drain::new();
        let tokens: Vec<_> = (0..64).map(|_| drain.token()).collect();
        let leaving = std::thread::spawn(move || drop(tokens));
        tokio::time::timeout(std::time::Duration::from_secs(10), drain.wait_empty()).await.unwrap();
        leaving.join().unwrap();
    }
}
