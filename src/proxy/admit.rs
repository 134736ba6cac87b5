//! The gate before routing: what Go's server refuses and hyper lets through.
//!
//! Route integrity starts here. A request whose host two parties may read differently must not reach the
//! table, and one whose length they may read differently must not reach an endpoint. Answers are those of
//! Gorouter (gorouter.md section 7.1); such requests never reach the access log.

use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{EXPECT, HOST, TRANSFER_ENCODING},
    request::Parts,
};

use crate::headers::noted::Noted;

/// A request that goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The target is not one that an HTTP server serves, or the request is otherwise malformed.
    Malformed,
    /// HTTP/1.1 without a Host header.
    MissingHost,
    /// The host holds bytes that no host has.
    MalformedHost,
    /// A transfer coding other than a single chunked.
    TransferCoding,
    /// An expectation other than `100-continue`.
    Expectation,
    /// `OPTIONS *`, which the server itself answers.
    OptionsServer,
}

impl Refused {
    /// Status, reason phrase where it is not the usual one, and body.
    #[must_use]
    pub fn answer(self) -> (u16, Option<&'static [u8]>, &'static str) {
        match self {
            Self::Malformed => (400, None, "400 Bad Request"),
            Self::MissingHost => (
                400,
                Some(b"Bad Request: missing required Host header"),
                "400 Bad Request: missing required Host header",
            ),
            Self::MalformedHost => {
                (400, Some(b"Bad Request: malformed Host header"), "400 Bad Request: malformed Host header")
            }
            Self::TransferCoding => (501, None, "Unsupported transfer encoding"),
            Self::Expectation => (417, None, ""),
            Self::OptionsServer => (200, None, ""),
        }
    }
}

/// Lets a request pass whose host, length and target have one reading only.
///
/// # Errors
/// The reason to refuse it.
pub fn admit(request: &Parts, noted: &Noted) -> Result<(), Refused> {
    admit_host(request, noted.hosts)?;
    if noted.codings > 0 {
        admit_coding(&request.headers, noted.codings)?;
    }
    admit_target(request)?;
    if noted.expect {
        admit_expectation(&request.headers)?;
    }
    Ok(())
}

fn admit_host(request: &Parts, hosts: u8) -> Result<(), Refused> {
    if hosts > 1 {
        return Err(Refused::Malformed);
    }
    if hosts == 0 && request.version == Version::HTTP_11 {
        return Err(Refused::MissingHost);
    }
    let named = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    for host in named.into_iter().chain(request.headers.get(HOST).map(HeaderValue::as_bytes)) {
        if !host.iter().all(|byte| is_host_byte(*byte)) {
            return Err(Refused::MalformedHost);
        }
    }
    Ok(())
}

/// The bytes that Go accepts in a host: unreserved and sub-delims of RFC 3986, and what IPv6 literals,
/// ports and escapes need.
fn is_host_byte(byte: u8) -> bool {
    const IN_HOSTS: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte as usize] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let others = b"!$%&'()*+,-.:;=[]_~";
        let mut at = 0;
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        table
    };
    IN_HOSTS[usize::from(byte)]
}

fn admit_coding(headers: &HeaderMap, codings: u8) -> Result<(), Refused> {
    match headers.get(TRANSFER_ENCODING) {
        Some(coding) if codings == 1 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refused::TransferCoding),
    }
}

fn admit_expectation(headers: &HeaderMap) -> Result<(), Refused> {
    let usual = |expected: &HeaderValue| expected.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(usual) { Ok(()) } else { Err(Refused::Expectation) }
}

fn admit_target(request: &Parts) -> Result<(), Refused> {
    let uri = &request.uri;
    if request.method == Method::OPTIONS && uri.path() == "*" {
        return Err(Refused::OptionsServer);
    }
    let absolute = uri.scheme().is_some();
    // A client that asked for a tunnel takes what follows any 2xx for the tunnel's bytes, whatever the target was.
    if request.method == Method::CONNECT || !uri.path().starts_with('/') || (uri.authority().is_some() && !absolute) {
        return Err(Refused::Malformed);
    }
    if escapes_are_valid(uri.path()) { Ok(()) } else { Err(Refused::Malformed) }
}

fn escapes_are_valid(path: &str) -> bool {
    let mut rest = path.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        const HOST: (&str, &str) = ("host", "app.example.com");
        for (method, target, fields, verdict) in [
            ("GET", "/", &[HOST][..], Ok(())),
            ("GET", "http://app.example.com/x?y", &[HOST], Ok(())),
            ("GET", "/", &[("host", "")], Ok(())),
            ("GET", "/", &[("host", "app.example.com:80")], Ok(())),
            ("POST", "/", &[HOST, ("transfer-encoding", "Chunked")], Ok(())),
            ("POST", "/", &[HOST, ("expect", "100-Continue")], Ok(())),
            ("GET", "/a%2Fb%C3%A9", &[HOST], Ok(())),
            ("GET", "/", &[], Err(Refused::MissingHost)),
            ("GET", "/", &[HOST, HOST], Err(Refused::Malformed)),
            ("GET", "/", &[("host", "user@x")], Err(Refused::MalformedHost)),
            ("GET", "/", &[("host", "a/b")], Err(Refused::MalformedHost)),
            ("GET", "/", &[("host", "a b")], Err(Refused::MalformedHost)),
            ("GET", "/", &[("host", "a\"b")], Err(Refused::MalformedHost)),
            ("GET", "/", &[("host", "é")], Err(Refused::MalformedHost)),
            ("POST", "/", &[HOST, ("transfer-encoding", "gzip, chunked")], Err(Refused::TransferCoding)),
            ("POST", "/", &[HOST, ("transfer-encoding", "chunked, chunked")], Err(Refused::TransferCoding)),
            (
                "POST",
                "/",
                &[HOST, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Err(Refused::TransferCoding),
            ),
            ("POST", "/", &[HOST, ("transfer-encoding", "xchunked")], Err(Refused::TransferCoding)),
            ("GET", "x", &[HOST], Err(Refused::Malformed)),
            ("CONNECT", "app.example.com:443", &[HOST], Err(Refused::Malformed)),
            ("CONNECT", "/", &[HOST], Err(Refused::Malformed)),
            ("GET", "*", &[HOST], Err(Refused::Malformed)),
            ("OPTIONS", "*", &[HOST], Err(Refused::OptionsServer)),
            ("GET", "/%zz", &[HOST], Err(Refused::Malformed)),
            ("GET", "/%4", &[HOST], Err(Refused::Malformed)),
            ("GET", "/?%zz", &[HOST], Ok(())),
            ("POST", "/", &[HOST, ("expect", "something")], Err(Refused::Expectation)),
        ] {
            let request = request(method, target, fields);
            assert_eq!(admit(&request, &Noted::of(&request.headers)), verdict, "{method} {target} {fields:?}");
        }
    }
}
