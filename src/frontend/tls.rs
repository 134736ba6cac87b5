//! TLS towards clients: which certificate, which versions, which suites.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use trueroute_identity::Credentials;

use crate::config::{ClientCertValidation, FrontTls};

/// TLS towards clients cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum FrontTlsError {
    /// A certificate or key is unusable.
    #[error("tls_pem[{index}]: {cause}")]
    Certificate {
        /// Which entry, counted from 0.
        index: usize,
        /// Why.
        cause: String,
    },
    /// Clients' certificates cannot be checked yet, and leaving them unchecked would be unsafe.
    #[error("client_cert_validation: only none is supported")]
    ClientCertificates,
    /// rustls refuses the settings.
    #[error("enable_ssl: {0}")]
    Tls(#[from] rustls::Error),
}

/// The server side's configuration. HTTP/2 is offered by ALPN; without it no protocol is, as in Gorouter.
///
/// # Errors
/// Names the key that cannot be used.
pub fn server_config(front: &FrontTls, http2: bool) -> Result<Arc<ServerConfig>, FrontTlsError> {
    if front.client_cert_validation != ClientCertValidation::None {
        return Err(FrontTlsError::ClientCertificates);
    }
    let certificates = Certificates::new(front)?;
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.clone_from(&front.cipher_suites);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(front.versions.supported())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    if http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// The certificates, found by the name that the client asks for: exact, then wildcard, then the first listed.
#[derive(Debug)]
struct Certificates {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    fn new(front: &FrontTls) -> Result<Self, FrontTlsError> {
        let mut by_name = HashMap::new();
        let mut first = None;
        for (index, pair) in front.certificates.iter().enumerate() {
            let unusable = |cause: String| FrontTlsError::Certificate { index, cause };
            let credentials = Credentials::from_pem(pair.cert_chain(), pair.private_key())
                .map_err(|error| unusable(error.to_string()))?;
            let key = Arc::clone(credentials.certified());
            for name in names(&key).map_err(|error| unusable(error.to_string()))? {
                by_name.entry(name).or_insert_with(|| Arc::clone(&key));
            }
            first.get_or_insert(key);
        }
        Ok(Self { by_name, first })
    }
}

fn names(key: &CertifiedKey) -> Result<Vec<String>, webpki::Error> {
    let leaf = webpki::EndEntityCert::try_from(key.end_entity_cert().map_err(|_| webpki::Error::BadDer)?)?;
    Ok(leaf.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.by_name.get(&name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.by_name.get(&format!("*.{parent}"))
            })
        });
        found.or(self.first.as_ref()).cloned()
    }
}
