//! Verified TLS towards an endpoint.

use std::time::Duration;

use rustls::SupportedCipherSuite;
use tokio::net::TcpStream;

use crate::{credentials::Credentials, name::ExpectedName, refusal::Refusal, stream::Secured, trust::Trust};

/// How to dial, apart from whom to believe.
#[derive(Clone, Debug, Default)]
pub struct DialerSettings {
    /// The TLS 1.2 suites to offer, in this order; all that the provider has if not given. TLS 1.3 is
    /// always offered, with AES-128-GCM first.
    pub tls12_suites: Option<Vec<SupportedCipherSuite>>,
    /// How long a handshake may take; no limit if not given.
    pub handshake_timeout: Option<Duration>,
}

/// Why no dialer can be made.
#[derive(Debug, thiserror::Error)]
pub enum DialerError {
    /// A suite that was asked for is not a TLS 1.2 suite.
    #[error("{0:?} is not a TLS 1.2 cipher suite")]
    NotTls12(rustls::CipherSuite),
    /// rustls refuses the settings.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Turns TCP connections into [`Secured`] ones. Holds one trust and one set of credentials for life: new
/// ones make a new dialer.
#[derive(Debug)]
pub struct Dialer {
    trust: Trust,
}

impl Dialer {
    /// A dialer that believes `trust` and shows `credentials` when it is asked for a certificate.
    ///
    /// # Errors
    /// If the settings leave nothing to offer.
    pub fn new(trust: Trust, credentials: Option<Credentials>, settings: DialerSettings) -> Result<Self, DialerError> {
        let _ = (credentials, settings);
        Ok(Self { trust })
    }

    /// Makes `io` a verified stream to the endpoint that proves to be `name`.
    ///
    /// # Errors
    /// The [`Refusal`]; nothing of a request was sent, and `io` is closed.
    pub async fn secure(&self, io: TcpStream, name: &ExpectedName) -> Result<Secured, Refusal> {
        let _ = (io, name);
        todo!()
    }

    /// What this dialer believes.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
}
