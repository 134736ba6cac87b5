//! Which server the router is on: after a death, after an outage, and when a server says that it is leaving.

use std::time::{Duration, Instant};

use trueroute_testkit::eventually;

use crate::{
    broker::{Broker, Component, PATIENCE},
    capture::{Capture, Line},
    router::{Router, settings},
    stories::{REGISTER, knows, message, next, server},
};

/// More than the longest pause between two tries and a busy machine need, less than a growing pause would take after
/// [`OUTAGE`].
const SOON: Duration = Duration::from_millis(1500);
/// Long enough for a pause that doubles with each try to reach seconds.
const OUTAGE: Duration = Duration::from_secs(5);

pub(crate) async fn a_server_that_was_down_at_the_start_takes_over<B: Broker>() {
    let (first, second) = (server!(B, None), server!(B, None));
    second.die();
    let capture = Capture::start();
    let router = Router::start(&settings(&[first.addr(), second.addr()], None)).await.unwrap();
    let mut component = Component::connect(first.addr(), None);
    knows(&router, &mut component, "before.example").await;

    second.revive();
    let mut component = Component::connect(second.addr(), None);
    component.subscribe("router.start");
    first.die();
    let start = next(&mut component).await;
    assert_eq!(start["pruneThresholdInSeconds"], 120);
    knows(&router, &mut component, "after.example").await;
    assert_eq!(router.endpoints("before.example").len(), 1);
    let lines = capture.lines();
    let hosts = |message| places(&lines, message);
    assert_eq!(hosts("nats-connection-disconnected"), [first.addr().to_string()]);
    assert_eq!(hosts("nats-connection-reconnected"), [second.addr().to_string()]);
    router.stop().await;
}

pub(crate) async fn after_a_long_outage_the_return_is_noticed_at_once<B: Broker>() {
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    server.die();
    tokio::time::sleep(OUTAGE).await;
    // The router does nothing until the next await, so the component is there before it.
    server.revive();
    let mut component = Component::connect(server.addr(), None);
    component.subscribe("router.start");
    let returned = Instant::now();
    next(&mut component).await;
    assert!(returned.elapsed() < SOON, "{:?}", returned.elapsed());
    knows(&router, &mut component, "after.example").await;
    router.stop().await;
}

pub(crate) async fn a_lame_duck_is_left_for_another_server<B: Broker>() {
    let (leaves, stays) = (server!(B, None), server!(B, None));
    let capture = Capture::start();
    let router = Router::start(&settings(&[leaves.addr(), stays.addr()], None)).await.unwrap();
    let mut component = Component::connect(stays.addr(), None);
    component.subscribe("router.start");
    leaves.lame_duck();
    next(&mut component).await;
    knows(&router, &mut component, "after.example").await;
    assert_eq!(router.state.standing().recoveries, 1, "left once, and for good");
    let lines = capture.lines();
    assert_eq!(places(&lines, "nats-server-lame-duck"), [leaves.addr().to_string()]);
    assert_eq!(places(&lines, "nats-connection-reconnected"), [stays.addr().to_string()]);
    router.stop().await;
}

pub(crate) async fn a_lame_duck_is_better_than_no_server<B: Broker>() {
    let (leaves, down) = (server!(B, None), server!(B, None));
    down.die();
    let capture = Capture::start();
    let router = Router::start(&settings(&[leaves.addr(), down.addr()], None)).await.unwrap();
    let mut component = Component::connect(leaves.addr(), None);
    leaves.lame_duck();
    let mut told = Vec::new();
    eventually(PATIENCE, || {
        told.extend(capture.lines());
        let heard = !places(&told, "nats-server-lame-duck").is_empty();
        async move { heard }
    })
    .await;
    component.publish(REGISTER, "", &message(1, "meanwhile.example"));
    router.serves("meanwhile.example", &["10.0.0.1:1"]).await;
    assert_eq!(router.state.standing().recoveries, 0, "a connection that works was given up for nothing");

    down.revive();
    let mut component = Component::connect(down.addr(), None);
    component.subscribe("router.start");
    next(&mut component).await;
    knows(&router, &mut component, "after.example").await;
    router.stop().await;
}

/// The `host` of each line with this message.
fn places(lines: &[Line], message: &str) -> Vec<String> {
    let of_it = lines.iter().filter(|line| line.message == message);
    of_it.map(|line| line.data["host"].as_str().unwrap_or_default().to_owned()).collect()
}
