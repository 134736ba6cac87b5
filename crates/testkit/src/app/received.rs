//! What an app got: the canary's memory.

use crate::wire::{Head, REMEMBERED, first};

/// How many requests an app remembers; older ones are forgotten, counts go on.
pub const KEPT: usize = 20_000;

/// One request as it arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Method.
    pub method: String,
    /// Request target as sent.
    pub target: String,
    /// `HTTP/1.1` or what stood there; `HTTP/2.0`.
    pub version: String,
    /// Names in their case and values without surrounding blanks, in order.
    pub headers: Vec<(String, String)>,
    /// The body without its framing, its first 256 KiB.
    pub body: Vec<u8>,
    /// How long the body was in all.
    pub body_bytes: u64,
    /// Headers after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The bytes of head and body as they came, the first 256 KiB.
    pub raw: Vec<u8>,
    /// False if the connection ended before the body did.
    pub complete: bool,
    /// Which connection it came on, from 1.
    pub connection: u64,
    /// DER of the client's certificate, if it showed one.
    pub client_certificate: Option<Vec<u8>>,
}

impl Received {
    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// All values of a header, whatever its case.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn of(head: Head) -> Self {
        let mut words = head.start.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        Self { method: word(), target: word(), version: word(), headers: head.headers, ..Self::default() }
    }

    /// A head of HTTP/2, with the authority as `host` in front.
    pub(super) fn of_http2(head: &http::request::Parts) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let host = head.uri.authority().map(|authority| ("host".to_owned(), authority.to_string()));
        let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        Self {
            method: head.method.to_string(),
            target: head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
            version: "HTTP/2.0".to_owned(),
            headers: host.into_iter().chain(fields).collect(),
            ..Self::default()
        }
    }

    pub(super) fn append(&mut self, piece: &[u8]) {
        self.body_bytes += piece.len() as u64;
        let room = REMEMBERED.saturating_sub(self.body.len()).min(piece.len());
        self.body.extend_from_slice(&piece[..room]);
    }

    /// Whether the client keeps the connection after this request.
    pub(super) fn keeps_alive(&self) -> bool {
        let asked = self.header("connection").unwrap_or_default().to_ascii_lowercase();
        self.version == "HTTP/1.1" && !asked.contains("close")
    }
}
