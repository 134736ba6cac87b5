//! The routing table: which pool serves a host and path.
//!
//! It owns the only mutable routing state. Readers get an `Arc<Pool>` and never hold a lock beyond that;
//! writers replace what belongs to one host and never wait for requests. Pure: `now` comes from the caller.

use std::{sync::Arc, time::Duration};

use crate::{
    failure::Fate,
    route::{endpoint::Endpoint, lease::Lease, moment::Moment, pool::Pool, uri::RouteKey},
};

pub mod listing;

/// What the table is told by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Age after which a plain endpoint is stale, and the most that a registration may ask for.
    pub stale_threshold: Duration,
    /// How long a route whose last endpoint left stays known; zero removes it at once.
    pub empty_pool_grace: Duration,
    /// Which isolation segments this router serves.
    pub sharding: Sharding,
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
    /// Nothing: the endpoint belongs to a segment that is not served here.
    Ignored,
}

/// What an unregistration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The endpoint left the route.
    Removed,
    /// The route has no such endpoint, or its segment is not served here.
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
    pub key: Box<str>,
    /// What was removed, at least one.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Isolation segment of the first of them; empty if it has none.
    pub isolation_segment: Box<str>,
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
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Registers `endpoint` for the route `key`. `cursor_start` is where the round-robin of a new route
    /// begins; the caller draws it at random.
    pub fn register(&self, key: &RouteKey, endpoint: &Arc<Endpoint>, now: Moment, cursor_start: usize) -> Change {
        let _ = (key, endpoint, now, cursor_start, &self.settings);
        Change::Ignored
    }

    /// Takes the endpoint with the address of `endpoint` off the route `key`.
    pub fn unregister(&self, key: &RouteKey, endpoint: &Endpoint, now: Moment) -> Departure {
        let _ = (key, endpoint, now);
        Departure::NotThere
    }

    /// The pool for a request's Host (a port is cut off) and escaped path (without query).
    ///
    /// An empty pool is an answer: the route is known and has no endpoints.
    #[must_use]
    pub fn lookup(&self, host: &str, path: &str) -> Option<Arc<Pool>> {
        let _ = (host, path);
        None
    }

    /// Removes what is stale at `now`, and routes that have been empty for long enough.
    pub fn prune(&self, now: Moment, source: Source) -> Vec<Pruned> {
        let _ = (now, source);
        Vec::new()
    }

    /// Tells what an attempt revealed about `lease`, picked from `pool`.
    pub fn report(&self, pool: &Pool, lease: &Arc<Lease>, fate: Fate, now: Moment) -> Reported {
        let _ = (pool, lease, fate, now);
        Reported::Kept
    }

    /// Every route with its endpoints, sorted by key, for `/routes`.
    #[must_use]
    pub fn listing(&self) -> listing::Listing {
        listing::Listing::default()
    }

    /// The size of the table.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::default()
    }

    /// When a registration or an unregistration last reached the table; the origin before the first.
    #[must_use]
    pub fn last_update(&self) -> Moment {
        Moment::default()
    }
}
