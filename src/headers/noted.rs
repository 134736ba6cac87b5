//! Which of the fields that a router cares about a request has, found in one pass.
//!
//! Asking the map for a dozen names, most of which are absent, costs more than looking at the few fields
//! that are there.

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST};

use super::{
    client_cert,
    instance::{APP_INSTANCE, PROCESS_INSTANCE},
};

/// Presence of fields; counts where two of a kind mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// `Host` fields.
    pub hosts: u8,
    /// `Transfer-Encoding` fields.
    pub codings: u8,
    /// `Content-Length`.
    pub length: bool,
    /// `Connection`.
    pub connection: bool,
    /// `Upgrade`.
    pub upgrade: bool,
    /// `TE`.
    pub te: bool,
    /// `Expect`.
    pub expect: bool,
    /// `X-Forwarded-For`.
    pub forwarded_for: bool,
    /// `X-Forwarded-Proto`.
    pub forwarded_proto: bool,
    /// `X-Forwarded-Client-Cert`, in any spelling ([`client_cert::is_spelling`]).
    pub client_cert: bool,
    /// `X-CF-App-Instance`.
    pub app_instance: bool,
    /// `X-CF-Process-Instance`.
    pub process_instance: bool,
    /// `Cookie`.
    pub cookie: bool,
    /// `X-Request-Start`.
    pub request_start: bool,
    /// `Idempotency-Key` or `X-Idempotency-Key`.
    pub idempotency_key: bool,
    /// `X-CF-Proxy-Signature`: a route service says that the request has passed it.
    pub signature: bool,
    /// `X-Vcap-Trace`.
    pub trace_key: bool,
    /// Bytes of the last `User-Agent`, 0 without one, so that most agents need no look at their value.
    pub agent_length: usize,
}

impl Noted {
    /// Looks at every field once.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut noted = Self::default();
        for (name, value) in headers {
            noted.note(name, value);
        }
        noted
    }

    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        if *name == HOST {
            self.hosts = self.hosts.saturating_add(1);
            return;
        }
        match name.as_str() {
            "transfer-encoding" => self.codings = self.codings.saturating_add(1),
            "content-length" => self.length = true,
            "connection" => self.connection = true,
            "upgrade" => self.upgrade = true,
            "te" => self.te = true,
            "expect" => self.expect = true,
            "x-forwarded-for" => self.forwarded_for = true,
            "x-forwarded-proto" => self.forwarded_proto = true,
            APP_INSTANCE => self.app_instance = true,
            PROCESS_INSTANCE => self.process_instance = true,
            "cookie" => self.cookie = true,
            "x-request-start" => self.request_start = true,
            "idempotency-key" | "x-idempotency-key" => self.idempotency_key = true,
            "x-cf-proxy-signature" => self.signature = true,
            "x-vcap-trace" => self.trace_key = true,
            "user-agent" => self.agent_length = value.len(),
            name if client_cert::is_spelling(name) => self.client_cert = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_and_noted() {
        let mut headers = HeaderMap::new();
        assert_eq!(Noted::of(&headers), Noted::default());
        let names = ["host", "host", "te", "x-forwarded-proto", "X-Idempotency-Key", "Cookie", "accept", "user-agent"];
        for name in names.into_iter().chain(["X_Forwarded-client_Cert"]) {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_static("value"));
        }
        let expected = Noted {
            hosts: 2,
            te: true,
            forwarded_proto: true,
            client_cert: true,
            cookie: true,
            idempotency_key: true,
            agent_length: 5,
            ..Noted::default()
        };
        assert_eq!(Noted::of(&headers), expected);
    }
}
