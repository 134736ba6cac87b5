//! The deprecated status pages, and the router's word on the bus that goes with them.

use serde_json::{Value, json};
use trueroute_testkit::{Bus, eventually, nats_wire::NatsWire};

use super::{
    message::ask,
    scene::{APP_ID, Scene, recorded},
    status::page,
    support::{PATIENCE, RouterBuilder},
};

const LOGIN: Option<&str> = Some("Basic c3RhdHVzOnNlY3JldA==");
const ANNOUNCE: &str = "vcap.component.announce";
const DISCOVER: &str = "vcap.component.discover";

fn deprecated() -> RouterBuilder {
    recorded().set("status.enable_deprecated_varz_healthz_endpoints", true).set("status.host", "127.0.0.1")
}

async fn varz(scene: &Scene) -> Value {
    let got = page(scene.health_port(), "/varz", LOGIN).await;
    assert_eq!(got.start, "HTTP/1.1 200 OK");
    assert!(got.fields.contains(&"Content-Type: application/json".to_owned()), "{got:?}");
    serde_json::from_str(&got.body).unwrap()
}

#[tokio::test]
async fn anybody_may_ask_for_health_and_nobody_else_for_the_rest() {
    let scene = Scene::with(deprecated()).await;
    let health = page(scene.health_port(), "/health", None).await;
    assert_eq!((&*health.start, &*health.body), ("HTTP/1.1 200 OK", "ok\n"));
    assert!(health.fields.contains(&"Expires: 0".to_owned()), "{health:?}");
    let alive = page(scene.health_port(), "/healthz", None).await;
    assert_eq!((&*alive.start, &*alive.body), ("HTTP/1.1 200 OK", "ok\n"));
    for login in [None, Some("Basic c3RhdHVzOndyb25n"), Some("basic c3RhdHVzOnNlY3JldA=="), Some("Bearer x")] {
        for path in ["/varz", "/routes", "/other", "/is-process-alive-do-not-use-for-loadbalancing"] {
            let got = page(scene.health_port(), path, login).await;
            assert_eq!((&*got.start, &*got.body), ("HTTP/1.1 401 Unauthorized", "401 Unauthorized\n"), "{path}");
            assert!(got.fields.iter().any(|field| field.eq_ignore_ascii_case("www-authenticate: Basic")), "{got:?}");
        }
    }
    for path in ["/other", "/pools", "/reload", "/varz/", "/is-process-alive-do-not-use-for-loadbalancing"] {
        assert!(page(scene.health_port(), path, LOGIN).await.start.contains(" 404 "), "{path}");
    }
    let got = page(scene.health_port(), "/routes", LOGIN).await;
    assert_eq!(serde_json::from_str::<Value>(&got.body).unwrap(), scene.routes_json().await);
    drop(scene.drain());
    eventually(PATIENCE, async || scene.health().await == 503).await;
    assert_eq!(page(scene.health_port(), "/healthz", None).await.start, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn varz_follows_what_happens() {
    let scene = Scene::with(deprecated()).await;
    for host in ["app.example.com", "app.example.com", "app.example.com", "nowhere.example.com"] {
        scene.send(&ask("GET / HTTP/1.1", &[&format!("Host: {host}")], ""), "GET").await.unwrap();
    }
    // The record of an exchange follows its answer.
    eventually(PATIENCE, async || varz(&scene).await["latency"]["samples"] == 3).await;
    let shown = varz(&scene).await;
    for (name, wanted) in [
        ("type", json!("Router")),
        ("host", json!(scene.health_port().to_string())),
        ("credentials", json!(["status", "secret"])),
        ("urls", json!(3)),
        ("droplets", json!(1)),
        ("requests", json!(3)),
        ("responses_2xx", json!(3)),
        ("responses_5xx", json!(0)),
        ("bad_requests", json!(1)),
        ("bad_gateways", json!(0)),
        ("top10_app_requests", json!([{"application_id": APP_ID, "rps": 0, "rpm": 3}])),
    ] {
        assert_eq!(shown[name], wanted, "{name}: {shown}");
    }
    assert_eq!(shown["tags"]["component"]["route-emitter"]["requests"], 3);
    let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.);
    let latency = &shown["latency"];
    for value in [&shown["rate"][0], &shown["rate"][2], &shown["num_cores"], &shown["mem"], &latency["99"]] {
        assert!(positive(value), "{shown}");
    }
}

#[tokio::test]
async fn whoever_looks_for_components_is_told_where_the_pages_are() {
    let scene = Scene::with(deprecated()).await;
    let bus = &scene.scene.bus;
    let Bus::Small(nats) = &**bus else { panic!("the recorded settings are told over the small one") };
    eventually(PATIENCE, async || !nats.published(ANNOUNCE).is_empty()).await;
    let mut wire = NatsWire::connect(&bus.url()).await.unwrap();
    wire.subscribe("answers").await.unwrap();
    wire.publish(DISCOVER, "").await.unwrap();
    wire.publish_asking(DISCOVER, "answers", "").await.unwrap();
    let mut told: Value = serde_json::from_slice(&wire.next().await.unwrap().payload).unwrap();
    let mut announced: Value = serde_json::from_slice(&nats.published(ANNOUNCE)[0].payload).unwrap();
    let shown = varz(&scene).await;
    for told in [&mut told, &mut announced] {
        assert!(told["uptime"].take().as_str().unwrap().starts_with("0d:0h:"));
        for name in ["type", "index", "host", "credentials", "uuid", "start"] {
            assert_eq!(told[name], shown[name], "{name}");
        }
        assert_eq!(told.as_object().unwrap().len(), 7);
    }
    let started: Value = serde_json::from_slice(&nats.published("router.start")[0].payload).unwrap();
    assert_eq!(shown["uuid"], started["id"]);
    assert_eq!(nats.published(ANNOUNCE).len(), 1);
}

#[tokio::test]
async fn unless_it_is_asked_for_there_is_none_of_it() {
    let scene = Scene::new().await;
    for path in ["/varz", "/healthz", "/routes"] {
        assert!(page(scene.health_port(), path, LOGIN).await.start.contains(" 404 "), "{path}");
    }
    let Bus::Small(nats) = &*scene.scene.bus else { panic!("the recorded settings are told over the small one") };
    assert!(nats.published("router.start").len() == 1 && nats.published("vcap.>").is_empty());
    assert!(!nats.subscriptions().iter().any(|subject| subject == DISCOVER));
}
