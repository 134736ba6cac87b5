//! Verified TLS towards whoever calls: the server side of a sidecar.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::SystemTime,
};

use rustls::AlertDescription;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{credentials::Credentials, peer_identity::PeerIdentity, trust::Trust};

/// What is demanded of a caller.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Nothing: no client certificate is asked for.
    Tls,
    /// A certificate of these authorities with one of these names.
    Strict {
        /// The authorities that the caller's certificate must lead to.
        trust: Trust,
        /// Names of which the certificate must carry one, DNS, IP or URI, compared whole. An empty list takes
        /// any certificate of the authorities.
        allowed: Vec<String>,
    },
}

/// Why no acceptor can be made, or its credentials not swapped.
#[derive(Debug, thiserror::Error)]
pub enum AcceptorError {
    /// Strict without an authority would refuse every caller: a mistake, never a silent opening.
    #[error("strict mode needs at least one client authority")]
    NoAuthority,
    /// rustls refuses the settings.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Why a caller was turned away.
#[derive(Debug, thiserror::Error)]
pub enum AcceptRefusal {
    /// It closed or reset the connection, or it failed in another way.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// It does not speak TLS.
    #[error("the caller does not speak TLS")]
    NotTls,
    /// It shows no certificate where one is demanded.
    #[error("the caller shows no certificate")]
    NoCertificate,
    /// Its certificate does not lead to the authorities.
    #[error("the caller's certificate is signed by an unknown authority")]
    UnknownAuthority,
    /// Its certificate is out of date.
    #[error("the caller's certificate is out of date")]
    Expired {
        /// Start of its validity.
        not_before: SystemTime,
        /// End of its validity.
        not_after: SystemTime,
    },
    /// Its certificate carries none of the allowed names.
    #[error("the caller's certificate carries none of the allowed names but {}", presented.join(", "))]
    WrongName {
        /// The names that it carries.
        presented: Vec<String>,
    },
    /// Its certificate is not to be used that way, or cannot be read.
    #[error("the caller's certificate is refused: {0}")]
    Certificate(rustls::CertificateError),
    /// It refuses our certificate or our parameters.
    #[error("the caller sent an alert: {}", crate::refusal::alert_text(*.0))]
    Alert(AlertDescription),
    /// It breaks the protocol, or no parameters are common.
    #[error("{0}")]
    Tls(#[source] rustls::Error),
}

/// Accepts TLS with credentials that can be swapped while connections run.
#[derive(Debug)]
pub struct Acceptor {}

impl Acceptor {
    /// An acceptor that shows `credentials` and demands what `mode` says.
    ///
    /// # Errors
    /// [`AcceptorError::NoAuthority`] for strict with nobody to believe.
    pub fn new(credentials: Credentials, mode: Mode) -> Result<Self, AcceptorError> {
        let _ = (credentials, mode);
        Ok(Self {})
    }

    /// New credentials and demands for connections to come; those that run are left alone, and no session
    /// of before is resumed.
    ///
    /// # Errors
    /// As [`Acceptor::new`]; what was in force stays.
    pub fn swap(&self, credentials: Credentials, mode: Mode) -> Result<(), AcceptorError> {
        let _ = (credentials, mode);
        Ok(())
    }

    /// Waits for a whole ClientHello; nothing is sent yet. Deadlines are the caller's: dropping the future
    /// closes the connection.
    ///
    /// # Errors
    /// If there is none to come. The connection is then already closed, with the alert delivered.
    pub async fn start(&self, io: TcpStream) -> Result<Pending, AcceptRefusal> {
        Ok(Pending { io })
    }
}

/// A connection whose ClientHello was read and not answered.
pub struct Pending {
    io: TcpStream,
}

impl Pending {
    /// The server name that the caller asks for.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        todo!()
    }

    /// Ends the handshake.
    ///
    /// # Errors
    /// Why the caller was turned away. It was told so, and the connection lingered until it could read that.
    pub async fn finish(self) -> Result<Accepted, AcceptRefusal> {
        todo!()
    }

    /// Closes with a TCP reset: to a router, a sign to rest this endpoint and go elsewhere.
    pub fn abandon_with_reset(self) {
        let _ = self.io;
        todo!()
    }

    /// Closes with alert 40, handshake_failure: to a router, a sign to forget this endpoint.
    pub async fn abandon_with_alert40(self) {
        todo!()
    }
}

/// Proof that a caller has shown what the mode demands. Made by [`Pending::finish`] and nowhere else.
pub struct Accepted {
    io: TcpStream,
}

impl Accepted {
    /// Who the caller is, by its certificate; none where none was asked for.
    #[must_use]
    pub fn peer_identity(&self) -> Option<&PeerIdentity> {
        todo!()
    }

    /// The socket, for its addresses and options. Reading or writing through it breaks the stream.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.io
    }
}

impl AsyncRead for Accepted {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        todo!()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
}
