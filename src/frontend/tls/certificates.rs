//! The certificates that are shown, found by the name that the client asks for: exact, then wildcard, then the first
//! listed.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use trueroute_identity::Credentials;

use super::FrontTlsError;
use crate::config::FrontTls;

#[derive(Debug)]
pub(super) struct Certificates {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Those of `tls_pem`. A name that two of them bear is the first one's.
    pub(super) fn new(front: &FrontTls) -> Result<Self, FrontTlsError> {
        let (mut by_name, mut first) = (HashMap::new(), None);
        for (index, pair) in front.certificates.iter().enumerate() {
            let credentials = Credentials::from_pem(pair.cert_chain(), pair.private_key())
                .map_err(|cause| FrontTlsError::Certificate { index, cause })?;
            let key = credentials.certified();
            for name in credentials.names() {
                by_name.entry(name).or_insert_with(|| Arc::clone(key));
            }
            first.get_or_insert_with(|| Arc::clone(key));
        }
        Ok(Self { by_name, first })
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.by_name.get(&name).or_else(|| self.by_name.get(&format!("*.{}", name.split_once('.')?.1)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().and_then(|name| self.find(name)).or(self.first.as_ref()).cloned()
    }
}
