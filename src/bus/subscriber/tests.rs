use std::{cell::Cell, time::Duration};

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::{
    bus::{capture::Capture, ring::Fill},
    table::{Settings, Sharding},
};

const NOW: Moment = Moment::from_ms(1_000);

fn table(sharding: Sharding) -> Arc<Table> {
    let settings = Settings {
        stale_threshold: Duration::from_secs(120),
        empty_pool_grace: Duration::ZERO,
        sharding,
        balancing: crate::route::balancing::Algorithm::RoundRobin,
    };
    Arc::new(Table::new(settings))
}

fn subscriber(integrity: Option<Integrity>) -> (Subscriber, Arc<Table>) {
    let table = table(Sharding::All);
    (Subscriber::new(Arc::clone(&table), Policy { integrity, http2: true }), table)
}

fn plain(port: u16, uri: &str) -> Vec<u8> {
    json!({"host": "10.0.0.1", "port": port, "uris": [uri], "app": "app-1", "private_instance_id": format!("i-{port}")})
        .to_string()
        .into_bytes()
}

fn addresses(table: &Table, host: &str) -> Vec<String> {
    let pool = table.lookup(host, "/");
    let leases = pool.iter().flat_map(|pool| pool.leases().iter());
    leases.map(|lease| lease.endpoint().peer.address().to_owned()).collect()
}

fn registered(outcome: Outcome) -> Registered {
    match outcome {
        Outcome::Registered(done) => done,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_of_messages_replays_into_a_table() {
    let (mut subscriber, table) = subscriber(None);
    let log: [(&str, Vec<u8>); 6] = [
        (REGISTER, plain(1, "a.example")),
        (REGISTER, plain(2, "a.example")),
        ("router.other", plain(3, "a.example")),
        (UNREGISTER, plain(1, "a.example")),
        (REGISTER, plain(4, "B.Example/")),
        (UNREGISTER, plain(9, "b.example")),
    ];
    for (subject, payload) in &log {
        subscriber.apply(subject, payload, NOW);
    }
    assert_eq!(addresses(&table, "a.example"), ["10.0.0.1:2"]);
    assert_eq!(addresses(&table, "b.example"), ["10.0.0.1:4"]);
}

#[test]
fn the_outcome_tells_what_happened_to_each_route() {
    let (mut subscriber, _) = subscriber(None);
    let payload = json!({"host": "10.0.0.1", "port": 1, "uris": ["a.example", "", "b.example"],
        "tags": {"component": "route-emitter"}, "endpoint_updated_at_ns": 7});
    let first = registered(subscriber.apply(REGISTER, payload.to_string().as_bytes(), NOW));
    let expected = Registered {
        component: Component::named("route-emitter"),
        updated_at_ns: 7,
        added: 2,
        bad_uris: 1,
        ..Registered::NOTHING
    };
    assert_eq!(first, expected);
    let again = registered(subscriber.apply(REGISTER, payload.to_string().as_bytes(), NOW));
    assert_eq!((again.added, again.renewed, again.replaced), (0, 2, 0));
    let moved = json!({"host": "10.0.0.1", "port": 1, "uris": ["a.example"], "app": "another"});
    assert_eq!(registered(subscriber.apply(REGISTER, moved.to_string().as_bytes(), NOW)).replaced, 1);
    let gone = subscriber.apply(UNREGISTER, payload.to_string().as_bytes(), NOW);
    let Outcome::Unregistered(gone) = gone else { panic!("{gone:?}") };
    assert_eq!((gone.removed, gone.absent, gone.bad_uris), (2, 0, 1));
}

#[test]
fn each_change_has_its_log_line() {
    let (mut subscriber, _) = subscriber(None);
    let capture = Capture::start();
    let mut heads = |subject: &str, payload: &[u8]| {
        subscriber.apply(subject, payload, NOW);
        capture.heads()
    };
    let first = plain(1, "a.example");
    assert_eq!(heads(REGISTER, &first), ["INFO registry: route-registered", "INFO registry: endpoint-registered"]);
    assert_eq!(heads(REGISTER, &first), ["DEBUG registry: endpoint-registered"]);
    assert_eq!(heads(REGISTER, &plain(2, "a.example")), ["INFO registry: endpoint-registered"]);
    assert_eq!(heads(UNREGISTER, &plain(3, "a.example")), ["INFO registry: endpoint-not-unregistered"]);
    assert_eq!(heads(UNREGISTER, &plain(2, "a.example")), ["INFO registry: endpoint-unregistered"]);
    assert_eq!(
        heads(UNREGISTER, &first),
        ["INFO registry: endpoint-unregistered", "INFO registry: route-unregistered"]
    );
    assert_eq!(heads("router.start", b"{}"), [""; 0]);
    assert_eq!(heads("router.greet", b""), [""; 0]);
    assert_eq!(heads("router.start", b"{"), ["ERROR subscriber: validation-error"]);
}

#[test]
fn an_endpoint_of_a_foreign_segment_is_not_registered() {
    let table = table(Sharding::Only(vec!["mine".into()]));
    let mut subscriber = Subscriber::new(Arc::clone(&table), Policy::default());
    let capture = Capture::start();
    assert_eq!(registered(subscriber.apply(REGISTER, &plain(1, "a.example"), NOW)).ignored, 1);
    let lines = capture.lines();
    assert_eq!(lines[0].message, "endpoint-not-registered");
    assert_eq!(lines[0].data["isolation_segment"], "-");
}

#[test]
fn a_refused_message_is_quoted() {
    let (mut subscriber, table) = subscriber(None);
    let capture = Capture::start();
    let outcome = subscriber.apply(REGISTER, b"{\"port\": 70000, \"x\": \"\xff\x01\"}", NOW);
    assert_eq!(outcome, Outcome::Invalid);
    let lines = capture.lines();
    assert_eq!((lines[0].message.as_str(), lines[0].target), ("validation-error", "subscriber"));
    assert_eq!(lines[0].data["subject"], REGISTER);
    assert_eq!(lines[0].data["payload"], "{\"port\": 70000, \"x\": \"\u{fffd}\u{1}\"}");
    assert!(!lines[0].data["error"].as_str().unwrap().is_empty());
    assert_eq!(table.totals().endpoints, 0);
}

#[test]
fn a_policy_refusal_is_logged_once_per_endpoint() {
    let (mut subscriber, table) = subscriber(Some(Integrity::Tls));
    let capture = Capture::start();
    for _ in 0..3 {
        for (port, uri) in [(1, "a.example"), (2, "a.example"), (2, "b.example")] {
            let outcome = subscriber.apply(REGISTER, &plain(port, uri), NOW);
            assert_eq!(outcome, Outcome::Refused(Refused::PlainUnderTls));
        }
    }
    assert_eq!(capture.heads(), ["WARN subscriber: registration-refused"; 2]);
    assert_eq!(table.totals().endpoints, 0);
}

#[test]
fn a_refusal_without_an_address_is_logged_once_per_message() {
    let (mut subscriber, _) = subscriber(None);
    let capture = Capture::start();
    for payload in [&br#"{"uris":["a.example"]}"#[..], br#"{"uris":["b.example"]}"#, br#"{"uris":["a.example"]}"#] {
        assert_eq!(subscriber.apply(REGISTER, payload, NOW), Outcome::Refused(Refused::NoAddress));
    }
    assert_eq!(capture.heads().len(), 2);
}

#[test]
fn a_plain_endpoint_beside_proven_ones_is_told() {
    let (mut subscriber, _) = subscriber(None);
    let proven = br#"{"host":"10.0.0.2","tls_port":1,"server_cert_domain_san":"i","uris":["a.example"]}"#;
    subscriber.apply(REGISTER, proven, NOW);
    let capture = Capture::start();
    for _ in 0..2 {
        subscriber.apply(REGISTER, &plain(1, "a.example"), NOW);
    }
    let told = capture.lines().into_iter().filter(|line| line.message == "plain-endpoint-joined-tls-route");
    assert_eq!(told.map(|line| line.data["backend"].clone()).collect::<Vec<_>>(), ["10.0.0.1:1"]);
}

#[test]
fn the_memory_of_refusals_is_bounded() {
    let mut complained = Complained::default();
    for number in 0..10 * REMEMBERED {
        assert!(complained.is_news(Refused::NoAddress, hash(number)));
        assert!(!complained.is_news(Refused::NoAddress, hash(number)));
    }
    assert!(complained.young.len() + complained.old.len() <= 2 * REMEMBERED);
}

fn heard(payload: String) -> Heard {
    Heard { subject: REGISTER.into(), payload: Bytes::from(payload) }
}

#[tokio::test]
async fn a_panic_costs_one_message() {
    let ring = Ring::default();
    (0..5).for_each(|number| ring.push(heard(number.to_string())));
    ring.close();
    let (mut seen, mut panics) = (Vec::new(), 0);
    let step = |heard: &Heard| {
        assert_ne!(&heard.payload[..], b"2", "a defect");
        seen.push(heard.payload.clone());
        Outcome::Unused
    };
    work_off(&ring, step, |outcome| panics += u32::from(*outcome == Outcome::Panicked)).await;
    assert_eq!((seen.concat().as_slice(), panics), (b"0134".as_slice(), 1));
}

#[tokio::test]
async fn a_flood_gives_others_their_turn() {
    let ring = Ring::default();
    (0..10 * TURN).for_each(|number| ring.push(heard(number.to_string())));
    let done = Cell::new(0);
    let turns = Cell::new(0);
    let others = async {
        while done.get() < 10 * TURN {
            turns.set(turns.get() + 1);
            yield_now().await;
        }
        ring.close();
    };
    let step = |_: &Heard| {
        done.set(done.get() + 1);
        Outcome::Unused
    };
    tokio::join!(work_off(&ring, step, |_| {}), others);
    assert!(turns.get() >= 10, "{}", turns.get());
    assert_eq!(ring.fill(), Fill::default());
}

#[tokio::test]
async fn everything_let_in_before_the_end_is_applied() {
    let (subscriber, table) = subscriber(None);
    let ring = Ring::default();
    for port in 1..=1000 {
        ring.push(heard(String::from_utf8(plain(port, "a.example")).unwrap()));
    }
    ring.close();
    let metrics = Metrics::new(0, Default::default());
    let clock: Clock = Arc::new(|| NOW);
    run(subscriber, &ring, &metrics, &clock).await;
    assert_eq!(table.totals().endpoints, 1000);
    assert!(
        metrics.render().contains("registry_message{action=\"added\",component=\"\"} 1000"),
        "{}",
        metrics.render()
    );
}
