//! Stories about the table, one per rule; `model` compares long random stories with a naive table.

mod model;
mod options;
mod tags;
mod threads;

use trueroute_identity::ExpectedName;

use super::*;
use crate::{
    failure::Fate,
    registration,
    route::{
        balancing::Algorithm,
        endpoint::{Facts, Options},
        peer::{Identity, Peer},
        uri::RouteKey,
    },
};

const STALE: Duration = Duration::from_secs(120);

fn table() -> Table {
    table_with(Duration::ZERO, Sharding::All)
}

fn table_with(empty_pool_grace: Duration, sharding: Sharding) -> Table {
    Table::new(Settings { stale_threshold: STALE, empty_pool_grace, sharding, balancing: Algorithm::LeastConnection })
}

fn options(loadbalancing: &str, hash_header: &str, hash_balance: f64) -> Arc<Options> {
    Arc::new(Options { loadbalancing: loadbalancing.into(), hash_header: hash_header.into(), hash_balance })
}

fn at(seconds: u64) -> Moment {
    Moment::from_ms(seconds * 1000)
}

fn key(uri: &str) -> RouteKey {
    RouteKey::parse(uri).unwrap()
}

fn plain(port: u16) -> Arc<Endpoint> {
    plain_with(port, Facts::default())
}

fn plain_with(port: u16, facts: Facts) -> Arc<Endpoint> {
    Arc::new(Endpoint::new(Peer::new("10.0.0.1", port, Identity::Plain), facts))
}

fn tls(port: u16, name: &str) -> Arc<Endpoint> {
    let facts = Facts { instance_id: name.into(), server_cert_domain_san: name.into(), ..Facts::default() };
    Arc::new(Endpoint::new(Peer::new("10.0.0.1", port, Identity::Tls(ExpectedName::new(name))), facts))
}

fn ports(pool: &Pool) -> Vec<u16> {
    pool.leases().iter().map(|lease| lease.endpoint().peer.port()).collect()
}

fn found(table: &Table, host: &str, path: &str) -> Option<(String, Vec<u16>)> {
    table.lookup(host, path).map(|pool| (pool.route().key().to_owned(), ports(&pool)))
}

#[test]
fn a_request_finds_its_route() {
    let table = table();
    for (uri, port) in [
        ("app.example.com", 1),
        ("app.example.com/api", 2),
        ("app.example.com/api/v1/users", 3),
        ("paths.example.com/only", 4),
        ("*.example.com", 5),
        ("*.deep.example.com", 6),
        ("*.example.com/wild", 7),
        ("*", 8),
        ("*.com", 9),
    ] {
        table.register(&key(uri), &plain(port), at(0), 0);
    }
    for (host, path, wanted) in [
        ("app.example.com", "/", Some(1)),
        ("app.example.com", "", Some(1)),
        ("APP.example.com:8080", "/x", Some(1)),
        ("app.example.com", "/api", Some(2)),
        ("app.example.com", "/api/", Some(2)),
        ("app.example.com", "/API/V1", Some(2)),
        ("app.example.com", "/apix", Some(1)),
        ("app.example.com", "/api/v1/users/7", Some(3)),
        ("app.example.com", "/api%2Fv1", Some(1)),
        ("paths.example.com", "/only/x", Some(4)),
        // The exact host has no route for this path, the wildcard has.
        ("paths.example.com", "/", Some(5)),
        ("paths.example.com", "/wild", Some(7)),
        ("other.example.com", "/", Some(5)),
        ("other.example.com", "/Wild/x", Some(7)),
        ("a.deep.example.com", "/", Some(6)),
        ("a.b.deep.example.com", "/", Some(6)),
        ("deep.example.com", "/", Some(5)),
        ("example.com", "/", Some(9)),
        ("*.example.com", "/", Some(5)),
        ("*", "/", Some(8)),
        ("com", "/", None),
        ("localhost", "/", None),
        ("app.example.org", "/", None),
        ("", "/", None),
        ("app.example.com", "*", None),
    ] {
        let port = found(&table, host, path).map(|(_, ports)| ports[0]);
        assert_eq!(port, wanted, "{host:?} {path:?}");
    }
}

#[test]
fn an_empty_pool_of_the_exact_host_stops_the_wildcards() {
    let table = table_with(Duration::from_secs(10), Sharding::All);
    table.register(&key("*.example.com"), &plain(1), at(0), 0);
    table.register(&key("app.example.com"), &plain(2), at(0), 0);
    assert_eq!(table.unregister(&key("app.example.com"), &plain(2), at(1)), Departure::Removed);
    assert_eq!(found(&table, "app.example.com", "/"), Some(("app.example.com".into(), vec![])));
    table.prune(at(11), Source::Live);
    assert_eq!(found(&table, "app.example.com", "/"), Some(("*.example.com".into(), vec![1])));
}

#[test]
fn a_registration_adds_renews_or_replaces() {
    let table = table();
    let route = key("app.example.com");
    let with = |change: fn(&mut Facts)| {
        let mut facts = Facts { app_id: "app".into(), ..Facts::default() };
        change(&mut facts);
        plain_with(1, facts)
    };
    assert_eq!(table.register(&route, &with(|_| ()), at(0), 0), Change::Added);
    type Edit = fn(&mut Facts);
    let changes: [(Edit, Change); 16] = [
        (|_| (), Change::Renewed),
        (|facts| facts.availability_zone = "z1".into(), Change::Renewed),
        (|facts| facts.app_id = "other".into(), Change::Replaced),
        (|facts| facts.instance_id = "i".into(), Change::Replaced),
        (|facts| facts.instance_index = "1".into(), Change::Replaced),
        (|facts| facts.protocol = crate::route::endpoint::Protocol::Http2, Change::Replaced),
        (|facts| facts.server_cert_domain_san = "n".into(), Change::Replaced),
        (|facts| facts.tags = Some([].into()), Change::Replaced),
        (|facts| facts.route_service_url = "https://rs".into(), Change::Replaced),
        (|facts| facts.isolation_segment = "s".into(), Change::Replaced),
        (|facts| facts.stale_threshold = Duration::from_secs(1), Change::Replaced),
        (|facts| facts.updated_at_ns = 1, Change::Replaced),
        (|facts| facts.options = Some(options("least-connection", "", 0.0)), Change::Replaced),
        (|facts| facts.options = Some(options("hash", "", 0.0)), Change::Replaced),
        (|facts| facts.options = Some(options("hash", "x-tenant", 0.0)), Change::Replaced),
        (|facts| facts.options = Some(options("hash", "x-tenant", 1.25)), Change::Replaced),
    ];
    for (round, (change, wanted)) in (1..).zip(changes) {
        assert_eq!(table.register(&route, &with(change), at(round), 0), wanted, "change {round}");
        assert_eq!(table.register(&route, &with(change), at(round), 0), Change::Renewed);
        assert_eq!(table.lookup("app.example.com", "/").unwrap().leases()[0].seen(), at(round));
        assert_eq!(table.totals(), Totals { routes: 1, endpoints: 1 });
        table.register(&route, &with(|_| ()), at(round), 0);
    }
    assert_eq!(table.register(&route, &tls(1, "instance"), at(20), 0), Change::Replaced);
    assert_eq!(table.register(&route, &tls(1, "another"), at(20), 0), Change::Replaced);
    assert_eq!(table.register(&route, &tls(2, "another"), at(20), 0), Change::Added);
}

#[test]
fn a_heartbeat_keeps_pool_and_lease() {
    let table = table();
    table.register(&key("app.example.com"), &plain(1), at(0), 0);
    let before = table.lookup("app.example.com", "/").unwrap();
    assert_eq!(table.register(&key("App.example.com/"), &plain(1), at(5), 3), Change::Renewed);
    let after = table.lookup("app.example.com", "/").unwrap();
    assert!(Arc::ptr_eq(&before, &after));
    assert_eq!((after.leases()[0].seen(), table.last_update()), (at(5), at(5)));
}

#[test]
fn the_cursor_of_a_new_route_starts_where_the_caller_says_and_stays_with_the_route() {
    let table = table();
    table.register(&key("app.example.com"), &plain(1), at(0), 41);
    assert_eq!(table.lookup("app.example.com", "/").unwrap().route().advance(), 41);
    table.register(&key("app.example.com"), &plain(2), at(0), 7);
    assert_eq!(table.lookup("app.example.com", "/").unwrap().route().advance(), 42);
}

#[test]
fn the_last_registered_endpoint_speaks_for_the_route() {
    let table = table();
    let with = |port, url: &str| plain_with(port, Facts { route_service_url: url.into(), ..Facts::default() });
    let service = || table.lookup("app.example.com", "/").unwrap().route_service_url().to_owned();
    table.register(&key("app.example.com"), &with(1, "https://a"), at(0), 0);
    table.register(&key("app.example.com"), &with(2, ""), at(0), 0);
    assert_eq!(service(), "");
    table.register(&key("app.example.com"), &with(1, "https://b"), at(0), 0);
    assert_eq!(service(), "https://b");
}

#[test]
fn an_unregistration_goes_by_address() {
    let table = table();
    let route = key("app.example.com/a");
    table.register(&route, &tls(1, "one"), at(0), 0);
    table.register(&route, &tls(2, "two"), at(0), 0);
    assert_eq!(table.unregister(&route, &plain(3), at(1)), Departure::NotThere);
    assert_eq!(table.unregister(&key("app.example.com"), &plain(1), at(1)), Departure::NotThere);
    assert_eq!(table.unregister(&key("unknown.example.com"), &plain(1), at(1)), Departure::NotThere);
    assert_eq!(table.unregister(&route, &plain(1), at(1)), Departure::Removed);
    assert_eq!(table.unregister(&route, &plain(1), at(1)), Departure::NotThere);
    assert_eq!(found(&table, "app.example.com", "/a"), Some(("app.example.com/a".into(), vec![2])));
    assert_eq!(table.unregister(&route, &tls(2, "renamed"), at(1)), Departure::Removed);
    assert_eq!(found(&table, "app.example.com", "/a"), None);
    assert_eq!(table.totals(), Totals::default());
}

#[test]
fn plain_endpoints_age_and_tls_endpoints_do_not() {
    let asks = |port, seconds| {
        let facts =
            Facts { stale_threshold: Duration::from_secs(seconds), isolation_segment: "s".into(), ..Facts::default() };
        plain_with(port, facts)
    };
    let table = table();
    for endpoint in [plain(1), asks(2, 30), asks(3, 1000), tls(4, "instance")] {
        table.register(&key("app.example.com"), &endpoint, at(0), 0);
    }
    for (second, wanted) in [(30, &[][..]), (31, &[2]), (32, &[]), (120, &[]), (121, &[1, 3]), (100_000, &[])] {
        let pruned = table.prune(at(second), Source::Live);
        let gone: Vec<_> = pruned.iter().flat_map(|one| &one.endpoints).map(|it| it.peer.port()).collect();
        assert_eq!(gone, wanted, "at {second}");
        assert!(pruned.iter().all(|one| &*one.key == "app.example.com" && !one.endpoints.is_empty()));
        if second == 31 {
            assert_eq!(&*pruned[0].isolation_segment, "s");
        }
    }
    assert_eq!(found(&table, "app.example.com", "/"), Some(("app.example.com".into(), vec![4])));
}

#[test]
fn a_heartbeat_keeps_an_endpoint_from_ageing() {
    let table = table();
    table.register(&key("app.example.com"), &plain(1), at(0), 0);
    table.register(&key("app.example.com"), &plain(1), at(100), 0);
    assert!(table.prune(at(220), Source::Live).is_empty());
    assert_eq!(table.prune(at(221), Source::Live).len(), 1);
    assert!(table.lookup("app.example.com", "/").is_none());
}

#[test]
fn nothing_goes_while_the_bus_is_lost_and_all_count_as_seen_when_it_is_back() {
    let table = table_with(Duration::from_secs(5), Sharding::All);
    table.register(&key("app.example.com"), &plain(1), at(0), 0);
    table.register(&key("gone.example.com"), &plain(2), at(0), 0);
    table.unregister(&key("gone.example.com"), &plain(2), at(0));
    assert!(table.prune(at(1000), Source::Lost).is_empty());
    assert_eq!(table.totals(), Totals { routes: 2, endpoints: 1 });
    assert!(table.prune(at(1010), Source::Recovered).is_empty());
    assert_eq!(table.totals(), Totals { routes: 1, endpoints: 1 });
    assert!(table.prune(at(1130), Source::Live).is_empty());
    assert_eq!(table.prune(at(1131), Source::Live).len(), 1);
}

#[test]
fn an_empty_pool_stays_for_its_grace() {
    for (grace, known_until) in [(0, None), (10, Some(209))] {
        let table = table_with(Duration::from_secs(grace), Sharding::All);
        table.register(&key("app.example.com"), &plain(1), at(0), 0);
        assert_eq!(table.prune(at(200), Source::Live).len(), 1);
        if let Some(second) = known_until {
            assert!(table.prune(at(second), Source::Live).is_empty());
            assert_eq!(found(&table, "app.example.com", "/"), Some(("app.example.com".into(), vec![])));
            assert!(table.prune(at(second + 1), Source::Live).is_empty());
        }
        assert_eq!(found(&table, "app.example.com", "/"), None);
    }
}

#[test]
fn a_report_prunes_the_very_lease_and_no_other() {
    let table = table();
    let route = key("app.example.com");
    table.register(&route, &tls(1, "old"), at(0), 0);
    let pool = table.lookup("app.example.com", "/").unwrap();
    let lease = &pool.leases()[0];
    assert_eq!(table.report(&pool, lease, Fate::Keep, at(1)), Reported::Kept);
    assert!(!lease.is_resting(at(1), STALE));
    assert_eq!(table.report(&pool, lease, Fate::Mark, at(1)), Reported::Marked);
    assert!(lease.is_resting(at(1), STALE));

    table.register(&route, &tls(1, "new"), at(2), 0);
    assert_eq!(table.report(&pool, lease, Fate::Prune, at(3)), Reported::Kept);
    assert_eq!(found(&table, "app.example.com", "/"), Some(("app.example.com".into(), vec![1])));

    let pool = table.lookup("app.example.com", "/").unwrap();
    let lease = &pool.leases()[0];
    assert_eq!(lease.endpoint().server_cert_domain_san(), "new");
    assert_eq!(table.report(&pool, lease, Fate::Prune, at(3)), Reported::Pruned);
    assert_eq!(table.report(&pool, lease, Fate::Prune, at(3)), Reported::Kept);
    // Without any grace the route is still known until the next prune.
    assert_eq!(found(&table, "app.example.com", "/"), Some(("app.example.com".into(), vec![])));

    assert_eq!(table.register(&route, &tls(1, "new"), at(4), 0), Change::Added);
    assert_eq!(table.report(&pool, lease, Fate::Prune, at(5)), Reported::Kept);
    assert_eq!(found(&table, "app.example.com", "/"), Some(("app.example.com".into(), vec![1])));
}

#[test]
fn a_pool_emptied_by_a_report_goes_with_the_next_prune() {
    let table = table();
    table.register(&key("app.example.com"), &tls(1, "one"), at(0), 0);
    let pool = table.lookup("app.example.com", "/").unwrap();
    assert_eq!(table.report(&pool, &pool.leases()[0], Fate::Prune, at(1)), Reported::Pruned);
    assert!(table.prune(at(1), Source::Live).is_empty());
    assert_eq!(table.totals(), Totals::default());
}

#[test]
fn a_plain_endpoint_is_marked_where_a_tls_endpoint_would_be_pruned() {
    let table = table();
    table.register(&key("app.example.com"), &plain(1), at(0), 0);
    let pool = table.lookup("app.example.com", "/").unwrap();
    assert_eq!(table.report(&pool, &pool.leases()[0], Fate::Prune, at(1)), Reported::Marked);
    assert!(pool.leases()[0].is_resting(at(1), STALE));
    assert_eq!(found(&table, "app.example.com", "/"), Some(("app.example.com".into(), vec![1])));
}

#[test]
fn sharding_decides_which_segments_are_served() {
    let listed = || vec!["a".into(), "b".into()];
    for (sharding, wanted) in [
        (Sharding::All, [true, true, true]),
        (Sharding::SharedAnd(listed()), [true, true, false]),
        (Sharding::Only(listed()), [false, true, false]),
        (Sharding::SharedAnd(Vec::new()), [true, false, false]),
    ] {
        for (segment, wanted) in ["", "b", "c"].into_iter().zip(wanted) {
            let table = table_with(Duration::ZERO, sharding.clone());
            let endpoint = plain_with(1, Facts { isolation_segment: segment.into(), ..Facts::default() });
            let route = key("app.example.com");
            let (change, departure) =
                (table.register(&route, &endpoint, at(1), 0), table.unregister(&route, &endpoint, at(1)));
            let all = (Change::Added, Departure::Removed, at(1));
            let none = (Change::Ignored, Departure::NotThere, at(0));
            assert_eq!(
                (change, departure, table.last_update()),
                if wanted { all } else { none },
                "{sharding:?} {segment}"
            );
        }
    }
}

/// The bus keeps no state: a log of messages, replayed, gives the table.
#[test]
fn a_replayed_log_gives_the_table() {
    let log = [
        (
            "router.register",
            r#"{"host":"10.0.0.1","port":80,"tls_port":443,"uris":["app.example.com"],"server_cert_domain_san":"i-1"}"#,
        ),
        (
            "router.register",
            r#"{"host":"10.0.0.2","tls_port":443,"uris":["app.example.com","app.example.com/api"],"server_cert_domain_san":"i-2"}"#,
        ),
        ("router.register", r#"{"host":"10.0.0.3","port":8080,"uris":["legacy.example.com","","old.example.com"]}"#),
        ("router.register", r#"{"host":"10.0.0.4","port":"8080","uris":["broken.example.com"]}"#),
        ("router.unregister", r#"{"host":"10.0.0.1","tls_port":443,"uris":["app.example.com"]}"#),
        ("router.unregister", r#"{"host":"10.0.0.3","port":8080,"uris":["old.example.com"]}"#),
        (
            "router.register",
            r#"{"host":"10.0.0.2","tls_port":443,"uris":["app.example.com"],"server_cert_domain_san":"i-3"}"#,
        ),
    ];
    let table = table();
    for (second, (subject, payload)) in (0..).zip(log) {
        let Ok(message) = registration::parse(payload.as_bytes()) else { continue };
        let endpoint = Arc::new(message.endpoint(None, false).unwrap());
        for route in message.uris().flatten() {
            match subject {
                "router.register" => drop(table.register(&route, &endpoint, at(second), 0)),
                _ => drop(table.unregister(&route, &endpoint, at(second))),
            }
        }
    }
    let shown: Vec<_> = table
        .listing()
        .pools()
        .iter()
        .map(|pool| {
            format!(
                "{} {:?}",
                pool.route().key(),
                pool.leases().iter().map(|it| &it.endpoint().peer).collect::<Vec<_>>()
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "app.example.com [10.0.0.2:443 as i-3]",
            "app.example.com/api [10.0.0.2:443 as i-2]",
            "legacy.example.com [10.0.0.3:8080]",
        ]
    );
    assert_eq!(table.last_update(), at(6));
}
