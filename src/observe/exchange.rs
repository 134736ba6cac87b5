//! One request and its reply: what was learned on the way, recorded when it is over.
//!
//! The record writes itself on drop, so that no way out of the request path can forget it. An exchange that
//! was cut off leaves no response in the figures, and a line only where that is asked for; one whose client left
//! while an endpoint was at work is recorded as 499. Both are as in Gorouter.

mod client;
mod events;
mod record;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header::HOST, request::Parts};

pub use self::{client::Client, record::Recorder};
use super::{
    access_log::{Aborted, Cost, Sink},
    metrics::Shard,
};
use crate::{headers::trace::Ids, route::endpoint::Endpoint};

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
    aborted: Option<Aborted>,
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
    /// The client got this status, and not all of the answer.
    Cut(u16),
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
            aborted: None,
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

    /// What the client says of its scheme stands, if it says anything: it repeats what this router said.
    pub fn let_scheme_stand(&mut self) {
        if let Some(told) = &mut self.told
            && self.request.headers.contains_key("x-forwarded-proto")
        {
            told.forwarded_proto = None;
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
        self.tell_attempt(took, 0, 0);
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

    /// The answer broke off. What is said first is why.
    pub fn cut(&mut self, how: Aborted) {
        if let Outcome::Answered(status) = self.outcome {
            self.outcome = Outcome::Cut(status);
            self.aborted = Some(how);
        }
    }

    /// The request broke off. It is answered all the same, should anybody still be there.
    pub fn request_cut(&mut self) {
        self.aborted = Some(Aborted::RequestCut);
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

#[cfg(test)]
mod tests;
