//! Random stories, told to the table and to a naive one: a map from key to endpoints, searched segment by
//! segment.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::route::lease::Lease;

const HOSTS: [&str; 6] = ["a.b.c", "*.b.c", "*.c", "b.c", "*", "x.b.c"];
const PATHS: [&str; 7] = ["", "/p", "/p/q", "/p/q/r", "/p-q", "/p/", "//p"];
const REST: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
enum Step {
    Register(String, Facets),
    Unregister(String, u16),
    Prune(Source),
    Wait(u64),
    /// Remembers the endpoint at a place in the pool that a request finds.
    Hold(&'static str, &'static str, usize),
    /// Reports on one that was remembered.
    Report(usize, Fate),
}

/// What endpoints of a story differ in.
#[derive(Clone, Debug)]
struct Facets {
    port: u16,
    name: Option<&'static str>,
    asks: u64,
    zone: &'static str,
    segment: &'static str,
}

impl Facets {
    fn endpoint(&self) -> Arc<Endpoint> {
        let identity = self.name.map_or(Identity::Plain, |name| Identity::Tls(ExpectedName::new(name)));
        let facts = Facts {
            stale_threshold: Duration::from_secs(self.asks),
            availability_zone: self.zone.into(),
            isolation_segment: self.segment.into(),
            ..Facts::default()
        };
        Arc::new(Endpoint::new(Peer::new("10.0.0.1", self.port, identity), facts))
    }
}

/// The naive table.
struct Model {
    settings: Settings,
    routes: HashMap<String, (Vec<Known>, Moment)>,
    born: u64,
}

#[derive(Clone, Debug)]
struct Known {
    birth: u64,
    endpoint: Arc<Endpoint>,
    seen: Moment,
    failed: Option<Moment>,
}

impl Model {
    fn register(&mut self, key: &str, endpoint: &Arc<Endpoint>, now: Moment) -> Change {
        if !self.settings.sharding.serves(endpoint.isolation_segment()) {
            return Change::Ignored;
        }
        let (pool, changed) = self.routes.entry(key.to_owned()).or_default();
        let place = pool.iter().position(|known| known.endpoint.peer.address() == endpoint.peer.address());
        if let Some(place) = place
            && pool[place].endpoint.same_as(endpoint)
        {
            pool[place].seen = now;
            return Change::Renewed;
        }
        place.map(|place| pool.remove(place));
        self.born += 1;
        pool.push(Known { birth: self.born, endpoint: Arc::clone(endpoint), seen: now, failed: None });
        *changed = now;
        if place.is_some() { Change::Replaced } else { Change::Added }
    }

    fn unregister(&mut self, key: &str, endpoint: &Endpoint, now: Moment) -> Departure {
        let served = self.settings.sharding.serves(endpoint.isolation_segment());
        let Some((pool, changed)) = self.routes.get_mut(key).filter(|_| served) else { return Departure::NotThere };
        let before = pool.len();
        pool.retain(|known| known.endpoint.peer.address() != endpoint.peer.address());
        if pool.len() == before {
            return Departure::NotThere;
        }
        *changed = now;
        if pool.is_empty() && self.settings.empty_pool_grace.is_zero() {
            self.routes.remove(key);
        }
        Departure::Removed
    }

    fn prune(&mut self, now: Moment, source: Source) -> Vec<(String, Vec<u16>)> {
        let mut pruned = Vec::new();
        if source == Source::Lost {
            return pruned;
        }
        for (key, (pool, changed)) in &mut self.routes {
            if source == Source::Recovered {
                pool.iter_mut().for_each(|known| known.seen = now);
            }
            let is_stale = |known: &Known| {
                let asks = known.endpoint.stale_threshold();
                let limit = if asks.is_zero() || asks > STALE { STALE } else { asks };
                !known.endpoint.peer.is_tls() && now.since(known.seen) > limit
            };
            let gone: Vec<_> =
                pool.iter().filter(|known| is_stale(known)).map(|known| known.endpoint.peer.port()).collect();
            if !gone.is_empty() {
                pool.retain(|known| !is_stale(known));
                *changed = now;
                pruned.push((key.clone(), gone));
            }
        }
        let grace = self.settings.empty_pool_grace;
        self.routes.retain(|_, (pool, changed)| !pool.is_empty() || (!grace.is_zero() && now.since(*changed) < grace));
        pruned.sort();
        pruned
    }

    fn report(&mut self, key: &str, birth: u64, fate: Fate, tls: bool, now: Moment) -> Reported {
        let known = self.routes.get_mut(key).and_then(|(pool, changed)| {
            let place = pool.iter().position(|known| known.birth == birth)?;
            Some((pool, changed, place))
        });
        match (fate, tls, known) {
            (Fate::Keep, ..) | (Fate::Prune, true, None) => Reported::Kept,
            (Fate::Prune, true, Some((pool, changed, place))) => {
                pool.remove(place);
                *changed = now;
                Reported::Pruned
            }
            (_, _, known) => {
                if let Some((pool, _, place)) = known {
                    pool[place].failed = Some(now);
                }
                Reported::Marked
            }
        }
    }

    /// The key that a request finds.
    fn lookup(&self, host: &str, path: &str) -> Option<String> {
        let mut hosts = vec![host.to_owned()];
        let labels: Vec<_> = host.split('.').collect();
        hosts.extend((1..labels.len()).map(|from| format!("*.{}", labels[from..].join("."))));
        hosts.iter().find_map(|host| self.find(&format!("{host}{}", path.strip_suffix('/').unwrap_or(path))))
    }

    fn find(&self, target: &str) -> Option<String> {
        let segments: Vec<_> = target.split('/').collect();
        let nodes = (1..=segments.len()).map(|count| segments[..count].join("/"));
        let reached = |node: &String| self.routes.keys().any(|key| key == node || key.starts_with(&format!("{node}/")));
        let visited: Vec<_> = nodes.take_while(reached).collect();
        let full = |node: &&String| self.routes.get(*node).is_some_and(|(pool, _)| !pool.is_empty());
        let deepest = visited.iter().rev().find(full);
        deepest.or(visited.last().filter(|node| self.routes.contains_key(*node))).cloned()
    }

    fn shown(&self, now: Moment) -> Vec<(String, Vec<String>)> {
        let show = |known: &Known| {
            let rests = known.failed.is_some_and(|failed| now.since(failed) < REST);
            shown(&known.endpoint, known.seen, rests)
        };
        let mut shown: Vec<_> =
            self.routes.iter().map(|(key, (pool, _))| (key.clone(), pool.iter().map(show).collect())).collect();
        shown.sort();
        shown
    }
}

fn shown(endpoint: &Endpoint, seen: Moment, rests: bool) -> String {
    format!("{:?} {:?} {seen:?} {rests}", endpoint.peer, endpoint.facts())
}

fn shown_by(table: &Table, now: Moment) -> Vec<(String, Vec<String>)> {
    let show = |lease: &Arc<Lease>| shown(lease.endpoint(), lease.seen(), lease.is_resting(now, REST));
    let show_pool = |pool: &Arc<Pool>| (pool.route().key().to_owned(), pool.leases().iter().map(show).collect());
    table.listing().pools().iter().map(show_pool).collect()
}

fn uri() -> impl Strategy<Value = String> {
    (select(&HOSTS[..]), select(&PATHS[..])).prop_map(|(host, path)| format!("{host}{path}"))
}

fn step() -> impl Strategy<Value = Step> {
    let facets = (
        1..4_u16,
        select(vec![None, Some("i"), Some("j")]),
        select(vec![0, 10, 500]),
        select(vec!["", "z"]),
        select(vec!["", "s", "t"]),
    )
        .prop_map(|(port, name, asks, zone, segment)| Facets { port, name, asks, zone, segment });
    let source = select(vec![Source::Live, Source::Live, Source::Live, Source::Lost, Source::Recovered]);
    prop_oneof![
        8 => (uri(), facets).prop_map(|(uri, facets)| Step::Register(uri, facets)),
        3 => (uri(), 1..4_u16).prop_map(|(uri, port)| Step::Unregister(uri, port)),
        2 => source.prop_map(Step::Prune),
        2 => (0..130_u64).prop_map(Step::Wait),
        4 => (select(&HOSTS[..]), select(&PATHS[..]), 0..3_usize).prop_map(|(host, path, place)| Step::Hold(host, path, place)),
        4 => (0..8_usize, select(vec![Fate::Keep, Fate::Mark, Fate::Prune, Fate::Prune])).prop_map(|(which, fate)| Step::Report(which, fate)),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let sharding =
        vec![Sharding::All, Sharding::All, Sharding::SharedAnd(vec!["s".into()]), Sharding::Only(vec!["s".into()])];
    (select(vec![0, 40]), select(sharding)).prop_map(|(grace, sharding)| Settings {
        balancing: Algorithm::RoundRobin,
        stale_threshold: STALE,
        empty_pool_grace: Duration::from_secs(grace),
        sharding,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_table_behaves_as_the_naive_one(settings in settings(), steps in vec(step(), 1..60)) {
        let table = Table::new(settings.clone());
        let mut model = Model { settings, routes: HashMap::new(), born: 0 };
        let mut held: Vec<(Arc<Pool>, Arc<Lease>, u64)> = Vec::new();
        let mut now = at(1000);
        for step in steps {
            match step {
                Step::Register(uri, facets) => {
                    let (route, endpoint) = (key(&uri), facets.endpoint());
                    prop_assert_eq!(table.register(&route, &endpoint, now, 0), model.register(route.as_str(), &endpoint, now));
                }
                Step::Unregister(uri, port) => {
                    let (route, endpoint) = (key(&uri), plain(port));
                    prop_assert_eq!(table.unregister(&route, &endpoint, now), model.unregister(route.as_str(), &endpoint, now));
                }
                Step::Prune(source) => {
                    let mut pruned: Vec<_> = table.prune(now, source).into_iter()
                        .map(|one| (one.key.to_string(), one.endpoints.iter().map(|it| it.peer.port()).collect::<Vec<_>>()))
                        .collect();
                    pruned.sort();
                    prop_assert_eq!(pruned, model.prune(now, source));
                }
                Step::Wait(seconds) => now = now.after(Duration::from_secs(seconds)),
                Step::Hold(host, path, place) => {
                    if let Some(pool) = table.lookup(host, path) && let Some(lease) = pool.leases().get(place) {
                        let birth = model.routes[pool.route().key()].0[place].birth;
                        held.insert(0, (Arc::clone(&pool), Arc::clone(lease), birth));
                    }
                }
                Step::Report(which, fate) => {
                    if let Some((pool, lease, birth)) = held.get(which) {
                        let tls = lease.endpoint().peer.is_tls();
                        prop_assert_eq!(
                            table.report(pool, lease, fate, now),
                            model.report(pool.route().key(), *birth, fate, tls, now)
                        );
                    }
                }
            }
            prop_assert_eq!(shown_by(&table, now), model.shown(now));
            let totals = Totals {
                routes: model.routes.len(),
                endpoints: model.routes.values().map(|(pool, _)| pool.len()).sum(),
            };
            prop_assert_eq!(table.totals(), totals);
            for host in HOSTS {
                for path in PATHS {
                    let found = table.lookup(host, path).map(|pool| pool.route().key().to_owned());
                    prop_assert_eq!(found, model.lookup(host, path), "{}{}", host, path);
                }
            }
        }
    }
}
