//! An exchange as one of its ends saw it.

use std::time::SystemTime;

use super::{
    ORIGIN, beginning,
    envelope::{Envelope, EventType, HttpStartStop, PeerType, Uuid, method},
    nanoseconds, tags,
};
use crate::{headers::trace::Ids, route::endpoint::Endpoint};

/// Longest target that is told. With the others it keeps an event within a datagram.
const LONGEST_URI: usize = 20_000;
/// Longest User-Agent, and X-Forwarded-For.
const LONGEST_FIELD: usize = 1000;

/// What an end of an exchange saw of it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'e> {
    /// Whether it was seen from the client's end, as an attempt is.
    pub by_client: bool,
    /// When the request came, or went out.
    pub begun: SystemTime,
    /// When the answer was out, or its head came.
    pub ended: SystemTime,
    /// The request's id.
    pub request_id: &'e str,
    /// The request's method.
    pub method: &'e str,
    /// `http` or `https`.
    pub scheme: &'e str,
    /// The host that was asked.
    pub host: &'e [u8],
    /// The path, without the query: what is kept out of the access log must not come out here.
    pub path: &'e str,
    /// The other end's address.
    pub remote: &'e str,
    /// User-Agent.
    pub user_agent: &'e [u8],
    /// X-Forwarded-For.
    pub forwarded_for: &'e [u8],
    /// The answer's status; 0 for none.
    pub status: u16,
    /// Bytes of the answer's body; 0 where that is not known.
    pub length: u64,
    /// The endpoint, if one was chosen.
    pub endpoint: Option<&'e Endpoint>,
    /// The trace that the request belongs to.
    pub trace: Ids,
}

impl Seen<'_> {
    /// The envelope; none for a method that the protocol has no number for.
    pub(super) fn envelope(&self) -> Option<Envelope> {
        let endpoint = self.endpoint;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (host, agent) = (text(self.host), text(self.user_agent));
        let (forwarded, peer) =
            (text(self.forwarded_for), if self.by_client { PeerType::Client } else { PeerType::Server });
        let list = beginning(&forwarded, LONGEST_FIELD).split(',').map(str::trim);
        let mut tags = endpoint.map(tags).unwrap_or_default();
        if !self.by_client {
            tags.insert("trace_id".into(), self.trace.trace_id());
            tags.insert("span_id".into(), self.trace.span_id());
        }
        let event = HttpStartStop {
            start_timestamp: nanoseconds(self.begun),
            stop_timestamp: nanoseconds(self.ended),
            request_id: Uuid::read(self.request_id).unwrap_or_default(),
            peer_type: peer.into(),
            method: method(self.method)?,
            uri: beginning(&format!("{}://{host}{}", self.scheme, self.path), LONGEST_URI).to_owned(),
            remote_address: self.remote.to_owned(),
            user_agent: beginning(&agent, LONGEST_FIELD).to_owned(),
            status_code: self.status.into(),
            content_length: i64::try_from(self.length).unwrap_or(i64::MAX),
            application_id: endpoint.and_then(|endpoint| Uuid::read(endpoint.app_id())),
            instance_index: endpoint.and_then(|endpoint| endpoint.instance_index().parse().ok()),
            instance_id: endpoint.map(Endpoint::instance_id).filter(|id| !id.is_empty()).map(str::to_owned),
            forwarded: list.filter(|address| !address.is_empty()).map(str::to_owned).collect(),
        };
        Some(Envelope {
            origin: ORIGIN.to_owned(),
            event_type: EventType::HttpStartStop.into(),
            timestamp: Some(event.stop_timestamp),
            http_start_stop: Some(event),
            tags,
            ..Envelope::default()
        })
    }
}
