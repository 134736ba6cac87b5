//! A TLS stream from a caller that has shown what was demanded.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{offer, served::Served};
use crate::{incoming::Receive, peer_identity::PeerIdentity};

/// Proof that a caller has shown what the mode demands. Made by [`Pending::finish`](super::Pending::finish)
/// and nowhere else.
pub struct Accepted {
    session: Served,
    caller: Option<Arc<PeerIdentity>>,
}

impl Accepted {
    pub(super) fn new(session: Served, caller: Option<Arc<PeerIdentity>>) -> Self {
        Self { session, caller }
    }

    /// Who the caller is, by its certificate; none where none was asked for.
    #[must_use]
    pub fn peer_identity(&self) -> Option<&PeerIdentity> {
        self.caller.as_deref()
    }

    /// The protocol version agreed on.
    #[must_use]
    pub fn version(&self) -> Option<rustls::ProtocolVersion> {
        self.session.tls().protocol_version()
    }

    /// Whether the version agreed on is TLS 1.3.
    #[must_use]
    pub fn speaks_tls13(&self) -> bool {
        self.version() == Some(rustls::ProtocolVersion::TLSv1_3)
    }

    /// The name of the suite agreed on: one of [`suite_names`](super::suite_names).
    #[must_use]
    pub fn suite(&self) -> Option<&'static str> {
        self.session.tls().negotiated_cipher_suite().and_then(|suite| offer::name_of(suite.suite()))
    }

    /// Whether the caller said close_notify; without it an end of the stream may be a cut.
    #[must_use]
    pub fn closed_cleanly(&self) -> bool {
        self.session.close_notified()
    }

    /// Reads as [`Secured::poll_read_buf`](crate::Secured::poll_read_buf) does: one recv, every record in it.
    ///
    /// # Errors
    /// As there.
    pub fn poll_read_buf(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.session.poll_read_buf(cx, into)
    }

    /// Sets how many bytes one [`Accepted::poll_read_buf`] may take from the socket.
    pub fn set_read_limit(&mut self, bytes: usize) {
        self.session.set_read_limit(bytes);
    }

    /// Sets how many bytes one write takes at most, all of which may wait here while the socket is full.
    pub fn set_write_limit(&mut self, bytes: usize) {
        self.session.set_write_limit(bytes);
    }

    /// Closes with a TCP reset, to pass on a reset by the app.
    pub fn reset(self) {
        // If the option cannot be set the connection is gone already.
        let _ = self.session.socket().set_zero_linger();
    }

    /// The socket, for its addresses and options. Reading or writing through it breaks the stream.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        self.session.socket()
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().session.poll_read(cx, out)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().session.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().session.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().session.poll_shutdown(cx)
    }
}
