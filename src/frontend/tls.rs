//! TLS towards clients: which certificate is shown, which versions, suites and protocols are spoken, and what is asked
//! of a client (gorouter.md section 7.1).
//!
//! Everything is built before the first handshake by it; a handshake chooses among what is there by the server name that it asks for.

mod certificates;
pub mod clients;
pub mod inner;

use std::{io, sync::Arc};

use rustls::{
    HandshakeKind, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::UnixTime,
    server::{Acceptor, ResolvesServerCert},
};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use trueroute_identity::{
    Visitors,
    trust::TrustError,
    visitors::{self, VisitorRefusal},
};

use self::certificates::Certificates;
use crate::{
    config::{Config, FrontTls},
    headers::client_cert::{ClientCert, Format, Mode},
    route::mtls::{BadDomain, DomainIndex, Domains},
};

/// TLS towards clients cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum FrontTlsError {
    /// A certificate or key is unusable.
    #[error("tls_pem[{index}]: {cause}")]
    Certificate {
        /// Which entry, counted from 0.
        index: usize,
        /// Why.
        cause: trueroute_identity::credentials::CredentialsError,
    },
    /// Authorities for clients are unusable; the text names the key.
    #[error(transparent)]
    Authorities(#[from] TrustError),
    /// A rule is about an authority that is not among those for clients, so that it would never hold.
    #[error(
        "verify_client_certificate_metadata[{index}].issuer_in_chain: no certificate of client_ca_certs has the \
         subject {issuer:?}"
    )]
    Rule {
        /// Which rule, counted from 0.
        index: usize,
        /// The subject that it names.
        issuer: String,
    },
    /// A domain is unusable.
    #[error(transparent)]
    Domain(#[from] BadDomain),
    /// rustls refuses the settings.
    #[error("enable_ssl: {0}")]
    Tls(#[from] rustls::Error),
}

/// The application protocols that are offered: with HTTP/2 both, without it none at all, as in Gorouter. A client that
/// offers none gets HTTP/1.1; one that offers only others is refused where we have a list.
#[must_use]
pub fn alpn(http2: bool) -> Vec<Vec<u8>> {
    if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { Vec::new() }
}

/// How clients are spoken to who asked for certain names.
struct Terms {
    config: Arc<ServerConfig>,
    visitors: Option<Arc<Visitors>>,
    domain: Option<DomainIndex>,
    told: (Mode, Format),
}

/// TLS towards clients, ready for handshakes.
pub struct TlsDoor {
    usual: Terms,
    of_domains: Vec<Terms>,
    domains: Domains,
}

/// What a handshake has shown.
pub struct Handshake {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// The server name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// The domain to whose authorities it has proven itself.
    pub domain: Option<DomainIndex>,
    /// What endpoints are told about its certificate.
    pub cert: ClientCert,
}

/// A handshake that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It failed on its way.
    #[error(transparent)]
    Tls(#[from] io::Error),
    /// A resumed session's certificate does not do any more.
    #[error(transparent)]
    Resumed(#[from] VisitorRefusal),
}

impl TlsDoor {
    /// What `front` and the keys around it ask for; `domains` are those of `config`, in its order, and `http2` says
    /// whether that is offered.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(front: &FrontTls, config: &Config, domains: &Domains, http2: bool) -> Result<Self, FrontTlsError> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.clone_from(&front.cipher_suites);
        let shared = Shared {
            provider: Arc::new(provider),
            certificates: Arc::new(Certificates::new(front)?),
            front,
            alpn: alpn(http2),
        };
        let told = (clients::mode(config.forwarded_client_cert), Format::Raw);
        let usual = shared.terms(clients::usual(front)?, None, told)?;
        let of_domains = config.domains.iter().enumerate().map(|(index, domain)| {
            let visitors = clients::of_domain(index, domain)?;
            shared.terms(Some(visitors), Some(DomainIndex(index)), clients::told(domain))
        });
        Ok(Self { usual, of_domains: of_domains.collect::<Result<_, FrontTlsError>>()?, domains: domains.clone() })
    }

    fn terms(&self, server_name: Option<&str>) -> &Terms {
        let domain = server_name.and_then(|name| self.domains.of_host(name));
        domain.and_then(|domain| self.of_domains.get(domain.0)).unwrap_or(&self.usual)
    }

    /// Shakes hands. No deadline: dropping the future closes the connection.
    ///
    /// # Errors
    /// The handshake failed. The client was told why, as far as it could be.
    pub async fn handshake(&self, tcp: TcpStream) -> Result<Handshake, HandshakeError> {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        let server_name = begun.client_hello().server_name().map(Box::from);
        let terms = self.terms(server_name.as_deref());
        let accepted = begun.into_stream(Arc::clone(&terms.config)).into_fallible().await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, tcp)) => {
                super::linger::linger(tcp).await;
                return Err(error.into());
            }
        };
        let session = stream.get_ref().1;
        let shown = session.peer_certificates();
        if let Some(visitors) = &terms.visitors
            && session.handshake_kind() == Some(HandshakeKind::Resumed)
        {
            // The certificate comes from the ticket, past the verifier.
            visitors.admit(shown, UnixTime::now()).inspect_err(visitors::warn_of)?;
        }
        let leaf = shown.and_then(<[_]>::first).map(AsRef::as_ref);
        let cert = ClientCert::new(terms.told.0, terms.told.1, leaf);
        Ok(Handshake { stream, server_name, domain: terms.domain, cert })
    }
}

/// What all terms have in common.
struct Shared<'c> {
    provider: Arc<CryptoProvider>,
    certificates: Arc<Certificates>,
    front: &'c FrontTls,
    alpn: Vec<Vec<u8>>,
}

impl Shared<'_> {
    fn terms(
        &self,
        visitors: Option<Arc<Visitors>>,
        domain: Option<DomainIndex>,
        told: (Mode, Format),
    ) -> Result<Terms, FrontTlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.front.versions.supported())?;
        let builder = match &visitors {
            Some(visitors) => builder.with_client_cert_verifier(Arc::<Visitors>::clone(visitors)),
            None => builder.with_no_client_auth(),
        };
        let certificates: Arc<dyn ResolvesServerCert> = Arc::<Certificates>::clone(&self.certificates);
        let mut config = builder.with_cert_resolver(certificates);
        config.alpn_protocols.clone_from(&self.alpn);
        // Keys of its own: what was proven under other terms opens nothing here.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Terms { config: Arc::new(config), visitors, domain, told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_offered_with_http2_only() {
        assert_eq!(alpn(true), [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(alpn(false).is_empty());
    }
}
