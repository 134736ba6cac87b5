//! What metron is told of an exchange. None of this is entered where it is told nothing.

use std::time::{Duration, Instant};

use http::header::USER_AGENT;

use super::{Exchange, field, host};
use crate::observe::dropsonde::{Seen, Sink};

impl Exchange {
    /// The table was looked up, from the beginning until `now`.
    pub fn looked_up(&self, now: Instant) {
        let took = now.duration_since(self.started);
        self.recorder.shard.route_lookup_time(took);
        if let Some(sink) = &self.recorder.envelopes {
            sink.lookup(took, self.received + took);
        }
    }

    /// Whether somebody asks about attempts.
    #[must_use]
    pub fn tells_attempts(&self) -> bool {
        self.recorder.envelopes.as_ref().is_some_and(Sink::tells_attempts)
    }

    /// An attempt that took so long until now brought a head with `status` that announces a body of `length` bytes;
    /// both are 0 if it brought none.
    pub fn tell_attempt(&self, took: Duration, status: u16, length: u64) {
        let Some(sink) = self.recorder.envelopes.as_ref().filter(|sink| sink.tells_attempts()) else { return };
        let Some(endpoint) = &self.endpoint else { return };
        let ended = self.received + self.started.elapsed();
        sink.event(&Seen {
            by_client: true,
            begun: ended.checked_sub(took).unwrap_or(ended),
            ended,
            scheme: if endpoint.peer.is_tls() { "https" } else { "http" },
            remote: endpoint.peer.address(),
            status,
            length,
            ..self.seen()
        });
    }

    /// Tells of an exchange that was answered with `status`.
    pub(super) fn tell(&self, sink: &Sink, status: u16, took: Duration, router_time: Duration) {
        let ended = self.received + took;
        if let Some(endpoint) = &self.endpoint {
            sink.times(endpoint.component, took, router_time, ended);
        }
        if sink.tells_exchanges() {
            sink.event(&Seen { ended, status, length: self.response_bytes, ..self.seen() });
        }
    }

    /// Everything but how it ended, from the router's end towards the client.
    fn seen(&self) -> Seen<'_> {
        Seen {
            by_client: false,
            begun: self.received,
            ended: self.received,
            request_id: self.request_id(),
            method: self.request.method.as_str(),
            scheme: if self.client.tls { "https" } else { "http" },
            host: host(&self.request),
            path: self.request.uri.path(),
            remote: &self.client.address,
            user_agent: field(&self.request.headers, USER_AGENT.as_str()),
            forwarded_for: self.forwarded_for(),
            status: 0,
            length: 0,
            endpoint: self.endpoint.as_deref(),
            trace: self.trace,
        }
    }
}
