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

/// A million routes as fast as a server passes them on, at the usual limits: what is not there is counted, and is there
/// once components have answered the request for everything at a pace of their own.
pub(crate) async fn a_million_registrations_arrive<B: Broker>() {
    const SLOW: Duration = Duration::from_secs(600);
    /// Messages in a second, so many that none is dropped.
    const PACE: u32 = 15_000;
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let mut component = Component::connect(server.addr(), None);
    knows(&router, &mut component, "before.example").await;
    let mut starts = Component::connect(server.addr(), None);
    starts.subscribe("router.start");
    let began = Instant::now();
    let flood = std::thread::spawn(move || {
        (0..ROUTES).for_each(|number| component.send(REGISTER, "", &of_a_million(number)));
        component.publish(REGISTER, "", &message(1, "last.example"));
        component
    });
    eventually(SLOW, || async { flood.is_finished() }).await;
    let (sent, mut component) = (began.elapsed(), flood.join().unwrap());
    knows(&router, &mut component, "after.example").await;
    let (took, dropped) = (began.elapsed(), figure(&router, "total_dropped_messages").await);
    let routes = router.table.totals().routes as u64 - 2;
    say(&format!("{routes} routes, {dropped} dropped; sent in {sent:?}, worked off after {took:?}"));
    // The messages about the last host and the one after it may be among those that were dropped.
    assert!((ROUTES..ROUTES + 100).contains(&(routes + dropped)), "{routes} and {dropped}");
    if dropped == 0 {
        return router.stop().await;
    }

    heard(&mut starts, &mut 0, 1).await;
    let answer = std::thread::spawn(move || {
        for number in 0..ROUTES {
            component.send(REGISTER, "", &of_a_million(number));
            if number % 1_000 == 0 {
                std::thread::park_timeout(Duration::from_secs(1_000) / PACE);
            }
        }
    });
    eventually(SLOW, || async { answer.is_finished() }).await;
    eventually(PATIENCE, || async { router.table.totals().routes as u64 >= ROUTES + 2 }).await;
    assert_eq!(figure(&router, "total_dropped_messages").await, dropped);
    say(&format!("{} routes {:?} after the beginning", router.table.totals().routes, began.elapsed()));
    router.stop().await;
}

const ROUTES: u64 = 1_000_000;

fn of_a_million(number: u64) -> Vec<u8> {
    let (high, low) = (number >> 14, number & 0x3fff);
    let message = json!({ "host": format!("10.{}.{}.1", high & 0xff, low >> 8), "tls_port": 61_000 + (low & 0xff),
        "server_cert_domain_san": format!("instance-{number}"), "app": format!("app-{number}"),
        "private_instance_id": format!("instance-{number}"), "uris": [format!("app-{number}.example")] });
    message.to_string().into_bytes()
}

fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A figure of the metrics page, once it has been brought up to date.
async fn figure(router: &Router, name: &str) -> u64 {
    tokio::time::sleep(2 * trueroute::bus::healing::LOOK_EVERY).await;
    let page = router.metrics.render();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap()
}
