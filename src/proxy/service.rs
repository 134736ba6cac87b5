//! The passage through a route service (gorouter.md section 8).
//!
//! A request for a bound route goes to the service with a signed statement of where it was for. What comes back with
//! such a statement, in time and for the same route, goes on to the app; nothing else does.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use super::{Proxy, attempt, prepare::Prepared, request_body::RequestBody, tunnel};
use crate::{
    failure::Failure,
    headers::{client_cert::Mode, instance::APP_INSTANCE},
    observe::{
        exchange::{Exchange, host},
        failures,
    },
    route::{peer::Peer, pool::Pool},
    route_service::{
        self, AllowList, FORWARDED_URL, Keys, METADATA, Passage, SIGNATURE, Service, SignatureError, Signed,
    },
    upstream::{Facts, Reply, SendFailed, Upstream, connection::Terms, replay::Replayable, request::RequestHead},
};

/// What the configuration says of route services.
#[derive(Debug, Default)]
pub struct Rules {
    /// What signatures are made and opened with; none where route services are off.
    pub keys: Option<Keys>,
    /// How long a signature holds (`route_services_timeout`).
    pub lifetime: Duration,
    /// Whether services are told that requests were for https (`route_services_recommend_https`).
    pub recommend_https: bool,
    /// Whether a signature on a route without a service is checked too (`strict_signature_validation`).
    pub strict: bool,
    /// Attempts at a service (`route_services.max_attempts`); 0 makes none.
    pub max_attempts: u32,
    /// Whether tunnels are opened through services (`route_services.enable_websockets`).
    pub tunnels: bool,
    /// What endpoints are told about clients' certificates (`forwarded_client_cert`).
    pub client_cert: Mode,
}

/// A worker's ways to route services.
#[derive(Clone)]
pub struct Ways {
    /// Over the network.
    pub outward: Upstream,
    /// To services that are apps of this router, by its own inner door.
    pub inward: Option<Inward>,
}

/// The inner door.
#[derive(Clone)]
pub struct Inward {
    /// Who stands behind it: this process.
    pub door: Peer,
    /// The way there.
    pub upstream: Upstream,
    /// Which services may be looked for in the own table.
    pub allowed: Arc<AllowList>,
}

/// What a request's signature, if it brought one, is worth.
pub type Shown = Result<Passage, SignatureError>;

/// Where a request goes next.
pub(super) enum Next {
    /// To the app.
    App,
    /// To the app, and what the request says of its client's scheme stands: it was stated before.
    AppAtLast,
    /// To the service first.
    Service(Box<Errand>),
}

/// A request to a service.
pub(super) struct Errand {
    url: String,
    service: Service,
    signed: Signed,
    forwarded_url: String,
}

impl Rules {
    /// What the signature among `headers` is worth; none where nobody can tell.
    pub(super) fn shown(&self, headers: &HeaderMap, now: SystemTime) -> Option<Box<Shown>> {
        let bytes = |name| headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let signature = Some(bytes(&SIGNATURE)).filter(|signature| !signature.is_empty())?;
        Some(Box::new(self.keys.as_ref()?.open(signature, bytes(&METADATA), now, self.lifetime)))
    }

    /// Whether what the request says of its client's certificate was already seen to before it went to the service.
    /// `tls` is how the service sent it.
    pub(super) fn keeps_client_cert(&self, shown: Option<&Shown>, tls: bool) -> bool {
        tls && matches!(shown, Some(Ok(_))) && self.client_cert != Mode::Forward
    }

    /// Whether the field goes although the connection it came by would let it stay: it is the service's word.
    pub(super) fn drops_client_cert(&self, shown: Option<&Shown>) -> bool {
        matches!(shown, Some(Ok(_))) && self.client_cert == Mode::Forward
    }
}

impl Proxy {
    /// Where the request goes; what must not reach the app is stripped.
    ///
    /// # Errors
    /// Services are off, the signature is worth nothing, or the service's URL leads nowhere.
    pub(super) fn after_lookup(
        &self,
        exchange: &mut Exchange,
        pool: &Pool,
        shown: Option<&Shown>,
        wants: Option<&HeaderValue>,
    ) -> Result<Next, Failure> {
        let url = pool.route_service_url();
        let rules = &*self.settings.services;
        if url.is_empty() {
            return match shown {
                // One that is good may be for another route: a service that is an app gets that of the route it serves.
                Some(Err(why)) if rules.strict => Err(rejected(exchange, Failure::StraySignature(*why))),
                // On the way to the service of its route a signature is the router's word, on the way back the
                // service's. Elsewhere it is nobody's: whoever serves one route could speak of clients to all apps.
                Some(Ok(passage)) if self.is_served_by(passage, pool) => Ok(next_with(exchange)),
                Some(Ok(_)) => {
                    self.tell_certificate_after_all(exchange, shown);
                    Ok(Next::App)
                }
                _ => Ok(Next::App),
            };
        }
        let (Some(keys), Some(_)) = (&rules.keys, &self.services) else {
            // What the service is there for, a login for example, must not be passed by.
            tracing::info!(target: "proxy", route = pool.route().key(), "route-service-unsupported");
            return Err(Failure::RouteService);
        };
        if !rules.tunnels && wants.is_some_and(tunnel::is_websocket) {
            tracing::info!(target: "proxy", route = pool.route().key(), "route-service-unsupported");
            return Err(Failure::RouteServiceTunnel);
        }
        match shown.map(|shown| self.is_for(shown, pool)) {
            Some(Ok(())) => {
                let next = next_with(exchange);
                route_service::strip(&mut exchange.request.headers);
                Ok(next)
            }
            Some(Err(why)) => Err(rejected(exchange, Failure::Signature(why))),
            None => {
                route_service::strip(&mut exchange.request.headers);
                errand(url, keys, exchange, rules.recommend_https).map(|errand| Next::Service(Box::new(errand)))
            }
        }
    }

    /// States what was left to the bearer of a signature.
    fn tell_certificate_after_all(&self, exchange: &mut Exchange, shown: Option<&Shown>) {
        let client = Arc::clone(exchange.client());
        if self.settings.services.keeps_client_cert(shown, client.tls) {
            client.cert.apply(&mut exchange.request.headers, true);
        }
    }

    /// Whether the service of the route that was signed for is the app behind `pool`.
    fn is_served_by(&self, passage: &Passage, pool: &Pool) -> bool {
        let service = self.signed_for(passage).and_then(|signed| Service::at(signed.route_service_url()).ok());
        let found = service.and_then(|service| self.table.lookup(&service.name, service.path()));
        found.is_some_and(|found| found.route().key() == pool.route().key())
    }

    /// Whether a signature is for the route of `pool`.
    fn is_for(&self, shown: &Shown, pool: &Pool) -> Result<(), SignatureError> {
        let found = self.signed_for(shown.as_ref().map_err(|why| *why)?);
        if found.is_some_and(|found| found.route().key() == pool.route().key()) {
            Ok(())
        } else {
            Err(SignatureError::OtherRoute)
        }
    }

    /// The route that was signed for.
    fn signed_for(&self, passage: &Passage) -> Option<Arc<Pool>> {
        let named = passage.forwarded_url.split_once("://").map_or("", |(_, rest)| rest);
        let (host, target) = named.split_at(named.find('/').unwrap_or(named.len()));
        self.table.lookup(without_port(host), target.split('?').next().unwrap_or_default())
    }

    /// Sends the request to its service, and brings back the service's answer.
    ///
    /// # Errors
    /// No attempt brought one.
    pub(super) async fn ask_service(
        &self,
        exchange: &mut Exchange,
        errand: &Errand,
        prepared: &Prepared,
        mut body: Replayable<RequestBody>,
        mut now: std::time::Instant,
    ) -> Result<Reply<RequestBody>, Failure> {
        exchange.hand_over(now);
        let Some(ways) = &self.services else { return Err(Failure::RouteService) };
        let (peer, upstream) = ways.to(errand, self);
        let mut last = Failure::NoAttempt;
        for attempt in 1..=self.settings.services.max_attempts {
            if attempt > 1 {
                exchange.shard().retry(failures::retry(&last));
            }
            let sent = self.send_to_service(exchange, errand, (peer, upstream), prepared, body, now).await;
            let failed = match sent {
                Ok((reply, facts)) => {
                    attempt::note_cost(exchange, &facts, now);
                    return Ok(reply);
                }
                Err(failed) => failed,
            };
            exchange.received_bytes(failed.received);
            exchange.attempt_failed(now.elapsed());
            let verdict = failed.failure.verdict();
            let may_go_on = failed.body.as_ref().is_some_and(|kept| attempt::may_go_on(verdict, prepared, kept));
            tracing::error!(
                target: "proxy",
                attempt,
                "route-service-endpoint" = &*errand.url,
                vcap_request_id = exchange.request_id(),
                error = %failed.failure,
                retriable = may_go_on,
                "route-service-connection-failed"
            );
            last = failed.failure;
            match failed.body {
                Some(kept) if may_go_on => body = kept,
                _ => break,
            }
            now = std::time::Instant::now();
        }
        Err(last)
    }

    async fn send_to_service(
        &self,
        exchange: &Exchange,
        errand: &Errand,
        (peer, upstream): (&Peer, &Upstream),
        prepared: &Prepared,
        body: Replayable<RequestBody>,
        now: std::time::Instant,
    ) -> Result<(Reply<RequestBody>, Facts), SendFailed<RequestBody>> {
        let headers = &exchange.request.headers;
        let mut digits = itoa::Buffer::new();
        let mut stated: Vec<(&str, &[u8])> = vec![
            ("X-Forwarded-For", exchange.forwarded_for()),
            ("X-Forwarded-Proto", exchange.forwarded_proto()),
            ("X-Request-Start", prepared.request_start.text(&mut digits)),
            ("X-Vcap-Request-Id", exchange.request_id().as_bytes()),
            ("X-Cf-Forwarded-Url", errand.forwarded_url.as_bytes()),
            ("X-Cf-Proxy-Signature", errand.signed.signature.as_bytes()),
            ("X-Cf-Proxy-Metadata", errand.signed.metadata.as_bytes()),
        ];
        // It has to find its way back to the same instance.
        stated.extend(headers.get(APP_INSTANCE).map(|instance| ("X-Cf-App-Instance", instance.as_bytes())));
        stated.extend(prepared.takes_trailers.then_some(("Te", &b"trailers"[..])));
        let head = RequestHead {
            method: &exchange.request.method,
            target: &errand.service.target,
            host: errand.service.host.as_bytes(),
            headers,
            added: &stated,
            connection: prepared.connection(),
            announce_empty: prepared.announce_empty,
        };
        let timeout = self.settings.endpoint_timeout.of(exchange.request.version);
        let terms = Terms {
            to_head: exchange.request.method == http::Method::HEAD,
            expects_continue: prepared.expects_continue,
            deadline: timeout.filter(|_| !prepared.wants_websocket()).map(|limit| Instant::from_std(now + limit)),
            max_head: self.settings.max_response_head,
            max_lines: self.settings.max_response_lines,
            http2: false,
        };
        let replayable = prepared.replayable && body.is_empty();
        let (reply, facts) = upstream.send(peer, &head, body, &terms, replayable).await?;
        if let Reply::Response(head, _) = &reply
            && !head.status.is_success()
        {
            note_answer(errand, head.status);
        }
        Ok((reply, facts))
    }
}

impl Ways {
    /// Whom to dial for a service, and by which way.
    fn to<'a>(&'a self, errand: &'a Errand, proxy: &Proxy) -> (&'a Peer, &'a Upstream) {
        let service = &errand.service;
        let is_ours = || proxy.table.lookup(&service.name, service.path()).is_some_and(|pool| !pool.is_empty());
        match &self.inward {
            Some(inward) if inward.allowed.allows(&service.name) && is_ours() => (&inward.door, &inward.upstream),
            _ => (&service.peer, &self.outward),
        }
    }
}

/// Where a request goes that bears a good signature, beside the plain statement if it has both.
fn next_with(exchange: &Exchange) -> Next {
    if exchange.request.headers.contains_key(&FORWARDED_URL) { Next::AppAtLast } else { Next::App }
}

fn errand(url: &str, keys: &Keys, exchange: &Exchange, recommend_https: bool) -> Result<Errand, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(target: "proxy", %error, "route-service-failed");
        Failure::RouteServiceUrl
    };
    let service = Service::at(url).map_err(|error| failed(&error))?;
    let scheme = if recommend_https { "https" } else { "http" };
    let name = String::from_utf8_lossy(host(&exchange.request));
    let target = exchange.request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let forwarded_url = format!("{scheme}://{}{target}", without_port(&name));
    let mut nonce = [0; 12];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|error| failed(&error))?;
    let signed = keys.sign(forwarded_url.clone(), SystemTime::now(), nonce);
    let signed = signed.ok_or_else(|| failed(&"the request cannot be signed"))?;
    Ok(Errand { url: url.to_owned(), service, signed, forwarded_url })
}

fn without_port(host: &str) -> &str {
    host.split(':').next().unwrap_or_default()
}

fn rejected(exchange: &Exchange, failure: Failure) -> Failure {
    tracing::error!(
        target: "proxy",
        error = %failure,
        vcap_request_id = exchange.request_id(),
        "trace-id" = exchange.trace.trace_id(),
        "span-id" = exchange.trace.span_id(),
        "signature-validation-failed"
    );
    failure
}

fn note_answer(errand: &Errand, status: StatusCode) {
    tracing::info!(target: "proxy", endpoint = &*errand.url, "status-code" = status.as_u16(), "route-service-response");
}
