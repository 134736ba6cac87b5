//! A response as it came.

use std::io;

use tokio::io::AsyncRead;

use crate::wire::{Framing, Head, Wire, first};

/// One response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// `HTTP/1.1` or what stands there.
    pub version: String,
    /// Status code.
    pub status: u16,
    /// What follows the status code.
    pub reason: String,
    /// Names in their case and values without surrounding blanks, in order.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Headers after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Status codes of the interim responses before this one.
    pub interim: Vec<u16>,
    /// The bytes of the head.
    pub raw_head: Vec<u8>,
}

impl Response {
    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// All values of a header, whatever its case.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text; panics if it isn't UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON; panics, showing the body, if it isn't.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    fn framing(&self, head: &Head, method: &str) -> Framing {
        let bodiless = matches!(self.status, 100..=199 | 204 | 304);
        if bodiless || method == "HEAD" || (method == "CONNECT" && self.status / 100 == 2) {
            return Framing::Nothing;
        }
        head.framing().unwrap_or(Framing::UntilClose)
    }
}

pub(super) async fn read_head<S: AsyncRead + Unpin>(wire: &mut Wire<S>) -> io::Result<Response> {
    split_head(wire).await.map(|(response, _)| response)
}

async fn split_head<S: AsyncRead + Unpin>(wire: &mut Wire<S>) -> io::Result<(Response, Head)> {
    let raw = wire.head().await?.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "closed, no response"))?;
    wire.remembered();
    let head = Head::parse(&raw);
    let mut words = head.start.splitn(3, ' ');
    let version = words.next().unwrap_or_default().to_owned();
    let status = words.next().and_then(|word| word.parse().ok());
    let status = status
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{:?} is no status line", head.start)))?;
    let response = Response {
        version,
        status,
        reason: words.next().unwrap_or_default().to_owned(),
        headers: head.headers.clone(),
        raw_head: raw.to_vec(),
        ..Response::default()
    };
    Ok((response, head))
}

pub(super) async fn read<S: AsyncRead + Unpin>(wire: &mut Wire<S>, method: &str) -> io::Result<Response> {
    let mut interim = Vec::new();
    let (mut response, head) = loop {
        let (response, head) = split_head(wire).await?;
        if !matches!(response.status, 100 | 102..=199) {
            break (response, head);
        }
        interim.push(response.status);
    };
    response.interim = interim;
    let mut body = Vec::new();
    let framing = response.framing(&head, method);
    response.trailers = wire.body(framing, &mut |piece| body.extend_from_slice(piece)).await?;
    wire.remembered();
    response.body = body;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_each_body_is_found() {
        let cases: [(&str, &str, u16, &str); 8] = [
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
            ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi"),
            ("GET", "HTTP/1.0 200 OK\r\n\r\nhi", 200, "hi"),
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 200, ""),
            ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", 304, ""),
            ("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, ""),
            ("GET", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, ""),
            ("CONNECT", "HTTP/1.1 200 OK\r\n\r\n", 200, ""),
        ];
        for (method, bytes, status, body) in cases {
            let response = read(&mut Wire::new(bytes.as_bytes()), method).await.unwrap();
            assert_eq!((response.status, response.text()), (status, body), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_response_is_an_error() {
        for bytes in ["", "\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"] {
            read(&mut Wire::new(bytes.as_bytes()), "GET").await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn headers_keep_their_case_and_number() {
        let bytes = b"HTTP/1.1 200 Very Well\r\nx-A: 1\r\nX-a:2\r\nContent-Length: 0\r\n\r\n";
        let response = read(&mut Wire::new(&bytes[..]), "GET").await.unwrap();
        assert_eq!((response.reason.as_str(), response.headers_named("X-A")), ("Very Well", vec!["1", "2"]));
        assert_eq!(response.headers[0].0, "x-A");
        assert_eq!(response.raw_head, bytes);
    }
}
