//! HTTP/2 spoken by hand, frame by frame: for peers that break its rules, or use them against us.

use super::{Door, Line, Peer};
pub use crate::client_h2::raw::Frame;
use crate::pki::Leaf;
use crate::tls::ServerTls;

/// What a client says first (RFC 9113 section 3.4).
const PREFACE: usize = 24;
const HEADER: usize = 9;

/// Frame types (RFC 9113 section 6).
#[allow(missing_docs, reason = "the names say it")]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Error codes (RFC 9113 section 7).
#[allow(missing_docs, reason = "the names say it")]
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const REFUSED_STREAM: u32 = 7;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// `END_STREAM`, and the acknowledgement of SETTINGS and PING.
pub const LAST: u8 = 1;
/// `END_HEADERS`.
pub const WHOLE: u8 = 4;
/// A header block that says `:status: 200`.
pub const OK: &[u8] = &[0x88];

/// A connection on which HTTP/2 was agreed and the client has said its first word.
#[derive(Debug)]
pub struct Http2 {
    line: Line,
    buffer: Vec<u8>,
}

impl Http2 {
    /// Reads the client's preface; `None` if that does not come.
    pub async fn accept(line: Line) -> Option<Self> {
        let mut talk = Self { line, buffer: Vec::new() };
        talk.take(PREFACE).await.filter(|preface| preface.starts_with(b"PRI * HTTP/2.0"))?;
        Some(talk)
    }

    /// The same, and sends empty SETTINGS.
    pub async fn greet(line: Line) -> Option<Self> {
        let mut talk = Self::accept(line).await?;
        talk.send(kind::SETTINGS, 0, 0, []).await;
        Some(talk)
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        let head = self.take(HEADER).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let payload = self.take(length).await?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads on until a request's head has come, and counts it; gives its stream.
    pub async fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == kind::HEADERS {
                self.line.count_request();
                return Some(frame.stream);
            }
        }
    }

    /// Reads on until a frame of this kind has come on this stream.
    pub async fn until(&mut self, kind: u8, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if (frame.kind, frame.stream) == (kind, stream) {
                return Some(frame);
            }
        }
    }

    /// Sends a frame. Whoever does not take it is found out by the next read.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) {
        self.raw(&Frame::new(kind, flags, stream, payload).bytes()).await;
    }

    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) -> bool {
        self.line.send(bytes).await.is_ok()
    }

    /// Resets a stream.
    pub async fn reset(&mut self, stream: u32, code: u32) {
        self.send(kind::RST_STREAM, 0, stream, code.to_be_bytes()).await;
    }

    /// Says that streams beyond `last` were not looked at.
    pub async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.send(kind::GOAWAY, 0, 0, payload).await;
    }

    /// Answers 200 without a body.
    pub async fn ok(&mut self, stream: u32) {
        self.send(kind::HEADERS, WHOLE | LAST, stream, OK).await;
    }

    /// Reads and forgets until the client closes.
    pub async fn drain(&mut self) {
        while self.frame().await.is_some() {}
    }

    /// Ends the connection with a reset.
    pub fn reset_connection(self) {
        self.line.reset();
    }

    /// Ends the connection in order.
    pub async fn hang_up(self) {
        self.line.hang_up().await;
    }

    async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            let some = self.line.some(usize::MAX).await;
            if some.is_empty() {
                return None;
            }
            self.line.forget();
            self.buffer.extend_from_slice(&some);
        }
        let rest = self.buffer.split_off(count);
        Some(std::mem::replace(&mut self.buffer, rest))
    }
}

/// A door with this certificate at which HTTP/2 is agreed on.
pub fn http2_door(leaf: &Leaf) -> ServerTls {
    ServerTls::new(leaf).alpn(&["h2", "http/1.1"])
}

/// Runs `script` on every connection, once HTTP/2 was agreed and the client's preface read.
pub fn speaks_http2<S, F>(door: impl Into<Door>, script: S) -> Peer
where
    S: Fn(Http2) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    Peer::scripted(door, move |line| {
        let script = script.clone();
        async move {
            if let Some(talk) = Http2::accept(line).await {
                script(talk).await;
            }
        }
    })
}
