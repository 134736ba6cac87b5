//! How the endpoints of a route share its requests (gorouter.md section 5).
//!
//! Decided when a pool is made, from the options of the endpoint that was registered last and the router's own
//! algorithm, so that a request only follows it.

use std::sync::{Arc, OnceLock};

use http::HeaderName;

use super::{
    endpoint::Options,
    lease::Lease,
    pick::maglev::{Maglev, fnv1a},
};

/// An algorithm that needs nothing from the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Each endpoint in turn.
    #[default]
    RoundRobin,
    /// The endpoint with the fewest requests in flight.
    LeastConnection,
}

/// How one pool is balanced.
#[derive(Clone, Debug)]
pub struct Balancing {
    /// The algorithm; of hash routing, that for requests without the header.
    pub algorithm: Algorithm,
    /// Hash routing, if the route asks for it.
    pub hash: Option<Arc<Hashing>>,
    /// Whether endpoints rest after a failure. Where a request names the instance that it is for, they do not.
    pub rests: bool,
}

/// Requests with the same value of a header go to the same endpoint.
#[derive(Debug)]
pub struct Hashing {
    /// The header.
    pub header: HeaderName,
    /// How many times the average in flight an endpoint may have before its requests go on; zero for no bound.
    pub balance: f64,
    /// Made by the first request that needs it.
    table: OnceLock<Maglev>,
}

impl Balancing {
    /// An algorithm alone.
    #[must_use]
    pub fn of(algorithm: Algorithm) -> Self {
        Self { algorithm, hash: None, rests: true }
    }

    /// The balancing of a pool in which an endpoint with these `options` was registered last. `before` is how the
    /// pool was balanced until then, if it was there: an algorithm that is not known leaves that as it is, an absent
    /// one is the router's own, `usual`.
    #[must_use]
    pub fn asked(options: Option<&Options>, usual: Algorithm, before: Option<&Self>) -> Self {
        let Some(options) = options else { return Self::of(usual) };
        match &*options.loadbalancing {
            "" => Self::of(usual),
            "round-robin" => Self::of(Algorithm::RoundRobin),
            "least-connection" => Self::of(Algorithm::LeastConnection),
            "hash" => {
                let header = HeaderName::from_bytes(options.hash_header.as_bytes()).ok();
                let hash = header.map(|header| Arc::new(Hashing::by(header, options.hash_balance)));
                Self { hash, ..Self::of(usual) }
            }
            _ => before.map_or_else(|| Self::of(usual), Self::afresh),
        }
    }

    /// The same for other endpoints.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let hash = self.hash.as_ref().map(|hash| Arc::new(Hashing::by(hash.header.clone(), hash.balance)));
        Self { hash, ..*self }
    }
}

impl Hashing {
    fn by(header: HeaderName, balance: f64) -> Self {
        Self { header, balance, table: OnceLock::new() }
    }

    /// The key of a header's value.
    #[must_use]
    pub fn key(value: &[u8]) -> u64 {
        fnv1a(value)
    }

    /// The table of the pool that this belongs to, whose endpoints are `leases`.
    pub(super) fn table(&self, leases: &[Arc<Lease>]) -> &Maglev {
        self.table.get_or_init(|| Maglev::of(leases))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(loadbalancing: &str, hash_header: &str) -> Options {
        Options { loadbalancing: loadbalancing.into(), hash_header: hash_header.into(), hash_balance: 1.25 }
    }

    fn shown(balancing: &Balancing) -> (Algorithm, Option<(&str, f64)>) {
        (balancing.algorithm, balancing.hash.as_ref().map(|hash| (hash.header.as_str(), hash.balance)))
    }

    #[test]
    fn the_options_decide_and_without_them_the_router() {
        use Algorithm::{LeastConnection, RoundRobin};
        let hashed = Balancing::asked(Some(&options("hash", "X-A")), RoundRobin, None);
        for usual in [RoundRobin, LeastConnection] {
            for (asked, wanted) in [
                (None, (usual, None)),
                (Some(options("", "")), (usual, None)),
                (Some(options("round-robin", "")), (RoundRobin, None)),
                (Some(options("least-connection", "")), (LeastConnection, None)),
                (Some(options("hash", "X-Tenant")), (usual, Some(("x-tenant", 1.25)))),
                (Some(options("hash", "")), (usual, None)),
                (Some(options("hash", "no name")), (usual, None)),
                (Some(options("coin-toss", "")), (RoundRobin, Some(("x-a", 1.25)))),
            ] {
                assert_eq!(shown(&Balancing::asked(asked.as_ref(), usual, Some(&hashed))), wanted, "{asked:?}");
            }
            let new = Balancing::asked(Some(&options("coin-toss", "")), usual, None);
            assert_eq!(shown(&new), (usual, None));
        }
    }
}
