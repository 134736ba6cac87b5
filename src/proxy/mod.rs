//! What happens to a request, from its head to its last byte.
//!
//! open -> admit -> resolve -> prepare -> [pick -> connect -> send -> judge]* -> reply | tunnel -> record.
//! [`Proxy::handle`] is that line in code; each step has a module of its own, and no step writes a status.

pub mod admit;
mod affinity;
pub mod attempt;
pub mod body;
pub mod domain;
pub mod http2;
pub mod prepare;
pub mod reply;
pub mod request_body;
pub mod resolve;
pub mod rules;
pub mod service;
pub mod tunnel;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderValue, Request, Response, Version, header::CONNECTION};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use self::{
    body::ClientBody,
    prepare::Prepared,
    request_body::{RequestBody, Source},
    rules::Rules,
};
use crate::{
    bus::state::BusState,
    failure::{Counter, Failure},
    headers::{client_cert::ClientCert, forwarded::ProtoPolicy, hop_by_hop, noted::Noted, sticky},
    lifecycle::{Drain, Stopping},
    observe::{
        exchange::{Client, Exchange, Recorder, host, target},
        metrics::Tally,
    },
    route::{moment::Moment, mtls::Domains, pick, pool::Pool},
    table::Table,
    upstream::{Reply, Upstream, replay::Replayable},
};

/// What the request path is told by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Attempts that count (`backends.max_attempts`), at least 1.
    pub max_attempts: u32,
    /// From dispatch to the end of the response's body, per attempt.
    pub endpoint_timeout: EndpointTimeout,
    /// Bounds on picking: `backends.max_conns`, and how long a failed endpoint rests.
    pub pick: pick::Limits,
    /// Whether connections serve one request only (`disable_keep_alives`).
    pub one_request_per_connection: bool,
    /// Whether a known route without endpoints is 503 instead of 404.
    pub empty_pool_is_503: bool,
    /// What becomes of `X-Forwarded-Proto`.
    pub proto: ProtoPolicy,
    /// Largest head of a response, in bytes.
    pub max_response_head: usize,
    /// Which sessions stick to an instance.
    pub sessions: sticky::Rules,
    /// Most fields of a response (`max_response_headers`).
    pub max_response_lines: usize,
    /// Domains whose clients must have proven themselves to the domain's own authorities.
    pub domains: Domains,
    /// What is added to, removed from and asked of heads.
    pub rules: Arc<Rules>,
    /// What requests for routes with a service go through.
    pub services: Arc<service::Rules>,
}

/// How long an endpoint may take, by the version of HTTP that the client speaks; none for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointTimeout {
    /// For HTTP/1 (`http_1_endpoint_timeout`, or else `endpoint_timeout`).
    pub http1: Option<Duration>,
    /// For HTTP/2 (`http_2_endpoint_timeout`, or else `endpoint_timeout`).
    pub http2: Option<Duration>,
}

impl EndpointTimeout {
    /// For a request of this version.
    #[must_use]
    pub fn of(self, version: Version) -> Option<Duration> {
        if version == Version::HTTP_2 { self.http2 } else { self.http1 }
    }

    /// For any request.
    #[must_use]
    pub fn longest(self) -> Option<Duration> {
        self.http1.zip(self.http2).map(|(http1, http2)| http1.max(http2))
    }
}

/// The request path of one worker.
pub struct Proxy {
    /// Where requests may go.
    pub table: Arc<Table>,
    /// How they get there.
    pub upstream: Upstream,
    /// How requests get to route services; none where these are off.
    pub services: Option<service::Ways>,
    /// What the configuration says.
    pub settings: Arc<Settings>,
    /// Where exchanges are recorded.
    pub recorder: Arc<Recorder>,
    /// How the bus stands, where endpoints are kept while it is away; none where they are not.
    pub bus: Option<Arc<BusState>>,
    /// The origin of [`Moment`]s.
    pub origin: Instant,
    /// Whether clients are asked to leave.
    pub leaving: Stopping,
    /// What must end before the process may.
    pub drain: Drain,
}

impl Proxy {
    /// The reply to one request. It never fails: a failure is an answer too.
    pub async fn handle(&self, client: &Arc<Client>, mut request: Request<Incoming>) -> Response<ClientBody> {
        let switch = request.extensions_mut().remove::<OnUpgrade>();
        let (mut parts, incoming) = request.into_parts();
        let http2 = parts.version == Version::HTTP_2;
        let mut noted = Noted::of(&parts.headers);
        let admitted = admit::admit(&parts, &noted);
        if let Err(refused) = if http2 { admitted.and_then(|()| http2::admit(&mut parts)) } else { admitted } {
            self.recorder.shard.count(Tally::GateRefused);
            reply::note_refused(&self.recorder, &parts, client, refused);
            return reply::refused(refused);
        }
        // HTTP/1.0 switches to nothing (RFC 9110 section 7.8), nor does HTTP/2 this way.
        let may_switch = noted.upgrade && noted.connection && parts.version == Version::HTTP_11;
        let wants = if may_switch { hop_by_hop::upgrade(&parts.headers) } else { None };
        let rules = &*self.settings.rules;
        // Whatever the app is told, the client waits to be asked for its body.
        let expects = noted.expect;
        let removed =
            if noted.connection { hop_by_hop::remove_named(&mut parts.headers, &rules.kept) } else { Vec::new() };
        if !removed.is_empty() {
            noted = Noted::of(&parts.headers);
        }
        let shown =
            if noted.signature { self.settings.services.shown(&parts.headers, SystemTime::now()) } else { None };
        self.tell_certificate(client, &mut parts.headers, noted, shown.as_deref());
        let (id, trace) = rules.name_request(&mut parts.headers);
        let mut exchange = Exchange::open(parts, Arc::clone(client), Arc::clone(&self.recorder), id);
        exchange.trace = trace;
        tracing::debug!(
            target: "proxy",
            vcap_request_id = exchange.request_id(),
            "trace-id" = trace.trace_id(),
            "span-id" = trace.span_id(),
            "vcap-request-id-header-set"
        );
        exchange.removed = removed;
        let length = if noted.length { prepare::content_length(&exchange.request) } else { None };
        let body = RequestBody::new(incoming, expects, Source::of(http2, noted.codings > 0, client));
        let body = Replayable::new(body, length);
        // What was not asked for may come all the same, or another request: nobody could tell.
        let unasked = expects && !body.is_empty();

        if let Some(health) = rules.health(&exchange.request.headers, &noted) {
            return self.finish(reply::health(health, exchange), unasked);
        }
        if noted.trace_key {
            exchange.shown = rules.shown_to(&exchange.request.headers).cloned();
        }

        let mut last = false;
        let response = match self.try_handle(&mut exchange, noted, body, wants.as_ref(), shown).await {
            Ok(Reply::Response(head, body)) => {
                last |= body.leaves_body_unread();
                reply::endpoint(head, body, exchange)
            }
            Ok(Reply::Switched(head, stream, early)) => {
                match tunnel::open(head, stream, early, switch, wants.as_ref(), exchange, self.drain.token()) {
                    Ok(switching) => return switching,
                    Err((failure, exchange)) => self.fail(&failure, exchange, wants.as_ref()),
                }
            }
            Err(failure) => {
                let garbled = matches!(failure, Failure::ClientGone) && client.garbled.load(Relaxed);
                let failure = if garbled { Failure::MalformedBody } else { failure };
                if matches!(failure, Failure::ClientGone) {
                    exchange.request_cut();
                }
                last = unasked;
                self.fail(&failure, exchange, wants.as_ref())
            }
        };
        self.finish(response, last)
    }

    /// What all answers have in common. The `last` one of a connection says so.
    fn finish(&self, mut response: Response<ClientBody>, last: bool) -> Response<ClientBody> {
        if let Some(rewrite) = &self.settings.rules.rewrite {
            rewrite.apply(response.headers_mut());
        }
        if last || self.leaving.is_asked() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn try_handle(
        &self,
        exchange: &mut Exchange,
        noted: Noted,
        body: Replayable<RequestBody>,
        wants: Option<&HeaderValue>,
        shown: Option<Box<service::Shown>>,
    ) -> Result<Reply<RequestBody>, Failure> {
        domain::right_door(&self.settings.domains, exchange)?;
        let pool = resolve::resolve(&self.table, exchange, noted, self.settings.empty_pool_is_503);
        // The clock is read once between the look-up and the first attempt; both are measured by it.
        let now = Instant::now();
        exchange.looked_up(now);
        let pool = pool?;
        self.measure(exchange, &pool, now)?;
        let next = self.after_lookup(exchange, &pool, shown.as_deref(), wants)?;
        let prepared = Prepared::new(exchange, noted, &self.settings, wants);
        match next {
            service::Next::App => {}
            service::Next::AppAtLast => exchange.let_scheme_stand(),
            service::Next::Service(errand) => {
                return Box::pin(self.ask_service(exchange, &errand, &prepared, body, now)).await;
            }
        }
        let mut reply = self.attempt(exchange, &pool, &prepared, body, now).await?;
        affinity::remember(&mut reply, &pool, exchange, &prepared, &self.settings);
        Ok(reply)
    }

    /// States what endpoints are told about the client's certificate, unless that was done before the request went to
    /// the route service that it comes back from.
    fn tell_certificate(&self, client: &Client, headers: &mut HeaderMap, noted: Noted, shown: Option<&service::Shown>) {
        let services = &self.settings.services;
        if services.drops_client_cert(shown) {
            ClientCert::Remove.apply(headers, noted.client_cert);
        } else if !services.keeps_client_cert(shown, client.tls) {
            client.cert.apply(headers, noted.client_cert);
        }
    }

    /// Refuses a request whose head is larger than the configuration allows; its record names an endpoint of the
    /// route, so that the app's owner learns of it.
    fn measure(&self, exchange: &mut Exchange, pool: &Pool, now: Instant) -> Result<(), Failure> {
        let Some(limits) = &self.settings.rules.request_limits else { return Ok(()) };
        let request = &exchange.request;
        if !limits.are_exceeded(request, &target(request), host(request)) {
            return Ok(());
        }
        if let Ok(lease) =
            pick::Rotation::new(pool, pick::Wish::default()).next(pool, self.moment(now), &self.settings.pick)
        {
            exchange.name_endpoint(lease.endpoint());
        }
        Err(Failure::RequestTooLarge)
    }

    fn fail(&self, failure: &Failure, exchange: Box<Exchange>, wants: Option<&HeaderValue>) -> Response<ClientBody> {
        let counter = failure.verdict().counter;
        if let Some(counter) = counter {
            self.recorder.shard.count(counter.into());
        }
        if counter == Some(Counter::BadGateways) && wants.is_some_and(tunnel::is_websocket) {
            self.recorder.shard.count(Tally::WebsocketFailure);
        }
        reply::failure(failure, exchange, self.settings.rules.error_page.as_deref())
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment::at(now, self.origin)
    }
}
