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
pub fn admit(request: &Parts) -> Result<(), Refused> {
    admit_host(request)?;
    admit_coding(&request.headers)?;
    admit_target(request)?;
    match request.headers.get(EXPECT) {
        Some(expected) if !expected.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(Refused::Expectation),
        _ => Ok(()),
    }
}

fn admit_host(request: &Parts) -> Result<(), Refused> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(Refused::Malformed);
    }
    if first.is_none() && request.version == Version::HTTP_11 {
        return Err(Refused::MissingHost);
    }
    let named = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    for host in named.into_iter().chain(first.map(HeaderValue::as_bytes)) {
        if !host.iter().all(|byte| is_host_byte(*byte)) {
            return Err(Refused::MalformedHost);
        }
    }
    Ok(())
}

/// The bytes that Go accepts in a host: unreserved and sub-delims of RFC 3986, and what IPv6 literals,
/// ports and escapes need.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&byte)
}

fn admit_coding(headers: &HeaderMap) -> Result<(), Refused> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Refused::TransferCoding),
    }
}

fn admit_target(request: &Parts) -> Result<(), Refused> {
    let uri = &request.uri;
    if request.method == Method::OPTIONS && uri.path() == "*" {
        return Err(Refused::OptionsServer);
    }
    let absolute = uri.scheme().is_some();
    if !uri.path().starts_with('/') || (uri.authority().is_some() && !absolute) {
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
            ("GET", "*", &[HOST], Err(Refused::Malformed)),
            ("OPTIONS", "*", &[HOST], Err(Refused::OptionsServer)),
            ("GET", "/%zz", &[HOST], Err(Refused::Malformed)),
            ("GET", "/%4", &[HOST], Err(Refused::Malformed)),
            ("GET", "/?%zz", &[HOST], Ok(())),
            ("POST", "/", &[HOST, ("expect", "something")], Err(Refused::Expectation)),
        ] {
            assert_eq!(admit(&request(method, target, fields)), verdict, "{method} {target} {fields:?}");
        }
    }
}
