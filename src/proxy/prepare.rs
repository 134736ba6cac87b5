//! What all attempts of a request have in common.

use std::{sync::Arc, time::UNIX_EPOCH};

use http::{
    HeaderValue, Method,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};

use super::{Settings, tunnel};
use crate::{
    headers::{forwarded, hop_by_hop, noted::Noted, sticky::Sticky},
    observe::exchange::{Exchange, Told},
    upstream::request::Connection,
};

/// The parts of a request's head that do not depend on the endpoint.
pub struct Prepared {
    pub(super) request_start: RequestStart,
    pub(super) takes_trailers: bool,
    pub(super) expects_continue: bool,
    pub(super) announce_empty: bool,
    /// Whether a repetition does no harm: a method without effect, or a key by which the app tells
    /// repetitions apart. Whether there is a body to repeat is another matter.
    pub(super) replayable: bool,
    pub(super) wants: Option<HeaderValue>,
    pub(super) one_request_per_connection: bool,
    pub(super) sticky: Option<Sticky>,
}

/// `X-Request-Start`.
pub enum RequestStart {
    /// What the client said.
    Said(Box<[u8]>),
    /// When the request was received, milliseconds since the epoch.
    Ours(u64),
}

impl RequestStart {
    /// The text, written into `buffer` if it is ours.
    pub(super) fn text<'b>(&'b self, buffer: &'b mut itoa::Buffer) -> &'b [u8] {
        match self {
            Self::Said(text) => text,
            Self::Ours(ms) => buffer.format(*ms).as_bytes(),
        }
    }
}

impl Prepared {
    /// Works the head out, and notes in `exchange` what endpoints are told about the client.
    pub fn new(exchange: &mut Exchange, noted: Noted, settings: &Settings, wants: Option<&HeaderValue>) -> Self {
        let client = Arc::clone(exchange.client());
        let headers = &exchange.request.headers;
        let told = Told {
            forwarded_for: noted.forwarded_for.then(|| forwarded::forwarded_for(headers, &client.ip)).flatten(),
            forwarded_proto: forwarded::forwarded_proto(
                noted.forwarded_proto.then(|| headers.get("x-forwarded-proto")).flatten(),
                settings.proto,
                client.tls,
            ),
        };
        let request_start = match noted.request_start.then(|| forwarded::request_start(headers)).flatten() {
            Some(said) => RequestStart::Said(said.into()),
            None => {
                let ms = exchange.received().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                RequestStart::Ours(u64::try_from(ms).unwrap_or(u64::MAX))
            }
        };
        let method = &exchange.request.method;
        let prepared = Self {
            request_start,
            takes_trailers: noted.te && hop_by_hop::takes_trailers(headers),
            expects_continue: noted.expect,
            announce_empty: matches!(*method, Method::POST | Method::PUT | Method::PATCH),
            replayable: noted.idempotency_key || is_safe(method),
            wants: wants.cloned(),
            one_request_per_connection: settings.one_request_per_connection,
            sticky: if noted.cookie { settings.sessions.sticky(headers) } else { None },
        };
        exchange.told = Some(told);
        prepared
    }

    /// Whether the client asks for a WebSocket.
    pub(super) fn wants_websocket(&self) -> bool {
        self.wants.as_ref().is_some_and(tunnel::is_websocket)
    }

    /// What the endpoint is told about the connection.
    pub(super) fn connection(&self) -> Connection<'_> {
        match &self.wants {
            Some(protocol) => Connection::Upgrade(protocol),
            None if self.one_request_per_connection => Connection::Close,
            None => Connection::Keep,
        }
    }
}

/// Whether the method has no effect, so that a repetition does no harm.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// The body's length as announced; a chunked body has none, whatever else the head says.
#[must_use]
pub fn content_length(request: &Parts) -> Option<u64> {
    if request.headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    request.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
