//! Envelopes from a sink to a socket.

use std::{net::UdpSocket, time::Instant};

use super::{
    envelope::{CounterEvent, EventType, ValueMetric},
    *,
};
use crate::{
    observe::{
        access_log::example,
        metrics::{Buckets, Metrics, RegistryAction, Tally},
    },
    route::{
        component::MAX_COMPONENTS,
        endpoint::Facts,
        peer::{Identity, Peer},
    },
};

const PATIENCE: Duration = Duration::from_secs(10);

fn server() -> UdpSocket {
    let server = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server
}

fn start(server: &UdpSocket, wishes: Wishes) -> Dropsonde {
    Dropsonde::start(&server.local_addr().unwrap().to_string(), wishes, Fields::default()).unwrap()
}

fn all() -> Wishes {
    Wishes { figures: true, times: true, exchanges: true, attempts: true, logs: true, index: 3, muzzle: Duration::ZERO }
}

fn receive(server: &UdpSocket) -> Envelope {
    let mut bytes = vec![0; 70_000];
    let size = server.recv(&mut bytes).unwrap();
    Envelope::decode(&bytes[..size]).unwrap()
}

fn endpoint(app: &'static str) -> Endpoint {
    let facts = Facts {
        app_id: app.into(),
        instance_id: "i-1".into(),
        instance_index: "2".into(),
        tags: Some(vec![("component".into(), "route-emitter".into())]),
        ..Facts::default()
    };
    Endpoint::new(Peer::new("10.0.0.1", 80, Identity::Plain), facts)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn times_of_a_request_are_figures_in_the_protocols_units() {
    let server = server();
    let dropsonde = start(&server, all());
    let sink = dropsonde.sink();
    sink.lookup(Duration::from_nanos(1500), at(1));
    sink.times(Component::named("metron-test"), Duration::from_millis(7), Duration::from_micros(250), at(2));
    sink.times(Component::NONE, Duration::from_millis(1), Duration::ZERO, at(3));
    sink.flush();
    let figure = || {
        let envelope = receive(&server);
        assert_eq!((envelope.origin.as_str(), envelope.event_type()), ("gorouter", EventType::ValueMetric));
        let ValueMetric { name, value, unit } = envelope.value_metric.unwrap();
        (name, value, unit, envelope.timestamp.unwrap())
    };
    for (name, value, unit, seconds) in [
        ("route_lookup_time", 1500.0, "ns", 1),
        ("latency", 7.0, "ms", 2),
        ("gorouter_time", 0.25, "ms", 2),
        ("latency.metron-test", 7.0, "ms", 2),
        ("latency", 1.0, "ms", 3),
        ("gorouter_time", 0.0, "ms", 3),
    ] {
        assert_eq!(figure(), (name.to_owned(), value, unit.to_owned(), seconds * 1_000_000_000));
    }
}

#[test]
fn lines_are_copied_for_those_who_own_an_app() {
    let server = server();
    let dropsonde = start(&server, all());
    let sink = dropsonde.sink();
    sink.copy(&example(), &endpoint(""), at(1));
    sink.copy(&example(), &endpoint("app-1"), at(2));
    sink.flush();
    let envelope = receive(&server);
    assert_eq!(envelope.event_type(), EventType::LogMessage);
    assert_eq!(envelope.tags["component"], "route-emitter");
    let line = envelope.log_message.unwrap();
    assert_eq!((line.message_type, line.timestamp), (1, 2_000_000_000));
    assert_eq!((line.app_id.as_deref(), line.source_type.as_deref()), (Some("app-1"), Some("RTR")));
    assert_eq!(line.source_instance.as_deref(), Some("3"));
    let mut expected = Vec::new();
    crate::observe::access_log::format(&example(), &mut expected);
    assert_eq!([&*line.message, b"\n"].concat(), expected);
}

#[test]
fn what_is_not_wished_is_not_sent() {
    let server = server();
    let wishes = Wishes { figures: false, ..all() };
    let dropsonde = start(&server, wishes);
    assert!(dropsonde.reporter().is_none() && dropsonde.registrations(Instant::now()).is_none());
    let sink = dropsonde.sink();
    assert!(!sink.tells_attempts() && !sink.tells_exchanges() && sink.copies_lines());
    sink.lookup(Duration::ZERO, at(1));
    sink.times(Component::NONE, Duration::ZERO, Duration::ZERO, at(1));
    let without = start(&server, Wishes { times: false, exchanges: false, attempts: false, logs: false, ..all() });
    let silent = without.sink();
    assert!(!silent.tells_attempts() && !silent.tells_exchanges() && !silent.copies_lines());
    silent.lookup(Duration::ZERO, at(1));
    silent.copy(&example(), &endpoint("app"), at(1));
    silent.flush();
    sink.copy(&example(), &endpoint("only this"), at(1));
    sink.flush();
    assert_eq!(receive(&server).log_message.unwrap().app_id.as_deref(), Some("only this"));
}

#[test]
fn counters_are_told_by_what_was_added_and_when_nothing_was() {
    let server = server();
    let dropsonde = start(&server, all());
    let mut reporter = dropsonde.reporter().unwrap();
    let metrics = Metrics::new(2, Buckets::default());
    let dea = Component::named("dea-1");
    metrics.shard(0).attempt(dea);
    metrics.shard(1).attempt(dea);
    metrics.shard(1).response(204);
    metrics.shard(1).response(101);
    metrics.shard(0).count(Tally::BadGateway);
    metrics.registered(dea, RegistryAction::Added);
    metrics.set_total_routes(7);
    metrics.set_file_descriptors(12);
    let mut round = || {
        let (mut counters, mut gauges, mut uptimes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..5 {
            reporter.tick(&metrics, Surroundings::default, Duration::from_millis(61_500), at(9));
        }
        dropsonde.spool.push(
            &{
                let mut end = Vec::new();
                metron::frame(&mut end, |out| encode(&Envelope::default(), out));
                end
            },
            1,
        );
        loop {
            let envelope = receive(&server);
            match (envelope.counter_event, envelope.value_metric) {
                (Some(CounterEvent { name, delta, total: None }), None) => counters.push((name, delta)),
                (None, Some(metric)) if metric.name == "uptime" => uptimes.push((metric.value, metric.unit)),
                (None, Some(metric)) => gauges.push((metric.name, metric.value, metric.unit)),
                _ => return (counters, gauges, uptimes),
            }
        }
    };
    let (counters, gauges, uptimes) = round();
    assert_eq!(uptimes, vec![(61.0, "seconds".to_owned()); 5]);
    let counted: Vec<_> =
        counters.iter().filter(|(_, delta)| *delta > 0).map(|(name, delta)| (&**name, *delta)).collect();
    assert_eq!(
        counted,
        [
            ("routed_app_requests", 2),
            ("total_requests", 2),
            ("requests.dea-1", 2),
            ("responses", 2),
            ("responses.2xx", 1),
            ("responses.xxx", 1),
            ("registry_message", 1),
            ("registry_message.dea-1", 1),
            ("bad_gateways", 1),
        ]
    );
    for name in [
        "responses.3xx",
        "responses.4xx",
        "responses.5xx",
        "responses.route_services",
        "responses.route_services.5xx",
        "unregistry_message",
        "routes_pruned",
        "token_fetch_errors",
        "subscribe_events_errors",
        "rejected_requests",
        "backend_exhausted_conns",
        "backend_invalid_id",
        "backend_invalid_tls_cert",
        "backend_tls_handshake_failed",
        "empty_content_length_header",
        "websocket_upgrades",
        "websocket_failures",
    ] {
        assert!(counters.contains(&(name.to_owned(), 0)), "{name} is told though it is 0");
    }
    assert!(counters.iter().all(|(name, _)| !name.starts_with("trueroute")), "{counters:?}");
    let units: Vec<_> = gauges.iter().map(|(name, value, unit)| (&**name, *value, &**unit)).collect();
    assert_eq!(
        units,
        [
            ("total_routes", 7.0, ""),
            ("ms_since_last_registry_update", 0.0, "ms"),
            ("file_descriptors", 12.0, "file"),
            ("buffered_messages", 0.0, "message"),
            ("total_dropped_messages", 0.0, "message"),
        ]
    );
    metrics.shard(0).attempt(dea);
    let (counters, gauges, _) = round();
    let counted: Vec<_> =
        counters.iter().filter(|(_, delta)| *delta > 0).map(|(name, delta)| (&**name, *delta)).collect();
    assert_eq!(counted, [("routed_app_requests", 1), ("total_requests", 1), ("requests.dea-1", 1)]);
    // Every tenth second the surroundings too.
    assert_eq!(
        gauges[5..].iter().map(|(name, ..)| &**name).collect::<Vec<_>>(),
        ["numCPUS", "memoryStats.numBytesAllocated"]
    );
    assert!(dea.index() < MAX_COMPONENTS);
}

#[test]
fn registrations_are_told_of_when_the_first_flood_is_over() {
    let server = server();
    let dropsonde = start(&server, Wishes { muzzle: Duration::from_secs(20), ..all() });
    let born = Instant::now();
    let told = dropsonde.registrations(born).unwrap();
    told.took(1.0, born + Duration::from_secs(19), at(1));
    told.took(2.0, born + Duration::from_secs(20), at(2));
    let metric = receive(&server).value_metric.unwrap();
    assert_eq!((&*metric.name, metric.value, &*metric.unit), ("route_registration_latency", 2.0, "ms"));
}

#[test]
fn a_queue_that_is_full_costs_envelopes_and_no_time() {
    // The thread is stuck with the first one, and so is the queue behind it.
    struct Stuck(std::sync::mpsc::Receiver<()>);
    impl io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (free, stuck) = std::sync::mpsc::channel();
    let (spool, writer) = spool::start("stuck", QUEUE, Stuck(stuck), |_, _| {}).unwrap();
    let dropsonde = Dropsonde { spool, writer, unsent: DropCount::default(), wishes: all(), fields: Fields::default() };
    let sink = dropsonde.sink();
    let mut pushed = 0_u64;
    while dropsonde.dropped().map(|count| count.lines()).sum::<u64>() == 0 {
        sink.lookup(Duration::ZERO, at(1));
        pushed += 1;
        assert!(pushed * 40 < 2 * QUEUE as u64, "the queue is bounded");
    }
    drop(free);
    assert!(dropsonde.flush(PATIENCE));
}
