//! The certificate and key that we show, and their renewal from files.

use std::{sync::Arc, time::SystemTime};

use rustls::sign::CertifiedKey;

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
        cause: rustls::pki_types::pem::Error,
    },
    /// The certificate text holds no certificate.
    #[error("certificate: no certificate in it")]
    NoCertificate,
    /// The first certificate cannot be read.
    #[error("certificate: {0}")]
    Certificate(#[source] x509_parser::error::X509Error),
    /// The key text is not readable PEM.
    #[error("private key: not valid PEM: {0}")]
    KeyPem(#[source] rustls::pki_types::pem::Error),
    /// The key text holds no private key.
    #[error("private key: no key in it")]
    NoKey,
    /// The key is neither PKCS#1, PKCS#8 nor SEC1, or of an unsupported kind.
    #[error("private key: {0}")]
    Key(#[source] rustls::Error),
    /// The key does not belong to the certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl Credentials {
    /// Credentials from PEM texts: the leaf first, then its issuers; the key under any label.
    ///
    /// # Errors
    /// Says which text is bad and how, or that the two do not belong together.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, CredentialsError> {
        let _ = (certificates, key);
        todo!()
    }

    /// The chain and key as rustls signs with them.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
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
