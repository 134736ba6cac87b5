//! TLS settings for both ends of a test, in as few words as a story needs.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};

use crate::pki::{Authority, Leaf};

/// A version to hold on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// TLS 1.2 only.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

impl Version {
    pub(crate) fn of(spoken: rustls::ProtocolVersion) -> Option<Self> {
        match spoken {
            rustls::ProtocolVersion::TLSv1_2 => Some(Self::Tls12),
            rustls::ProtocolVersion::TLSv1_3 => Some(Self::Tls13),
            _ => None,
        }
    }

    fn only(chosen: Option<Self>) -> &'static [&'static SupportedProtocolVersion] {
        static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
        static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        match chosen {
            None => rustls::ALL_VERSIONS,
            Some(Self::Tls12) => TLS12,
            Some(Self::Tls13) => TLS13,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn trust(authorities: &[Authority]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.der()).expect("an authority's certificate is a trust anchor");
    }
    roots
}

/// The server's side: its certificate, and what it demands.
#[derive(Debug, Clone)]
pub struct ServerTls {
    leaf: Leaf,
    clients: Vec<Authority>,
    demand: bool,
    version: Option<Version>,
    alpn: Vec<Vec<u8>>,
}

impl ServerTls {
    /// Serves this certificate to anyone, TLS 1.2 and 1.3, no ALPN.
    pub fn new(leaf: &Leaf) -> Self {
        Self { leaf: leaf.clone(), clients: Vec::new(), demand: false, version: None, alpn: Vec::new() }
    }

    /// Demands a client certificate that chains to `authority` (may be repeated).
    pub fn require_client(mut self, authority: &Authority) -> Self {
        self.clients.push(authority.clone());
        self.demand = true;
        self
    }

    /// Asks for a client certificate of `authority` and goes on without one.
    pub fn ask_client(mut self, authority: &Authority) -> Self {
        self.clients.push(authority.clone());
        self
    }

    /// Speaks this version only.
    pub fn only(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Offers these application protocols.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// The rustls configuration.
    pub fn config(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(Version::only(self.version))
            .expect("the provider supports both versions");
        let builder = if self.clients.is_empty() {
            builder.with_no_client_auth()
        } else {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trust(&self.clients)), provider());
            let verifier = if self.demand { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().expect("trust anchors were given"))
        };
        let mut config =
            builder.with_single_cert(self.leaf.chain(), self.leaf.key()).expect("certificate and key match");
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }
}

impl From<&Leaf> for ServerTls {
    fn from(leaf: &Leaf) -> Self {
        Self::new(leaf)
    }
}

/// The client's side: whom it trusts, whom it expects, what it shows.
#[derive(Debug, Clone)]
pub struct ClientTls {
    roots: Vec<Authority>,
    name: String,
    identity: Option<Leaf>,
    version: Option<Version>,
    alpn: Vec<Vec<u8>>,
    kept: Option<Arc<OnceLock<Arc<ClientConfig>>>>,
}

impl ClientTls {
    /// Trusts `authority` and expects `name`.
    pub fn new(authority: &Authority, name: &str) -> Self {
        Self { roots: vec![authority.clone()], ..Self::trusting_anyone(name) }
    }

    /// Believes any certificate; `name` is only what it asks for (SNI).
    pub fn trusting_anyone(name: &str) -> Self {
        Self { roots: Vec::new(), name: name.to_owned(), identity: None, version: None, alpn: Vec::new(), kept: None }
    }

    /// Resumes sessions from now on. Clones share them; what is changed afterwards has no effect.
    pub fn resuming(mut self) -> Self {
        self.kept = Some(Arc::default());
        self
    }

    /// Shows this certificate when asked.
    pub fn identity(mut self, leaf: &Leaf) -> Self {
        self.identity = Some(leaf.clone());
        self
    }

    /// Speaks this version only.
    pub fn only(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Offers these application protocols.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// The name it asks for. Panics if that is no server name.
    pub fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.name.clone()).expect("a DNS name or an address")
    }

    /// The rustls configuration; sessions are not resumed unless asked for by [`ClientTls::resuming`].
    pub fn config(&self) -> Arc<ClientConfig> {
        match &self.kept {
            Some(kept) => kept.get_or_init(|| Arc::new(self.build())).clone(),
            None => Arc::new(self.build()),
        }
    }

    fn build(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(Version::only(self.version))
            .expect("the provider supports both versions");
        let builder = if self.roots.is_empty() {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider())))
        } else {
            builder.with_root_certificates(trust(&self.roots))
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(leaf) => builder.with_client_auth_cert(leaf.chain(), leaf.key()).expect("certificate and key match"),
        };
        if self.kept.is_none() {
            config.resumption = rustls::client::Resumption::disabled();
        }
        config.alpn_protocols.clone_from(&self.alpn);
        config
    }
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
