//! Whose latencies are told apart: the `source_id` tags of endpoints, as small numbers.
//!
//! A label per application is a series per application, so the numbers are few and are given again: an endpoint holds
//! its number while it lives, and a number that nobody holds goes to another application after a while. The tag is
//! looked up when an endpoint is born, never for a request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Numbers there are; the first two belong to nobody.
pub const MAX_SOURCES: usize = 4096;
/// The number of endpoints without the tag.
const UNTAGGED: usize = 0;
/// The number of all endpoints for which no other was left.
const OVERFLOW: usize = 1;
/// How long a number stays its application's after the last endpoint has left, so that a scrape meets the last counts.
pub const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// A number, held.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Source(usize);

impl Source {
    /// The index, for tables of counters; endpoints that hold no number count as untagged.
    #[must_use]
    #[inline]
    pub fn index(held: Option<&Arc<Self>>) -> usize {
        held.map_or(UNTAGGED, |source| source.0)
    }
}

/// The numbers of one router.
#[derive(Debug)]
pub struct Sources(Mutex<Given>);

#[derive(Debug)]
struct Given {
    by_name: HashMap<Box<str>, Held>,
    overflow: Arc<Source>,
    /// Below this every number was given at least once.
    fresh: usize,
    free: Vec<usize>,
    overflowed: u64,
}

#[derive(Debug)]
struct Held {
    source: Arc<Source>,
    /// Since when no endpoint holds it, as far as was looked.
    left: Option<Instant>,
}

impl Default for Sources {
    fn default() -> Self {
        Self(Mutex::new(Given {
            by_name: HashMap::new(),
            overflow: Arc::new(Source(OVERFLOW)),
            fresh: OVERFLOW + 1,
            free: Vec::new(),
            overflowed: 0,
        }))
    }
}

impl Sources {
    /// The number of `name`; one that is shared with others where there is none left, which is counted.
    #[must_use]
    pub fn named(&self, name: &str) -> Arc<Source> {
        let mut given = self.given();
        if let Some(held) = given.by_name.get(name) {
            return Arc::clone(&held.source);
        }
        let Some(number) = given.next() else {
            given.overflowed += 1;
            return Arc::clone(&given.overflow);
        };
        let source = Arc::new(Source(number));
        given.by_name.insert(name.into(), Held { source: Arc::clone(&source), left: None });
        source
    }

    /// Takes back the numbers that nobody has held for [`KEPT_FOR`]. `clear` is called with each of them, when nobody
    /// can count under it any more and nobody does yet.
    pub fn sweep(&self, now: Instant, clear: impl Fn(usize)) {
        let mut given = self.given();
        let Given { by_name, free, .. } = &mut *given;
        by_name.retain(|_, held| {
            // Exclusive access: whoever counted under it has dropped it, and what they wrote is seen here.
            if Arc::get_mut(&mut held.source).is_none() {
                held.left = None;
                return true;
            }
            let left = *held.left.get_or_insert(now);
            let stays = now.saturating_duration_since(left) < KEPT_FOR;
            if !stays {
                clear(held.source.0);
                free.push(held.source.0);
            }
            stays
        });
    }

    /// Every index with its name, sorted by name; `untagged` and `overflow` name the first two.
    #[must_use]
    pub fn all(&self, untagged: &str, overflow: &str) -> Vec<(usize, Box<str>)> {
        let given = self.given();
        let named = given.by_name.iter().map(|(name, held)| (held.source.0, name.clone()));
        let mut all: Vec<_> = named.chain([(UNTAGGED, untagged.into()), (OVERFLOW, overflow.into())]).collect();
        all.sort_by(|(_, one), (_, other)| one.cmp(other));
        all
    }

    /// How often there was no number left.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.given().overflowed
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Given {
    fn next(&mut self) -> Option<usize> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        let number = self.fresh;
        (number < MAX_SOURCES).then(|| {
            self.fresh += 1;
            number
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn index(source: &Arc<Source>) -> usize {
        Source::index(Some(source))
    }

    fn names(sources: &Sources) -> Vec<Box<str>> {
        sources.all("gorouter", "other").into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn an_application_keeps_its_number_and_shares_it_with_none() {
        let sources = Sources::default();
        let (one, other) = (sources.named("app-1"), sources.named("app-2"));
        assert_eq!(index(&one), index(&sources.named("app-1")));
        assert_ne!(index(&one), index(&other));
        assert_eq!(Source::index(None), UNTAGGED);
        assert_eq!(names(&sources), ["app-1", "app-2", "gorouter", "other"].map(Box::from));
    }

    #[test]
    fn a_number_that_nobody_holds_is_given_again_after_a_while() {
        let (sources, cleared, start) = (Sources::default(), RefCell::new(Vec::new()), Instant::now());
        let sweep = |after: Duration| sources.sweep(start + after, |index| cleared.borrow_mut().push(index));
        let (stays, leaves) = (sources.named("stays"), sources.named("leaves"));
        let number = index(&leaves);
        drop(leaves);
        let second = Duration::from_secs(1);
        sweep(Duration::ZERO);
        sweep(KEPT_FOR - second);
        assert_eq!((cleared.borrow().len(), names(&sources).len()), (0, 4));
        // Somebody comes back: the time begins anew.
        let back = sources.named("leaves");
        sweep(KEPT_FOR);
        drop(back);
        sweep(KEPT_FOR + second);
        sweep(2 * KEPT_FOR);
        assert_eq!(cleared.borrow().len(), 0);
        sweep(2 * KEPT_FOR + second);
        assert_eq!((&*cleared.borrow(), names(&sources).len()), (&vec![number], 3));
        assert_eq!(index(&sources.named("successor")), number);
        assert_ne!(index(&stays), number);
    }

    #[test]
    fn those_beyond_the_bound_share_one_number_and_are_counted() {
        let sources = Sources::default();
        let held: Vec<_> = (0..MAX_SOURCES).map(|app| sources.named(&format!("app-{app}"))).collect();
        assert_eq!(held.iter().map(index).filter(|index| *index == OVERFLOW).count(), 2);
        assert!(held.iter().all(|source| index(source) < MAX_SOURCES));
        assert_eq!((sources.overflowed(), names(&sources).len()), (2, MAX_SOURCES));
    }
}
