//! A TLS stream to an endpoint that has proven its name.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use rustls::{AlertDescription, ProtocolVersion, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::refusal::Refusal;

/// Proof that the endpoint's certificate carries the expected name and leads to our trust. Made by
/// [`Dialer::secure`](crate::Dialer::secure) and nowhere else.
pub struct Secured {
    io: TcpStream,
}

/// What a stream has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The protocol version agreed on.
    pub version: ProtocolVersion,
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
    /// Sets how many bytes one call of [`Secured::poll_read_buf`] may take from the socket.
    pub fn set_read_limit(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// Appends decrypted bytes to `into` and tells how many; 0 is the end of the stream.
    ///
    /// One call makes one recv and decrypts every whole record that came with it. It may append up to the
    /// read limit, so a caller that has enough does not call: that is the back-pressure.
    ///
    /// # Errors
    /// The socket's, or a broken record or a fatal alert as `InvalidData` around a [`rustls::Error`].
    /// [`Secured::late_refusal`] then tells whether it was a verdict on our certificate.
    pub fn poll_read_buf(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        let _ = (cx, into, &self.io);
        todo!()
    }

    /// Takes bytes to encrypt and send, as many as fit into 64 KiB of records not sent yet.
    ///
    /// # Errors
    /// The socket's; the peer's last words were then read, and its alert noted.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let _ = (cx, bytes);
        todo!()
    }

    /// Sends what was taken.
    ///
    /// # Errors
    /// As [`Secured::poll_write`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        todo!()
    }

    /// Sends what was taken, close_notify, and closes the writing half.
    ///
    /// # Errors
    /// As [`Secured::poll_write`].
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        todo!()
    }

    /// What the stream has seen so far.
    #[must_use]
    pub fn facts(&self) -> Facts {
        todo!()
    }

    /// The certificate that proved the name.
    #[must_use]
    pub fn peer_certificate(&self) -> &CertificateDer<'static> {
        todo!()
    }

    /// Whether the peer ended an idle connection, by what has arrived by now. Never waits.
    pub fn peek_closed(&mut self) -> Option<IdleEnd> {
        todo!()
    }

    /// Waits for the end of an idle connection. Tickets and other records without text do not end it.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<IdleEnd> {
        let _ = cx;
        todo!()
    }

    /// The peer's verdict on our certificate, where it came after the handshake and before any response
    /// (engineering.md B4, rule 2): no application has seen the request, so it may go elsewhere.
    #[must_use]
    pub fn late_refusal(&self) -> Option<Refusal> {
        todo!()
    }

    /// The socket, for its addresses and options. Reading or writing through it breaks the stream.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.io
    }
}

impl AsyncRead for Secured {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), cx)
    }
}
