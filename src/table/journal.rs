//! What the table remembers for whoever asks why: who left it lately, what failed lately, and who proved what when.
//!
//! Bounded whatever happens, and apart from the routes, which grow by nothing for it. Written where something went
//! wrong, at a departure or after a handshake, never by a request on a connection that was there.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::route::{endpoint::Endpoint, lease::Lease, moment::Moment, peer::Peer, pool::Route, proof::Proof};

/// Departures that are remembered, of all routes together.
pub const DEPARTURES: usize = 1024;
/// How long they are.
pub const MEMORY: Duration = Duration::from_secs(60 * 60);
/// Peers whose last proof is remembered at least; twice as many at the most.
pub const PROOFS: usize = 65_536;
/// Peers whose last failure is remembered at least; twice as many at the most.
pub const FAILURES: usize = 1024;
/// Longest text of a failure that is kept, in bytes.
const LONGEST: usize = 300;

/// Why an endpoint left a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An attempt failed in a way that showed that it is gone or somebody else.
    Failed {
        /// The failure's name, see [`crate::failure::Verdict::reason`].
        reason: &'static str,
        /// The failure in words.
        error: Box<str>,
    },
    /// Nothing was heard of it for so long.
    Stale(Duration),
    /// A former process knew it, and no registration confirmed it to this one.
    Unconfirmed,
    /// It was unregistered.
    Unregistered,
}

/// An endpoint that left a route.
#[derive(Clone, Debug)]
pub struct Departure {
    /// The route's key.
    pub route: Arc<str>,
    /// Who left.
    pub endpoint: Arc<Endpoint>,
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: Moment,
}

/// The last failure of an attempt at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The failure's name, see [`crate::failure::Verdict::reason`].
    pub reason: &'static str,
    /// The failure in words.
    pub error: Box<str>,
    /// When.
    pub at: Moment,
}

/// The memory of one table.
#[derive(Debug)]
pub struct Journal {
    departures: Mutex<VecDeque<Departure>>,
    proofs: Mutex<Recent<Peer, (Proof, Moment)>>,
    failures: Mutex<Recent<Peer, Failed>>,
}

/// The last value of each of the keys that were written last: as many as it is made for, and at most twice that.
#[derive(Debug)]
struct Recent<K, V> {
    most: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            departures: Mutex::default(),
            proofs: Mutex::new(Recent::of(PROOFS)),
            failures: Mutex::new(Recent::of(FAILURES)),
        }
    }
}

impl Journal {
    /// Notes that `lease` left `route`.
    pub fn left(&self, route: &Route, lease: &Lease, cause: Cause, now: Moment) {
        let departure =
            Departure { route: Arc::clone(route.shared_key()), endpoint: Arc::clone(lease.endpoint()), cause, at: now };
        let mut departures = lock(&self.departures);
        while departures.len() >= DEPARTURES || departures.front().is_some_and(|first| is_over(first, now)) {
            departures.pop_front();
        }
        departures.push_back(departure);
    }

    /// Who left a route that is `wanted`, by its key; the last one first, `most` of them.
    #[must_use]
    pub fn departures(&self, now: Moment, most: usize, wanted: impl Fn(&str) -> bool) -> Vec<Departure> {
        let departures = lock(&self.departures);
        let fitting = departures.iter().rev().filter(|one| !is_over(one, now) && wanted(&one.route));
        fitting.take(most).cloned().collect()
    }

    /// Notes what a handshake with `peer` has shown.
    pub fn proven(&self, peer: &Peer, proof: Proof, now: Moment) {
        lock(&self.proofs).put(peer, (proof, now));
    }

    /// The last proof that `peer` gave, and when; none if it gave none or that was too many proofs ago.
    #[must_use]
    pub fn proof(&self, peer: &Peer) -> Option<(Proof, Moment)> {
        lock(&self.proofs).find(peer).copied()
    }

    /// Notes that an attempt at `peer` failed.
    pub fn failed(&self, peer: &Peer, reason: &'static str, error: &str, now: Moment) {
        lock(&self.failures).put(peer, Failed { reason, error: shortened(error), at: now });
    }

    /// The last failure of an attempt at `peer`, if it is not too long ago.
    #[must_use]
    pub fn failure(&self, peer: &Peer, now: Moment) -> Option<Failed> {
        lock(&self.failures).find(peer).filter(|failed| now.since(failed.at) <= MEMORY).cloned()
    }
}

impl Cause {
    /// That of a failed attempt.
    #[must_use]
    pub fn failed(reason: &'static str, error: &str) -> Self {
        Self::Failed { reason, error: shortened(error) }
    }
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    fn of(most: usize) -> Self {
        Self { most, young: HashMap::new(), old: HashMap::new() }
    }

    fn put(&mut self, key: &K, value: V) {
        if let Some(known) = self.young.get_mut(key) {
            *known = value;
            return;
        }
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.clone(), value);
    }

    fn find(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }
}

fn is_over(departure: &Departure, now: Moment) -> bool {
    now.since(departure.at) > MEMORY
}

fn shortened(error: &str) -> Box<str> {
    error[..error.floor_char_boundary(LONGEST)].into()
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{endpoint::Facts, peer::Identity};

    fn lease(port: u16) -> Lease {
        let endpoint = Endpoint::new(Peer::new("10.0.0.1", port, Identity::Plain), Facts::default());
        Lease::new(Arc::new(endpoint), Moment::default())
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    fn ports(journal: &Journal, now: Moment, most: usize) -> Vec<u16> {
        let found = journal.departures(now, most, |route| route == "a");
        found.iter().map(|one| one.endpoint.peer.port()).collect()
    }

    #[test]
    fn the_last_departures_of_a_route_come_back_the_last_one_first() {
        let journal = Journal::default();
        let (a, b) = (Route::new("a", 0), Route::new("b", 0));
        journal.left(&a, &lease(1), Cause::Unregistered, at(0));
        journal.left(&b, &lease(2), Cause::Unregistered, at(1));
        journal.left(&a, &lease(3), Cause::failed("dial", "refused"), at(2));
        assert_eq!(ports(&journal, at(3), 9), [3, 1]);
        assert_eq!(ports(&journal, at(3), 1), [3]);
        assert_eq!(ports(&journal, at(3601), 9), [3], "an hour is over");
    }

    #[test]
    fn memory_is_bounded() {
        let journal = Journal::default();
        let route = Route::new("a", 0);
        for port in 0..3 * DEPARTURES {
            let lease = lease(u16::try_from(port).unwrap());
            journal.left(&route, &lease, Cause::Unconfirmed, at(0));
            journal.failed(&lease.endpoint().peer, "dial", &"\u{e9}".repeat(LONGEST), at(0));
        }
        assert_eq!(lock(&journal.departures).len(), DEPARTURES);
        let failures = lock(&journal.failures);
        assert!(failures.young.len() + failures.old.len() <= 2 * FAILURES);
        assert!(failures.young.values().all(|failed| failed.error.len() <= LONGEST));
    }

    #[test]
    fn the_last_failure_and_the_last_proof_count_and_the_oldest_give_way() {
        let mut recent = Recent::of(2);
        for (key, value) in [(1, 'a'), (1, 'b'), (2, 'c'), (3, 'd'), (4, 'e')] {
            recent.put(&key, value);
        }
        assert_eq!([1, 2, 3, 4].map(|key| recent.find(&key).copied()), [Some('b'), Some('c'), Some('d'), Some('e')]);
        recent.put(&5, 'f');
        assert_eq!([1, 2, 3, 5].map(|key| recent.find(&key).copied()), [None, None, Some('d'), Some('f')]);
    }
}
