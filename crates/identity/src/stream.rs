//! A TLS stream to an endpoint that has proven its name.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bytes::BytesMut;
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    incoming::Receive,
    refusal::{Refusal, refuses_our_certificate},
    session::Session,
};

/// Proof that the endpoint's certificate carries the expected name and leads to our trust. Made by
/// [`Dialer::secure`](crate::Dialer::secure) and nowhere else.
pub struct Secured {
    session: Session,
    client_certificate_requested: bool,
    not_after: SystemTime,
}

/// What a stream has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The protocol version agreed on.
    pub version: Option<ProtocolVersion>,
    /// Bytes of application text received, ever.
    pub app_bytes_in: u64,
    /// The fatal alert that the peer sent.
    pub alert: Option<AlertDescription>,
    /// Whether the peer asked for our certificate.
    pub client_certificate_requested: bool,
    /// Whether this was a full handshake; a resumed one would be a bug (invariant 2).
    pub full_handshake: bool,
    /// Whether the peer said close_notify.
    pub closed_cleanly: bool,
}

/// Why an idle connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleEnd {
    /// The peer closed it.
    Closed,
    /// The peer spoke without being asked: whatever it said, it would be read as the next response.
    Unsolicited,
    /// The connection failed.
    Failed,
}

impl Secured {
    pub(crate) fn new(session: Session, client_certificate_requested: bool, not_after: SystemTime) -> Self {
        let secured = Self { session, client_certificate_requested, not_after };
        debug_assert!(secured.facts().full_handshake, "a session was resumed");
        secured
    }

    /// Sets how many bytes one call of [`Secured::poll_read_buf`] may take from the socket: at least one
    /// record (17 KiB), at most 128 KiB, which is where it stands at first.
    pub fn set_read_limit(&mut self, bytes: usize) {
        self.session.set_read_limit(bytes);
    }

    /// Appends decrypted bytes to `into` and tells how many; 0 is the end of the stream.
    ///
    /// One call makes one recv and decrypts every whole record that came with it. It may append up to the
    /// read limit, so a caller that has enough does not call: that is the back-pressure. The end is a
    /// close_notify or, as in Go, a bare end of the connection between two records;
    /// [`Facts::closed_cleanly`] tells them apart.
    ///
    /// # Errors
    /// The socket's; `UnexpectedEof` inside a record; a broken record or a fatal alert as `InvalidData` around
    /// a [`rustls::Error`]. [`Secured::late_refusal`] then tells whether it was a verdict on our certificate.
    pub fn poll_read_buf(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.session.poll_read_buf(cx, into)
    }

    /// Takes bytes to encrypt and sends what the socket takes. No more is taken than makes 64 KiB of
    /// records not sent yet; a caller that is done writing flushes.
    ///
    /// # Errors
    /// The socket's; the peer's last words were then read, and its alert noted.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.session.poll_write(cx, bytes)
    }

    /// Sends what was taken.
    ///
    /// # Errors
    /// As [`Secured::poll_write`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_flush(cx)
    }

    /// Sends what was taken, close_notify, and closes the writing half.
    ///
    /// # Errors
    /// As [`Secured::poll_write`].
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_shutdown(cx)
    }

    /// What the stream has seen so far.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let tls = self.session.tls();
        Facts {
            version: tls.protocol_version(),
            app_bytes_in: self.session.app_bytes_in(),
            alert: self.session.alert(),
            client_certificate_requested: self.client_certificate_requested,
            full_handshake: matches!(
                tls.handshake_kind(),
                Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
            ),
            closed_cleanly: self.session.close_notified(),
        }
    }

    /// The certificate that proved the name; always there on a verified stream.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.tls().peer_certificates().and_then(<[_]>::first)
    }

    /// When the certificate that proved the name ends.
    #[must_use]
    pub fn certificate_ends(&self) -> SystemTime {
        self.not_after
    }

    /// The application protocol that the peer chose from those offered, if it chose one.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.session.tls().alpn_protocol()
    }

    /// Whether the peer ended an idle connection, by what has arrived by now. Never waits, and makes no
    /// system call while the socket is silent. Tickets and other records without text do not end it.
    pub fn peek_closed(&mut self) -> Option<IdleEnd> {
        loop {
            if let Some(end) = self.idle_end() {
                return Some(end);
            }
            if !self.session.take_in_now() {
                return None;
            }
        }
    }

    /// Waits for the end of an idle connection.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<IdleEnd> {
        loop {
            if let Some(end) = self.idle_end() {
                return Poll::Ready(end);
            }
            // A failure is kept by the session and seen by the next round.
            let _ = ready!(self.session.poll_take_in(cx));
        }
    }

    fn idle_end(&self) -> Option<IdleEnd> {
        if self.session.holds_text() {
            return Some(IdleEnd::Unsolicited);
        }
        self.session.ended().map(|end| if end.is_ok() { IdleEnd::Closed } else { IdleEnd::Failed })
    }

    /// The peer's verdict on our certificate, where it came after the handshake and before any response
    /// (engineering.md B4, rule 2): no application has seen the request, so it may go elsewhere.
    #[must_use]
    pub fn late_refusal(&self) -> Option<Refusal> {
        let alert = self.session.alert()?;
        let verdict = refuses_our_certificate(alert) || alert == AlertDescription::HandshakeFailure;
        (verdict && self.session.app_bytes_in() == 0).then(|| Refusal::from_alert(alert))
    }

    /// The socket, for its addresses and options. Reading or writing through it breaks the stream.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        self.session.socket()
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").field("facts", &self.facts()).finish_non_exhaustive()
    }
}

impl AsyncRead for Secured {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().session.poll_read(cx, out)
    }
}

impl AsyncWrite for Secured {
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
