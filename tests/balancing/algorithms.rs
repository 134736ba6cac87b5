//! The algorithms: who gets which request, what a failure changes, and how a route changes its mind.

use std::collections::BTreeSet;

use serde_json::json;
use trueroute_testkit::{Registration, eventually, peers};

use super::{
    crew::{Crew, HOST, asks, router},
    scene::APP_ID,
    support::PATIENCE,
};

#[tokio::test]
async fn round_robin_gives_each_instance_its_turn() {
    let crew = Crew::of(3, router(), json!({})).await;
    assert_eq!(crew.shares(30).await, [10, 10, 10]);
}

#[tokio::test]
async fn least_connection_goes_where_least_is_going_on() {
    let crew = Crew::of(3, router().set("balancing_algorithm", "least-connection"), json!({})).await;
    let shares = crew.shares(30).await;
    assert!(shares.iter().all(|share| *share > 0), "idle ones share: {shares:?}");
    let waiting = [crew.occupy(0).await, crew.occupy(2).await];
    assert_eq!(crew.shares(10).await, [0, 10, 0]);
    let second = [crew.occupy(1).await, crew.occupy(1).await];
    let shares = crew.shares(10).await;
    assert_eq!((shares[1], shares[0] + shares[2]), (0, 10), "two are more than one");
    crew.apps.iter().for_each(|app| (0..4).for_each(|_| app.release()));
    for waiting in waiting.into_iter().chain(second) {
        assert_eq!(waiting.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn every_algorithm_finds_the_good_instance_among_dead_ones() {
    for algorithm in ["round-robin", "least-connection", "hash"] {
        let options = json!({ "loadbalancing": algorithm, "hash_header": "X-Tenant" });
        let crew = Crew::of(1, router(), options.clone()).await;
        let dead = [peers::refuses_connections(), peers::refuses_connections()];
        for dead in &dead {
            let message = Registration::plain(dead.addr()).app(APP_ID).uri(HOST).field("options", options.clone());
            crew.router.register(&message).await;
        }
        for tenant in ["a", "b", "c", "d", "e", "f"] {
            assert_eq!(crew.answers(3, &[("X-Tenant", tenant)]).await, [0, 0, 0], "{algorithm}");
        }
        // A dead instance is tried once and rests then, whatever the algorithm.
        assert!(crew.router.metric("trueroute_retries_total").await <= 2.0, "{algorithm}");
    }
}

#[tokio::test]
async fn a_route_follows_its_options_and_returns_to_the_routers_algorithm_without() {
    let crew = Crew::of(2, router().set("balancing_algorithm", "least-connection"), asks("round-robin")).await;
    let waiting = crew.occupy(0).await;
    assert_eq!(crew.shares(10).await, [5, 5]);
    let told = async |options: serde_json::Value, shown: serde_json::Value| {
        for number in [0, 1] {
            crew.router.register(&crew.registration(number, &options)).await;
        }
        let row = async || crew.router.endpoints(HOST).await.pop().unwrap_or_default();
        eventually(PATIENCE, async || row().await.get("load_balancing_algorithm") == shown.get("is")).await;
    };
    // A registration with other facts is another endpoint: what is under way at the old one is not counted at it.
    told(json!({}), json!({})).await;
    let again = crew.occupy(0).await;
    assert_eq!(crew.shares(10).await, [0, 10], "the option was taken back");
    told(asks("round-robin"), json!({ "is": "round-robin" })).await;
    assert_eq!(crew.shares(10).await, [5, 5]);
    told(asks("coin-toss"), json!({ "is": "coin-toss" })).await;
    let name = "invalid-endpoint-load-balancing-algorithm-provided-keeping-pool-lb-algo";
    let line = crew.router.log_line(name, &crew.apps[0].addr().to_string()).await;
    assert_eq!((line.field("loadbalancing"), line.field("uri")), (&json!("coin-toss"), &json!(HOST)));
    assert_eq!(crew.shares(10).await, [5, 5], "nobody knows that algorithm");
    (0..2).for_each(|_| crew.apps[0].release());
    assert_eq!((waiting.await.unwrap(), again.await.unwrap()), (200, 200));
}

#[tokio::test]
async fn hash_routing_keeps_a_tenant_at_its_instance() {
    let options = json!({ "loadbalancing": "hash", "hash_header": "X-Tenant" });
    let crew = Crew::of(4, router(), options.clone()).await;
    let homes = async || {
        let mut homes = Vec::new();
        for tenant in 0..24 {
            let answers = crew.answers(3, &[("x-tenant", &format!("tenant {tenant}"))]).await;
            assert!(answers.iter().all(|name| *name == answers[0]), "{answers:?}");
            homes.push(answers[0]);
        }
        homes
    };
    let before = homes().await;
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 4, "all have some: {before:?}");
    assert_eq!(crew.shares(8).await, [2, 2, 2, 2], "without the header the router's own algorithm holds");

    crew.router.unregister(&crew.registration(1, &options)).await;
    let after = homes().await;
    for (then, now) in before.iter().zip(&after) {
        assert_ne!(*now, 1);
        assert!(
            then == now || *then == 1,
            "only those who lost theirs move, at this number of tenants: {before:?} {after:?}"
        );
    }
    crew.router.register(&crew.registration(1, &options)).await;
    assert_eq!(homes().await, before, "and they come back");

    let row = crew.router.endpoints(HOST).await.pop().unwrap();
    assert_eq!((&row["hash_header"], row.get("hash_balance")), (&json!("X-Tenant"), None));
}

#[tokio::test]
async fn hash_balance_bounds_what_one_instance_must_bear() {
    let options = json!({ "loadbalancing": "hash", "hash_header": "X-Tenant", "hash_balance": "1.5" });
    let crew = Crew::of(3, router(), options).await;
    let home = crew.answers(1, &[("X-Tenant", "a")]).await[0];
    let waiting = [crew.occupy(home).await, crew.occupy(home).await];
    let elsewhere = crew.answers(3, &[("X-Tenant", "a")]).await;
    assert!(elsewhere.iter().all(|name| *name != home), "{home} {elsewhere:?}");
    assert!(elsewhere.iter().all(|name| *name == elsewhere[0]), "the next one, always the same: {elsewhere:?}");
    (0..2).for_each(|_| crew.apps[home].release());
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 200);
    }
    assert_eq!(crew.answers(3, &[("X-Tenant", "a")]).await, [home; 3]);
    assert_eq!(crew.router.endpoints(HOST).await[0]["hash_balance"], json!(1.5));
}

#[tokio::test]
async fn the_own_zone_is_preferred_at_the_first_attempt_only() {
    for algorithm in ["round-robin", "least-connection"] {
        for (preference, near) in [("locally-optimistic", [12, 0]), ("none", [6, 6])] {
            let router = router()
                .set("zone", "z1")
                .set("balancing_algorithm", algorithm)
                .set("balancing_algorithm_az_preference", preference);
            let crew = Crew::of(2, router, json!({})).await;
            for (number, zone) in [(0, "z1"), (1, "z2")] {
                // The zone alone does not make another endpoint, so the one without has to leave first.
                let message = crew.registration(number, &json!({})).field("availability_zone", zone);
                crew.router.unregister(&message).await;
                crew.router.register(&message).await;
            }
            assert_eq!(crew.shares(12).await, near, "{algorithm} {preference}");

            // With its own zone dead the request goes on to the other.
            let message = crew.registration(0, &json!({})).field("availability_zone", "z1");
            crew.router.unregister(&message).await;
            let dead = peers::refuses_connections();
            let message = Registration::plain(dead.addr()).uri(HOST).field("availability_zone", "z1");
            crew.router.register(&message).await;
            assert_eq!(crew.shares(6).await, [0, 6], "{algorithm} {preference}");
        }
    }
}

#[tokio::test]
async fn a_full_instance_is_passed_over_by_every_algorithm() {
    for algorithm in ["round-robin", "least-connection", "hash"] {
        let options = json!({ "loadbalancing": algorithm, "hash_header": "X-Tenant" });
        let crew = Crew::of(2, router().set("backends.max_conns", 1).set("endpoint_timeout", "20s"), options).await;
        let waiting = crew.occupy(0).await;
        for tenant in ["a", "b", "c", "d", "e"] {
            assert_eq!(crew.answers(1, &[("X-Tenant", tenant)]).await, [1], "{algorithm}");
        }
        let both = crew.occupy(1).await;
        let response = crew.router.get(HOST, "/").await;
        assert_eq!((response.status, response.header("x-cf-routererror")), (503, Some("Connection Limit Reached")));
        assert_eq!(crew.router.log_line("connection-limit-reached", HOST).await.field("host"), HOST);
        crew.apps.iter().for_each(|app| app.release());
        assert_eq!((waiting.await.unwrap(), both.await.unwrap()), (200, 200));
    }
}
