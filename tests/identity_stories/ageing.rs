//! Endpoints that nobody confirms: plain ones leave the table, those that prove themselves stay, and while the bus is
//! away nobody is judged for silence.

use std::time::Duration;

use trueroute_testkit::{Registration, eventually};

use crate::support::{LogLine, PATIENCE, RouterBuilder, Scene};

const STALE: Duration = Duration::from_secs(1);

fn hasty(scene: &Scene) -> RouterBuilder {
    scene.router().set("droplet_stale_threshold", "1s").set("prune_stale_droplets_interval", "100ms")
}

/// Seconds since 1970 at which the line was written.
fn time(line: &LogLine) -> f64 {
    line.0["timestamp"].as_f64().unwrap()
}

#[tokio::test]
async fn plain_endpoints_age_out_and_proven_ones_do_not() {
    let router = hasty(&Scene::new()).start().await;
    let tls = router.instance("tls").uri("both.ageing").register().await;
    let plain = router.instance("plain").plain().uri("both.ageing").register().await;
    let address = plain.addr().to_string();
    let registered = router.log_line("endpoint-registered", &address).await;
    let line = router.log_line("pruned-route", &address).await;
    assert_eq!(
        (line.field("uri").as_str(), line.field("endpoints").as_array().unwrap().len()),
        (Some("both.ageing"), 1)
    );
    let age = time(&line) - time(&registered);
    assert!(age >= STALE.as_secs_f64() - 0.01, "pruned after {age} s");
    for _ in 0..10 {
        assert_eq!(router.get("both.ageing", "/").await.header("x-app"), Some("tls"));
    }
    assert_eq!(router.addresses("both.ageing").await, [tls.addr().to_string()]);
    assert_eq!(router.metric("routes_pruned").await, 1.0);
    plain.register().await;
    assert_eq!(router.endpoints("both.ageing").await.len(), 2);
}

#[tokio::test]
async fn with_integrity_off_everything_ages_out() {
    let router = hasty(&Scene::new()).set("route_integrity", "off").start().await;
    let plain = router.instance("plain").plain().start().await;
    let both = Registration::plain(plain.addr()).tls_port(1).san("somebody").uri("off.ageing");
    router.publish(&both).await;
    router.wait_for_route("off.ageing", 1).await;
    router.log_line("pruned-route", &plain.addr().to_string()).await;
    assert_eq!(router.get("off.ageing", "/").await.status, 404);
}

#[tokio::test]
async fn an_instance_that_repeats_itself_stays() {
    let router = hasty(&Scene::new()).start().await;
    let quiet = router.instance("quiet").plain().uri("quiet.ageing").register().await;
    let loud = router.instance("loud").plain().uri("loud.ageing").register().await;
    // For as long as it takes the table to forget somebody else.
    eventually(PATIENCE, async || {
        loud.register().await;
        router.endpoints("quiet.ageing").await.is_empty()
    })
    .await;
    assert!(router.logged("pruned-route", &loud.addr().to_string()).is_empty());
    assert_eq!(router.get("loud.ageing", "/").await.status, 200);
    assert_eq!(quiet.requests(), 0);
}

#[tokio::test]
async fn while_the_bus_is_away_routes_stay_and_its_return_makes_them_fresh() {
    let scene = Scene::new();
    let router = hasty(&scene).set("suspend_pruning_if_nats_unavailable", true).spawn().await;
    let plain = router.instance("plain").plain().uri("plain.outage").register().await;
    let tls = router.instance("tls").uri("tls.outage").register().await;
    scene.bus.die();
    let ticks = || router.lines().into_iter().filter(|line| line.message() == "prune-suspended").collect::<Vec<_>>();
    // Twice the threshold of ticks that rest.
    eventually(PATIENCE, async || ticks().len() >= 20).await;
    assert_eq!(router.get("plain.outage", "/").await.header("x-app"), Some("plain"));
    assert_eq!(router.get("tls.outage", "/").await.header("x-app"), Some("tls"));
    assert!(!router.lines().iter().any(|line| line.message() == "pruned-route"));

    scene.bus.revive();
    let pruned = router.line("pruned-route").await;
    let last_rest = ticks().last().map(time).unwrap();
    let age = time(&pruned) - last_rest;
    assert!(age >= STALE.as_secs_f64() - 0.01, "pruned {age} s after the bus was back");
    assert!(pruned.mentions(&plain.addr().to_string()));
    assert_eq!(router.get("tls.outage", "/").await.header("x-app"), Some("tls"));
    // And the subscription works again.
    plain.register().await;
    tls.register().await;
    assert_eq!(router.get("plain.outage", "/").await.status, 200);
}

/// A registration that would bring an endpoint back can't come, so only what proves that somebody else is there takes one
/// out. Why the bus does not come back is told, too.
#[tokio::test]
async fn while_the_bus_is_away_an_endpoint_that_cannot_be_reached_rests() {
    let scene = Scene::new();
    let router = hasty(&scene).set("suspend_pruning_if_nats_unavailable", true).spawn().await;
    let app = router.instance("app").uri("away.outage").register().await;
    let taken = router.instance("taken").uri("taken.outage").register().await;
    scene.bus.die();
    let said = router.line("nats-connection-error").await;
    assert!(said.field("error").as_str().is_some_and(|error| !error.is_empty()), "{said:?}");
    router.line("prune-suspended").await;
    app.die();
    assert_eq!(router.get("away.outage", "/").await.status, 502);
    app.revive();
    assert_eq!(router.get("away.outage", "/").await.header("x-app"), Some("app"));
    taken.die();
    let _other = router.instance("other").port(taken.addr().port()).start().await;
    assert_eq!(router.get("taken.outage", "/").await.status, 503);
    assert_eq!(router.addresses("taken.outage").await, [""; 0], "who is somebody else goes");
}

#[tokio::test]
async fn without_suspension_an_outage_costs_plain_routes() {
    let scene = Scene::new();
    let router = hasty(&scene).start().await;
    let plain = router.instance("plain").plain().uri("plain.lost").register().await;
    let _tls = router.instance("tls").uri("tls.lost").register().await;
    scene.bus.die();
    router.log_line("pruned-route", &plain.addr().to_string()).await;
    assert_eq!(router.get("plain.lost", "/").await.status, 404);
    assert_eq!(router.get("tls.lost", "/").await.header("x-app"), Some("tls"));
}
