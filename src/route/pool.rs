//! The endpoints of one route, as an immutable list that is replaced whole.
//!
//! A request clones the `Arc<Pool>` once and works on that snapshot to its end; registrations and
//! prunes put another pool into the table and never wait for requests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{lease::Lease, moment::Moment};

/// One route's endpoints and what belongs to the route itself.
#[derive(Debug)]
pub struct Pool {
    route: Arc<Route>,
    leases: Box<[Arc<Lease>]>,
    changed: Moment,
}

/// What stays when the endpoints of a route change.
#[derive(Debug)]
pub struct Route {
    key: Box<str>,
    host_len: usize,
    cursor: AtomicUsize,
}

impl Route {
    /// The route with table key `key` (host, then path without its leading slash after the first `/`),
    /// whose round-robin starts at `start`.
    #[must_use]
    pub fn new(key: &str, start: usize) -> Self {
        let host_len = key.find('/').unwrap_or(key.len());
        Self { key: key.into(), host_len, cursor: AtomicUsize::new(start) }
    }

    /// The key in the table: lower-case host and path.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The host part of the key.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.key[..self.host_len]
    }

    /// The path part of the key with its leading slash; `/` for a route without a path.
    #[must_use]
    pub fn context_path(&self) -> &str {
        match &self.key[self.host_len..] {
            "" => "/",
            path => path,
        }
    }

    /// One step of the round-robin cursor.
    #[must_use]
    pub fn advance(&self) -> usize {
        self.cursor.fetch_add(1, Relaxed)
    }
}

impl Pool {
    /// A pool of `leases` for `route`, last changed at `changed`.
    #[must_use]
    pub fn new(route: Arc<Route>, leases: Vec<Arc<Lease>>, changed: Moment) -> Self {
        Self { route, leases: leases.into_boxed_slice(), changed }
    }

    /// The route that the pool serves.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Its endpoints, in the order of registration.
    #[must_use]
    pub fn leases(&self) -> &[Arc<Lease>] {
        &self.leases
    }

    /// When the list last changed.
    #[must_use]
    pub fn changed(&self) -> Moment {
        self.changed
    }

    /// The route service that the last registered endpoint named; empty if none.
    #[must_use]
    pub fn route_service_url(&self) -> &str {
        self.leases.last().map_or("", |lease| &lease.endpoint().facts.route_service_url)
    }
}
