//! The routes of one host: an immutable value, replaced whole when one of them changes.
//!
//! Paths stand in one sorted list rather than in a tree of nodes. The order puts `/` before every other
//! byte, so that a path and all paths below it are neighbours, and walking down the segments of a request
//! is narrowing a range.

use std::{cmp::Ordering, slice, sync::Arc};

use crate::route::pool::Pool;

/// The routes of one host, at least one.
#[derive(Clone, Debug)]
pub(super) enum HostRoutes {
    /// The host without a path and nothing below it, which is nearly every host.
    Root(Arc<Pool>),
    /// Any other set, sorted by [`order`].
    Paths(Arc<Vec<Arc<Pool>>>),
}

impl HostRoutes {
    /// The routes of a host that had none.
    pub(super) fn of(pool: Arc<Pool>) -> Self {
        if pool.route().path().is_empty() { Self::Root(pool) } else { Self::Paths(Arc::new(vec![pool])) }
    }

    /// The pools, sorted by path.
    pub(super) fn pools(&self) -> &[Arc<Pool>] {
        match self {
            Self::Root(pool) => slice::from_ref(pool),
            Self::Paths(pools) => pools,
        }
    }

    /// The host as a pointer to share: that of the route without a path, where there is one.
    pub(super) fn shared_host(&self) -> Arc<str> {
        match self.pools().first().map(|pool| pool.route()) {
            Some(route) if route.path().is_empty() => Arc::clone(route.shared_key()),
            Some(route) => route.host().into(),
            None => Arc::default(),
        }
    }

    /// The pool of the route whose key has exactly this path.
    pub(super) fn pool(&self, path: &str) -> Option<&Arc<Pool>> {
        let pools = self.pools();
        pools.binary_search_by(|pool| order(pool.route().path(), path)).ok().and_then(|at| pools.get(at))
    }

    /// These routes with `pool` put in, in place of the one with the same path if there is one.
    pub(super) fn with(&self, pool: Arc<Pool>) -> Self {
        if let (Self::Root(_), "") = (self, pool.route().path()) {
            return Self::Root(pool);
        }
        let mut pools = self.pools().to_vec();
        match pools.binary_search_by(|known| order(known.route().path(), pool.route().path())) {
            Ok(at) => pools[at] = pool,
            Err(at) => pools.insert(at, pool),
        }
        Self::Paths(Arc::new(pools))
    }

    /// These routes with another list of pools, sorted as it was; `None` if nothing is left.
    pub(super) fn among(mut pools: Vec<Arc<Pool>>) -> Option<Self> {
        match &*pools {
            [] => None,
            [_] => pools.pop().map(Self::of),
            _ => Some(Self::Paths(Arc::new(pools))),
        }
    }

    /// These routes without the one that has this path; `None` if nothing is left.
    pub(super) fn without(&self, path: &str) -> Option<Self> {
        Self::among(self.pools().iter().filter(|pool| pool.route().path() != path).cloned().collect())
    }

    /// The pool for a request path: empty or with its leading `/`, one trailing `/` cut off, any case.
    ///
    /// The deepest pool with endpoints on the way down wins; without any, the empty pool where the way
    /// ends, if a route is registered there (gorouter.md section 4, match).
    pub(super) fn find(&self, path: &str) -> Option<&Arc<Pool>> {
        let mut below = self.pools();
        let mut walked = 0;
        let mut deepest = None;
        loop {
            let here = below.first().filter(|pool| pool.route().path().len() == walked);
            deepest = here.filter(|pool| !pool.is_empty()).or(deepest);
            let Some(rest) = path.get(walked + 1..) else { return deepest.or(here) };
            walked += 1 + rest.find('/').unwrap_or(rest.len());
            below = narrow(below, &path[..walked]);
            if below.is_empty() {
                return deepest.or(here);
            }
        }
    }
}

/// Those of `pools` whose path is `prefix` or lies below it.
fn narrow<'a>(pools: &'a [Arc<Pool>], prefix: &str) -> &'a [Arc<Pool>] {
    let from = pools.partition_point(|pool| order(pool.route().path(), prefix) == Ordering::Less);
    let rest = &pools[from..];
    &rest[..rest.partition_point(|pool| is_within(pool.route().path(), prefix))]
}

fn is_within(path: &str, prefix: &str) -> bool {
    let (path, prefix) = (path.as_bytes(), prefix.as_bytes());
    path.split_at_checked(prefix.len())
        .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(prefix) && matches!(rest, [] | [b'/', ..]))
}

/// Byte order in which `/` comes first; keys hold no control characters, so that 0 is free for it. Case
/// does not count, which spares a lower-case copy of every request's path.
fn order(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte.to_ascii_lowercase() };
    a.bytes().map(rank).cmp(b.bytes().map(rank))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{
        endpoint::{Endpoint, Facts},
        lease::Lease,
        moment::Moment,
        peer::{Identity, Peer},
        pool::Route,
    };

    fn pool(path: &str, endpoints: usize) -> Arc<Pool> {
        let lease = || {
            let endpoint = Endpoint::new(Peer::new("10.0.0.1", 1, Identity::Plain), Facts::default());
            Arc::new(Lease::new(Arc::new(endpoint), Moment::default()))
        };
        let route = Route::new(&format!("host{path}"), 0);
        Arc::new(Pool::new(route, (0..endpoints).map(|_| lease()).collect(), Moment::default()))
    }

    fn routes(paths: &[(&str, usize)]) -> HostRoutes {
        let mut pools = paths.iter().map(|(path, endpoints)| pool(path, *endpoints));
        let first = HostRoutes::of(pools.next().unwrap());
        pools.fold(first, |routes, pool| routes.with(pool))
    }

    #[test]
    fn the_deepest_pool_with_endpoints_wins() {
        type Case = (&'static [(&'static str, usize)], &'static str, Option<&'static str>);
        let cases: &[Case] = &[
            (&[("", 1)], "", Some("")),
            (&[("", 1)], "/any/path", Some("")),
            (&[("", 0)], "/any/path", Some("")),
            (&[("", 0)], "", Some("")),
            (&[("/a", 1)], "", None),
            (&[("/a", 1)], "/a", Some("/a")),
            (&[("/a", 1)], "/ab", None),
            (&[("/a", 1)], "/a/b/c", Some("/a")),
            (&[("", 1), ("/a/b", 1)], "/a", Some("")),
            (&[("", 1), ("/a/b", 1)], "/a/b", Some("/a/b")),
            (&[("", 1), ("/a/b", 0)], "/a/b", Some("")),
            (&[("", 0), ("/a/b", 0)], "/a/b", Some("/a/b")),
            (&[("", 0), ("/a/b", 0)], "/a/b/c", Some("/a/b")),
            (&[("", 0), ("/a/b", 0)], "/a", None),
            (&[("/a", 1), ("/a/b", 0), ("/a/b/c", 1)], "/a/b", Some("/a")),
            (&[("/a", 1), ("/a/b", 0), ("/a/b/c", 1)], "/a/b/c", Some("/a/b/c")),
            (&[("/a", 1), ("/a-b", 1), ("/a/b", 1), ("/a.b", 1)], "/a/x", Some("/a")),
            (&[("/a", 1), ("/a-b", 1), ("/a/b", 1), ("/a.b", 1)], "/a-b/x", Some("/a-b")),
            (&[("/a", 1), ("/a-b", 1), ("/a/b", 1), ("/a.b", 1)], "/a/b", Some("/a/b")),
            (&[("/a/b", 1)], "/A/B/c", Some("/a/b")),
            (&[("", 1), ("/", 1)], "/", Some("/")),
            (&[("", 1), ("//a", 1)], "//a/b", Some("//a")),
        ];
        for (known, path, wanted) in cases {
            let routes = routes(known);
            assert_eq!(routes.find(path).map(|pool| pool.route().path()), *wanted, "{known:?} {path}");
        }
    }

    #[test]
    fn one_route_without_a_path_is_the_small_form() {
        let both = routes(&[("", 1), ("/a", 1)]);
        assert!(matches!(both, HostRoutes::Paths(_)));
        let root = both.without("/a").unwrap();
        assert!(matches!(root, HostRoutes::Root(_)));
        assert!(root.without("").is_none());
        assert!(root.without("/a").is_some());
        assert_eq!(size_of::<HostRoutes>(), 16);
    }
}
