//! What must hold on the bus, whatever the server.

use std::time::{Duration, Instant};

use serde_json::json;
use trueroute::bus::link::{INITIAL_PAUSE, LinkClosed, LinkError, LinkSettings};
use trueroute_testkit::{ReservedPort, eventually};

use crate::{
    broker::{Broker, Component, Login, PATIENCE},
    capture::Capture,
    router::{Router, settings},
};

pub(crate) const REGISTER: &str = "router.register";
const UNREGISTER: &str = "router.unregister";

pub(crate) fn message(port: u16, host: &str) -> Vec<u8> {
    registration(port, host).to_string().into_bytes()
}

pub(crate) fn registration(port: u16, host: &str) -> serde_json::Value {
    json!({ "host": "10.0.0.1", "port": port, "uris": [host] })
}

/// The server, or the end of the test where it is not to be had.
macro_rules! server {
    ($kind:ident, $login:expr) => {
        match $kind::start($login) {
            Some(server) => server,
            None => return,
        }
    };
}

pub(crate) use server;

pub(crate) async fn registrations_come_and_go<B: Broker>() {
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let mut component = Component::connect(server.addr(), None);
    eventually(PATIENCE, || {
        component.publish(REGISTER, "", &message(1, "a.example"));
        let known = !router.endpoints("a.example").is_empty();
        async move { known }
    })
    .await;
    component.publish(REGISTER, "", &message(2, "a.example"));
    router.serves("a.example", &["10.0.0.1:1", "10.0.0.1:2"]).await;
    component.publish(UNREGISTER, "", &message(1, "a.example"));
    router.serves("a.example", &["10.0.0.1:2"]).await;
    component.publish(UNREGISTER, "", &message(2, "a.example"));
    router.serves("a.example", &[]).await;
    router.stop().await;
}

pub(crate) async fn components_learn_how_often_to_register<B: Broker>() {
    let server = server!(B, None);
    let mut starts = Component::connect(server.addr(), None);
    starts.subscribe("router.start");
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let start = next(&mut starts).await;
    let id = start["id"].as_str().unwrap();
    assert!(id.starts_with("7-") && id.len() == 38, "{id}");
    assert_eq!(start["hosts"], json!(["127.0.0.1"]));
    assert_eq!(start["minimumRegisterIntervalInSeconds"], 20);
    assert_eq!(start["pruneThresholdInSeconds"], 120);

    let mut component = Component::connect(server.addr(), None);
    component.subscribe("inbox.*");
    component.publish("router.greet", "inbox.1", b"");
    assert_eq!(next(&mut component).await, start);
    component.publish("router.greet", "", b"");
    component.publish("router.greet", "inbox.2", b"not even JSON");
    assert_eq!(next(&mut component).await, start);
    assert_eq!((starts.heard(), component.heard()), (None, None));
    router.stop().await;
}

pub(crate) async fn a_start_is_told_again_after_each_reconnect<B: Broker>() {
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    for round in 1..=2_u16 {
        server.die();
        router.is_connected(false).await;
        // The router does nothing until the next await, so the component is there before it.
        server.revive();
        let mut component = Component::connect(server.addr(), None);
        component.subscribe("router.start");
        let returned = Instant::now();
        next(&mut component).await;
        assert!(returned.elapsed() < Duration::from_secs(1), "{:?}", returned.elapsed());
        component.publish(REGISTER, "", &message(round, "a.example"));
        eventually(PATIENCE, || async { router.endpoints("a.example").len() == usize::from(round) }).await;
        assert_eq!(component.heard(), None, "a second start message");
        assert_eq!(router.state.standing().recoveries, u64::from(round));
    }
    router.stop().await;
}

pub(crate) async fn a_wrong_password_is_named<B: Broker>() {
    let server = server!(B, Some(("nats", "right")));
    let error = Router::start(&settings(&[server.addr()], Some(("nats", "wrong")))).await.err().unwrap();
    assert!(matches!(error, LinkError::Refused { .. }), "{error:?}");
    let expected = format!("nats server {} refuses nats.user or nats.pass", server.addr());
    assert_eq!(error.to_string(), expected);
}

pub(crate) async fn a_password_may_hold_any_character<B: Broker>() {
    const LOGIN: Login = Some(("na:ts@home/", "p@ss:w/rd?#[%41] \"ü\\"));
    let server = server!(B, LOGIN);
    let router = Router::start(&settings(&[server.addr()], LOGIN)).await.unwrap();
    let mut component = Component::connect(server.addr(), LOGIN);
    component.subscribe("inbox");
    eventually(PATIENCE, || {
        component.send("router.greet", "inbox", b"");
        let answered = component.heard().is_some();
        async move { answered }
    })
    .await;
    router.stop().await;
}

pub(crate) async fn a_connection_that_is_closed_for_good_is_an_end<B: Broker>() {
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    assert_eq!(router.closed_for_good().await, Err(LinkClosed));
}

pub(crate) async fn without_a_server_a_start_fails_after_three_tries() {
    let (one, two) = (ReservedPort::new(), ReservedPort::new());
    let began = Instant::now();
    let error = Router::start(&settings(&[one.addr(), two.addr()], None)).await.err().unwrap();
    let took = began.elapsed();
    assert!(took >= 2 * INITIAL_PAUSE && took < Duration::from_secs(5), "{took:?}");
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    for part in [one.addr().to_string(), two.addr().to_string(), "3 tries".into(), "refused".into()] {
        assert!(text.contains(&part), "{part} in {text}");
    }
}

pub(crate) async fn the_second_server_serves_when_the_first_is_down<B: Broker>() {
    let (down, up) = (ReservedPort::new(), server!(B, None));
    let capture = Capture::start();
    let by_name = LinkSettings { servers: named(&[down.port(), up.port()]), ..settings(&[], None) };
    let router = Router::start(&by_name).await.unwrap();
    let connected = capture.lines().into_iter().find(|line| line.message == "Successfully-connected-to-nats");
    let place = json!({ "host": format!("localhost:{}", up.port()), "addr": up.addr().to_string() });
    assert_eq!(connected.unwrap().data, place);
    router.stop().await;
}

pub(crate) async fn the_second_server_serves_when_the_first_refuses<B: Broker>() {
    let (refuses, accepts) = (server!(B, Some(("nats", "another"))), server!(B, Some(("nats", "right"))));
    let router = Router::start(&settings(&[refuses.addr(), accepts.addr()], Some(("nats", "right")))).await.unwrap();
    let mut component = Component::connect(accepts.addr(), Some(("nats", "right")));
    knows(&router, &mut component, "a.example").await;
    router.stop().await;
}

pub(crate) async fn a_dead_server_is_replaced_by_the_next<B: Broker>() {
    let (dies, stays) = (server!(B, None), server!(B, None));
    let router = Router::start(&settings(&[dies.addr(), stays.addr()], None)).await.unwrap();
    dies.die();
    let mut component = Component::connect(stays.addr(), None);
    knows(&router, &mut component, "a.example").await;
    router.is_connected(true).await;
    assert_eq!(router.state.standing().recoveries, 1);
    router.stop().await;
}

pub(crate) async fn malformed_messages_cost_only_themselves<B: Broker>() {
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let mut component = Component::connect(server.addr(), None);
    knows(&router, &mut component, "before.example").await;
    let huge = format!(r#"{{"host":"{}","port":1,"uris":["bad.example"]"#, "a".repeat(1_000_000));
    let deep = [r#"{"tags":"#.to_owned(), "[".repeat(100_000)].concat();
    let malformed: [&[u8]; 24] = [
        b"",
        b" ",
        b"{",
        b"[]",
        b"\"router\"",
        b"17",
        b"true",
        b"[{\"host\":\"10.0.0.1\",\"port\":1,\"uris\":[\"bad.example\"]}]",
        br#"{"host":10,"port":1,"uris":["bad.example"]}"#,
        br#"{"host":"10.0.0.1","port":"1","uris":["bad.example"]}"#,
        br#"{"host":"10.0.0.1","port":65536,"uris":["bad.example"]}"#,
        br#"{"host":"10.0.0.1","port":-1,"uris":["bad.example"]}"#,
        br#"{"host":"10.0.0.1","port":1.5,"uris":["bad.example"]}"#,
        br#"{"host":"10.0.0.1","port":1,"uris":"bad.example"}"#,
        br#"{"host":"10.0.0.1","port":1,"uris":["bad.example",1]}"#,
        br#"{"host":"10.0.0.1","port":1,"uris":["bad.example"],"tags":["a"]}"#,
        br#"{"host":"10.0.0.1","port":1,"uris":["bad.example"],"tags":{"a":1}}"#,
        br#"{"host":"10.0.0.1","port":1,"uris":["bad.example"],"private_instance_index":0}"#,
        br#"{"host":"10.0.0.1","port":1,"uris":["bad.example"],"stale_threshold_in_seconds":1e99}"#,
        br#"{"host":"10.0.0.1","port":1,"uris":["bad.example"],"endpoint_updated_at_ns":9223372036854775808}"#,
        br#"{"host":"10.0.0.1","port":1,"uris":["bad.example"],"route_service_url":"http://a.example"}"#,
        b"{\"host\":\"10.0.0.1\",\"port\":1,\"uris\":[\"bad.example\"]}\xff\xfe",
        huge.as_bytes(),
        deep.as_bytes(),
    ];
    for payload in malformed {
        component.publish(REGISTER, "", payload);
    }
    component.publish(REGISTER, "", &message(1, "after.example"));
    router.serves("after.example", &["10.0.0.1:1"]).await;
    assert_eq!(router.endpoints("bad.example"), [""; 0]);
    assert_eq!(router.endpoints("before.example"), ["10.0.0.1:1"]);
    router.shows("trueroute_registrations_rejected_total{reason=\"invalid\"} 24").await;
    router.stop().await;
}

/// A server passes such a subject on; the client library gives up the connection over it.
pub(crate) async fn a_subject_that_is_no_text_costs_a_reconnect<B: Broker>() {
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let mut component = Component::connect(server.addr(), None);
    knows(&router, &mut component, "before.example").await;
    component.publish(b"router.\xff", "", b"{}");
    knows(&router, &mut component, "after.example").await;
    assert_eq!(router.endpoints("before.example").len(), 1);
    router.stop().await;
}

pub(crate) async fn a_flood_passes<B: Broker>() {
    const ROUNDS: u32 = 200;
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let mut component = Component::connect(server.addr(), None);
    knows(&router, &mut component, "before.example").await;
    let flood = std::thread::spawn(move || {
        let tags = |mut message: serde_json::Value| {
            message["tags"] = json!({ "component": "flood" });
            message.to_string().into_bytes()
        };
        let messages: Vec<_> = (1..=100).map(|port| tags(registration(port, "flood.example"))).collect();
        for _ in 0..ROUNDS {
            messages.iter().for_each(|message| component.send(REGISTER, "", message));
        }
        component
    });
    eventually(PATIENCE, || async { flood.is_finished() }).await;
    knows(&router, &mut flood.join().unwrap(), "after.example").await;
    assert_eq!(router.endpoints("flood.example").len(), 100);
    let refreshed = format!("registry_message{{action=\"refreshed\",component=\"flood\"}} {}", 100 * (ROUNDS - 1));
    router.shows(&refreshed).await;
    router.stop().await;
}

pub(crate) async fn pruning_rests_while_the_server_is_down<B: Broker>() {
    let server = server!(B, None);
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let mut component = Component::connect(server.addr(), None);
    knows(&router, &mut component, "a.example").await;
    let mut pruner = router.pruner();
    server.die();
    router.is_connected(false).await;
    router.clock_at(1_000);
    assert!(pruner.tick(router.now(), &router.metrics).is_empty(), "pruned during the outage");
    server.revive();
    router.is_connected(true).await;
    assert!(pruner.tick(router.now(), &router.metrics).is_empty(), "pruned right after the outage");
    assert_eq!(router.endpoints("a.example").len(), 1);
    router.clock_at(1_121);
    assert_eq!(pruner.tick(router.now(), &router.metrics).len(), 1);
    assert_eq!(router.endpoints("a.example").len(), 0);
    router.stop().await;
}

pub(crate) async fn an_outage_is_told_in_the_log<B: Broker>() {
    let server = server!(B, None);
    let capture = Capture::start();
    let router = Router::start(&settings(&[server.addr()], None)).await.unwrap();
    let mut told = Vec::new();
    let mut tells = async |message: &str, times: usize| {
        eventually(PATIENCE, || {
            told.extend(capture.lines().into_iter().filter(|line| line.message.to_lowercase().contains("nats")));
            let found = told.iter().filter(|line| line.message == message).count();
            async move { found >= times }
        })
        .await;
    };
    server.die();
    tells("nats-connection-disconnected", 1).await;
    tells("nats-connection-still-disconnected", 2).await;
    server.revive();
    tells("nats-connection-reconnected", 1).await;
    router.stop().await;
    let place = json!({ "host": server.addr().to_string(), "addr": server.addr().to_string() });
    let once = ["Successfully-connected-to-nats", "nats-connection-disconnected", "nats-connection-reconnected"];
    for message in once {
        let places: Vec<_> = told.iter().filter(|line| line.message == message).map(|line| &line.data).collect();
        assert_eq!(places, [&place], "{message}");
    }
}

/// Registers `host` until the router knows it: its subscription may not stand yet, or be broken.
pub(crate) async fn knows(router: &Router, component: &mut Component, host: &str) {
    eventually(PATIENCE, || {
        component.publish(REGISTER, "", &message(1, host));
        let known = !router.endpoints(host).is_empty();
        async move { known }
    })
    .await;
}

pub(crate) async fn next(component: &mut Component) -> serde_json::Value {
    let mut heard = None;
    eventually(PATIENCE, || {
        heard = component.heard();
        let some = heard.is_some();
        async move { some }
    })
    .await;
    heard.unwrap()
}

fn named(ports: &[u16]) -> Vec<(String, u16)> {
    ports.iter().map(|port| ("localhost".into(), *port)).collect()
}
