//! Verified TLS towards an endpoint.

use std::{future::poll_fn, net::IpAddr, net::Ipv4Addr, sync::Arc, time::Duration};

use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, SupportedCipherSuite,
    client::{Resumption, danger::ServerCertVerifier},
    pki_types::ServerName,
};
use tokio::net::TcpStream;

use crate::{
    credentials::Credentials,
    frame::Frames,
    incoming::Broken,
    name::ExpectedName,
    provider::{self, VERSIONS},
    refusal::Refusal,
    session::Session,
    stream::Secured,
    trust::Trust,
};

mod anyone;
mod check;
mod verified;

pub use anyone::Anyone;
use check::{Beliefs, Check};

/// How to dial, apart from whom to believe.
#[derive(Clone, Debug, Default)]
pub struct DialerSettings {
    /// The TLS 1.2 suites to offer, in this order; all that the provider has if not given. TLS 1.3 is
    /// always offered, with AES-128-GCM first.
    pub tls12_suites: Option<Vec<SupportedCipherSuite>>,
    /// How long a handshake may take; no limit if not given.
    pub handshake_timeout: Option<Duration>,
    /// Whether [`Anyone`] is believed.
    pub believes_anyone: bool,
}

/// Why no dialer can be made.
#[derive(Debug, thiserror::Error)]
pub enum DialerError {
    /// A suite that was asked for is not a TLS 1.2 suite.
    #[error("{0:?} is not a TLS 1.2 cipher suite")]
    NotTls12(CipherSuite),
    /// rustls refuses the settings.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Turns TCP connections into [`Secured`] ones. Holds one trust and one set of credentials for life: new
/// ones make a new dialer, and with it an empty memory of what was verified.
#[derive(Debug)]
pub struct Dialer {
    beliefs: Arc<Beliefs>,
    config: ClientConfig,
    believes_anyone: bool,
    handshake_timeout: Option<Duration>,
}

impl Dialer {
    /// A dialer that believes `trust` and shows `credentials` when it is asked for a certificate.
    ///
    /// # Errors
    /// If the settings leave nothing to offer.
    pub fn new(trust: Trust, credentials: Option<Credentials>, settings: DialerSettings) -> Result<Self, DialerError> {
        let provider = match &settings.tls12_suites {
            None => provider::provider(),
            Some(suites) => {
                if let Some(other) = suites.iter().find(|suite| suite.tls13().is_some()) {
                    return Err(DialerError::NotTls12(other.suite()));
                }
                provider::provider_with(suites)
            }
        };
        let versions = match &settings.tls12_suites {
            Some(suites) if suites.is_empty() => &VERSIONS[..1],
            _ => VERSIONS,
        };
        let beliefs = Arc::new(Beliefs::new(trust, credentials));
        // Of nobody's name: each dial brings a check of its own.
        let verifier: Arc<dyn ServerCertVerifier> = match settings.believes_anyone {
            true => Arc::new(Anyone),
            false => Arc::new(Check::new(beliefs.clone(), ExpectedName::new(""))),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let DialerSettings { believes_anyone, handshake_timeout, .. } = settings;
        Ok(Self { beliefs, config, believes_anyone, handshake_timeout })
    }

    /// Makes `io` a verified stream to the endpoint that proves to be `name`.
    ///
    /// In TLS 1.3 our last flight stays in the buffer and leaves with the first write or read, in one
    /// packet with the request.
    ///
    /// # Errors
    /// The [`Refusal`]; nothing of a request was sent, and `io` is closed.
    pub async fn secure(&self, io: TcpStream, name: &ExpectedName) -> Result<Secured, Refusal> {
        self.secure_for(io, name, &[]).await
    }

    /// The same, offering application protocols (RFC 7301) in this order; an endpoint that knows of none of them, or
    /// of no such offers, decides on nothing ([`Secured::protocol`]).
    ///
    /// # Errors
    /// As [`Dialer::secure`]; an endpoint may also refuse for want of a common protocol.
    pub async fn secure_for(&self, io: TcpStream, name: &ExpectedName, offer: &[&[u8]]) -> Result<Secured, Refusal> {
        match self.handshake_timeout {
            None => self.handshake(io, name, offer).await,
            Some(limit) => {
                tokio::time::timeout(limit, self.handshake(io, name, offer)).await.unwrap_or(Err(Refusal::TimedOut))
            }
        }
    }

    /// What this dialer believes.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        self.beliefs.trust()
    }

    async fn handshake(&self, io: TcpStream, name: &ExpectedName, offer: &[&[u8]]) -> Result<Secured, Refusal> {
        let check = Arc::new(Check::new(self.beliefs.clone(), name.clone()));
        let tls = self.connection(&check, name, offer).map_err(Refusal::Other)?;
        let mut session = Session::new(io, Connection::Client(tls), Frames::default());
        match poll_fn(|cx| session.poll_handshake(cx, true)).await {
            Ok(()) => Ok(Secured::new(session, check.certificate_requested(), check.not_after())),
            Err(broken) => Err(refusal(broken, &check)),
        }
    }

    /// The configuration shared by all dials, with a verifier of this one's own: two identities never share
    /// a verifier, and so could not share a session even if resumption came on.
    fn connection(
        &self,
        check: &Arc<Check>,
        name: &ExpectedName,
        offer: &[&[u8]],
    ) -> Result<ClientConnection, rustls::Error> {
        let mut config = self.config.clone();
        config.alpn_protocols = offer.iter().map(|protocol| protocol.to_vec()).collect();
        if !self.believes_anyone {
            config.dangerous().set_certificate_verifier(check.clone());
        }
        config.client_auth_cert_resolver = check.clone();
        // The check knows the name; this one is for SNI, where an address is never sent.
        let server_name = match name.server_name() {
            Some(server_name) => server_name.to_owned(),
            None => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into()),
        };
        ClientConnection::new(Arc::new(config), server_name)
    }
}

fn refusal(broken: Broken, check: &Check) -> Refusal {
    use rustls::{Error, PeerIncompatible};
    match broken {
        Broken::NotTls => Refusal::NotTls,
        Broken::Io(error) => Refusal::from_io(error),
        Broken::Tls(error) => match error {
            Error::AlertReceived(alert) => Refusal::from_alert(alert),
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Refusal::ProtocolVersion,
            error => check.verdict().unwrap_or(Refusal::Other(error)),
        },
    }
}
