//! The endpoints of one route, as an immutable list that is replaced whole.
//!
//! A request clones the `Arc<Pool>` once and works on that snapshot to its end; registrations and
//! prunes put another pool into the table and never wait for requests.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::{
    balancing::{Algorithm, Balancing},
    endpoint::Endpoint,
    lease::Lease,
    moment::Moment,
};

/// One route's endpoints and what belongs to the route itself.
#[derive(Debug)]
pub struct Pool {
    route: Route,
    leases: Leases,
    changed: Moment,
    balancing: Balancing,
}

/// Most routes of a large foundation have one endpoint: it needs no allocation of its own.
#[derive(Debug)]
enum Leases {
    One([Arc<Lease>; 1]),
    Any(Box<[Arc<Lease>]>),
}

/// What stays when the endpoints of a route change. Kept in the pool itself: what a request reads and counts there
/// is in one place.
#[derive(Debug)]
pub struct Route {
    key: Arc<str>,
    host_len: u32,
    cursor: AtomicU32,
}

impl Route {
    /// The route with table key `key` (host, then path without its leading slash after the first `/`),
    /// whose round-robin starts at `start`.
    #[must_use]
    pub fn new(key: &str, start: usize) -> Self {
        let host_len = key.find('/').unwrap_or(key.len());
        // No key is longer than `uri::MAX_KEY`.
        let host_len = u32::try_from(host_len).unwrap_or(u32::MAX);
        Self { key: key.into(), host_len, cursor: cursor_at(start) }
    }

    /// The key in the table: lower-case host and path.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The key as a pointer to share, so that the table's map needs no copy of it.
    #[must_use]
    pub fn shared_key(&self) -> &Arc<str> {
        &self.key
    }

    /// The host part of the key.
    #[must_use]
    pub fn host(&self) -> &str {
        self.parts().0
    }

    /// The path part of the key: empty, or with its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts().1
    }

    /// One step of the round-robin cursor.
    #[must_use]
    pub fn advance(&self) -> usize {
        self.cursor.fetch_add(1, Relaxed) as usize
    }

    /// The same route for another pool, with a cursor of its own that stands where this one does.
    fn again(&self) -> Self {
        self.starting_at(self.cursor.load(Relaxed) as usize)
    }

    fn starting_at(&self, start: usize) -> Self {
        Self { key: Arc::clone(&self.key), host_len: self.host_len, cursor: cursor_at(start) }
    }

    fn parts(&self) -> (&str, &str) {
        self.key.split_at_checked(self.host_len as usize).unwrap_or((&self.key, ""))
    }
}

fn cursor_at(start: usize) -> AtomicU32 {
    // Where a turn begins is drawn at random; half of the bits do.
    AtomicU32::new((start & u32::MAX as usize) as u32)
}

impl Pool {
    /// A pool of `leases` for `route`, last changed at `changed`, each endpoint in turn.
    #[must_use]
    pub fn new(route: Route, leases: Vec<Arc<Lease>>, changed: Moment) -> Self {
        let leases = match <[Arc<Lease>; 1]>::try_from(leases) {
            Ok(one) => Leases::One(one),
            Err(leases) => Leases::Any(leases.into_boxed_slice()),
        };
        Self { route, leases, changed, balancing: Balancing::of(Algorithm::RoundRobin) }
    }

    /// The same pool, balanced otherwise. The table of a [`super::balancing::Hashing`] belongs to one pool only.
    #[must_use]
    pub fn balanced(self, balancing: Balancing) -> Self {
        Self { balancing, ..self }
    }

    /// The pool after a change: the same route and balancing over other endpoints.
    #[must_use]
    pub fn with(&self, leases: Vec<Arc<Lease>>, changed: Moment) -> Self {
        self.holding(leases, changed).balanced(self.balancing.afresh())
    }

    /// Another list of endpoints for the same route, each in turn from where the turn is.
    #[must_use]
    pub fn holding(&self, leases: Vec<Arc<Lease>>, changed: Moment) -> Self {
        Self::new(self.route.again(), leases, changed)
    }

    /// A pool that looks the same now, to try out on it what a request would do: nothing of that has an effect on this
    /// one.
    #[must_use]
    pub fn rehearsal(&self) -> Self {
        let leases = self.leases().iter().map(|lease| Arc::new(lease.copied())).collect();
        self.with(leases, self.changed)
    }

    /// The endpoints that `wanted` accepts as a pool for one request, none if there are none. They do not rest, since
    /// nobody can stand in for them, and hash routing, whose table would have to be made for each request, gives way
    /// to the router's algorithm.
    #[must_use]
    pub fn part(&self, wanted: impl Fn(&Endpoint) -> bool) -> Option<Self> {
        let of_it = |lease: &&Arc<Lease>| wanted(lease.endpoint());
        let leases: Vec<_> = self.leases().iter().filter(of_it).cloned().collect();
        let balancing = Balancing { algorithm: self.balancing.algorithm, hash: None, rests: false };
        let route = self.route.starting_at(self.route.advance());
        (!leases.is_empty()).then(|| Self::new(route, leases, self.changed).balanced(balancing))
    }

    /// How its endpoints share the requests.
    #[must_use]
    pub fn balancing(&self) -> &Balancing {
        &self.balancing
    }

    /// The route that the pool serves.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Its endpoints, in the order in which they were last added or replaced.
    #[must_use]
    pub fn leases(&self) -> &[Arc<Lease>] {
        match &self.leases {
            Leases::One(one) => one,
            Leases::Any(any) => any,
        }
    }

    /// Whether the route is known but has no endpoint.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases().is_empty()
    }

    /// The lease of the endpoint at `address` (`host:port`), with its place in [`Pool::leases`].
    #[must_use]
    pub fn at(&self, address: &str) -> Option<(usize, &Arc<Lease>)> {
        self.leases().iter().enumerate().find(|(_, lease)| lease.endpoint().peer.address() == address)
    }

    /// The place of the endpoint with the instance id `id`, or with `id` as its address.
    #[must_use]
    pub fn place_of(&self, id: &str) -> Option<usize> {
        let leases = self.leases();
        let instance = leases.iter().position(|lease| lease.endpoint().instance_id() == id);
        instance.or_else(|| self.at(id).map(|(place, _)| place)).filter(|_| !id.is_empty())
    }

    /// When the list last changed.
    #[must_use]
    pub fn changed(&self) -> Moment {
        self.changed
    }

    /// The route service that the last registered endpoint named; empty if none.
    #[must_use]
    pub fn route_service_url(&self) -> &str {
        self.leases().last().map_or("", |lease| lease.endpoint().route_service_url())
    }
}
