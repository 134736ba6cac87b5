//! TLS for status ports: the port's certificate, and who may ask where that is restricted.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    server::{VerifierBuilderError, WebPkiClientVerifier},
    sign::SingleCertAndKey,
};
use tokio_rustls::TlsAcceptor;
use trueroute_identity::{
    Credentials, Trust,
    credentials::CredentialsError,
    trust::{Source, TrustError},
};

/// TLS of a status port cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// The certificate or its key is unusable.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The authorities of clients cannot be read.
    #[error(transparent)]
    Authorities(#[from] TrustError),
    /// There is no authority to verify clients with.
    #[error("authorities of clients: {0}")]
    Verifier(#[from] VerifierBuilderError),
    /// rustls refuses the settings.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// A port's side of the handshake, which may be replaced while the port is served.
#[derive(Clone)]
pub struct Renewed(Arc<ArcSwap<ServerConfig>>);

impl Renewed {
    /// This one, until it is replaced.
    #[must_use]
    pub fn new(first: &TlsAcceptor) -> Self {
        Self(Arc::new(ArcSwap::new(Arc::clone(first.config()))))
    }

    /// The one to shake hands with.
    #[must_use]
    pub fn current(&self) -> TlsAcceptor {
        self.0.load_full().into()
    }

    /// From now on handshakes go by `next`. Connections that stand are left alone.
    pub fn replace(&self, next: &TlsAcceptor) {
        self.0.store(Arc::clone(next.config()));
    }
}

/// What a port shows and asks for; all texts are PEM.
#[derive(Clone, Copy)]
pub struct Secure<'a> {
    /// The chain, leaf first.
    pub certificate: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Authorities of which every client must show a certificate; `None` lets anyone ask.
    pub clients: Option<&'a str>,
    /// The suites to offer; `None` for all.
    pub suites: Option<&'a [SupportedCipherSuite]>,
    /// The versions to offer.
    pub versions: &'a [&'static SupportedProtocolVersion],
}

impl Secure<'_> {
    /// The port's side of the handshake.
    ///
    /// # Errors
    /// Says what cannot be used.
    pub fn acceptor(&self) -> Result<TlsAcceptor, SecureError> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(suites) = self.suites {
            provider.cipher_suites = suites.to_vec();
        }
        let provider = Arc::new(provider);
        let credentials = Credentials::from_pem(self.certificate, self.key)?;
        let own = SingleCertAndKey::from(Arc::clone(credentials.certified()));
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(self.versions)?;
        let config = match self.clients {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let trust = Trust::new(&[Source { name: "authorities of clients", pem }], false)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(trust.roots()), provider).build()?;
                config.with_client_cert_verifier(verifier)
            }
        };
        Ok(TlsAcceptor::from(Arc::new(config.with_cert_resolver(Arc::new(own)))))
    }
}
