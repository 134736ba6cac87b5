//! What all attempts of a request have in common.

use std::{sync::Arc, time::UNIX_EPOCH};

use http::{
    HeaderValue, Method,
    header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
    request::Parts,
};
use uuid::Uuid;

use super::Settings;
use crate::{
    headers::{forwarded, hop_by_hop},
    observe::exchange::{Exchange, Told},
    upstream::request::Connection,
};

/// The parts of a request's head that do not depend on the endpoint.
pub struct Prepared {
    pub(super) request_start: RequestStart,
    pub(super) takes_trailers: bool,
    pub(super) expects_continue: bool,
    pub(super) announce_empty: bool,
    pub(super) replayable: bool,
    pub(super) wants: Option<HeaderValue>,
    pub(super) one_request_per_connection: bool,
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
    pub fn new(exchange: &mut Exchange, settings: &Settings, wants: Option<&HeaderValue>) -> Self {
        let client = Arc::clone(exchange.client());
        let headers = &exchange.request.headers;
        let told = Told {
            forwarded_for: forwarded::forwarded_for(headers, &client.ip),
            forwarded_proto: forwarded::forwarded_proto(headers, settings.proto, client.tls),
        };
        let request_start = match forwarded::request_start(headers) {
            Some(said) => RequestStart::Said(said.into()),
            None => {
                let ms = exchange.received().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                RequestStart::Ours(u64::try_from(ms).unwrap_or(u64::MAX))
            }
        };
        let method = &exchange.request.method;
        let prepared = Self {
            request_start,
            takes_trailers: hop_by_hop::takes_trailers(headers),
            expects_continue: headers.contains_key(EXPECT),
            announce_empty: matches!(*method, Method::POST | Method::PUT | Method::PATCH),
            replayable: is_replayable(&exchange.request),
            wants: wants.cloned(),
            one_request_per_connection: settings.one_request_per_connection,
        };
        exchange.told = Some(told);
        prepared
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

/// Whether a repetition does no harm: a method without effect, or a key by which the app tells repetitions
/// apart. Whether there is a body to repeat is for the caller to say.
fn is_replayable(request: &Parts) -> bool {
    matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
        || request.headers.contains_key("idempotency-key")
        || request.headers.contains_key("x-idempotency-key")
}

/// The body's length as announced; a chunked body has none, whatever else the head says.
#[must_use]
pub fn content_length(request: &Parts) -> Option<u64> {
    if request.headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    request.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A random UUID as text. It names a request in logs; nothing rests on its being hard to guess.
#[must_use]
pub fn request_id() -> [u8; 36] {
    let uuid: Uuid = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut text = [0; 36];
    uuid.hyphenated().encode_lower(&mut text);
    text
}
