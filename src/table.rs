//! The routing table: which pool serves a host and path.
//!
//! It owns the only mutable routing state. Readers get an `Arc<Pool>` and hold no lock beyond that; writers
//! replace what belongs to one host, whole, and may run at once with readers and with each other. Pure:
//! `now` comes from the caller.

mod apply;
mod hosts;
pub mod journal;
pub mod listing;
mod prune;
mod routes;
pub mod survey;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::route::{balancing::Algorithm, endpoint::Endpoint, moment::Moment, pool::Pool, uri::Target};
use hosts::Hosts;
use journal::Journal;
use listing::Listing;

/// What the table is told by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Age after which a plain endpoint is stale, and the most that a registration may ask for.
    pub stale_threshold: Duration,
    /// How long a route whose last endpoint left stays known; zero removes it at once.
    pub empty_pool_grace: Duration,
    /// Which isolation segments this router serves.
    pub sharding: Sharding,
    /// How routes are balanced that ask for nothing.
    pub balancing: Algorithm,
}

/// Which isolation segments a router serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sharding {
    /// Every endpoint.
    #[default]
    All,
    /// Endpoints without a segment, and those of the listed segments.
    SharedAnd(Vec<Box<str>>),
    /// Endpoints of the listed segments only.
    Only(Vec<Box<str>>),
}

/// What a registration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new endpoint for the route.
    Added,
    /// Nothing but freshness.
    Renewed,
    /// Other facts for a known address.
    Replaced,
    /// Nothing: its modification tag is older than that of the endpoint at its address.
    Outdated,
    /// Nothing: the endpoint belongs to a segment that is not served here.
    Ignored,
}

/// What an unregistration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The endpoint left the route.
    Removed,
    /// The route has no such endpoint, or a newer one, or its segment is not served here.
    NotThere,
}

/// What is known of the source of registrations at a prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Registrations arrive, or their absence shall not matter: what is stale goes.
    Live,
    /// They cannot arrive, and pruning is suspended meanwhile: nothing goes.
    Lost,
    /// The first prune after a suspended one: everything counts as seen now.
    Recovered,
}

/// Endpoints of one route that a prune removed.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// The route's key.
    pub key: Arc<str>,
    /// What was removed, at least one.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Isolation segment of the first of them; empty if it has none.
    pub isolation_segment: Arc<str>,
}

/// What a report of a failure did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// Nothing.
    Kept,
    /// The endpoint rests for a while.
    Marked,
    /// The endpoint left the route.
    Pruned,
}

/// The size of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Routes, counted as distinct keys, empty ones included.
    pub routes: usize,
    /// Endpoints, counted once per route.
    pub endpoints: usize,
}

/// The routing table.
#[derive(Debug)]
pub struct Table {
    settings: Settings,
    hosts: Hosts,
    updated_ms: AtomicU64,
    journal: Journal,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            hosts: Hosts::default(),
            updated_ms: AtomicU64::new(Moment::default().as_ms()),
            journal: Journal::default(),
        }
    }

    /// The pool for a request's Host header (a port is cut off) and escaped path (without the query).
    ///
    /// An empty pool is an answer: the route is known and has no endpoints. Rules: gorouter.md section 4,
    /// match.
    #[must_use]
    pub fn lookup(&self, host: &str, path: &str) -> Option<Arc<Pool>> {
        let target = Target::of(host, path)?;
        let find = |host: &str| self.hosts.read(host, |routes| routes.find(target.path()).cloned()).flatten();
        find(target.host()).or_else(|| target.first_wildcard(find))
    }

    /// Every route with its endpoints, sorted by key, for `/routes`.
    #[must_use]
    pub fn listing(&self) -> Listing {
        let mut pools = Vec::new();
        self.hosts.each(|_, routes| pools.extend_from_slice(routes.pools()));
        Listing::new(pools, self.settings.stale_threshold)
    }

    /// What is remembered of departures, failures and proofs.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// A number that is another one after every change but that of freshness.
    #[must_use]
    pub fn edits(&self) -> u64 {
        self.hosts.edits()
    }

    /// The size of the table, counted now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.hosts.each(|_, routes| {
            totals.routes += routes.pools().len();
            totals.endpoints += routes.pools().iter().map(|pool| pool.leases().len()).sum::<usize>();
        });
        totals
    }

    /// The ids of the apps that a request was sent to since the last call, each once, in order. Endpoints without an
    /// app do not count, nor do those that have left the table since.
    #[must_use]
    pub fn take_used_apps(&self) -> Vec<String> {
        let mut used = BTreeSet::<String>::new();
        self.hosts.each(|_, routes| {
            for lease in routes.pools().iter().flat_map(|pool| pool.leases()) {
                let endpoint = lease.endpoint();
                if endpoint.take_used() && !endpoint.app_id().is_empty() && !used.contains(endpoint.app_id()) {
                    used.insert(endpoint.app_id().to_owned());
                }
            }
        });
        used.into_iter().collect()
    }

    /// When a registration or unregistration for a segment served here last came; the origin before the
    /// first.
    #[must_use]
    pub fn last_update(&self) -> Moment {
        Moment::from_ms(self.updated_ms.load(Relaxed))
    }
}

impl Sharding {
    /// Whether an endpoint of `segment` belongs into this router's table.
    fn serves(&self, segment: &str) -> bool {
        let listed = |segments: &[Box<str>]| segments.iter().any(|one| **one == *segment);
        match self {
            Self::All => true,
            Self::SharedAnd(segments) => segment.is_empty() || listed(segments),
            Self::Only(segments) => listed(segments),
        }
    }
}

/// The age after which `endpoint` is stale: what its registration asks for, but no more than is configured.
fn threshold(endpoint: &Endpoint, configured: Duration) -> Duration {
    match endpoint.stale_threshold() {
        Duration::ZERO => configured,
        asked => asked.min(configured),
    }
}

#[cfg(test)]
mod tests;
