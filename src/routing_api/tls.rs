//! TLS towards the Routing API and UAA: whom they are believed by, and what is shown to them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{ClientConfig, Error, crypto::aws_lc_rs, sign::SingleCertAndKey};
use trueroute_identity::{
    Credentials, Trust,
    credentials::CredentialsError,
    dial::Anyone,
    trust::{Source, TrustError},
};

/// TLS cannot be set up. Each text names the key.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// The authorities cannot be read.
    #[error(transparent)]
    Authorities(#[from] TrustError),
    /// The own certificate or its key is unusable.
    #[error("routing_api.cert_chain, routing_api.private_key: {0}")]
    Credentials(#[from] CredentialsError),
    /// rustls refuses the settings.
    #[error("routing_api: {0}")]
    Tls(#[from] Error),
}

/// The settings of the moment; clones share them. Connections that stand are left alone.
#[derive(Clone, Debug)]
pub struct Renewed(Arc<ArcSwap<ClientConfig>>);

impl Renewed {
    /// These, until they are replaced.
    #[must_use]
    pub fn new(first: Arc<ClientConfig>) -> Self {
        Self(Arc::new(ArcSwap::new(first)))
    }

    /// What the next connection is made with.
    #[must_use]
    pub fn current(&self) -> Arc<ClientConfig> {
        self.0.load_full()
    }

    /// From now on connections are made with `next`.
    pub fn replace(&self, next: Arc<ClientConfig>) {
        self.0.store(next);
    }
}

/// Towards the Routing API: believes the authorities in `ca_certs` alone, shows `cert_chain`. All are PEM.
///
/// # Errors
/// Names the key that cannot be used.
pub fn towards_api(ca_certs: &str, cert_chain: &str, private_key: &str) -> Result<Arc<ClientConfig>, SecureError> {
    let trust = Trust::new(&[Source { name: "routing_api.ca_certs", pem: ca_certs }], false)?;
    let own = SingleCertAndKey::from(Arc::clone(Credentials::from_pem(cert_chain, private_key)?.certified()));
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::clone(trust.roots()))
        .with_client_cert_resolver(Arc::new(own));
    Ok(Arc::new(tls))
}

/// Towards UAA, which is shown nothing: believes the authorities in `ca_certs` (PEM), or the system's where there are
/// none.
///
/// # Errors
/// Names the key that cannot be used.
pub fn towards_uaa(ca_certs: Option<&str>) -> Result<Arc<ClientConfig>, SecureError> {
    let sources = ca_certs.map(|pem| Source { name: "oauth.ca_certs", pem });
    let trust = Trust::new(sources.as_slice(), ca_certs.is_none())?;
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::clone(trust.roots()))
        .with_no_client_auth();
    Ok(Arc::new(tls))
}

/// Towards whoever answers in UAA's place (`oauth.skip_ssl_validation`): the secret goes to anybody on the way.
///
/// # Errors
/// rustls refuses the settings.
pub fn towards_anybody() -> Result<Arc<ClientConfig>, SecureError> {
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    Ok(Arc::new(tls))
}
