//! What routers hear of this instance, over the small NATS server and a real one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;
use trueroute_sidecar::{
    Settings,
    settings::{Farewell, NatsServer, Registration},
    stats::Event,
};
use trueroute_testkit::{Bus, for_each_bus, for_each_bus_with_login, nats_wire::NatsWire};

use super::scene::{PATIENCE, Running, World, echo, echoing};

async fn settings(world: &World, url: &str) -> Settings {
    let registration = Registration {
        servers: vec![url.parse::<NatsServer>().unwrap()],
        uris: vec!["a.example.com".into(), "*.b.example.com/path".into()],
        app_id: world.id.app.clone(),
        instance_id: world.id.instance.clone(),
        instance_index: Some(0),
        host: "127.0.0.1".into(),
        tls_port: None,
        plain_port: 0,
        isolation_segment: None,
        tags: vec![("process_id".into(), "p".into())],
        farewell: Farewell { times: 3, gap: Duration::from_millis(20) },
    };
    Settings { registration: Some(registration), ..world.settings(echoing().await, world.strict()) }
}

/// A router's ear on the bus.
struct Ear(NatsWire);

impl Ear {
    async fn at(bus: &Bus) -> Self {
        let mut wire = NatsWire::connect(&bus.url()).await.unwrap();
        wire.subscribe("router.*").await.unwrap();
        wire.flush().await.unwrap();
        Self(wire)
    }

    /// The next message to `subject`, others passed over.
    async fn hears(&mut self, subject: &str) -> (Value, Option<String>) {
        let heard = timeout(PATIENCE, async {
            loop {
                let message = self.0.next().await.unwrap();
                if message.subject == subject {
                    return message;
                }
            }
        });
        let message = heard.await.unwrap_or_else(|_| panic!("nothing to {subject}"));
        (serde_json::from_slice(&message.payload).unwrap_or_default(), message.reply)
    }

    async fn says(&mut self, subject: &str, interval_s: u64) {
        let greeting = json!({"id": "0-x", "hosts": ["127.0.0.1"], "minimumRegisterIntervalInSeconds": interval_s,
            "pruneThresholdInSeconds": 120});
        self.0.publish(subject, greeting.to_string()).await.unwrap();
        self.0.flush().await.unwrap();
    }
}

#[tokio::test]
async fn an_instance_registers_at_once_and_unregisters_three_times_on_a_stop() {
    for_each_bus(async |bus| {
        let (world, mut ear) = (World::new(), Ear::at(&bus).await);
        let sidecar = Running::start(settings(&world, &bus.url()).await).await;
        let expected = json!({
            "host": "127.0.0.1", "port": 0, "tls_port": sidecar.addr.port(),
            "uris": ["a.example.com", "*.b.example.com/path"], "app": world.id.app,
            "private_instance_id": world.id.instance, "private_instance_index": "0",
            "server_cert_domain_san": world.id.instance,
            "tags": {"component": "trueroute-sidecar", "process_id": "p"},
        });
        assert_eq!(ear.hears("router.register").await.0, expected);
        sidecar.stop.cancel();
        for _ in 0..3 {
            assert_eq!(ear.hears("router.unregister").await.0, expected);
        }
        let stats = sidecar.stats.clone();
        sidecar.ends().await;
        assert_eq!(stats.of(Event::Unregistered), 3);
    })
    .await;
}

#[tokio::test]
async fn the_greeting_is_asked_for_until_answered_and_its_interval_is_kept() {
    for_each_bus(async |bus| {
        let (world, mut ear) = (World::new(), Ear::at(&bus).await);
        let _sidecar = Running::start(settings(&world, &bus.url()).await).await;
        // Unanswered, it is asked for again.
        ear.hears("router.greet").await;
        let (_, inbox) = ear.hears("router.greet").await;
        ear.says(&inbox.unwrap(), 1).await;
        ear.hears("router.register").await;
        let start = Instant::now();
        for _ in 0..2 {
            ear.hears("router.register").await;
        }
        let took = start.elapsed();
        assert!((1500..3500).contains(&took.as_millis()), "{took:?} for two intervals of a second");
    })
    .await;
}

#[tokio::test]
async fn a_router_that_starts_hears_of_everybody_soon() {
    for_each_bus(async |bus| {
        let (world, mut ear) = (World::new(), Ear::at(&bus).await);
        let _sidecar = Running::start(settings(&world, &bus.url()).await).await;
        ear.hears("router.register").await;
        let start = Instant::now();
        ear.says("router.start", 10).await;
        ear.hears("router.register").await;
        // A fifth of the interval at most, where silence would have lasted twenty seconds.
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
async fn nonsense_from_the_bus_changes_nothing() {
    let (world, bus) = (World::new(), Bus::best());
    let mut ear = Ear::at(&bus).await;
    let sidecar = Running::start(settings(&world, &bus.url()).await).await;
    let (_, inbox) = ear.hears("router.greet").await;
    let inbox = inbox.unwrap();
    for nonsense in ["", "null", "[1", "{\"minimumRegisterIntervalInSeconds\":-4}", "\u{0}"] {
        for subject in ["router.start", inbox.as_str()] {
            ear.0.publish(subject, nonsense).await.unwrap();
        }
    }
    ear.says("router.start", 1).await;
    ear.hears("router.register").await;
    ear.hears("router.register").await;
    echo(&mut sidecar.call(&world.router()).await.unwrap(), "and traffic goes on").await;
}

#[tokio::test]
async fn user_and_password_of_the_url_are_used() {
    for_each_bus_with_login("route@registrar", "p:a/ss", async |bus| {
        let (world, url) = (World::new(), format!("nats://route%40registrar:p%3Aa%2Fss@{}", bus.addr()));
        let sidecar = Running::start(settings(&world, &url).await).await;
        sidecar.sees(Event::Registered, 1).await;
    })
    .await;
}

#[tokio::test]
async fn traffic_needs_no_nats_and_its_return_is_a_fresh_registration() {
    for_each_bus(async |bus| {
        let world = World::new();
        bus.die();
        let sidecar = Running::start(settings(&world, &bus.url()).await).await;
        let mut router = sidecar.call(&world.router()).await.unwrap();
        echo(&mut router, "without").await;
        bus.revive();
        let mut ear = Ear::at(&bus).await;
        ear.says("router.start", 1).await;
        ear.hears("router.register").await;
        bus.die();
        echo(&mut router, "lost again").await;
        bus.revive();
        Ear::at(&bus).await.hears("router.register").await;
        bus.die();
        // The end comes soon, although nobody can be told.
        sidecar.stop.cancel();
        drop(router);
        sidecar.ends().await;
    })
    .await;
}

#[tokio::test]
async fn there_is_no_registration_without_a_certificate_and_none_while_draining() {
    for_each_bus(async |bus| {
        let (world, mut ear) = (World::new(), Ear::at(&bus).await);
        std::fs::remove_file(world.file("instance.crt")).unwrap();
        let sidecar = Running::start(settings(&world, &bus.url()).await).await;
        ear.hears("router.greet").await;
        ear.hears("router.greet").await;
        assert_eq!(sidecar.stats.of(Event::Registered), 0);
        world.put(&world.instances.instance(&world.id).issue());
        ear.hears("router.register").await;
        world.put(&world.instances.drain().issue());
        ear.hears("router.unregister").await;
        // Not even when a router asks; with a name again, at once.
        ear.says("router.start", 1).await;
        let silence = Duration::from_millis(1500);
        assert!(timeout(silence, ear.hears("router.register")).await.is_err());
        world.put(&world.instances.instance(&world.id).issue());
        ear.hears("router.register").await;
    })
    .await;
}
