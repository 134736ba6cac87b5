//! Frames as they are on the wire (RFC 9113 section 4), with as much or as little sense as a test wants.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::{connect_tls, in_time};
use crate::tls::ClientTls;

/// Frame types.
pub mod kind {
    /// DATA
    pub const DATA: u8 = 0;
    /// HEADERS
    pub const HEADERS: u8 = 1;
    /// RST_STREAM
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS
    pub const SETTINGS: u8 = 4;
    /// PING
    pub const PING: u8 = 6;
    /// GOAWAY
    pub const GOAWAY: u8 = 7;
    /// WINDOW_UPDATE
    pub const WINDOW_UPDATE: u8 = 8;
    /// CONTINUATION
    pub const CONTINUATION: u8 = 9;
}

/// Flags.
pub mod flag {
    /// The stream ends here (DATA, HEADERS).
    pub const END_STREAM: u8 = 1;
    /// This answers another (SETTINGS, PING).
    pub const ACK: u8 = 1;
    /// The header block ends here (HEADERS, CONTINUATION).
    pub const END_HEADERS: u8 = 4;
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// 0 for the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a payload has less than 16 MiB");
        let mut out = length.to_be_bytes()[1..].to_vec();
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
        out.extend_from_slice(&self.payload);
        out
    }

    /// The error code of RST_STREAM or GOAWAY.
    pub fn error_code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

/// A header block of literals, nothing indexed, nothing compressed (RFC 7541 section 6.2.2).
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        text(&mut out, name.as_ref());
        text(&mut out, value.as_ref());
    }
    out
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    // An integer with a prefix of 7 bits (RFC 7541 section 5.1).
    if text.len() < 127 {
        out.push(u8::try_from(text.len()).unwrap_or_default());
    } else {
        out.push(127);
        let mut left = text.len() - 127;
        while left >= 128 {
            out.push(u8::try_from(left % 128).unwrap_or_default() | 128);
            left /= 128;
        }
        out.push(u8::try_from(left).unwrap_or_default());
    }
    out.extend_from_slice(text);
}

/// A connection on which frames are written one by one. Nothing is answered by itself, neither SETTINGS nor PING.
#[derive(Debug)]
pub struct Raw {
    stream: TlsStream<TcpStream>,
}

impl Raw {
    /// Connects, and sends the preface with these settings (identifier and value, RFC 9113 section 6.5.2).
    pub async fn connect(addr: SocketAddr, tls: &ClientTls, settings: &[(u16, u32)]) -> io::Result<Self> {
        let mut raw = Self { stream: connect_tls(addr, tls).await? };
        raw.send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        raw.send(&Frame::new(kind::SETTINGS, 0, 0, payload)).await?;
        Ok(raw)
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.send_bytes(&frame.bytes()).await
    }

    /// Sends bytes, whatever they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        in_time(async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await?
    }

    /// Sends a header block in one frame, as the whole request.
    pub async fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        stream: u32,
        fields: &[(N, V)],
        is_all: bool,
    ) -> io::Result<()> {
        let flags = flag::END_HEADERS | if is_all { flag::END_STREAM } else { 0 };
        self.send(&Frame::new(kind::HEADERS, flags, stream, block(fields))).await
    }

    /// The next frame; `UnexpectedEof` at the end of the connection.
    pub async fn frame(&mut self) -> io::Result<Frame> {
        in_time(async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
            Ok(Frame { kind: head[3], flags: head[4], stream, payload })
        })
        .await?
    }

    /// The next frame of this kind; others are dropped.
    pub async fn next(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }

    /// What becomes of a stream: the frame by which it ends or is answered (HEADERS, RST_STREAM), or the GOAWAY of the
    /// connection.
    pub async fn verdict(&mut self, stream: u32) -> io::Result<Frame> {
        loop {
            let frame = self.frame().await?;
            let is_about_it = frame.stream == stream && matches!(frame.kind, kind::HEADERS | kind::RST_STREAM);
            if is_about_it || frame.kind == kind::GOAWAY {
                return Ok(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_blocks_are_as_the_rfcs_have_them() {
        let frame = Frame::new(kind::PING, flag::ACK, 0x0102_0304, *b"12345678");
        assert_eq!(frame.bytes(), b"\0\0\x08\x06\x01\x01\x02\x03\x0412345678");
        assert_eq!(block(&[("a", "b")]), b"\0\x01a\x01b");
        let long = "x".repeat(127 + 300);
        assert_eq!(&block(&[("a", &long)])[3..7], [127, 0xac, 0x02, b'x'], "127 + 44 + 2 * 128");
    }

    #[test]
    fn error_codes_are_found() {
        assert_eq!(Frame::new(kind::RST_STREAM, 0, 1, [0, 0, 0, 8]).error_code(), Some(8));
        assert_eq!(Frame::new(kind::GOAWAY, 0, 0, [0, 0, 0, 1, 0, 0, 0, 11]).error_code(), Some(11));
        assert_eq!(Frame::new(kind::DATA, 0, 1, [0; 8]).error_code(), None);
    }
}
