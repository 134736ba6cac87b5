//! What is written down when an exchange is over, or when it never became one.

use std::time::{Duration, Instant, SystemTime};

use http::{
    HeaderMap, Version,
    header::{REFERER, USER_AGENT},
    request::Parts,
};
use tokio_util::sync::CancellationToken;

use super::{Client, Exchange, Outcome, field, host};
use crate::{
    failure::Failure,
    observe::{
        access_log::{Aborted, Entry, Sink},
        dropsonde,
        metrics::Shard,
        panics,
        varz::AppCounts,
    },
    route::endpoint::Endpoint,
};

/// Where a worker's exchanges are recorded.
#[derive(Debug)]
pub struct Recorder {
    /// The worker's counters.
    pub shard: Shard,
    /// The worker's buffer of access-log lines, if there is a log.
    pub sink: Option<Sink>,
    /// There if exchanges that were not finished are logged too; cancelled when the router itself cuts them.
    pub aborted: Option<CancellationToken>,
    /// The worker's way to metron, if there is one.
    pub envelopes: Option<dropsonde::Sink>,
    /// There if requests are counted by app.
    pub apps: Option<AppCounts>,
}

impl Recorder {
    /// One that counts, and logs nothing.
    #[must_use]
    pub fn counting(shard: Shard) -> Self {
        Self { shard, sink: None, aborted: None, envelopes: None, apps: None }
    }

    /// Hands over what is buffered. Never waits.
    pub fn flush(&self) {
        if let Some(sink) = &self.sink {
            sink.flush();
        }
        if let Some(envelopes) = &self.envelopes {
            envelopes.flush();
        }
    }

    /// Whether a line is written of each exchange.
    fn logs(&self) -> bool {
        self.sink.is_some() || self.envelopes.as_ref().is_some_and(dropsonde::Sink::copies_lines)
    }

    /// Notes a request that the gate refused with `status` and `bytes` of text before it became an exchange.
    pub fn refused(&self, request: &Parts, client: &Client, status: u16, bytes: u64) {
        let (Some(sink), true) = (&self.sink, self.aborted.is_some()) else { return };
        let headers = &request.headers;
        sink.push(&Entry {
            host: host(request),
            method: request.method.as_str(),
            target: path(request),
            protocol: protocol(request.version),
            status: Some(status),
            response_bytes: bytes,
            referer: field(headers, REFERER.as_str()),
            user_agent: field(headers, USER_AGENT.as_str()),
            x_forwarded_for: field(headers, "x-forwarded-for"),
            x_forwarded_proto: field(headers, "x-forwarded-proto"),
            aborted: Some(Aborted::Refused),
            ..unread(client, headers)
        });
    }

    /// Notes something of `client` that never became a request: answered with `status`, or cut.
    pub fn never_read(&self, client: &Client, status: Option<u16>) {
        let (Some(sink), true) = (&self.sink, self.aborted.is_some()) else { return };
        let aborted = if status.is_some() { Aborted::Refused } else { Aborted::RequestCut };
        sink.push(&Entry { status, aborted: Some(aborted), ..unread(client, &HeaderMap::new()) });
    }
}

/// A line that tells who came, and nothing else.
fn unread<'e>(client: &'e Client, headers: &'e HeaderMap) -> Entry<'e> {
    Entry {
        host: b"",
        received: SystemTime::now(),
        method: "-",
        target: b"-",
        protocol: "-",
        status: None,
        request_bytes: 0,
        response_bytes: 0,
        referer: b"",
        user_agent: b"",
        remote_addr: &client.address,
        backend_addr: "",
        x_forwarded_for: b"",
        x_forwarded_proto: b"",
        request_id: b"",
        response_time: None,
        gorouter_time: None,
        app_id: "",
        app_index: "",
        instance_id: "",
        router_error: b"",
        cost: None,
        headers,
        removed: &[],
        aborted: None,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn path(request: &Parts) -> &[u8] {
    request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).as_bytes()
}

impl Exchange {
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
        shard.latency(endpoint.component, endpoint.source(), took);
        shard.gorouter_time(router_time);
        if let Some(apps) = &self.recorder.apps {
            apps.count(endpoint.app_id());
        }
    }

    fn log(&self, status: Option<u16>, took: Duration, router_time: Duration, aborted: Option<Aborted>) {
        let headers = &self.request.headers;
        let endpoint = self.endpoint.as_deref();
        let entry = Entry {
            host: host(&self.request),
            received: self.received,
            method: self.request.method.as_str(),
            target: path(&self.request),
            protocol: protocol(self.request.version),
            status,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            referer: field(headers, REFERER.as_str()),
            user_agent: field(headers, USER_AGENT.as_str()),
            remote_addr: &self.client.address,
            backend_addr: endpoint.map_or("", |endpoint| endpoint.peer.address()),
            x_forwarded_for: self.forwarded_for(),
            x_forwarded_proto: self.forwarded_proto(),
            request_id: &self.request_id,
            response_time: Some(took),
            gorouter_time: Some(router_time),
            app_id: endpoint.map_or("", Endpoint::app_id),
            app_index: endpoint.map_or("", Endpoint::instance_index),
            instance_id: endpoint.map_or("", Endpoint::instance_id),
            router_error: self.router_error.as_deref().unwrap_or_default().as_bytes(),
            cost: self.cost.as_deref(),
            headers,
            removed: &self.removed,
            aborted,
        };
        if let Some(sink) = &self.recorder.sink {
            sink.push(&entry);
        }
        if let (Some(envelopes), Some(endpoint)) = (&self.recorder.envelopes, &self.endpoint) {
            envelopes.copy(&entry, endpoint, self.received + took);
        }
    }

    /// From receipt until now, and the router's own part of it.
    fn times(&self) -> (Duration, Duration) {
        let took = Instant::now().duration_since(self.started);
        (took, self.proxied.map_or(Duration::ZERO, |begun| begun.duration_since(self.started)))
    }

    /// Writes the line of an exchange that Gorouter does not log.
    #[cold]
    fn log_unfinished(&self, status: Option<u16>) {
        if self.recorder.aborted.is_some() && self.recorder.logs() {
            let (took, router_time) = self.times();
            self.log(status, took, router_time, self.aborted());
        }
    }

    /// How it was cut off, if that is to be logged.
    fn aborted(&self) -> Option<Aborted> {
        let stopped = self.recorder.aborted.as_ref()?;
        match self.aborted? {
            Aborted::ClientLeft if stopped.is_cancelled() => Some(Aborted::RouterStopped),
            how => Some(how),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.outcome == Outcome::Open {
            if std::thread::panicking() {
                panics::belongs_to(host(&self.request));
                // Whoever confines the panic answers with this.
                self.outcome = Outcome::Answered(502);
                self.router_error = Some("unknown_failure".into());
            } else {
                self.aborted = Some(Aborted::ClientLeft);
                // A route service has no endpoint, and may have been at work all the same.
                if self.proxied.is_some() {
                    self.note_client_gone();
                }
            }
        }
        match self.outcome {
            Outcome::Answered(status) => {
                self.note_semicolon();
                let (took, router_time) = self.times();
                self.count(status, took, router_time);
                if let Some(envelopes) = &self.recorder.envelopes {
                    self.tell(envelopes, status, took, router_time);
                }
                if self.recorder.logs() {
                    self.log(Some(status), took, router_time, self.aborted());
                }
            }
            Outcome::Cut(status) => self.log_unfinished(Some(status)),
            Outcome::Open => self.log_unfinished(None),
        }
        self.recorder.shard.exchange_closed();
    }
}
