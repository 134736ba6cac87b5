//! Failures in plain words.

/// What the failure with this name ([`crate::failure::Verdict::reason`]) means, told of an endpoint; empty for a name
/// that is not known here.
#[must_use]
pub fn failure(reason: &str) -> &'static str {
    match reason {
        "dial" => "nobody takes connections there",
        "dial_ours" => "the router could not open a connection: it is short of descriptors or ports",
        "not_tls" => "it does not speak TLS",
        "wrong_identity" => "somebody else is there: the certificate does not carry the name",
        "untrusted" => "its certificate is out of date, or no trusted authority has signed it",
        "certificate_refused" | "certificate_refused_late" => "it refuses the router's certificate",
        "handshake_failure" => "it refuses the handshake, as a sidecar does whose app is not there",
        "handshake_timeout" => "the handshake did not end in time",
        "protocol_version" => "there is no version of TLS that both speak",
        "handshake_reset" => "it reset the connection in the handshake, as a sidecar does whose app is not there",
        "handshake_broken" => "it broke the handshake off, as a sidecar does whose app is not there",
        "unsent" => "the connection broke before the request was sent",
        "reset" => "it reset the connection after the request was sent",
        "eof" => "it closed the connection without an answer",
        "broken" => "the connection broke",
        "timeout" => "it did not answer in time",
        "connect_timeout" => "there was no connection in time",
        "bad_response" => "its answer is malformed",
        "switched" => "it switched protocols unasked",
        "too_many_headers" => "its answer has too many fields",
        "declined" => "it declined the request, as an app does that is about to stop",
        "no_http2" => "it agreed on HTTP/2 and does not speak it",
        "http2" => "it gave the request up, or broke HTTP/2",
        _ => "",
    }
}
