//! The head of a request as it is written to an endpoint.
//!
//! Framing fields are never copied from the client: they are derived again from the body that is really
//! sent, so that client and endpoint cannot be made to disagree about where a request ends.

use http::{HeaderMap, HeaderValue, Method};

use crate::headers::hop_by_hop::is_ours;

/// Everything that goes into the head of one attempt.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Method, written as it came.
    pub method: &'a Method,
    /// Request target, written verbatim.
    pub target: &'a str,
    /// Host header, written verbatim.
    pub host: &'a [u8],
    /// Fields to send; those that the router states itself ([`is_ours`]) are skipped here.
    pub headers: &'a HeaderMap,
    /// Fields that the router states, names as they go to the wire.
    pub added: &'a [(&'a str, &'a [u8])],
    /// What the endpoint is told about the connection.
    pub connection: Connection<'a>,
    /// Whether an empty body is announced by `Content-Length: 0` (POST, PUT and PATCH, as Go does).
    pub announce_empty: bool,
}

/// The `Connection` field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection<'a> {
    /// Nothing is said: HTTP/1.1 keeps the connection.
    Keep,
    /// The connection serves this request only.
    Close,
    /// The client asks for another protocol.
    Upgrade(&'a HeaderValue),
}

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is none.
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
}

/// Appends the head to `out`.
pub fn write_head(out: &mut Vec<u8>, head: &RequestHead<'_>, framing: BodyFraming) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(head.host);
    out.extend_from_slice(b"\r\n");
    for (name, value) in head.headers {
        if is_ours(name.as_str()) {
            continue;
        }
        canonical_name(out, name.as_str());
        field_value(out, value.as_bytes());
    }
    for (name, value) in head.added {
        out.extend_from_slice(name.as_bytes());
        field_value(out, value);
    }
    match framing {
        BodyFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        BodyFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyFraming::None if head.announce_empty => out.extend_from_slice(b"Content-Length: 0\r\n"),
        BodyFraming::None => {}
    }
    match head.connection {
        Connection::Keep => {}
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
        Connection::Upgrade(protocol) => {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade");
            field_value(out, protocol.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn field_value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Header names reach apps as Go writes them, first letter and every letter after a hyphen in upper case:
/// apps that compare names byte by byte exist.
pub fn canonical_name(out: &mut Vec<u8>, name: &str) {
    let mut upper = true;
    out.extend(name.bytes().map(|byte| {
        let written = if upper { byte.to_ascii_uppercase() } else { byte };
        upper = byte == b'-';
        written
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_as_apps_expect_it() {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("ignored"));
        headers.insert("content-length", HeaderValue::from_static("99"));
        headers.insert("transfer-encoding", HeaderValue::from_static("gzip"));
        headers.insert("connection", HeaderValue::from_static("x-a"));
        headers.insert("etag-thing", HeaderValue::from_static("3"));
        headers.insert("x_under", HeaderValue::from_static("2"));
        let head = RequestHead {
            method: &Method::POST,
            target: "/a%2Fb?q",
            host: b"App.example.com:80",
            headers: &headers,
            added: &[("X-Cf-Applicationid", b"guid")],
            connection: Connection::Close,
            announce_empty: true,
        };
        let text = |framing| {
            let mut out = Vec::new();
            write_head(&mut out, &head, framing);
            String::from_utf8(out).unwrap()
        };
        let start = "POST /a%2Fb?q HTTP/1.1\r\nHost: App.example.com:80\r\nEtag-Thing: 3\r\nX_under: 2\r\nX-Cf-Applicationid: guid\r\n";
        assert_eq!(text(BodyFraming::Length(4)), format!("{start}Content-Length: 4\r\nConnection: close\r\n\r\n"));
        assert_eq!(
            text(BodyFraming::Chunked),
            format!("{start}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        );
        assert_eq!(text(BodyFraming::None), format!("{start}Content-Length: 0\r\nConnection: close\r\n\r\n"));
    }
}
