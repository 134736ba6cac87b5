//! The certificate and key that we show, and their renewal from files.

use std::{sync::Arc, time::SystemTime};

use rustls::{
    InconsistentKeys,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject, SectionKind},
    },
    sign::{CertifiedKey, SigningKey},
};

use x509_parser::extensions::GeneralName;

use crate::{leaf, provider::provider};

pub mod watch;

/// A certificate chain and the key that belongs to it, checked to match. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credentials {
    certified: Arc<CertifiedKey>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Why a certificate and a key make no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A block of the certificate text is not readable PEM.
    #[error("certificate: block {block} is not valid PEM: {cause}")]
    CertificatePem {
        /// Which block, counted from 1.
        block: usize,
        /// What is wrong with it.
        #[source]
        cause: pem::Error,
    },
    /// The certificate text holds no certificate.
    #[error("certificate: no certificate in it")]
    NoCertificate,
    /// The first certificate cannot be read.
    #[error("certificate: {0}")]
    Certificate(#[source] x509_parser::error::X509Error),
    /// The key text is not readable PEM.
    #[error("private key: not valid PEM: {0}")]
    KeyPem(#[source] pem::Error),
    /// The key text holds no private key.
    #[error("private key: no key in it")]
    NoKey,
    /// The key is neither PKCS#1, PKCS#8 nor SEC1, or of an unsupported kind.
    #[error("private key: {0}")]
    Key(#[source] rustls::Error),
    /// The key does not belong to the certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// Whether the key belongs to the certificate cannot be told.
    #[error("certificate and private key: {0}")]
    Unusable(#[source] rustls::Error),
}

impl Credentials {
    /// Credentials from PEM texts: the leaf first, then its issuers; the key under any label.
    ///
    /// The leaf's names are not looked at: Diego serves a certificate with an empty name while an instance
    /// drains, and it must load like any other.
    ///
    /// # Errors
    /// Says which text is bad and how, or that the two do not belong together.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, CredentialsError> {
        let chain = chain(certificates)?;
        let leaf = chain.first().ok_or(CredentialsError::NoCertificate)?;
        let (not_before, not_after) =
            leaf::bounds(leaf::parse(leaf).map_err(CredentialsError::Certificate)?.validity());
        let certified = CertifiedKey::new(chain, signing_key(key)?);
        match certified.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(CredentialsError::Mismatch);
            }
            Err(cause) => return Err(CredentialsError::Unusable(cause)),
        }
        Ok(Self { certified: Arc::new(certified), not_before, not_after })
    }

    /// The chain and key as rustls signs with them.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The names under which the leaf can be asked for, in lower case: its DNS SANs, or its common name if it has none
    /// of those.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let parsed = self.certified.cert.first().and_then(|leaf| leaf::parse(leaf).ok());
        let Some(certificate) = parsed else { return Vec::new() };
        let names: Vec<String> = (leaf::general_names(&certificate).iter())
            .filter_map(|name| match name {
                GeneralName::DNSName(dns) => Some(dns.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        if !names.is_empty() {
            return names;
        }
        let common_name = certificate.subject().iter_common_name().next();
        common_name.and_then(|name| name.as_str().ok()).map(str::to_ascii_lowercase).into_iter().collect()
    }

    /// Start of the leaf's validity.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// End of the leaf's validity.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let mut chain = Vec::new();
    for (index, section) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).enumerate() {
        let (kind, der) = section.map_err(|cause| CredentialsError::CertificatePem { block: index + 1, cause })?;
        if kind == SectionKind::Certificate {
            chain.push(CertificateDer::from(der));
        }
    }
    Ok(chain)
}

/// Go reads a key whatever its label says (an EC key labelled `RSA PRIVATE KEY` is common), so each form
/// is tried. The error of the labelled form is the one to show.
fn signing_key(text: &str) -> Result<Arc<dyn SigningKey>, CredentialsError> {
    let mut labelled = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, der) = section.map_err(CredentialsError::KeyPem)?;
        if matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey) {
            labelled = Some((kind, der));
            break;
        }
    }
    let (kind, der) = labelled.ok_or(CredentialsError::NoKey)?;
    let provider = provider();
    let load = |form: SectionKind| {
        let key = match form {
            SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(der.clone().into()),
            SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(der.clone().into()),
            _ => PrivateKeyDer::Pkcs8(der.clone().into()),
        };
        provider.key_provider.load_private_key(key)
    };
    let refused = match load(kind) {
        Ok(key) => return Ok(key),
        Err(refused) => refused,
    };
    [SectionKind::RsaPrivateKey, SectionKind::PrivateKey, SectionKind::EcPrivateKey]
        .into_iter()
        .find_map(|form| load(form).ok())
        .ok_or(CredentialsError::Key(refused))
}
