//! The table as someone sees it who asks questions: which routes a look-up meets, and which a filter shows.
//!
//! Nothing here is on the request path, and nothing changes the table.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use super::{Table, listing::Listing, threshold};
use crate::route::{endpoint::Endpoint, pool::Pool, uri::Target};

/// Longest host whose spelling is compared with others.
const LONGEST_COMPARED: usize = 64;

/// A route that covers a request.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its endpoints.
    pub pool: Arc<Pool>,
    /// Whether it is one of a host with a wildcard.
    pub wildcard: bool,
}

/// The way of a look-up through the table.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Every route that covers the request, in the order in which they are preferred: those of the host itself before
    /// wildcards, longer paths before shorter ones.
    pub steps: Vec<Step>,
    /// The one that a request gets; the same as [`Table::lookup`] gives.
    pub found: Option<Step>,
}

/// Which routes are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    host: String,
    path: String,
}

impl Filter {
    /// The filter `HOST`, `HOST/PATH` or `*.DOMAIN`, in any case, with a scheme and a port or without. None if there is
    /// no host in it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.split_once("://").map_or(&*text, |(_, rest)| rest);
        let text = text.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let host = host.split(':').next().unwrap_or_default();
        let path = path.strip_suffix('/').unwrap_or(path);
        (!host.is_empty()).then(|| Self { host: host.into(), path: path.into() })
    }

    /// The domain of a filter with a wildcard, with its dot; empty for all hosts.
    fn domain(&self) -> Option<&str> {
        self.host.strip_prefix('*')
    }

    fn has_path(&self, pool: &Pool) -> bool {
        is_below(pool.route().path(), &self.path)
    }
}

/// Whether requests for `host` and `path`, as they are looked up, could be for the route `key`, were it there.
#[must_use]
pub fn covers(key: &str, host: &str, path: &str) -> bool {
    let (of, below) = key.split_at(key.find('/').unwrap_or(key.len()));
    let fits = match of.strip_prefix('*') {
        Some(domain) => !domain.is_empty() && host.len() > domain.len() && host.ends_with(domain),
        None => of == host,
    };
    fits && is_below(path, below)
}

impl Table {
    /// What a look-up of this Host header and escaped path meets.
    #[must_use]
    pub fn way(&self, host: &str, path: &str) -> Way {
        let Some(target) = Target::of(host, path) else { return Way::default() };
        let mut way = Way::default();
        let mut visit = |host: &str, wildcard: bool| {
            let met = self.hosts.read(host, |routes| {
                let covering = routes.pools().iter().filter(|pool| is_below(target.path(), pool.route().path()));
                (covering.cloned().collect::<Vec<_>>(), routes.find(target.path()).cloned())
            });
            let (mut covering, found) = met?;
            covering.sort_by_key(|pool| Reverse(pool.route().path().len()));
            way.steps.extend(covering.into_iter().map(|pool| Step { pool, wildcard }));
            if way.found.is_none() {
                way.found = found.map(|pool| Step { pool, wildcard });
            }
            None::<()>
        };
        visit(target.host(), false);
        target.first_wildcard(|host| visit(host, true));
        way
    }

    /// The routes that `filter` asks for: those of a host, or those that a wildcard covers, with the path or below it.
    #[must_use]
    pub fn matching(&self, filter: &Filter) -> Listing {
        let mut pools = Vec::new();
        let mut take = |found: &[Arc<Pool>]| pools.extend(found.iter().filter(|pool| filter.has_path(pool)).cloned());
        match filter.domain() {
            None => {
                self.hosts.read(&filter.host, |routes| take(routes.pools()));
            }
            Some(domain) => self.hosts.each(|host, routes| {
                if host.ends_with(domain) && host.len() > domain.len() {
                    take(routes.pools());
                }
            }),
        }
        Listing::new(pools, self.settings.stale_threshold)
    }

    /// Keys of routes that somebody may have meant who asked for `host`: those of the host itself, those of wildcards
    /// that cover it, and those of hosts that are spelled nearly alike; `most` of each.
    #[must_use]
    pub fn near(&self, host: &str, most: usize) -> Vec<String> {
        let Some(target) = Target::of(host, "") else { return Vec::new() };
        let keys = |pools: &[Arc<Pool>]| pools.iter().take(most).map(|pool| pool.route().key().to_owned()).collect();
        let mut near: Vec<String> = self.hosts.read(target.host(), |routes| keys(routes.pools())).unwrap_or_default();
        target.first_wildcard(|host| {
            near.extend(self.hosts.read(host, |routes| keys(routes.pools())).unwrap_or_default());
            None::<()>
        });
        let mut alike: Vec<(usize, String)> = Vec::new();
        self.hosts.each(|host, routes| {
            if let Some(apart) = differences(host, target.host()).filter(|apart| *apart > 0)
                && let Some(pool) = routes.pools().first()
            {
                alike.push((apart, pool.route().key().to_owned()));
            }
        });
        alike.sort();
        near.extend(alike.into_iter().take(most).map(|(_, key)| key));
        near
    }

    /// The age after which `endpoint` counts as stale.
    #[must_use]
    pub fn stale_after(&self, endpoint: &Endpoint) -> Duration {
        threshold(endpoint, self.settings.stale_threshold)
    }
}

/// Whether `path` is `prefix`, or lies below it; in any case.
fn is_below(path: &str, prefix: &str) -> bool {
    path.as_bytes()
        .split_at_checked(prefix.len())
        .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(prefix.as_bytes()) && matches!(rest, [] | [b'/', ..]))
}

/// How many letters must be changed, added or left out to make one of the other, if it is at most two.
fn differences(a: &str, b: &str) -> Option<usize> {
    const MOST: usize = 2;
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > MOST || a.len().max(b.len()) > LONGEST_COMPARED {
        return None;
    }
    let mut row: [usize; LONGEST_COMPARED + 1] = std::array::from_fn(|at| at);
    for (line, one) in a.iter().enumerate() {
        let mut above_left = row[0];
        row[0] = line + 1;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = (above_left + usize::from(one != other)).min(above + 1).min(row[at] + 1);
            above_left = above;
        }
        if row[..=b.len()].iter().all(|apart| *apart > MOST) {
            return None;
        }
    }
    Some(row[b.len()]).filter(|apart| *apart <= MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        route::{
            balancing::Algorithm,
            endpoint::Facts,
            moment::Moment,
            peer::{Identity, Peer},
            uri::RouteKey,
        },
        table::{Settings, Sharding},
    };

    /// A table with these routes; a key with a `-` in front has lost its endpoint.
    fn table(keys: &[&str]) -> Table {
        let table = Table::new(Settings {
            stale_threshold: Duration::from_secs(120),
            empty_pool_grace: Duration::from_secs(3600),
            sharding: Sharding::All,
            balancing: Algorithm::RoundRobin,
        });
        let endpoint = Arc::new(Endpoint::new(Peer::new("10.0.0.1", 1, Identity::Plain), Facts::default()));
        for key in keys {
            let (key, gone) = key.strip_prefix('-').map_or((*key, false), |key| (key, true));
            let key = RouteKey::parse(key).unwrap();
            table.register(&key, &endpoint, Moment::default(), 0);
            if gone {
                table.unregister(&key, &endpoint, Moment::default());
            }
        }
        table
    }

    fn keys(listing: &Listing) -> Vec<&str> {
        listing.pools().iter().map(|pool| pool.route().key()).collect()
    }

    #[test]
    fn the_way_names_what_was_passed_over_and_ends_where_the_look_up_ends() {
        let all = ["-a.x/b/c", "a.x/b", "a.x", "*.x", "a.x/d", "-empty.x", "other.x/b"];
        let table = table(&all);
        for (host, path, steps, found) in [
            ("a.x", "/b/c/d", &["a.x/b/c", "a.x/b", "a.x", "*.x"][..], Some(("a.x/b", false))),
            ("A.X:80", "/B", &["a.x/b", "a.x", "*.x"], Some(("a.x/b", false))),
            ("new.x", "/", &["*.x"], Some(("*.x", true))),
            ("empty.x", "/", &["empty.x", "*.x"], Some(("empty.x", false))),
            ("other.x", "/z", &["*.x"], Some(("*.x", true))),
            ("a.y", "/", &[], None),
            ("", "/", &[], None),
        ] {
            let way = table.way(host, path);
            let met: Vec<&str> = way.steps.iter().map(|step| step.pool.route().key()).collect();
            assert_eq!(met, steps, "{host}{path}");
            let got = way.found.as_ref().map(|step| (step.pool.route().key(), step.wildcard));
            assert_eq!(got, found, "{host}{path}");
            let looked_up = table.lookup(host, path);
            assert_eq!(looked_up.as_deref().map(|pool| pool.route().key()), found.map(|(key, _)| key));
        }
    }

    #[test]
    fn a_filter_shows_a_host_a_path_or_what_a_wildcard_covers() {
        let table = table(&["a.x", "a.x/b", "a.x/bc", "b.x", "*.x", "*.a.x", "a.y"]);
        for (text, wanted) in [
            ("a.x", &["a.x", "a.x/b", "a.x/bc"][..]),
            ("https://A.X:443/", &["a.x", "a.x/b", "a.x/bc"]),
            ("a.x/b", &["a.x/b"]),
            ("*.x", &["*.a.x", "*.x", "a.x", "a.x/b", "a.x/bc", "b.x"]),
            ("*.x/b", &["a.x/b"]),
            ("*", &["*.a.x", "*.x", "a.x", "a.x/b", "a.x/bc", "a.y", "b.x"]),
            ("nobody.x", &[]),
        ] {
            assert_eq!(keys(&table.matching(&Filter::parse(text).unwrap())), wanted, "{text}");
        }
        assert_eq!(["", "/a", " ", "http://"].map(Filter::parse), [None, None, None, None]);
    }

    #[test]
    fn routes_that_are_spelled_nearly_alike_are_near() {
        let table =
            table(&["shop.example/cart", "shop.example", "*.example", "shep.example", "stop.examples", "far.org"]);
        assert_eq!(table.near("shop.example", 5)[..3], ["shop.example", "shop.example/cart", "*.example"]);
        assert_eq!(table.near("shop.example", 5)[3..], ["shep.example", "stop.examples"]);
        assert_eq!(table.near("shp.example", 1), ["*.example", "shep.example"]);
        assert!(table.near("quite.different", 5).is_empty());
    }

    #[test]
    fn differences_are_counted_up_to_two() {
        for (a, b, apart) in [
            ("abc", "abc", Some(0)),
            ("abc", "abd", Some(1)),
            ("abc", "ab", Some(1)),
            ("abc", "bc", Some(1)),
            ("abcd", "acbd", Some(2)),
            ("abc", "xyz", None),
            ("abc", "abcdef", None),
        ] {
            assert_eq!(differences(a, b), apart, "{a} {b}");
            assert_eq!(differences(b, a), apart, "{b} {a}");
        }
    }

    #[test]
    fn a_key_covers_its_host_or_the_hosts_of_its_wildcard() {
        for (key, host, path, wanted) in [
            ("a.x", "a.x", "/any", true),
            ("a.x/b", "a.x", "/b/c", true),
            ("a.x/b", "a.x", "/bc", false),
            ("*.x", "a.x", "", true),
            ("*.x", "x", "", false),
            ("*", "a.x", "", false),
            ("b.x", "a.x", "", false),
        ] {
            assert_eq!(covers(key, host, path), wanted, "{key} {host}{path}");
        }
    }
}
