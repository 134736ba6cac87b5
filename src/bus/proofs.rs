//! What is shown to NATS and whom it is believed, replaced under a client that keeps its settings for life.
//!
//! The connection that stands is left alone; the next one is made with what is here then.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use trueroute_identity::{Credentials, Trust, trust::Source};

use super::secure::SecureError;

/// The router's own certificate towards NATS, and the authorities that NATS is believed by.
#[derive(Debug)]
pub struct Proof {
    own: Arc<CertifiedKey>,
    servers: Arc<WebPkiServerVerifier>,
}

impl Proof {
    /// Trusts the authorities in `ca_certs` and shows `cert_chain`; all are PEM.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn from_pem(ca_certs: &str, cert_chain: &str, private_key: &str) -> Result<Self, SecureError> {
        let trust = Trust::new(&[Source { name: "nats.ca_certs", pem: ca_certs }], false)?;
        let own = Arc::clone(Credentials::from_pem(cert_chain, private_key)?.certified());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(trust.roots()), provider).build()?;
        Ok(Self { own, servers })
    }
}

/// The proof of the moment.
#[derive(Debug)]
pub struct Proofs(ArcSwap<Proof>);

impl Proofs {
    /// This one, until it is replaced.
    #[must_use]
    pub fn new(first: Proof) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(first)))
    }

    /// From now on connections are made with `next`.
    pub fn replace(&self, next: Proof) {
        self.0.store(Arc::new(next));
    }

    /// TLS 1.2 and 1.3 with whatever is here when a connection is made.
    ///
    /// # Errors
    /// rustls refuses the settings.
    pub fn client_config(self: &Arc<Self>) -> Result<ClientConfig, SecureError> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Self>::clone(self))
            .with_client_cert_resolver(Arc::<Self>::clone(self));
        // A resumed session would rest on authorities that are believed no more.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl ServerCertVerifier for Proofs {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.load().servers.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().servers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().servers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().servers.supported_verify_schemes()
    }
}

impl ResolvesClientCert for Proofs {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().own))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
