//! Endpoints are tried until one answers, or until trying on would do harm.
//!
//! An attempt that is proven not to have reached an app (a refused dial, a wrong identity, a refused
//! certificate) does not count against `max_attempts` while an untried endpoint with a registered identity
//! is left: with any number of stale endpoints and one good one, the client sees the good one's answer.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use trueroute_identity::Refusal;

use super::{Proxy, affinity, prepare::Prepared, request_body::RequestBody};
use crate::{
    failure::{Failure, Fate, Retry, Verdict},
    observe::{
        access_log::Cost,
        exchange::{Exchange, host, target},
        failures,
        metrics::Tally,
    },
    route::{
        endpoint::{Endpoint, Protocol},
        lease::Lease,
        pick::{Rotation, Unavailable},
        pool::Pool,
    },
    table::{Reported, journal::Cause},
    upstream::{Facts, Reply, SendFailed, connection::Terms, dial::Timings, replay::Replayable, request::RequestHead},
};

impl Proxy {
    pub(super) async fn attempt(
        &self,
        exchange: &mut Exchange,
        pool: &Arc<Pool>,
        prepared: &Prepared,
        mut body: Replayable<RequestBody>,
        mut now: std::time::Instant,
    ) -> Result<Reply<RequestBody>, Failure> {
        let mut rotation = Rotation::new(pool, affinity::wish(pool, exchange, prepared));
        let mut counted = 0;
        let mut tries = 0_u32;
        let mut last: Option<Failure> = None;
        exchange.hand_over(now);
        loop {
            let lease = match rotation.next(pool, self.moment(now), &self.settings.pick) {
                Ok(lease) => Arc::clone(lease),
                Err(why) => return Err(last.unwrap_or_else(|| unavailable(why, exchange))),
            };
            if let Some(failure) = &last {
                exchange.shard().retry(failures::retry(failure));
            }
            tries += 1;
            exchange.attempt(lease.endpoint());
            let failed = match self.try_endpoint(exchange, lease.endpoint(), prepared, body, now).await {
                Ok((reply, facts)) => {
                    note_cost(exchange, &facts, now);
                    tell(exchange, &reply, now);
                    return Ok(reply);
                }
                Err(failed) => failed,
            };
            exchange.received_bytes(failed.received);
            exchange.attempt_failed(now.elapsed());
            let verdict = failed.failure.verdict();
            let may_go_on = failed.body.as_ref().is_some_and(|kept| may_go_on(verdict, prepared, kept));
            log_failure(exchange, pool, lease.endpoint(), &failed, may_go_on, tries);
            self.judge(exchange, pool, &lease, &failed, verdict);
            let more = verdict.proven_unsent && rotation.untried_tls(pool) && self.in_time(exchange);
            if !more {
                counted += 1;
            }
            let SendFailed { failure, body: kept, .. } = failed;
            match kept {
                Some(kept) if may_go_on && counted < self.settings.max_attempts => body = kept,
                _ => return Err(failure),
            }
            last = Some(failure);
            now = std::time::Instant::now();
        }
    }

    async fn try_endpoint(
        &self,
        exchange: &Exchange,
        endpoint: &Arc<Endpoint>,
        prepared: &Prepared,
        body: Replayable<RequestBody>,
        now: std::time::Instant,
    ) -> Result<(Reply<RequestBody>, Facts), SendFailed<RequestBody>> {
        let instance = match endpoint.instance_id() {
            "" => endpoint.peer.address(),
            id => id,
        };
        let target = target(&exchange.request);
        let mut digits = itoa::Buffer::new();
        let request_start = prepared.request_start.text(&mut digits);
        let stated: [(&str, &[u8]); 8] = [
            ("X-Forwarded-For", exchange.forwarded_for()),
            ("X-Forwarded-Proto", exchange.forwarded_proto()),
            ("X-Request-Start", request_start),
            ("X-Vcap-Request-Id", exchange.request_id().as_bytes()),
            ("X-Cf-Applicationid", endpoint.app_id().as_bytes()),
            ("X-Cf-Instanceid", instance.as_bytes()),
            ("X-Cf-Instanceindex", endpoint.instance_index().as_bytes()),
            ("Te", b"trailers"),
        ];
        let head = RequestHead {
            method: &exchange.request.method,
            target: &target,
            host: host(&exchange.request),
            headers: &exchange.request.headers,
            added: if prepared.takes_trailers { &stated } else { &stated[..7] },
            connection: prepared.connection(),
            announce_empty: prepared.announce_empty,
        };
        let terms = Terms {
            to_head: exchange.request.method == http::Method::HEAD,
            expects_continue: prepared.expects_continue,
            // A WebSocket may be silent for as long as it likes, its first answer included, as in Gorouter.
            deadline: self
                .settings
                .endpoint_timeout
                .of(exchange.request.version)
                .filter(|_| !prepared.wants_websocket())
                .map(|timeout| Instant::from_std(now + timeout)),
            max_head: self.settings.max_response_head,
            max_lines: self.settings.max_response_lines,
            http2: *endpoint.protocol() == Protocol::Http2,
        };
        let replayable = prepared.replayable && body.is_empty();
        let _in_flight = endpoint.begin();
        let (reply, facts) = self.upstream.send(&endpoint.peer, &head, body, &terms, replayable).await?;
        if facts.reused {
            exchange.shard().count(Tally::UpstreamReused);
        } else {
            exchange.shard().count(Tally::UpstreamOpened);
            self.note_proof(endpoint, &facts);
        }
        Ok((reply, facts))
    }

    /// Tells the table and the metrics what an attempt has shown about its endpoint.
    fn judge(
        &self,
        exchange: &Exchange,
        pool: &Pool,
        lease: &Arc<Lease>,
        failed: &SendFailed<RequestBody>,
        verdict: Verdict,
    ) {
        if failed.facts.connected && !failed.facts.reused {
            exchange.shard().count(Tally::UpstreamOpened);
        }
        if let Failure::RefusedLate(refusal) = failed.failure.root() {
            exchange.shard().endpoint_handshake(failures::handshake(refusal));
        }
        if let Some(prevented) = failures::prevented(&failed.failure) {
            exchange.shard().misroute_prevented(prevented);
        }
        let (endpoint, now) = (lease.endpoint(), self.moment(std::time::Instant::now()));
        self.note_proof(endpoint, &failed.facts);
        if matches!(failed.failure.root(), Failure::ClientGone | Failure::MalformedBody) {
            return;
        }
        let error = failed.failure.to_string();
        self.table.journal().failed(&endpoint.peer, verdict.reason, &error, now);
        if verdict.fate == Fate::Keep {
            return;
        }
        let reset = matches!(failed.failure.root(), Failure::Reset(_) | Failure::Refused(Refusal::Reset));
        let refused = failed.facts.unproven && reset && lease.suspect(now);
        let fate = match verdict.fate {
            _ if refused => Fate::Prune,
            // Nobody would bring it back, and a network that is down says the same of every endpoint.
            Fate::Prune if failed.failure.is_absence() && self.is_cut_off() => Fate::Mark,
            fate => fate,
        };
        match self.table.report(pool, lease, fate, now) {
            Reported::Pruned => {
                exchange.shard().pruned();
                self.table.journal().left(pool.route(), lease, Cause::failed(verdict.reason, &error), now);
                tracing::info!(
                    target: "registry",
                    route = pool.route().key(),
                    backend = endpoint.peer.address(),
                    application_id = endpoint.app_id(),
                    instance_id = endpoint.instance_id(),
                    reason = verdict.reason,
                    error,
                    "prune-failed-endpoint"
                );
            }
            Reported::Marked => tracing::debug!(
                target: "registry",
                route = pool.route().key(),
                backend = endpoint.peer.address(),
                "endpoint-marked-as-ineligible"
            ),
            Reported::Kept => {}
        }
    }

    /// Whether the table is kept as it is because the bus is away.
    fn is_cut_off(&self) -> bool {
        self.bus.as_ref().is_some_and(|bus| bus.standing().lost.is_some())
    }

    /// Remembers what a connection that was just made has proven.
    fn note_proof(&self, endpoint: &Endpoint, facts: &Facts) {
        if let Some(proof) = facts.proof() {
            let now = self.moment(std::time::Instant::now());
            self.table.journal().proven(&endpoint.peer, proof, now);
        }
    }

    /// Attempts that do not count end with the time that one request may take.
    fn in_time(&self, exchange: &Exchange) -> bool {
        self.settings
            .endpoint_timeout
            .of(exchange.request.version)
            .is_none_or(|timeout| exchange.started().elapsed() < timeout)
    }
}

/// Notes what the answered attempt, begun at `begun`, took, if the access log shows that.
pub(super) fn note_cost(exchange: &mut Exchange, facts: &Facts, begun: std::time::Instant) {
    if exchange.shows_cost() {
        let Timings { dns, dial, tls, local, .. } = facts.timings();
        exchange.attempt_answered(Cost { backend: Some(begun.elapsed()), dns, dial, tls, local, ..Cost::default() });
    }
}

/// Tells of the answered attempt, begun at `begun`, whoever asks about attempts.
fn tell(exchange: &Exchange, reply: &Reply<RequestBody>, begun: std::time::Instant) {
    if exchange.tells_attempts() {
        let (Reply::Response(head, _) | Reply::Switched(head, ..)) = reply;
        let length =
            head.headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        exchange.tell_attempt(begun.elapsed(), head.status.as_u16(), length.unwrap_or_default());
    }
}

pub(super) fn may_go_on(verdict: Verdict, prepared: &Prepared, body: &Replayable<RequestBody>) -> bool {
    match verdict.retry {
        Retry::Always => true,
        Retry::Replayable => prepared.replayable && body.is_empty(),
        Retry::Never => false,
    }
}

fn unavailable(why: Unavailable, exchange: &Exchange) -> Failure {
    let host = String::from_utf8_lossy(host(&exchange.request)).into_owned();
    match why {
        Unavailable::Overloaded => {
            tracing::info!(
                target: "proxy",
                host,
                "trace-id" = exchange.trace.trace_id(),
                "span-id" = exchange.trace.span_id(),
                "connection-limit-reached"
            );
            Failure::ConnectionLimit { host }
        }
        Unavailable::Empty | Unavailable::Exhausted => {
            tracing::info!(target: "proxy", host, error = %Failure::NoEndpointLeft, "select-endpoint-failed");
            Failure::NoEndpointLeft
        }
    }
}

/// Failures that have a line of their own in the log.
fn name_failure(exchange: &Exchange, failure: &Failure) {
    let vcap_request_id = exchange.request_id();
    match failure.root() {
        Failure::TooManyHeaders => {
            tracing::error!(target: "proxy", vcap_request_id, "backend-too-many-response-headers");
        }
        Failure::Timeout | Failure::ConnectTimeout => {
            tracing::error!(target: "proxy", error = %failure, vcap_request_id, "backend-request-timeout");
        }
        _ => {}
    }
}

fn log_failure(
    exchange: &Exchange,
    pool: &Pool,
    endpoint: &Endpoint,
    failed: &SendFailed<RequestBody>,
    may_go_on: bool,
    tries: u32,
) {
    let Facts { connected, reused, head_out, .. } = failed.facts;
    let timings = failed.facts.timings();
    let tags: serde_json::Map<String, serde_json::Value> =
        (endpoint.tags().into_iter().flatten()).map(|(name, value)| (name.to_owned(), value.into())).collect();
    let data = serde_json::json!({
        "route-endpoint": {
            "ApplicationId": endpoint.app_id(),
            "Addr": endpoint.peer.address(),
            "Tags": tags,
            "RouteServiceUrl": endpoint.route_service_url(),
            "AZ": endpoint.availability_zone(),
        },
        "attempt": tries,
        "vcap_request_id": exchange.request_id(),
        "num-endpoints": pool.leases().len(),
        "got-connection": connected,
        "wrote-headers": head_out,
        "conn-reused": reused,
        "dns-lookup-time": nanoseconds(timings.dns),
        "dial-time": nanoseconds(timings.dial),
        "tls-handshake-time": nanoseconds(timings.tls),
        "local-address": timings.local.map_or_else(|| "nil".into(), |address| address.to_string()),
        "error": failed.failure.to_string(),
        "retriable": may_go_on,
    });
    tracing::error!(target: "proxy", data = %data, "backend-endpoint-failed");
    name_failure(exchange, &failed.failure);
}

/// Durations are logged as whole nanoseconds; what did not happen took none.
fn nanoseconds(duration: Option<Duration>) -> u64 {
    u64::try_from(duration.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
