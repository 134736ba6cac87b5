//! HTTP/1.1 as bytes: a reader that takes heads and bodies off a stream and remembers exactly what it took.
//!
//! Lenient on purpose: it is the canary at the other end, not a judge of what it sees.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of one message is remembered; the rest is only counted.
pub(crate) const REMEMBERED: usize = 256 * 1024;
const LONGEST_HEAD: usize = 4 * 1024 * 1024;

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    UntilClose,
}

/// First line and header lines, names and values as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// Splits a head; bytes that aren't UTF-8 are replaced, lines without a colon become a name alone.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| line.split_once(':').map_or((line, ""), |(name, value)| (name, value.trim())))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { start, headers }
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// What the headers say about the body; `None` if they say nothing.
    pub(crate) fn framing(&self) -> Option<Framing> {
        let chunked = self.first("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().ends_with("chunked"));
        if chunked {
            return Some(Framing::Chunked);
        }
        self.first("content-length")?.parse().ok().map(Framing::Length)
    }
}

pub(crate) fn first<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A buffered stream.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(crate) io: S,
    buffer: BytesMut,
    taken: Vec<u8>,
    arrived: Arc<AtomicU64>,
}

impl<S> Wire<S> {
    pub(crate) fn new(io: S) -> Self {
        Self::metered(io, Arc::default())
    }

    /// Adds every byte that comes in to `arrived`.
    pub(crate) fn metered(io: S, arrived: Arc<AtomicU64>) -> Self {
        Self { io, buffer: BytesMut::new(), taken: Vec::new(), arrived }
    }

    /// What was taken off since the last call, up to [`REMEMBERED`] bytes.
    pub(crate) fn remembered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.taken)
    }

    fn take(&mut self, count: usize) -> Bytes {
        let bytes = self.buffer.split_to(count).freeze();
        let room = REMEMBERED.saturating_sub(self.taken.len()).min(bytes.len());
        self.taken.extend_from_slice(&bytes[..room]);
        bytes
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads once; 0 at the end of the stream.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(64 * 1024);
        let count = self.io.read_buf(&mut self.buffer).await?;
        self.arrived.fetch_add(count as u64, Relaxed);
        Ok(count)
    }

    async fn must_fill(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the message was cut short")),
            _ => Ok(()),
        }
    }

    /// The next head with its empty line; `None` if the stream ends before its first byte.
    ///
    /// A stream that ends inside a head gives `UnexpectedEof`; a head over 4 MiB `InvalidData`.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Bytes>> {
        let mut seen = 0;
        loop {
            if let Some(end) = end_of_head(&self.buffer, seen) {
                return Ok(Some(self.take(end)));
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a head without an end"));
            }
            seen = self.buffer.len().saturating_sub(3);
            if self.buffer.is_empty() {
                if self.fill().await? == 0 {
                    return Ok(None);
                }
            } else {
                self.must_fill().await?;
            }
        }
    }

    /// The next line with its line feed.
    pub(crate) async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                return Ok(self.take(end + 1));
            }
            self.must_fill().await?;
        }
    }

    /// Some bytes, at most `limit`; empty at the end of the stream.
    pub(crate) async fn some(&mut self, limit: usize) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        let count = self.buffer.len().min(limit);
        Ok(self.take(count))
    }

    /// Exactly `count` bytes, given to `sink` piece by piece.
    pub(crate) async fn exactly(&mut self, count: u64, sink: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            if self.buffer.is_empty() {
                self.must_fill().await?;
            }
            let piece = self.take(self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            left -= piece.len() as u64;
            sink(&piece);
        }
        Ok(())
    }

    /// A whole body without its framing, given to `sink`; returns the trailers.
    pub(crate) async fn body(
        &mut self,
        framing: Framing,
        sink: &mut impl FnMut(&[u8]),
    ) -> io::Result<Vec<(String, String)>> {
        match framing {
            Framing::Nothing => Ok(Vec::new()),
            Framing::Length(count) => self.exactly(count, sink).await.map(|()| Vec::new()),
            Framing::UntilClose => loop {
                let piece = self.some(usize::MAX).await?;
                if piece.is_empty() {
                    return Ok(Vec::new());
                }
                sink(&piece);
            },
            Framing::Chunked => self.chunks(sink).await,
        }
    }

    async fn chunks(&mut self, sink: &mut impl FnMut(&[u8])) -> io::Result<Vec<(String, String)>> {
        loop {
            let line = self.line().await?;
            let size = String::from_utf8_lossy(&line);
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{size:?} is no chunk size")))?;
            if size == 0 {
                break;
            }
            self.exactly(size, sink).await?;
            self.line().await?;
        }
        let mut trailers = b"\n".to_vec();
        loop {
            let line = self.line().await?;
            if matches!(&line[..], b"\r\n" | b"\n") {
                return Ok(Head::parse(&trailers).headers);
            }
            trailers.extend_from_slice(&line);
        }
    }
}

/// Where the head ends, looking no earlier than `from`. A bare line feed counts as a line end.
fn end_of_head(buffer: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += buffer.get(at..)?.iter().position(|b| *b == b'\n')? + 1;
        match buffer.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_messages_off_one_by_one_and_remembers_their_bytes() {
        let first = b"POST / HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n";
        let whole = [&first[..], b"GET /2 HTTP/1.1\r\n\r\n"].concat();
        let mut wire = Wire::new(&whole[..]);
        let head = Head::parse(&wire.head().await.unwrap().unwrap());
        assert_eq!((head.start.as_str(), head.first("a")), ("POST / HTTP/1.1", Some("b")));
        let mut body = Vec::new();
        let trailers = wire.body(head.framing().unwrap(), &mut |piece| body.extend_from_slice(piece)).await.unwrap();
        assert_eq!((&body[..], trailers), (&b"abc"[..], vec![("T".to_owned(), "u".to_owned())]));
        assert_eq!(wire.remembered(), first);
        assert!(wire.head().await.unwrap().unwrap().starts_with(b"GET /2"));
        assert!(wire.head().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_message_cut_short_is_an_error() {
        let cases: [(&[u8], Framing); 3] =
            [(b"ab", Framing::Length(3)), (b"3\r\nab", Framing::Chunked), (b"zz\r\n", Framing::Chunked)];
        for (bytes, framing) in cases {
            Wire::new(bytes).body(framing, &mut |_| ()).await.unwrap_err();
        }
        Wire::new(&b"GET / HT"[..]).head().await.unwrap_err();
    }

    #[test]
    fn the_end_of_a_head_is_found_across_reads() {
        let head = b"A\r\nB: c\r\n\r\nrest";
        for cut in 0..head.len() {
            let found = end_of_head(&head[..cut], 0).or_else(|| end_of_head(head, cut.saturating_sub(3)));
            assert_eq!(found, Some(11), "cut at {cut}");
        }
        assert_eq!(end_of_head(b"A\n\nx", 0), Some(3));
    }
}
