//! As much of HTTP/1 as a page needs: one request, one answer, and the end of the connection.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::house::Command;

/// The longest head; a path with filters needs less.
const HEAD: usize = 8 * 1024;

/// Fields of a head.
const FIELDS: usize = 64;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    query: Vec<(String, String)>,
}

impl Request {
    /// Reads a head; `None` where the other side closes without a word.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>, Answer> {
        let mut head = Vec::new();
        loop {
            match Self::parse(&head)? {
                Some(request) => return Ok(Some(request)),
                None if head.len() >= HEAD => return Err(Answer::text(431, "the head is too long\n")),
                None => {}
            }
            let left = (HEAD - head.len()) as u64;
            match (&mut *stream).take(left).read_buf(&mut head).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// The request in `head`; `None` while it is not whole.
    fn parse(head: &[u8]) -> Result<Option<Self>, Answer> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let end = match request.parse(head) {
            Ok(httparse::Status::Partial) => return Ok(None),
            Ok(httparse::Status::Complete(end)) => end,
            Err(_) => return Err(Answer::text(400, "not a request\n")),
        };
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let (path, mut query) = target.split_once('?').unwrap_or((target, ""));
        // A form stands for a query where there is none. Other bodies say nothing here, and are not waited for.
        if let Some(length) = form(&request).filter(|_| method == "POST" && query.is_empty()) {
            let Some(body) = head[end..].get(..length) else { return Ok(None) };
            query = std::str::from_utf8(body).map_err(|_| Answer::text(400, "not a form\n"))?;
        }
        let plain = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (plain(k), plain(v)));
        Ok(Some(Self { method: method.to_owned(), path: path.to_owned(), query: query.collect() }))
    }

    #[cfg(test)]
    pub(super) fn of(target: &str) -> Self {
        let head = format!("GET {target} HTTP/1.1\r\n\r\n");
        Self::parse(head.as_bytes()).ok().flatten().expect("a whole request")
    }

    /// The value of `key` in the query; empty where the key stands alone.
    pub(super) fn asks(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// All pairs of the query.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether `?format=json` is asked for.
    pub(super) fn wants_json(&self) -> bool {
        self.asks("format") == Some("json")
    }
}

/// The length of the form that follows, if one does.
fn form(request: &httparse::Request<'_, '_>) -> Option<usize> {
    let value = |name: &str| {
        let field = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok()
    };
    let kind = value("content-type")?.split(';').next()?.trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded").then_some(())?;
    value("content-length")?.trim().parse().ok()
}

/// What is said, and what is done once it was said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    kind: &'static str,
    pub(super) body: String,
    pub(super) then: Option<Command>,
}

impl Answer {
    pub(super) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=UTF-8", body: body.into(), then: None }
    }

    pub(super) fn html(body: impl Into<String>) -> Self {
        Self { status: 200, kind: "text/html; charset=UTF-8", body: body.into(), then: None }
    }

    pub(super) fn json(value: &serde_json::Value) -> Self {
        // A tree of values always has a text.
        let body = serde_json::to_string_pretty(value).unwrap_or_default();
        Self { status: 200, kind: "application/json", body: body + "\n", then: None }
    }

    pub(super) fn then(self, command: Command) -> Self {
        Self { then: Some(command), ..self }
    }

    /// Status line and fields.
    pub(super) fn head(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            _ => "Service Unavailable",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        // Writing to a string does not fail.
        let _ = write!(
            head,
            "content-type: {}\r\ncontent-length: {}\r\ncache-control: no-cache, max-age=0\r\n\
             x-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
            self.kind,
            self.body.len()
        );
        head.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_method_path_and_query() {
        let head =
            b"GET /config_dump?resource=static_listeners&name_regex=a%2Bb+c&include_eds HTTP/1.1\r\nHost: x\r\n\r\n";
        let request = Request::parse(head).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/config_dump"));
        assert_eq!(request.asks("resource"), Some("static_listeners"));
        assert_eq!(request.asks("name_regex"), Some("a+b c"));
        assert_eq!((request.asks("include_eds"), request.asks("mask")), (Some(""), None));
        assert!(Request::parse(&head[..20]).unwrap().is_none());
    }

    #[test]
    fn a_form_stands_for_a_query_where_there_is_none() {
        let form = |target: &str, body: &str| {
            let kind = "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: 11";
            Request::parse(format!("POST {target} HTTP/1.1\r\n{kind}\r\n\r\n{body}").as_bytes()).unwrap()
        };
        assert_eq!(form("/logging", "level=debug").unwrap().asks("level"), Some("debug"));
        assert_eq!(form("/logging?level=info", "level=debug").unwrap().asks("level"), Some("info"));
        assert_eq!(form("/logging", "level=deb"), None, "the rest of it is still to come");
        let other = b"POST /logging HTTP/1.1\r\nContent-Length: 11\r\n\r\nlevel=debug";
        assert_eq!(Request::parse(other).unwrap().unwrap().asks("level"), None);
    }

    #[tokio::test]
    async fn what_is_no_request_is_answered_and_what_is_none_at_all_is_not() {
        let long = [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; HEAD]].concat();
        for (bytes, status) in [(&b"\x16\x03\x01\x00"[..], 400), (&long, 431)] {
            assert_eq!(Request::read(&mut &*bytes).await.unwrap_err().status, status);
        }
        for bytes in [&b""[..], b"GET / HT"] {
            assert!(Request::read(&mut &*bytes).await.unwrap().is_none());
        }
    }
}
