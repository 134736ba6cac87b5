//! The inner door: by it the router's own requests come in again, those for route services that are its own apps.
//!
//! It is open on the loopback address alone, and to this process alone: both ends show certificates of an authority
//! that is made at the start, kept in memory and signs nothing else (gorouter.md section 8, hairpinning).

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use trueroute_identity::{
    Credentials, Trust,
    credentials::CredentialsError,
    trust::{Source, TrustError},
};

/// The name on the certificate behind the door.
pub const NAME: &str = "inner.gorouter.invalid";

/// The inner door cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InnerDoorError {
    /// A certificate cannot be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// What was made cannot be read again.
    #[error("authority: {0}")]
    Authority(#[from] TrustError),
    /// Likewise.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
    /// rustls refuses the settings.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    /// Likewise.
    #[error("{0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The door from within.
#[derive(Clone)]
pub struct InnerDoor(TlsAcceptor);

/// What it takes to come in by it.
pub struct Pass {
    /// Whom to believe.
    pub trust: Trust,
    /// What to show.
    pub credentials: Credentials,
}

impl InnerDoor {
    /// A new door and the only pass for it.
    ///
    /// # Errors
    /// The machine has no randomness, as far as can be told.
    pub fn make() -> Result<(Self, Pass), InnerDoorError> {
        let authority = authority()?;
        let server = leaf(&authority, ExtendedKeyUsagePurpose::ServerAuth)?;
        let client = leaf(&authority, ExtendedKeyUsagePurpose::ClientAuth)?;
        let pem = authority.pem();
        let trust = Trust::new(&[Source { name: "inner door", pem: &pem }], false)?;
        let credentials = Credentials::from_pem(&client.0, &client.1)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let visitors =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(trust.roots()), Arc::clone(&provider)).build()?;
        let shown = Credentials::from_pem(&server.0, &server.1)?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(visitors)
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(shown.certified()))));
        Ok((Self(TlsAcceptor::from(Arc::new(config))), Pass { trust, credentials }))
    }

    /// Lets one of the router's own connections in.
    ///
    /// # Errors
    /// It is somebody else's.
    pub async fn admit(&self, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.0.accept(tcp).await
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = named("inner door")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::self_signed(params, key()?)
}

/// A certificate and its key, in PEM.
fn leaf(
    authority: &CertifiedIssuer<'static, KeyPair>,
    purpose: ExtendedKeyUsagePurpose,
) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(vec![NAME.to_owned()])?;
    params.extended_key_usages = vec![purpose];
    let key = key()?;
    Ok((params.signed_by(&key, authority)?.pem(), key.serialize_pem()))
}

fn named(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}
