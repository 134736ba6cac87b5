//! The byte stream to an endpoint: plain, or secured by a proof of identity.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use rustls::ProtocolVersion;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use trueroute_identity::{Refusal, Secured};

use super::gather;

/// A connection to an endpoint.
///
/// The secured form can only be made by a completed, verified handshake, so whoever holds a `Stream` for a
/// TLS peer holds the proof that its certificate carried the registered name (invariant 1).
pub enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS with a verified peer.
    Secured(Box<Secured>),
}

impl Stream {
    /// Reads what is at hand into the spare room of `buffer`; 0 bytes means that the peer closed.
    pub fn poll_read_buf(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => tokio_util::io::poll_read_buf(Pin::new(tcp), cx, buffer),
            Self::Secured(tls) => tls.poll_read_buf(cx, buffer),
        }
    }

    /// Writes from `parts` in order; returns how many bytes were taken.
    pub fn poll_write_parts(&mut self, cx: &mut Context<'_>, parts: [&[u8]; 3]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => gather::poll_write(tcp, cx, &parts.map(IoSlice::new)),
            Self::Secured(tls) => {
                let mut taken = 0;
                for part in parts.into_iter().filter(|part| !part.is_empty()) {
                    match tls.poll_write(cx, part) {
                        Poll::Ready(Ok(wrote)) => {
                            taken += wrote;
                            if wrote < part.len() {
                                break;
                            }
                        }
                        Poll::Ready(Err(error)) if taken == 0 => return Poll::Ready(Err(error)),
                        Poll::Pending if taken == 0 => return Poll::Pending,
                        Poll::Ready(Err(_)) | Poll::Pending => break,
                    }
                }
                Poll::Ready(Ok(taken))
            }
        }
    }

    /// Sends what is buffered.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Secured(tls) => tls.poll_flush(cx),
        }
    }

    /// The refusal that the peer sent after the handshake, if it proves that nothing was delivered.
    pub fn late_refusal(&self) -> Option<Refusal> {
        match self {
            Self::Plain(_) => None,
            Self::Secured(tls) => tls.late_refusal(),
        }
    }

    /// Whether the peer may still refuse our certificate: in TLS 1.3 it looks at it after the handshake has
    /// ended for us, so a first request is not delivered before a first byte comes back.
    pub fn may_still_refuse(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Secured(tls) => {
                let facts = tls.facts();
                facts.version == Some(ProtocolVersion::TLSv1_3)
                    && facts.client_certificate_requested
                    && facts.app_bytes_in == 0
            }
        }
    }

    /// Whether an idle connection is still good: open, and the peer has not spoken out of turn.
    pub fn is_quiet(&mut self) -> bool {
        match self {
            Self::Plain(tcp) => {
                let mut byte = [0];
                match tcp.try_read(&mut byte) {
                    Err(error) => error.kind() == io::ErrorKind::WouldBlock,
                    Ok(_) => false,
                }
            }
            Self::Secured(tls) => tls.peek_closed().is_none(),
        }
    }

    /// Like [`Self::is_quiet`], but asks the system instead of trusting what was noticed so far.
    pub fn is_open_now(&mut self) -> bool {
        // Tickets and the like may wait on a TLS connection. What still waits after they were taken in is
        // something that the runtime has not noticed yet, and nobody knows what it says.
        self.is_silent_now() || (self.is_quiet() && self.is_silent_now())
    }

    /// Whether the system holds nothing for this connection, neither bytes nor its end.
    fn is_silent_now(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        SockRef::from(self.tcp()).peek(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Secured(tls) => tls.socket(),
        }
    }

    /// Our address and the peer's, as they appear in error texts.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.tcp().local_addr().ok(), self.tcp().peer_addr().ok())
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Secured(tls) => Pin::new(&mut **tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Secured(tls) => AsyncWrite::poll_write(Pin::new(&mut **tls), cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Secured(tls) => AsyncWrite::poll_shutdown(Pin::new(&mut **tls), cx),
        }
    }
}
