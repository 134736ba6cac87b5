//! One request and its reply: what was learned on the way, recorded when it is over.
//!
//! The record writes itself on drop, so that no way out of the request path can forget it. An exchange that
//! was cut off leaves no line and no response in the figures, as in Gorouter; one whose client left while
//! an endpoint was at work is recorded as 499.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant, SystemTime},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{HOST, REFERER, USER_AGENT},
    request::Parts,
};

use super::{
    access_log::{Cost, Entry, Sink},
    metrics::Shard,
    panics,
};
use crate::{
    failure::Failure,
    headers::{client_cert::ClientCert, trace::Ids},
    route::{endpoint::Endpoint, mtls::DomainIndex, source::Source},
};

/// Where a worker's exchanges are recorded.
#[derive(Debug)]
pub struct Recorder {
    /// The worker's counters.
    pub shard: Shard,
    /// The worker's buffer of access-log lines, if there is a log.
    pub sink: Option<Sink>,
}

/// Who asked: what is the same for every exchange of a client's connection.
#[derive(Debug, Default)]
pub struct Client {
    /// The client's IP address.
    pub ip: Box<str>,
    /// Its address and port.
    pub address: Box<str>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Whether its connection was given up, so that a body of which no more comes is not whole.
    pub gone: AtomicBool,
    /// Whether it sent chunks that are none, after which it is heard no more.
    pub garbled: AtomicBool,
    /// The server name that it asked for in the handshake.
    pub server_name: Option<Box<str>>,
    /// The domain to whose authorities it has proven itself (`domains`).
    pub domain: Option<DomainIndex>,
    /// What endpoints are told about its certificate.
    pub cert: ClientCert,
}

impl Client {
    /// A client at this address that came in plain and shows nothing.
    #[must_use]
    pub fn at(from: SocketAddr) -> Self {
        let ip = from.ip().to_canonical();
        Self {
            ip: ip.to_string().into(),
            address: SocketAddr::new(ip, from.port()).to_string().into(),
            ..Self::default()
        }
    }
}

/// One request and what became of it.
#[derive(Debug)]
pub struct Exchange {
    /// The request as it came, after the fields that its `Connection` names were removed.
    pub request: Parts,
    /// The fields that its `Connection` named, for the access log.
    pub removed: Vec<(HeaderName, HeaderValue)>,
    /// What endpoints are told about the client, once that is known.
    pub told: Option<Told>,
    /// The router's own address, if the client is shown the way that its request took.
    pub shown: Option<HeaderValue>,
    /// Its trace, by which lines about it in the log are found.
    pub trace: Ids,
    client: Arc<Client>,
    recorder: Arc<Recorder>,
    received: SystemTime,
    started: Instant,
    proxied: Option<Instant>,
    request_id: [u8; 36],
    endpoint: Option<Arc<Endpoint>>,
    outcome: Outcome,
    router_error: Option<String>,
    request_bytes: u64,
    response_bytes: u64,
    /// Only where somebody looks at it: most exchanges do without.
    cost: Option<Box<Cost>>,
}

/// What endpoints are told about the client.
#[derive(Clone, Debug)]
pub struct Told {
    /// The client's `X-Forwarded-For` with its address added; none where it brought no such field.
    pub forwarded_for: Option<Vec<u8>>,
    /// The scheme that the router states; none where the client's own word stands.
    pub forwarded_proto: Option<&'static str>,
}

/// How far the exchange came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// No answer was decided on.
    Open,
    /// The client gets this status.
    Answered(u16),
    /// The client's connection was cut in the middle of the answer.
    Cut,
}

impl Exchange {
    /// Opens the record of `request`, received now.
    #[must_use]
    pub fn open(request: Parts, client: Arc<Client>, recorder: Arc<Recorder>, request_id: [u8; 36]) -> Box<Self> {
        recorder.shard.exchange_opened();
        Box::new(Self {
            request,
            removed: Vec::new(),
            told: None,
            shown: None,
            trace: Ids::default(),
            client,
            recorder,
            received: SystemTime::now(),
            started: Instant::now(),
            proxied: None,
            request_id,
            endpoint: None,
            outcome: Outcome::Open,
            router_error: None,
            request_bytes: 0,
            response_bytes: 0,
            cost: None,
        })
    }

    /// When it was received.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When it was received, by the calendar.
    #[must_use]
    pub fn received(&self) -> SystemTime {
        self.received
    }

    /// Who asked.
    #[must_use]
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The worker's counters.
    #[must_use]
    pub fn shard(&self) -> &Shard {
        &self.recorder.shard
    }

    /// `X-Vcap-Request-Id`.
    #[must_use]
    pub fn request_id(&self) -> &str {
        str::from_utf8(&self.request_id).unwrap_or_default()
    }

    /// `X-Forwarded-For`: as endpoints get it, or as the client sent it if none was tried.
    #[must_use]
    pub fn forwarded_for(&self) -> &[u8] {
        match &self.told {
            Some(Told { forwarded_for: Some(list), .. }) => list,
            Some(Told { forwarded_for: None, .. }) => self.client.ip.as_bytes(),
            None => field(&self.request.headers, "x-forwarded-for"),
        }
    }

    /// `X-Forwarded-Proto`, likewise.
    #[must_use]
    pub fn forwarded_proto(&self) -> &[u8] {
        match &self.told {
            Some(Told { forwarded_proto: Some(scheme), .. }) => scheme.as_bytes(),
            _ => field(&self.request.headers, "x-forwarded-proto"),
        }
    }

    /// The router's own part is over; from here on endpoints are at work.
    pub fn hand_over(&mut self, now: Instant) {
        self.proxied = Some(now);
    }

    /// An attempt at `endpoint` begins.
    pub fn attempt(&mut self, endpoint: &Arc<Endpoint>) {
        self.recorder.shard.attempt(endpoint.component);
        self.name_endpoint(endpoint);
    }

    /// `endpoint` would have been asked; nothing was sent.
    pub fn name_endpoint(&mut self, endpoint: &Arc<Endpoint>) {
        self.endpoint = Some(Arc::clone(endpoint));
    }

    /// The endpoint that was asked last.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.endpoint.as_ref()
    }

    /// An attempt that took so long brought no answer.
    pub fn attempt_failed(&mut self, took: Duration) {
        if self.shows_cost() {
            let cost = self.cost.get_or_insert_default();
            cost.failed += 1;
            cost.failed_time += took;
        }
    }

    /// Whether anybody asks what the attempts cost.
    #[must_use]
    pub fn shows_cost(&self) -> bool {
        self.recorder.sink.as_ref().is_some_and(Sink::shows_cost)
    }

    /// The attempt that brought the answer cost so much; what failed before it is known already.
    pub fn attempt_answered(&mut self, cost: Cost) {
        let Cost { failed, failed_time, .. } = self.cost.as_deref().copied().unwrap_or_default();
        self.cost = Some(Box::new(Cost { failed, failed_time, ..cost }));
    }

    /// The client gets `status`.
    pub fn answer(&mut self, status: u16) {
        self.outcome = Outcome::Answered(status);
    }

    /// What the access log shows as the router's own error.
    pub fn router_error(&mut self, error: String) {
        self.router_error = Some(error);
    }

    /// So many bytes of the request's body have come so far.
    pub fn received_bytes(&mut self, bytes: u64) {
        self.request_bytes = bytes;
    }

    /// So many bytes of the response's body were handed over.
    pub fn sent(&mut self, bytes: u64) {
        self.response_bytes = bytes;
    }

    /// The answer broke off.
    pub fn cut(&mut self) {
        self.outcome = Outcome::Cut;
    }

    fn note_client_gone(&mut self) {
        tracing::info!(
            target: "proxy",
            error = %Failure::ClientGone,
            vcap_request_id = self.request_id(),
            "gateway-error-and-original-request-context-cancelled"
        );
        let answer = Failure::ClientGone.answer();
        self.outcome = Outcome::Answered(answer.status);
        self.router_error = answer.router_error;
        self.response_bytes = answer.body.map_or(0, |body| body.len() as u64 + 1);
    }

    /// Notes a `;` in the target, which apps read in more than one way. Only the log says so, and only if there is
    /// nothing worse to say.
    fn note_semicolon(&mut self) {
        const SEMICOLON: &str = "deprecated-semicolon-params";
        let target = self.request.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        if memchr::memchr(b';', target.as_bytes()).is_some() {
            tracing::warn!(
                target: "proxy",
                vcap_request_id = self.request_id(),
                "trace-id" = self.trace.trace_id(),
                "span-id" = self.trace.span_id(),
                "{SEMICOLON}"
            );
            self.router_error.get_or_insert_with(|| SEMICOLON.to_owned());
        }
    }

    fn count(&self, status: u16, took: Duration, router_time: Duration) {
        let Some(endpoint) = &self.endpoint else { return };
        let shard = &self.recorder.shard;
        shard.response(status);
        shard.latency(endpoint.component, Source::index(endpoint.source.as_ref()), took);
        shard.gorouter_time(router_time);
    }

    fn log(&self, sink: &Sink, status: u16, took: Duration, router_time: Duration) {
        let headers = &self.request.headers;
        let target = self.request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let facts = self.endpoint.as_ref().map(|endpoint| &endpoint.facts);
        sink.push(&Entry {
            host: host(&self.request),
            received: self.received,
            method: self.request.method.as_str(),
            target: target.as_bytes(),
            protocol: match self.request.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            status: Some(status),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            referer: field(headers, REFERER.as_str()),
            user_agent: field(headers, USER_AGENT.as_str()),
            remote_addr: &self.client.address,
            backend_addr: self.endpoint.as_ref().map_or("", |endpoint| endpoint.peer.address()),
            x_forwarded_for: self.forwarded_for(),
            x_forwarded_proto: self.forwarded_proto(),
            request_id: &self.request_id,
            response_time: Some(took),
            gorouter_time: Some(router_time),
            app_id: facts.map_or("", |facts| &facts.app_id),
            app_index: facts.map_or("", |facts| &facts.instance_index),
            instance_id: facts.map_or("", |facts| &facts.instance_id),
            router_error: self.router_error.as_deref().unwrap_or_default().as_bytes(),
            cost: self.cost.as_deref(),
            headers,
            removed: &self.removed,
        });
    }
}

/// The host that the request is for: of an absolute target, else of the Host header.
#[must_use]
pub fn host(request: &Parts) -> &[u8] {
    match request.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => request.headers.get(HOST).map_or(b"", HeaderValue::as_bytes),
    }
}

/// The request target as it goes to an endpoint: as it came. In HTTP/2 it comes in parts, of which `:path` is what
/// HTTP/1 has as the target.
#[must_use]
pub fn target(request: &Parts) -> Cow<'_, str> {
    match (request.uri.scheme(), request.uri.path_and_query()) {
        (None, Some(path)) => path.as_str().into(),
        (Some(_), Some(path)) if request.version == Version::HTTP_2 => path.as_str().into(),
        _ => request.uri.to_string().into(),
    }
}

fn field<'h>(headers: &'h HeaderMap, name: &str) -> &'h [u8] {
    headers.get(name).map_or(b"", HeaderValue::as_bytes)
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.outcome == Outcome::Open {
            if std::thread::panicking() {
                panics::belongs_to(host(&self.request));
                // Whoever confines the panic answers with this.
                self.outcome = Outcome::Answered(502);
                self.router_error = Some("unknown_failure".into());
            } else if self.endpoint.is_some() {
                self.note_client_gone();
            }
        }
        if let Outcome::Answered(status) = self.outcome {
            self.note_semicolon();
            let now = Instant::now();
            let took = now.duration_since(self.started);
            let router_time = self.proxied.map_or(Duration::ZERO, |begun| begun.duration_since(self.started));
            self.count(status, took, router_time);
            if let Some(sink) = &self.recorder.sink {
                self.log(sink, status, took, router_time);
            }
        }
        self.recorder.shard.exchange_closed();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::observe::{
        access_log::AccessLog,
        metrics::{Buckets, Metrics},
    };

    fn parts(version: Version, uri: &str) -> Parts {
        http::Request::builder().version(version).uri(uri).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_panic_is_logged_as_what_the_client_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::new().file(&path).unwrap();
        let shard = Metrics::new(1, Buckets::default()).shard(0);
        let recorder = Arc::new(Recorder { shard, sink: Some(log.sink()) });
        let request = parts(Version::HTTP_11, "http://app.example/broken");
        let exchange = Exchange::open(request, Arc::default(), Arc::clone(&recorder), [b'0'; 36]);
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _exchange = exchange;
            panic!("a fault of ours");
        }));
        assert!(panicked.is_err());
        assert_eq!(panics::taken().host, "app.example");
        recorder.sink.as_ref().unwrap().flush();
        assert!(log.flush(Duration::from_secs(10)));
        let line = std::fs::read_to_string(&path).unwrap();
        assert!(line.contains("\"GET /broken HTTP/1.1\" 502 "), "{line}");
        assert!(line.contains("x_cf_routererror:\"unknown_failure\""), "{line}");
    }

    #[test]
    fn the_target_of_http2_is_its_path() {
        for (version, uri, expected) in [
            (Version::HTTP_11, "/a?b", "/a?b"),
            (Version::HTTP_11, "http://a.example/b?c", "http://a.example/b?c"),
            (Version::HTTP_2, "https://a.example/b?c", "/b?c"),
            (Version::HTTP_2, "/b?c", "/b?c"),
        ] {
            assert_eq!(target(&parts(version, uri)), expected, "{version:?} {uri}");
        }
    }
}
