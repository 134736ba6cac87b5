//! Why a request fails, whose fault it is, and what follows: one type, one table.
//!
//! Every step of the request path ends in a [`Failure`] or a response; no step writes a status code.
//! [`Failure::verdict`] is the whole policy (gorouter.md sections 6 and 7.3): it names every case, so a
//! new one does not compile until somebody has decided what it means.

use std::sync::Arc;

mod causes;
mod services;

pub use causes::{BadResponse, BrokenConnection, DialError, Http2Error};
use trueroute_identity::Refusal;

use crate::route_service::SignatureError;

/// What a failed attempt means for the endpoint's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It says nothing about the endpoint.
    Keep,
    /// The endpoint rests for a while.
    Mark,
    /// The endpoint leaves the table (TLS endpoints only; a plain one is marked).
    Prune,
}

/// Whether the request may go to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Never: it may have been delivered, or the answer would be the same.
    Never,
    /// Only a request whose repetition does no harm (RFC 9110 section 9.2.2, no body or an idempotency key).
    Replayable,
    /// Always: no endpoint can have acted on it.
    Always,
}

/// A request's failure, with its cause.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request names no host, or the client's own address.
    #[error("empty host")]
    EmptyHost,
    /// No route for the host and path.
    #[error("unknown route")]
    UnknownRoute {
        /// Host header as sent.
        host: String,
    },
    /// The host belongs to a domain whose authorities the client has not been held to, or to none though it has.
    #[error("misdirected request")]
    Misdirected,
    /// `X-CF-App-Instance` is not an app's id and an index.
    #[error("malformed X-CF-App-Instance")]
    MalformedAppInstance,
    /// The route has no such instance, or there is no such route.
    #[error("unknown instance")]
    UnknownInstance {
        /// Host header as sent.
        host: String,
        /// The instance, as the client is told.
        named: String,
    },
    /// `X-CF-Process-Instance` is not a process' id, with an index or without.
    #[error("malformed X-CF-Process-Instance")]
    MalformedProcessInstance,
    /// The route is bound to a route service, which requests must pass first, and this router sends none there.
    #[error("Support for route services is disabled.")]
    RouteService,
    /// The route is bound to a route service, to which tunnels cannot be opened here.
    #[error("Websocket requests are not supported for routes bound to Route Services.")]
    RouteServiceTunnel,
    /// The request says that it comes from its route's service, and does not.
    #[error("{0}")]
    Signature(SignatureError),
    /// The same, on a route without a service, where the operator has such words checked.
    #[error("{0}")]
    StraySignature(SignatureError),
    /// The route's service cannot be asked.
    #[error("Route service request failed.")]
    RouteServiceUrl,
    /// The configuration allows no attempt at a route service.
    #[error("unknown_failure")]
    NoAttempt,
    /// The route is known and has no endpoints.
    #[error("no endpoints")]
    NoEndpoints {
        /// Host header as sent.
        host: String,
    },
    /// The head of the request is larger than the configuration allows.
    #[error("max-request-size-exceeded")]
    RequestTooLarge,
    /// Every endpoint of the route works on as many requests as it may.
    #[error("connection limit reached")]
    ConnectionLimit {
        /// Host header as sent.
        host: String,
    },
    /// Every endpoint was tried, or has left the table meanwhile.
    #[error("No endpoints available")]
    NoEndpointLeft,
    /// TCP to the endpoint did not come about.
    #[error("{0}")]
    Dial(DialError),
    /// The endpoint did not prove its identity, or refused ours, before anything was sent.
    #[error("{0}")]
    Refused(Refusal),
    /// The endpoint refused our certificate after the handshake (TLS 1.3), and delivered nothing to the app.
    #[error("{0}")]
    RefusedLate(Refusal),
    /// The connection broke before the whole head of the request was handed to it.
    #[error("{0}")]
    Unsent(BrokenConnection),
    /// The endpoint reset the connection after the request was sent.
    #[error("{0}")]
    Reset(BrokenConnection),
    /// The endpoint closed the connection without an answer.
    #[error("EOF")]
    Eof,
    /// The connection broke otherwise.
    #[error("{0}")]
    Broken(BrokenConnection),
    /// No answer within `endpoint_timeout`, though a connection was there.
    #[error("context deadline exceeded")]
    Timeout,
    /// No connection within `endpoint_timeout`.
    #[error("context deadline exceeded")]
    ConnectTimeout,
    /// The answer is not one that may be forwarded.
    #[error("net/http: HTTP/1.x transport connection broken: {0}")]
    BadResponse(BadResponse),
    /// The response has more fields than `max_response_headers` allows.
    #[error("Too many response headers")]
    TooManyHeaders,
    /// An HTTP/2 endpoint says that it did not act on the request.
    #[error("{0}")]
    Declined(Http2Error),
    /// An HTTP/2 endpoint agreed on the protocol and then did not speak it; nothing of a request was sent.
    #[error("{0}")]
    NoHttp2(Http2Error),
    /// An HTTP/2 endpoint gave the request up, or broke the protocol.
    #[error("{0}")]
    Http2(Http2Error),
    /// The failure of a step that several requests waited for.
    #[error("{0}")]
    Shared(Arc<Failure>),
    /// The endpoint switched protocols unasked, or to another protocol than was asked for.
    #[error("unexpected switch of protocols")]
    Switched,
    /// The client is gone.
    #[error("context canceled")]
    ClientGone,
    /// The client is there, but its body is not one.
    #[error("malformed chunked encoding")]
    MalformedBody,
}

/// A counter that a failure moves (gorouter.md section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// `rejected_requests`
    RejectedRequests,
    /// `backend_exhausted_conns`
    ExhaustedConns,
    /// `backend_invalid_id`
    InvalidId,
    /// `backend_invalid_tls_cert`
    InvalidTlsCert,
    /// `backend_tls_handshake_failed`
    TlsHandshakeFailed,
    /// `bad_gateways`
    BadGateways,
}

/// What the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// `X-Cf-RouterError`; none for the bare 502 of a wrong protocol switch.
    pub router_error: Option<String>,
    /// `Cache-Control`, where the case has one.
    pub cache_control: Option<&'static str>,
    /// Body without its final newline; none for an empty body.
    pub body: Option<String>,
    /// Whether the operator's own page may take the place of the body. Then the body is the status, its text, a colon
    /// and a message.
    pub has_page: bool,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// May another endpoint get the request?
    pub retry: Retry,
    /// What becomes of the endpoint.
    pub fate: Fate,
    /// Whether it is proven that no byte of the request reached an app, so that the attempt need not count.
    pub proven_unsent: bool,
    /// Counter moved once, when the failure becomes the answer.
    pub counter: Option<Counter>,
    /// A short, fixed name for metrics.
    pub reason: &'static str,
}

impl Failure {
    /// The failure itself, where it is shared.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Shared(failure) => failure.root(),
            other => other,
        }
    }

    /// Whether it says only that nobody answers there, and nothing about who is there.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self.root(), Self::Dial(_) | Self::Refused(Refusal::TimedOut))
    }

    /// The one table: retry, fate, proof, counter, reason.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        use Counter::{BadGateways, ExhaustedConns, InvalidId, InvalidTlsCert, RejectedRequests, TlsHandshakeFailed};
        use Fate::{Keep, Mark, Prune};
        use Retry::{Always, Never, Replayable};
        let (retry, fate, proven_unsent, counter, reason) = match self {
            Self::EmptyHost => (Never, Keep, true, Some(RejectedRequests), "empty_host"),
            Self::UnknownRoute { .. } => (Never, Keep, true, Some(RejectedRequests), "unknown_route"),
            Self::Misdirected => (Never, Keep, true, Some(RejectedRequests), "misdirected"),
            Self::MalformedAppInstance => (Never, Keep, true, Some(RejectedRequests), "malformed_app_instance"),
            Self::UnknownInstance { .. } => (Never, Keep, true, Some(RejectedRequests), "unknown_instance"),
            Self::MalformedProcessInstance => (Never, Keep, true, Some(RejectedRequests), "malformed_process_instance"),
            Self::RouteService => (Never, Keep, true, None, "route_service"),
            Self::RouteServiceTunnel => (Never, Keep, true, None, "route_service_tunnel"),
            Self::Signature(_) => (Never, Keep, true, None, "route_service_signature"),
            Self::StraySignature(_) => (Never, Keep, true, None, "stray_signature"),
            Self::RouteServiceUrl => (Never, Keep, true, None, "route_service_url"),
            Self::NoAttempt => (Never, Keep, true, None, "no_attempt"),
            Self::NoEndpoints { .. } => (Never, Keep, true, None, "no_endpoints"),
            Self::RequestTooLarge => (Never, Keep, true, None, "request_too_large"),
            Self::ConnectionLimit { .. } => (Never, Keep, true, Some(ExhaustedConns), "connection_limit"),
            Self::NoEndpointLeft => (Never, Keep, true, Some(BadGateways), "no_endpoint_left"),
            Self::Dial(error) if error.is_ours() => (Always, Keep, false, Some(BadGateways), "dial_ours"),
            Self::Dial(_) => (Always, Prune, true, Some(BadGateways), "dial"),
            Self::Refused(refusal) => match refusal {
                Refusal::NotTls => (Always, Prune, true, Some(TlsHandshakeFailed), "not_tls"),
                Refusal::WrongIdentity { .. } => (Always, Prune, true, Some(InvalidId), "wrong_identity"),
                Refusal::Untrusted(_) | Refusal::Expired { .. } => {
                    (Always, Prune, true, Some(InvalidTlsCert), "untrusted")
                }
                Refusal::OurCertificateRefused(_) => (Always, Prune, true, None, "certificate_refused"),
                Refusal::HandshakeFailure => (Always, Prune, true, Some(TlsHandshakeFailed), "handshake_failure"),
                Refusal::TimedOut => (Always, Prune, true, Some(BadGateways), "handshake_timeout"),
                Refusal::ProtocolVersion => (Always, Prune, true, Some(BadGateways), "protocol_version"),
                Refusal::Reset => (Always, Mark, true, Some(BadGateways), "handshake_reset"),
                Refusal::OtherAlert(_) | Refusal::Eof | Refusal::Io(_) | Refusal::Other(_) => {
                    (Always, Keep, true, Some(BadGateways), "handshake_broken")
                }
            },
            Self::RefusedLate(_) => (Always, Prune, true, None, "certificate_refused_late"),
            Self::Unsent(_) => (Always, Keep, false, Some(BadGateways), "unsent"),
            Self::Reset(_) => (Never, Mark, false, Some(BadGateways), "reset"),
            Self::Eof => (Replayable, Keep, false, Some(BadGateways), "eof"),
            Self::Broken(_) => (Never, Keep, false, Some(BadGateways), "broken"),
            Self::Timeout => (Never, Keep, false, Some(BadGateways), "timeout"),
            Self::ConnectTimeout => (Always, Keep, true, Some(BadGateways), "connect_timeout"),
            Self::BadResponse(_) => (Never, Keep, false, Some(BadGateways), "bad_response"),
            Self::Switched => (Never, Keep, false, Some(BadGateways), "switched"),
            Self::TooManyHeaders => (Never, Keep, false, Some(BadGateways), "too_many_headers"),
            Self::Declined(_) => (Always, Keep, true, Some(BadGateways), "declined"),
            Self::NoHttp2(_) => (Always, Mark, true, Some(BadGateways), "no_http2"),
            Self::Http2(_) => (Never, Keep, false, Some(BadGateways), "http2"),
            Self::Shared(failure) => return failure.verdict(),
            Self::ClientGone => (Never, Keep, false, None, "client_gone"),
            Self::MalformedBody => (Never, Keep, false, None, "malformed_body"),
        };
        Verdict { retry, fate, proven_unsent, counter, reason }
    }

    /// What the client is told about it.
    #[must_use]
    pub fn answer(&self) -> Answer {
        const BAD_GATEWAY: &str = "502 Bad Gateway: Registered endpoint failed to handle the request.";
        const BRIEF: Option<&str> = Some("public,max-age=2");
        const NEVER: Option<&str> = Some("no-cache, no-store");
        let lookup = |status, error: &str, cache_control, body: String| Answer {
            status,
            router_error: Some(error.into()),
            cache_control,
            body: Some(body),
            has_page: true,
        };
        let endpoint = |status, body: &str| Answer {
            status,
            router_error: Some(format!("endpoint_failure ({self})")),
            cache_control: None,
            body: Some(body.into()),
            has_page: false,
        };
        match self {
            Self::EmptyHost => {
                lookup(400, "empty_host", BRIEF, "400 Bad Request: Request had empty Host header".into())
            }
            Self::UnknownRoute { host } => {
                let body = format!("404 Not Found: Requested route ('{host}') does not exist.");
                lookup(404, "unknown_route", NEVER, body)
            }
            Self::Misdirected => {
                let router_error = Some("misdirected_request".into());
                Answer { status: 421, router_error, cache_control: None, body: None, has_page: false }
            }
            Self::MalformedAppInstance => {
                let body = "400 Bad Request: Invalid X-CF-App-Instance Header".into();
                lookup(400, "invalid_cf_app_instance_header", NEVER, body)
            }
            Self::UnknownInstance { host, named } => {
                let body = format!("400 Bad Request: Requested {named} does not exist for route ('{host}')");
                lookup(400, "unknown_route", NEVER, body)
            }
            Self::MalformedProcessInstance => {
                let body = "400 Bad Request: Invalid X-CF-Process-Instance Header".into();
                lookup(400, "invalid_cf_process_instance_header", NEVER, body)
            }
            Self::RouteService
            | Self::RouteServiceTunnel
            | Self::Signature(_)
            | Self::StraySignature(_)
            | Self::RouteServiceUrl
            | Self::NoAttempt => self.service_answer(),
            Self::NoEndpoints { host } => {
                let body = format!("503 Service Unavailable: Requested route ('{host}') has no available endpoints.");
                lookup(503, "no_endpoints", BRIEF, body)
            }
            Self::RequestTooLarge => Answer {
                status: 431,
                router_error: Some(self.to_string()),
                cache_control: None,
                body: None,
                has_page: false,
            },
            Self::ConnectionLimit { host } => {
                let body =
                    format!("503 Service Unavailable: Requested route ('{host}') has reached the connection limit.");
                lookup(503, "Connection Limit Reached", None, body)
            }
            Self::Refused(refusal) | Self::RefusedLate(refusal) => match refusal {
                Refusal::NotTls | Refusal::HandshakeFailure => endpoint(525, "525 SSL Handshake Failed"),
                Refusal::WrongIdentity { .. } => endpoint(503, "503 Service Unavailable"),
                Refusal::Untrusted(_) | Refusal::Expired { .. } => endpoint(526, "526 Invalid SSL Certificate"),
                Refusal::OurCertificateRefused(_) => endpoint(496, "496 SSL Certificate Required"),
                Refusal::TimedOut
                | Refusal::ProtocolVersion
                | Refusal::Reset
                | Refusal::OtherAlert(_)
                | Refusal::Eof
                | Refusal::Io(_)
                | Refusal::Other(_) => endpoint(502, BAD_GATEWAY),
            },
            Self::ClientGone => endpoint(499, "499 Request Cancelled"),
            // A load balancer in front that saw a 502 here would take the router for broken.
            Self::MalformedBody => endpoint(400, "400 Bad Request"),
            Self::Switched => {
                Answer { status: 502, router_error: None, cache_control: None, body: None, has_page: false }
            }
            Self::NoEndpointLeft
            | Self::Dial(_)
            | Self::Unsent(_)
            | Self::Reset(_)
            | Self::Eof
            | Self::Broken(_)
            | Self::Timeout
            | Self::ConnectTimeout
            | Self::BadResponse(_)
            | Self::TooManyHeaders
            | Self::Declined(_)
            | Self::NoHttp2(_)
            | Self::Http2(_) => endpoint(502, BAD_GATEWAY),
            Self::Shared(failure) => failure.answer(),
        }
    }
}

/// The reason phrase that goes with a status where it is not the usual one: Go's own, which is older for some, or
/// `status code N` where Go knows none.
#[must_use]
pub fn reason_phrase(status: u16) -> Option<String> {
    let phrase = match status {
        203 => "Non-Authoritative Information",
        413 => "Request Entity Too Large",
        414 => "Request URI Too Long",
        416 => "Requested Range Not Satisfiable",
        _ => {
            let known = http::StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some());
            return (!known).then(|| format!("status code {status}"));
        }
    };
    Some(phrase.into())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn want_of_descriptors_or_ports_is_not_the_endpoints_fault() {
        for (error, fate) in [
            (io::Error::from_raw_os_error(23), Fate::Keep),
            (io::Error::from_raw_os_error(24), Fate::Keep),
            (io::ErrorKind::AddrNotAvailable.into(), Fate::Keep),
            (io::ErrorKind::ConnectionRefused.into(), Fate::Prune),
        ] {
            let failure = Failure::Dial(DialError::Connect { address: "10.0.0.1:80".into(), error });
            assert_eq!((failure.verdict().fate, failure.verdict().retry), (fate, Retry::Always), "{failure}");
        }
    }
}
