//! The map from host to routes. It hides the concurrent map, whose guards can deadlock: what leaves this
//! file is always a clone, and closures run on one entry and must not touch the map again.

use std::{
    hash::RandomState,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use dashmap::{DashMap, Entry};

use super::routes::HostRoutes;

/// Every host that has a route. Holds no entry without routes.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    map: DashMap<Arc<str>, HostRoutes, RandomState>,
    edits: AtomicU64,
}

impl Hosts {
    /// What `look` makes of the routes of `host`.
    pub(super) fn read<T>(&self, host: &str, look: impl FnOnce(&HostRoutes) -> T) -> Option<T> {
        self.map.view(host, |_, routes| look(routes))
    }

    /// Sets the routes of `host` to what `edit` makes of those that are there. `edit` may run twice, when
    /// two writers meet at a new host; the last run counts.
    pub(super) fn write<T>(&self, host: &str, edit: impl Fn(Option<&HostRoutes>) -> (HostRoutes, T)) -> T {
        self.edits.fetch_add(1, Relaxed);
        if let Some(mut known) = self.map.get_mut(host) {
            let (routes, outcome) = edit(Some(&known));
            *known = routes;
            return outcome;
        }
        let (routes, outcome) = edit(None);
        match self.map.entry(routes.shared_host()) {
            Entry::Vacant(place) => {
                place.insert(routes);
                outcome
            }
            Entry::Occupied(mut known) => {
                let (routes, outcome) = edit(Some(known.get()));
                known.insert(routes);
                outcome
            }
        }
    }

    /// Changes the routes of `host` where it is known. `edit` returns the routes that shall stay, `None`
    /// for none at all.
    pub(super) fn change<T>(&self, host: &str, edit: impl FnOnce(&HostRoutes) -> (Kept, T)) -> Option<T> {
        let mut outcome = None;
        self.map.remove_if_mut(host, |_, routes| {
            let (kept, told) = edit(routes);
            outcome = Some(told);
            if !matches!(kept, Kept::Same) {
                self.edits.fetch_add(1, Relaxed);
            }
            match kept {
                Kept::Same => false,
                Kept::New(changed) => {
                    *routes = changed;
                    false
                }
                Kept::Nothing => true,
            }
        });
        outcome
    }

    /// Gives back what is kept ready for hosts that have left, where it is most of what there is.
    pub(super) fn shrink(&self) {
        if self.map.len() < self.map.capacity() / 4 {
            self.map.shrink_to_fit();
        }
    }

    /// A number that is another one after every edit that changed something.
    pub(super) fn edits(&self) -> u64 {
        self.edits.load(Relaxed)
    }

    /// Runs `look` on every host once. Readers go on meanwhile; a writer waits for one shard at most.
    pub(super) fn each(&self, mut look: impl FnMut(&Arc<str>, &HostRoutes)) {
        for entry in &self.map {
            look(entry.key(), entry.value());
        }
    }
}

/// What an edit leaves of a host's routes.
#[derive(Debug)]
pub(super) enum Kept {
    /// What was there.
    Same,
    /// Other routes.
    New(HostRoutes),
    /// None.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{
        moment::Moment,
        pool::{Pool, Route},
    };

    fn with(routes: Option<&HostRoutes>, key: &str) -> HostRoutes {
        let pool = Arc::new(Pool::new(Route::new(key, 0), Vec::new(), Moment::default()));
        routes.map_or_else(|| HostRoutes::of(Arc::clone(&pool)), |routes| routes.with(Arc::clone(&pool)))
    }

    #[test]
    fn a_writer_that_comes_second_at_a_new_host_builds_on_the_first() {
        let hosts = Hosts::default();
        hosts.write("host", |routes| {
            if routes.is_none() {
                hosts.write("host", |routes| (with(routes, "host/first"), ()));
            }
            (with(routes, "host/second"), ())
        });
        let keys = |routes: &HostRoutes| routes.pools().iter().map(|pool| pool.route().key().to_owned()).collect();
        assert_eq!(hosts.read("host", keys), Some(vec!["host/first".to_owned(), "host/second".to_owned()]));
    }

    #[test]
    fn a_map_that_lost_most_of_its_hosts_gives_the_room_back() {
        let hosts = Hosts::default();
        let name = |n: usize| format!("host-{n}");
        (0..1000).for_each(|n| hosts.write(&name(n), |routes| (with(routes, &name(n)), ())));
        let full = hosts.map.capacity();
        hosts.shrink();
        assert_eq!(hosts.map.capacity(), full, "nothing has left");
        (10..1000).for_each(|n| assert_eq!(hosts.change(&name(n), |_| (Kept::Nothing, ())), Some(())));
        hosts.shrink();
        assert!(hosts.map.capacity() < full / 4, "{} of {full}", hosts.map.capacity());
        assert!((0..10).all(|n| hosts.read(&name(n), |_| ()).is_some()));
    }

    #[test]
    fn a_host_without_routes_leaves_the_map() {
        let hosts = Hosts::default();
        assert_eq!(hosts.change("host", |_| (Kept::Nothing, ())), None);
        hosts.write("host", |routes| (with(routes, "host"), ()));
        assert_eq!(hosts.change("host", |_| (Kept::Same, 1)), Some(1));
        assert!(hosts.read("host", |_| ()).is_some());
        assert_eq!(hosts.change("host", |_| (Kept::Nothing, 2)), Some(2));
        assert!(hosts.read("host", |_| ()).is_none());
    }
}
