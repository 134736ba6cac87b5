//! More messages than the router takes, and what it says by itself.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use serde_json::json;
use trueroute::bus::ring::Ring;
use trueroute_testkit::eventually;

use crate::{
    broker::{Broker, Component, PATIENCE},
    capture::Capture,
    router::{Router, settings},
    stories::{REGISTER, knows, message, registration, server},
};

pub(crate) async fn what_a_flood_made_it_drop_is_counted_and_asked_for_again<B: Broker>() {
    const MESSAGES: u16 = 2_000;
    const PENDING: usize = 16;
    let server = server!(B, None);
    let capture = Capture::start();
    let mut component = Component::connect(server.addr(), None);
    component.subscribe("router.start");
    let ring = Ring::with_limits(PENDING, 1 << 20);
    let router = Router::start_with(&settings(&[server.addr()], None), ring, None).await.unwrap();
    let mut starts = 0;
    heard(&mut component, &mut starts, 1).await;
    let mut flood = Component::connect(server.addr(), None);
    // The router has no turn before the last message is on its way.
    for port in 1..=MESSAGES {
        flood.send(REGISTER, "", &message(port, "flood.example"));
    }
    heard(&mut component, &mut starts, 2).await;
    let taken = router.endpoints("flood.example").len();
    assert!(taken >= PENDING && taken < usize::from(MESSAGES), "{taken}");
    router.shows(&format!("total_dropped_messages {}", usize::from(MESSAGES) - taken)).await;
    router.shows("buffered_messages 0").await;
    let lines = capture.lines();
    let dropped = lines.iter().filter(|line| line.message == "messages-dropped").count();
    let asked = lines.iter().filter(|line| line.message == "asking-for-all-routes-again").count();
    assert!(dropped >= 1 && asked == 1, "{dropped} {asked}");

    // What a component sends in answer arrives, and so does whatever comes later.
    for port in (1..=MESSAGES).filter(|port| port % 200 == 0) {
        component.publish(REGISTER, "", &message(port, "again.example"));
    }
    eventually(PATIENCE, || async { router.endpoints("again.example").len() == 10 }).await;
    knows(&router, &mut component, "later.example").await;
    router.stop().await;
}

pub(crate) async fn used_apps_are_told_and_so_is_that_there_are_none<B: Broker>() {
    const EVERY: Duration = Duration::from_millis(50);
    let server = server!(B, None);
    let mut listener = Component::connect(server.addr(), None);
    listener.subscribe("router.active_apps");
    let router = Router::start_with(&settings(&[server.addr()], None), Ring::default(), Some(EVERY)).await.unwrap();
    let mut component = Component::connect(server.addr(), None);
    knows(&router, &mut component, "before.example").await;
    for (port, app) in [(1, "app-1"), (2, "app-2"), (3, "")] {
        let mut message = registration(port, "a.example");
        message["app"] = app.into();
        component.publish(REGISTER, "", message.to_string().as_bytes());
    }
    eventually(PATIENCE, || async { router.endpoints("a.example").len() == 3 }).await;
    assert_eq!(apps(&mut listener).await, [""; 0], "registered is not used");
    let pool = router.table.lookup("a.example", "/").unwrap();
    let endpoints: Vec<_> = pool.leases().iter().map(|lease| lease.endpoint()).collect();
    for place in [1, 0, 1, 2] {
        drop(endpoints[place].begin());
    }
    let mut told = apps(&mut listener).await;
    for _ in 0..10 {
        // A list that was made before may still have been on its way.
        if told.is_empty() {
            told = apps(&mut listener).await;
        }
    }
    assert_eq!(told, ["app-1", "app-2"]);
    assert_eq!(apps(&mut listener).await, [""; 0], "told once");
    router.stop().await;
}

/// The next list of apps.
async fn apps(listener: &mut Component) -> Vec<String> {
    let mut heard = None;
    eventually(PATIENCE, || {
        heard = listener.heard_bytes();
        let some = heard.is_some();
        async move { some }
    })
    .await;
    let json = miniz_oxide::inflate::decompress_to_vec_zlib(&heard.unwrap()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Waits until `count` start messages have come, of which `starts` came before.
async fn heard(component: &mut Component, starts: &mut usize, count: usize) {
    eventually(PATIENCE, || {
        *starts += usize::from(component.heard().is_some());
        let enough = *starts >= count;
        async move { enough }
    })
    .await;
}

/// What a million routes cost at the usual limits: nothing is lost without being counted, and what came is there.
pub(crate) async fn a_million_registrations_arrive<B: Broker>() {
    const ROUTES: usize = 1_000_000;
    const SLOW: Duration = Duration::from_secs(600);
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let mut component = Component::connect(server.addr(), None);
    knows(&router, &mut component, "before.example").await;
    let began = Instant::now();
    let flood = std::thread::spawn(move || {
        for number in 0..ROUTES {
            let (high, low) = (number >> 14, number & 0x3fff);
            let message = json!({ "host": format!("10.{}.{}.1", high & 0xff, low >> 8), "tls_port": 61_000 + (low & 0xff),
                "server_cert_domain_san": format!("instance-{number}"), "app": format!("app-{number}"),
                "private_instance_id": format!("instance-{number}"), "uris": [format!("app-{number}.example")] });
            component.send(REGISTER, "", message.to_string().as_bytes());
        }
        component
    });
    eventually(SLOW, || async { flood.is_finished() }).await;
    let sent = began.elapsed();
    knows(&router, &mut flood.join().unwrap(), "after.example").await;
    let took = began.elapsed();
    let routes = router.table.totals().routes - 2;
    let dropped = figure(&router, "total_dropped_messages").await;
    let line = format!("{routes} routes, {dropped} dropped; sent in {sent:?}, all applied after {took:?}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert_eq!(routes as u64 + dropped, ROUTES as u64);
    router.stop().await;
}

/// A figure of the metrics page, once it has been brought up to date.
async fn figure(router: &Router, name: &str) -> u64 {
    tokio::time::sleep(2 * trueroute::bus::healing::LOOK_EVERY).await;
    let page = router.metrics.render();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap()
}
