//! A socket in metron's place hears what a router tells: figures, exchanges, lines for the owners of apps.

use std::{collections::BTreeSet, net::SocketAddr};

use prost::Message as _;
use tokio::{net::UdpSocket, time::timeout};
use trueroute::observe::dropsonde::envelope::{Envelope, EventType, HttpStartStop, PeerType, Uuid};

use super::{
    message::{HELLO, ask},
    scene::{APP_ID, INSTANCE_ID, Scene, raw, recorded},
    support::{PATIENCE, RouterBuilder, RouterProcess},
};

struct Metron {
    socket: UdpSocket,
}

impl Metron {
    async fn listen() -> Self {
        Self { socket: UdpSocket::bind(("127.0.0.1", 0)).await.unwrap() }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A router that tells this one.
    fn router(&self) -> RouterBuilder {
        recorded().set("logging.metron_address", self.address().to_string()).set("index", 4)
    }

    /// The next envelope that `wanted` picks from.
    async fn next<T>(&self, wanted: impl Fn(Envelope) -> Option<T>) -> T {
        let mut bytes = vec![0; 70_000];
        let found = async {
            loop {
                let size = self.socket.recv(&mut bytes).await.unwrap();
                let envelope = Envelope::decode(&bytes[..size]).unwrap();
                assert_eq!(envelope.origin, "gorouter");
                assert!(envelope.timestamp.unwrap() > 1_700_000_000_000_000_000, "{envelope:?}");
                if let Some(found) = wanted(envelope) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("the envelope comes")
    }

    /// The next event from that end, with its tags.
    async fn event(&self, peer: PeerType) -> (HttpStartStop, Vec<(String, String)>) {
        self.next(|envelope| {
            let tags = envelope.tags.clone().into_iter().collect();
            let event = envelope.http_start_stop?;
            (event.peer_type() == peer).then_some((event, tags))
        })
        .await
    }

    /// The names of the figures that come before a figure of this name.
    async fn figures_until(&self, last: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        loop {
            let name = self.next(|envelope| Some(envelope.value_metric?.name)).await;
            let end = name == last;
            names.insert(name);
            if end {
                return names;
            }
        }
    }
}

#[tokio::test]
async fn both_ends_of_an_exchange_are_told() {
    let metron = Metron::listen().await;
    let scene = Scene::with(metron.router()).await;
    let fields = ["User-Agent: teller/1", "X-Forwarded-For: 1.2.3.4, 5.6.7.8", "Content-Length: 2"];
    let request = ask("POST /a/b?secret=1 HTTP/1.1", &fields, "ab");
    let (response, _client) = scene.send(&request, "POST").await.unwrap();
    let id = response.header("x-vcap-request-id").unwrap().to_owned();
    let (attempt, tags) = metron.event(PeerType::Client).await;
    assert_eq!(attempt.request_id, Uuid::read(&id).unwrap());
    assert_eq!((attempt.method, attempt.status_code, attempt.content_length), (2, 200, 5));
    assert_eq!(
        (&*attempt.uri, &*attempt.remote_address),
        ("http://app.example.com/a/b", &*scene.app.addr().to_string())
    );
    assert!(attempt.start_timestamp < attempt.stop_timestamp, "{attempt:?}");
    let component = ("component".to_owned(), "route-emitter".to_owned());
    assert!(tags.contains(&component) && !tags.iter().any(|(name, _)| name == "trace_id"), "{tags:?}");
    let (exchange, tags) = metron.event(PeerType::Server).await;
    assert_eq!((exchange.request_id, exchange.status_code, exchange.content_length), (attempt.request_id, 200, 5));
    assert_eq!((&*exchange.user_agent, &*exchange.uri), ("teller/1", "http://app.example.com/a/b"));
    assert!(
        exchange.remote_address.starts_with("127.0.0.1:") && exchange.remote_address != scene.app.addr().to_string()
    );
    assert_eq!(exchange.forwarded, ["1.2.3.4", "5.6.7.8", "127.0.0.1"]);
    assert_eq!(exchange.application_id, Uuid::read(APP_ID));
    assert_eq!((exchange.instance_index, exchange.instance_id.as_deref()), (Some(0), Some(INSTANCE_ID)));
    assert!(exchange.start_timestamp <= attempt.start_timestamp && exchange.stop_timestamp >= attempt.stop_timestamp);
    let named = |name: &str| tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert!(tags.contains(&component), "{tags:?}");
    assert_eq!(named("trace_id").unwrap(), id.replace('-', ""));
    assert_eq!(named("span_id").unwrap().len(), 16);
}

#[tokio::test]
async fn failed_attempts_and_refusals_are_told_too() {
    let metron = Metron::listen().await;
    let scene = Scene::with(metron.router()).await;
    let gone = trueroute_testkit::peers::refuses_connections();
    scene.register(&super::scene::plain(gone.addr()).uri("gone.example.com")).await;
    assert_eq!(scene.get("gone.example.com", "/").await.status, 502);
    let (attempt, _) = metron.event(PeerType::Client).await;
    assert_eq!((attempt.status_code, attempt.remote_address), (0, gone.addr().to_string()));
    assert_eq!(metron.event(PeerType::Server).await.0.status_code, 502);
    assert_eq!(scene.get("nowhere.example.com", "/").await.status, 404);
    let (exchange, _) = metron.event(PeerType::Server).await;
    assert_eq!((exchange.status_code, exchange.application_id), (404, None));
}

#[tokio::test]
async fn each_kind_of_event_can_be_left_out() {
    let metron = Metron::listen().await;
    let router = metron.router().set("send_http_start_stop_client_event", false);
    let scene = Scene::with(router.set("per_request_metrics_reporting", false)).await;
    scene.exchange(&ask("GET /only-server HTTP/1.1", &[], "")).await;
    let kind = metron.next(|envelope| Some(envelope.http_start_stop?.peer_type())).await;
    assert_eq!(kind, PeerType::Server);
    let latency = |name: &String| name.starts_with("latency") || name.ends_with("_time");
    assert!(!metron.figures_until("file_descriptors").await.iter().any(latency), "times are told, which are off");
    drop(scene);
    let metron = Metron::listen().await;
    let scene = Scene::with(metron.router().set("send_http_start_stop_server_event", false)).await;
    scene.exchange(&ask("GET /only-client HTTP/1.1", &[], "")).await;
    scene.exchange(&ask("GET /only-client HTTP/1.1", &[], "")).await;
    for _ in 0..2 {
        let kind = metron.next(|envelope| Some(envelope.http_start_stop?.peer_type())).await;
        assert_eq!(kind, PeerType::Client);
    }
}

#[tokio::test]
async fn figures_come_per_request_and_in_rounds() {
    let metron = Metron::listen().await;
    let scene = Scene::with(metron.router()).await;
    scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
    let names = metron.figures_until("gorouter_time").await;
    assert!(names.contains("route_lookup_time") && names.contains("latency"), "{names:?}");
    let counted =
        metron.next(|envelope| envelope.counter_event.filter(|event| event.name == "requests.route-emitter")).await;
    assert_eq!((counted.delta, counted.total), (1, None));
    let names = metron.figures_until("total_dropped_messages").await;
    for name in ["total_routes", "file_descriptors", "buffered_messages", "ms_since_last_registry_update"] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
    let uptime = metron.next(|envelope| envelope.value_metric.filter(|metric| metric.name == "uptime")).await;
    assert!(uptime.value >= 5.0 && uptime.unit == "seconds", "{uptime:?}");
}

#[tokio::test]
async fn owners_of_apps_get_the_lines_of_their_requests() {
    let metron = Metron::listen().await;
    let router = metron.router().set("enable_envelope_v1_metrics", false).set("logging.loggregator_enabled", true);
    let scene = Scene::with(router).await;
    scene.exchange(&ask("GET /nobody HTTP/1.1", &["Host: nowhere.example.com"], "")).await;
    scene.exchange(&ask("GET /mine HTTP/1.1", &[], "")).await;
    // Nothing else is told, so it is the first that comes.
    let envelope = metron.next(Some).await;
    assert_eq!(envelope.event_type(), EventType::LogMessage);
    let message = envelope.log_message.unwrap();
    assert_eq!((message.app_id.as_deref(), message.source_instance.as_deref()), (Some(APP_ID), Some("4")));
    assert_eq!(String::from_utf8(message.message).unwrap(), scene.access_log_line("GET /mine ").await);
}

#[tokio::test]
async fn what_nobody_takes_is_counted_and_costs_no_request() {
    let metron = Metron::listen().await;
    let router = metron.router().set("logging.loggregator_enabled", true);
    drop(metron);
    let scene = Scene::with(router).await;
    trueroute_testkit::eventually(PATIENCE, async || {
        scene.app_says(raw(HELLO));
        assert_eq!(scene.get("app.example.com", "/").await.status, 200);
        scene.metric("trueroute_envelopes_dropped_total").await > 0.0
    })
    .await;
}

#[tokio::test]
async fn a_router_that_is_to_tell_nobody_does_not_start() {
    for text in ["logging: {metron_address: ''}", "logging: {metron_address: ''}\nenable_envelope_v1_metrics: true"] {
        let nats = trueroute_testkit::Nats::start();
        let text =
            format!("{text}\nport: 0\nnats: {{hosts: [{{hostname: 127.0.0.1, port: {}}}]}}\n", nats.addr().port());
        let (code, lines) = RouterProcess::run_to_end(&text).await;
        assert_eq!(code, 1);
        let fatal = lines.iter().find(|line| line.message() == "dropsonde-initialize-error").expect("it says why");
        assert!(fatal.mentions("logging.metron_address"), "{fatal:?}");
    }
}
