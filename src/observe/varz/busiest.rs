//! Which apps had the most requests in the last minute.
//!
//! Each worker counts in a small map of its own, which is emptied every few seconds. Its lock is as good as never
//! contended, and apps beyond [`MOST_APPS`] are not counted until then: what registers must not decide how much memory
//! a router needs.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// Apps that one worker tells apart between two looks.
pub const MOST_APPS: usize = 1024;
/// Apps that are shown.
const SHOWN: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// What comes sooner after the look before is added to it, so that the number of looks does not decide about memory.
const APART: Duration = Duration::from_secs(4);

type Counts = HashMap<Box<str>, u64>;

/// The requests that one worker sent to apps, by the app's id.
#[derive(Clone, Debug, Default)]
pub struct AppCounts(Arc<Mutex<Counts>>);

impl AppCounts {
    /// One more for `app`; without an id nothing is counted.
    pub fn count(&self, app: &str) {
        let mut counts = self.lock();
        if let Some(count) = counts.get_mut(app) {
            *count += 1;
        } else if !app.is_empty() && counts.len() < MOST_APPS {
            counts.insert(app.into(), 1);
        }
    }

    fn take(&self) -> Counts {
        mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An app and how much it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Busy {
    /// Its id.
    pub application_id: Box<str>,
    /// Requests per second in the last minute, rounded down.
    pub rps: u64,
    /// Requests in the last minute.
    pub rpm: u64,
}

/// The last minute of all workers.
#[derive(Debug, Default)]
pub struct Busiest {
    workers: Vec<AppCounts>,
    slots: VecDeque<(Instant, Counts)>,
}

impl Busiest {
    /// Of these workers.
    #[must_use]
    pub fn new(workers: Vec<AppCounts>) -> Self {
        Self { workers, slots: VecDeque::new() }
    }

    /// Takes over what the workers have counted.
    pub fn look(&mut self, now: Instant) {
        self.slots.retain(|(begun, _)| now.saturating_duration_since(*begun) < MINUTE);
        let recent = self.slots.back().is_some_and(|(begun, _)| now.saturating_duration_since(*begun) < APART);
        if !recent {
            self.slots.push_back((now, Counts::new()));
        }
        let Some((_, slot)) = self.slots.back_mut() else { return };
        for (app, count) in self.workers.iter().flat_map(AppCounts::take) {
            *slot.entry(app).or_default() += count;
        }
    }

    /// The apps with the most requests, those with more first.
    #[must_use]
    pub fn apps(&self) -> Vec<Busy> {
        let mut minute: HashMap<&str, u64> = HashMap::new();
        for (app, count) in self.slots.iter().flat_map(|(_, counts)| counts) {
            *minute.entry(app).or_default() += count;
        }
        let mut apps: Vec<_> = minute.into_iter().collect();
        apps.sort_unstable_by_key(|&(app, count)| (Reverse(count), app));
        apps.truncate(SHOWN);
        apps.into_iter().map(|(app, rpm)| Busy { application_id: app.into(), rps: rpm / 60, rpm }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(counts: &AppCounts, app: &str, times: u64) {
        (0..times).for_each(|_| counts.count(app));
    }

    fn shown(busiest: &Busiest) -> Vec<(String, u64, u64)> {
        busiest.apps().into_iter().map(|app| (app.application_id.into(), app.rps, app.rpm)).collect()
    }

    #[test]
    fn the_ten_busiest_apps_of_all_workers_are_shown() {
        let workers = vec![AppCounts::default(), AppCounts::default()];
        let mut busiest = Busiest::new(workers.clone());
        for (app, times) in (b'a'..=b'l').zip(1..) {
            count(&workers[usize::from(app) % 2], &char::from(app).to_string(), times);
        }
        count(&workers[0], "a", 70);
        count(&workers[1], "a", 70);
        count(&workers[1], "", 99);
        busiest.look(Instant::now());
        let found = shown(&busiest);
        assert_eq!(found.len(), SHOWN);
        assert_eq!((&found[0], &found[1]), (&("a".into(), 2, 141), &("l".into(), 0, 12)));
        assert_eq!(found[9].0, "d");
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let worker = AppCounts::default();
        let (mut busiest, start) = (Busiest::new(vec![worker.clone()]), Instant::now());
        count(&worker, "old", 5);
        busiest.look(start);
        count(&worker, "new", 3);
        busiest.look(start + MINUTE / 2);
        assert_eq!(shown(&busiest), [("old".into(), 0, 5), ("new".into(), 0, 3)]);
        busiest.look(start + MINUTE);
        assert_eq!(shown(&busiest), [("new".into(), 0, 3)]);
        busiest.look(start + MINUTE * 2);
        assert_eq!(shown(&busiest), []);
    }

    #[test]
    fn neither_many_apps_nor_many_looks_take_memory_without_bound() {
        let worker = AppCounts::default();
        let (mut busiest, start) = (Busiest::new(vec![worker.clone()]), Instant::now());
        for app in 0..2 * MOST_APPS {
            count(&worker, &app.to_string(), 2);
        }
        busiest.look(start);
        assert_eq!(busiest.slots[0].1.len(), MOST_APPS);
        assert!(busiest.slots[0].1.values().all(|count| *count == 2));
        for ms in 0..60_000 {
            busiest.look(start + Duration::from_millis(ms));
        }
        assert!(busiest.slots.len() <= 15, "{}", busiest.slots.len());
    }
}
