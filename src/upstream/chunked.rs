//! The chunked transfer coding of a response (RFC 9112 section 7.1), decoded from a buffer.
//!
//! Strict on purpose: a lenient reader of chunk lines is how two parties come to disagree about where a
//! message ends. A bare LF, a sign, white space before the size, or endless extensions are errors.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest size line with its extensions, and longest trailer section, in bytes.
const MAX_LINE: usize = 4 * 1024;
const MAX_TRAILERS: usize = 64 * 1024;

/// Where the decoder stands.
#[derive(Debug)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// One response body's decoder.
#[derive(Debug)]
pub struct Chunked(State);

/// What one step found in the buffer.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The buffer holds no complete element.
    More,
    /// Body bytes.
    Data(Bytes),
    /// The end, with the trailer fields that came with it.
    End(Option<HeaderMap>),
}

/// The body is not valid chunked coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChunk {
    /// A size line that is not hexadecimal digits, an optional extension and CRLF.
    #[error("invalid byte in chunk length")]
    Size,
    /// A size line without an end.
    #[error("header line too long")]
    Line,
    /// A size beyond 64 bits.
    #[error("http chunk length too large")]
    TooLarge,
    /// Chunk data that is not followed by CRLF.
    #[error("malformed chunked encoding")]
    End,
    /// Trailer fields that are not header fields, or too many bytes of them.
    #[error("malformed trailer")]
    Trailers,
}

impl Default for Chunked {
    fn default() -> Self {
        Self(State::Size)
    }
}

impl Chunked {
    /// Takes the next element off `buffer`; call again until it says [`Step::More`] or [`Step::End`].
    ///
    /// # Errors
    /// The coding is broken; nothing after that point can be trusted.
    pub fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, BadChunk> {
        loop {
            match self.0 {
                State::Size => match size_line(buffer)? {
                    None => return Ok(Step::More),
                    Some(0) => self.0 = State::Trailers,
                    Some(size) => self.0 = State::Data(size),
                },
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(Step::More);
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let rest = left - take as u64;
                    self.0 = if rest == 0 { State::DataEnd } else { State::Data(rest) };
                    return Ok(Step::Data(buffer.split_to(take).freeze()));
                }
                State::DataEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        self.0 = State::Size;
                    }
                    Some(_) => return Err(BadChunk::End),
                    None if buffer.first().is_some_and(|byte| *byte != b'\r') => return Err(BadChunk::End),
                    None => return Ok(Step::More),
                },
                State::Trailers => match trailers(buffer)? {
                    None => return Ok(Step::More),
                    Some(fields) => {
                        self.0 = State::Done;
                        return Ok(Step::End(fields));
                    }
                },
                State::Done => return Ok(Step::End(None)),
            }
        }
    }
}

fn size_line(buffer: &mut BytesMut) -> Result<Option<u64>, BadChunk> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        return if buffer.len() > MAX_LINE { Err(BadChunk::Line) } else { Ok(None) };
    };
    if end > MAX_LINE {
        return Err(BadChunk::Line);
    }
    let line = buffer.split_to(end + 1);
    let line = line.strip_suffix(b"\r\n").ok_or(BadChunk::Size)?;
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let rest = line[digits..].trim_ascii_start();
    if digits == 0
        || !(rest.is_empty() || rest[0] == b';')
        || rest.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(BadChunk::Size);
    }
    let digits = str::from_utf8(&line[..digits]).map_err(|_| BadChunk::Size)?;
    u64::from_str_radix(digits, 16).map(Some).map_err(|_| BadChunk::TooLarge)
}

/// `Some(None)` where the section is empty.
#[expect(clippy::option_option, reason = "incomplete, complete and empty, complete with fields")]
fn trailers(buffer: &mut BytesMut) -> Result<Option<Option<HeaderMap>>, BadChunk> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(None));
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(buffer, &mut fields) {
        Ok(httparse::Status::Partial) if buffer.len() > MAX_TRAILERS => Err(BadChunk::Trailers),
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete((length, found))) => {
            let mut map = HeaderMap::with_capacity(found.len());
            for field in found {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadChunk::Trailers)?;
                map.append(name, HeaderValue::from_bytes(field.value).map_err(|_| BadChunk::Trailers)?);
            }
            buffer.advance(length);
            Ok(Some(Some(map)))
        }
        Err(_) => Err(BadChunk::Trailers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in pieces of `piece` bytes; the body, and whether trailers came.
    fn decode(wire: &[u8], piece: usize) -> Result<(Vec<u8>, Option<HeaderMap>), BadChunk> {
        let (mut decoder, mut buffer, mut body) = (Chunked::default(), BytesMut::new(), Vec::new());
        for part in wire.chunks(piece) {
            buffer.extend_from_slice(part);
            loop {
                match decoder.step(&mut buffer)? {
                    Step::More => break,
                    Step::Data(bytes) => body.extend_from_slice(&bytes),
                    Step::End(fields) => return Ok((body, fields)),
                }
            }
        }
        panic!("the body has no end");
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let wire = b"5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\nX-T: v\r\n\r\n";
        for piece in 1..=wire.len() {
            let (body, fields) = decode(wire, piece).unwrap();
            assert_eq!(body, b"hello world", "in pieces of {piece}");
            assert_eq!(fields.unwrap()["x-t"], "v");
        }
    }

    #[test]
    fn ambiguous_coding_is_refused() {
        for (wire, error) in [
            (&b"5\nhello\r\n0\r\n\r\n"[..], BadChunk::Size),
            (b"+5\r\nhello\r\n0\r\n\r\n", BadChunk::Size),
            (b" 5\r\nhello\r\n0\r\n\r\n", BadChunk::Size),
            (b"0x5\r\nhello\r\n0\r\n\r\n", BadChunk::Size),
            (b"\r\nhello", BadChunk::Size),
            (b"5 x\r\nhello\r\n", BadChunk::Size),
            (b"5;a\x00\r\nhello\r\n", BadChunk::Size),
            (b"11111111111111111\r\n", BadChunk::TooLarge),
            (b"5\r\nhelloX", BadChunk::End),
            (b"5\r\nhello\n0\r\n\r\n", BadChunk::End),
            (b"0\r\nno colon\r\n\r\n", BadChunk::Trailers),
        ] {
            assert_eq!(decode(wire, wire.len()).unwrap_err(), error, "{}", wire.escape_ascii());
        }
        let mut endless = b"5;".to_vec();
        endless.resize(MAX_LINE + 10, b'x');
        assert_eq!(decode(&endless, 1000).unwrap_err(), BadChunk::Line);
    }
}
