//! A raw HTTP/1.1 client: it sends the bytes it is told to send and shows what came back, byte for byte.
//!
//! It runs on the caller's runtime. Every read gives up after [`Client::patience`], so a router that hangs fails the
//! test instead of stopping it. Not for a runtime with a paused clock.

mod response;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

pub use response::Response;

use crate::io::Io;
use crate::tls::{ClientTls, Version};
use crate::wire::Wire;

const PATIENCE: Duration = Duration::from_secs(10);
const PIECE: usize = 64 * 1024;

/// One connection to an HTTP server. See [`Reader`] and [`Writer`] for its two directions.
#[derive(Debug)]
pub struct Client {
    /// What comes in.
    pub reader: Reader,
    /// What goes out.
    pub writer: Writer,
    peer_certificate: Option<Vec<u8>>,
    alpn: Option<Vec<u8>>,
    version: Option<Version>,
    resumed: bool,
    local: SocketAddr,
}

/// The incoming direction.
#[derive(Debug)]
pub struct Reader {
    pub(crate) wire: Wire<ReadHalf<Io>>,
    patience: Duration,
}

/// The outgoing direction.
#[derive(Debug)]
pub struct Writer {
    io: WriteHalf<Io>,
}

/// A request to write down. [`Client::request`] sends it.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    lines: Vec<u8>,
    body: Option<Vec<u8>>,
    chunked: bool,
}

impl Request {
    /// `METHOD target HTTP/1.1` and no header yet.
    pub fn new(method: &str, target: &str) -> Self {
        let lines = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        Self { method: method.to_owned(), lines, body: None, chunked: false }
    }

    /// Adds a header line as it is.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        self
    }

    /// Adds `Host`.
    pub fn host(self, host: &str) -> Self {
        self.header("Host", host)
    }

    /// Gives a body, with Content-Length.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the body chunked instead, 8 KiB at a time.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.lines.clone();
        let body = self.body.as_deref().unwrap_or_default();
        if self.chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(8192) {
                out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        } else {
            if self.body.is_some() {
                out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(body);
        }
        out
    }
}

impl Client {
    /// Connects in plain.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let tcp = dial(addr).await?;
        Self::over(Io::Plain(tcp))
    }

    /// Connects with TLS; a failed handshake is an `io::Error` around the `rustls::Error`.
    pub async fn connect_tls(addr: SocketAddr, tls: &ClientTls) -> io::Result<Self> {
        Self::connect_tls_after(addr, b"", tls).await
    }

    /// Connects with TLS after these bytes in plain, a PROXY line for one.
    pub async fn connect_tls_after(addr: SocketAddr, words: &[u8], tls: &ClientTls) -> io::Result<Self> {
        let mut tcp = dial(addr).await?;
        tcp.write_all(words).await?;
        let handshake = TlsConnector::from(tls.config()).connect(tls.server_name(), tcp);
        let stream = in_time(PATIENCE, handshake).await?;
        Self::over(Io::Tls(Box::new(TlsStream::Client(stream))))
    }

    fn over(io: Io) -> io::Result<Self> {
        let local = io.tcp().local_addr()?;
        let (peer_certificate, alpn) =
            (io.peer_certificate(), io.tls().and_then(|t| t.alpn_protocol()).map(<[u8]>::to_vec));
        let resumed = io.tls().and_then(|t| t.handshake_kind()) == Some(HandshakeKind::Resumed);
        let version = io.tls().and_then(|t| t.protocol_version()).and_then(Version::of);
        let (read, write) = tokio::io::split(io);
        let reader = Reader { wire: Wire::new(read), patience: PATIENCE };
        Ok(Self { reader, writer: Writer { io: write }, peer_certificate, alpn, version, resumed, local })
    }

    /// Changes how long each read may take (10 s at first).
    pub fn patience(mut self, limit: Duration) -> Self {
        self.reader.patience = limit;
        self
    }

    /// Our own address on this connection.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// DER of the certificate the server showed.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificate.as_deref()
    }

    /// The application protocol agreed upon.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The version of TLS that is spoken.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Whether the handshake resumed a session.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Sends these bytes and nothing else.
    pub async fn send_raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer.send(bytes).await
    }

    /// GET and its response.
    pub async fn get(&mut self, host: &str, path: &str) -> io::Result<Response> {
        self.request(Request::new("GET", path).host(host)).await
    }

    /// Sends a request and reads its response. The response is read even if sending fails: it may have come early.
    pub async fn request(&mut self, request: Request) -> io::Result<Response> {
        let sent = self.writer.send(request.bytes()).await;
        let answer = self.reader.response(&request.method).await;
        match (sent, answer) {
            (Err(failure), Err(_)) => Err(failure),
            (_, answer) => answer,
        }
    }

    /// Reads the next response, to a request that wasn't HEAD or CONNECT.
    pub async fn response(&mut self) -> io::Result<Response> {
        self.reader.response("GET").await
    }

    /// Closes our direction (FIN, after close_notify with TLS) and keeps reading.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.writer.finish().await
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let io = self.reader.wire.io.unsplit(self.writer.io);
        let _ = io.tcp().set_zero_linger();
    }

    /// Both directions apart, to use at the same time.
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }
}

impl Reader {
    /// Reads a response to a request of this method. Interim responses (1xx but 101) are kept in
    /// [`Response::interim`]; a 101 has no body, what follows it is read by [`Reader::exactly`].
    pub async fn response(&mut self, method: &str) -> io::Result<Response> {
        in_time(self.patience, response::read(&mut self.wire, method)).await
    }

    /// Reads a head alone; the body is left in the stream.
    pub async fn head(&mut self) -> io::Result<Response> {
        in_time(self.patience, response::read_head(&mut self.wire)).await
    }

    /// Exactly `count` bytes; `UnexpectedEof` if the stream ends before.
    pub async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(count);
        let mut keep = |piece: &[u8]| out.extend_from_slice(piece);
        in_time(self.patience, self.wire.exactly(count as u64, &mut keep)).await?;
        Ok(out)
    }

    /// Reads `count` bytes and forgets them; the patience counts for each read, not for the whole.
    pub async fn skip(&mut self, count: u64) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let limit = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = in_time(self.patience, self.wire.some(limit)).await?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= piece.len() as u64;
        }
        Ok(())
    }

    /// The next bytes that come, at least one; empty at the end of the stream.
    pub async fn some(&mut self) -> io::Result<Vec<u8>> {
        in_time(self.patience, self.wire.some(usize::MAX)).await.map(|piece| piece.to_vec())
    }

    /// Everything until the other side closes. A reset is an error.
    pub async fn to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let piece = self.some().await?;
            if piece.is_empty() {
                return Ok(out);
            }
            out.extend_from_slice(&piece);
        }
    }

    /// Waits until the other side closes or resets without another byte; false if bytes come, or nothing at all.
    pub async fn closed(&mut self) -> bool {
        match self.some().await {
            Ok(piece) => piece.is_empty(),
            Err(failure) => failure.kind() != io::ErrorKind::TimedOut,
        }
    }
}

impl Writer {
    /// Sends these bytes and nothing else.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.io.write_all(bytes.as_ref()).await?;
        self.io.flush().await
    }

    /// Sends `count` bytes of a fixed filling, as fast as they are taken.
    pub async fn fill(&mut self, count: u64) -> io::Result<()> {
        let piece = vec![b'x'; PIECE];
        let mut left = count;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            self.io.write_all(&piece[..now]).await?;
            left -= now as u64;
        }
        self.io.flush().await
    }

    /// Sends `count` bytes, `step` at a time with a pause after each.
    pub async fn trickle(&mut self, count: usize, step: usize, pause: Duration) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let now = left.min(step.max(1));
            self.send(vec![b'x'; now]).await?;
            left -= now;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Closes this direction.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }
}

async fn dial(addr: SocketAddr) -> io::Result<TcpStream> {
    let tcp = in_time(PATIENCE, TcpStream::connect(addr)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn in_time<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_| Err(late(format_args!("nothing within {limit:?}"))))
}

fn late(what: fmt::Arguments<'_>) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what.to_string())
}
