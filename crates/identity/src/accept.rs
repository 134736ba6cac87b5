//! Verified TLS towards whoever calls: the server side of a sidecar.
//!
//! The order is the sidecar's (sidecar.md §3.4): first the ClientHello, then the app is dialled, and only
//! then does the caller hear of us. Whoever is turned away is told why before the connection closes, with
//! an alert that Gorouter knows: 42, 48 or 116. That holds for callers that would resume a session too.

use std::{fmt, future::poll_fn, sync::Arc};

use arc_swap::ArcSwap;
use rustls::server::UnbufferedServerConnection;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{credentials::Credentials, incoming::Broken, trust::Trust};

mod accepted;
mod allowed;
mod demand;
mod described;
mod hello;
mod known;
mod linger;
mod offer;
mod refusal;
mod served;
mod ticket;

pub use accepted::Accepted;
pub use allowed::AllowedName;
use demand::{Demand, Terms};
pub use described::Description;
use linger::linger;
pub use offer::{Offer, Suite, suite_names};
pub use refusal::AcceptRefusal;
use served::Served;

/// Alert 40, handshake_failure, as it stands before anything is encrypted.
const ALERT_40: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28];

/// What is demanded of a caller.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Nothing: no client certificate is asked for.
    Tls,
    /// A certificate of these authorities with one of these names.
    Strict {
        /// The authorities that the caller's certificate must lead to.
        trust: Trust,
        /// Names of which the certificate must carry one, DNS, IP or URI. An empty list takes any certificate of the
        /// authorities.
        allowed: Vec<AllowedName>,
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
    /// The client authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] rustls::server::VerifierBuilderError),
}

/// Accepts TLS with credentials that can be swapped while connections run.
#[derive(Debug)]
pub struct Acceptor {
    terms: ArcSwap<Terms>,
}

impl Acceptor {
    /// An acceptor that shows `credentials` and demands what `mode` says.
    ///
    /// # Errors
    /// [`AcceptorError::NoAuthority`] for strict with nobody to believe.
    pub fn new(credentials: Credentials, mode: Mode) -> Result<Self, AcceptorError> {
        Self::offering(credentials, mode, Offer::default())
    }

    /// As [`Acceptor::new`], with versions, suites and protocols of the caller's choice.
    ///
    /// # Errors
    /// As there.
    pub fn offering(credentials: Credentials, mode: Mode, offer: Offer) -> Result<Self, AcceptorError> {
        Ok(Self { terms: ArcSwap::from_pointee(Terms::new(&credentials, mode, offer)?) })
    }

    /// New credentials and demands for connections to come; those that run are left alone, and no session
    /// of before is resumed.
    ///
    /// # Errors
    /// As [`Acceptor::new`]; what was in force stays.
    pub fn swap(&self, credentials: Credentials, mode: Mode) -> Result<(), AcceptorError> {
        let offer = self.terms.load().offer().clone();
        self.terms.store(Arc::new(Terms::new(&credentials, mode, offer)?));
        Ok(())
    }

    /// Waits for a whole ClientHello; nothing is sent yet. Deadlines are the caller's: dropping the future
    /// closes the connection.
    ///
    /// # Errors
    /// If there is none to come. The connection is then already closed, with the alert delivered.
    pub async fn start(&self, io: TcpStream) -> Result<Pending, AcceptRefusal> {
        // Alerts must not wait for an acknowledgement that the caller's next packet would bring.
        io.set_nodelay(true).map_err(AcceptRefusal::Io)?;
        match hello::read(&io).await {
            Ok(hello) => {
                let server_name = hello.hello.client_hello().server_name().map(str::to_owned);
                Ok(Pending { io, hello, server_name, terms: self.terms.load_full() })
            }
            Err(hello::NoHello { refusal, alert }) => {
                if !alert.is_empty() {
                    tell(io, &alert).await;
                }
                Err(refusal)
            }
        }
    }
}

/// A connection whose ClientHello was read and not answered.
pub struct Pending {
    io: TcpStream,
    hello: hello::Hello,
    server_name: Option<String>,
    terms: Arc<Terms>,
}

impl Pending {
    /// The server name that the caller asks for.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The socket, for its addresses and options. Reading or writing through it breaks the handshake.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.io
    }

    /// Ends the handshake.
    ///
    /// # Errors
    /// Why the caller was turned away. It was told so, and the connection lingered until it could read that.
    pub async fn finish(self) -> Result<Accepted, AcceptRefusal> {
        let Self { io, hello: hello::Hello { hello, wire, frames }, terms, .. } = self;
        let demand = Arc::new(Demand::new(terms.clone()));
        // What rustls would refuse with alert 120 is served without a protocol: nothing here reads what it stands for.
        let agreed = terms.offer().agrees(hello.client_hello().alpn());
        let config = terms.config(&demand, agreed).map_err(AcceptRefusal::Tls)?;
        drop(hello);
        let tls = UnbufferedServerConnection::new(config).map_err(AcceptRefusal::Tls)?;
        let mut session = Served::new(io, tls, wire, frames);
        if let Err(broken) = poll_fn(|cx| session.poll_handshake(cx)).await {
            let refusal = match broken {
                Broken::NotTls => AcceptRefusal::NotTls,
                Broken::Io(error) => return Err(AcceptRefusal::Io(error)),
                Broken::Tls(error) => refusal::of_tls(error, &demand),
            };
            linger(session.into_socket()).await;
            return Err(refusal);
        }
        match demand.caller(session.tls()) {
            Ok(caller) => Ok(Accepted::new(session, caller)),
            Err(refusal) => {
                linger(session.into_socket()).await;
                Err(refusal)
            }
        }
    }

    /// Closes with a TCP reset: to a router, a sign to rest this endpoint and go elsewhere.
    pub fn abandon_with_reset(self) {
        // If the option cannot be set the connection is gone already.
        let _ = self.io.set_zero_linger();
    }

    /// Closes with alert 40, handshake_failure: to a router, a sign to forget this endpoint.
    pub async fn abandon_with_alert40(self) {
        tell(self.io, &ALERT_40).await;
    }
}

/// Sends last words and closes so that they arrive. Failing to is the caller's loss alone.
async fn tell(mut io: TcpStream, words: &[u8]) {
    if io.write_all(words).await.is_ok() {
        linger(io).await;
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}
