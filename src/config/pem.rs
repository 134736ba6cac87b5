//! PEM texts and secrets as they stand in the file.
//!
//! A value of these types holds at least one block of its kind that decodes; whether the certificate is one, and the
//! key fits it, is for whoever builds credentials from it. No `Debug` here shows a secret.

use std::fmt;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Why a text is not the PEM it should be. Never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No certificate block.
    #[error("holds no PEM certificate")]
    NoCertificate,
    /// No private key block (PKCS#1, PKCS#8 or SEC1).
    #[error("holds no PEM private key")]
    NoPrivateKey,
    /// A block that does not end, or is not base64.
    #[error("holds a broken PEM block: {0}")]
    Broken(String),
}

/// One or more certificates in PEM form.
#[derive(Clone, PartialEq, Eq)]
pub struct PemCertificates(String);

impl PemCertificates {
    /// Takes a text with at least one certificate block; text between blocks is allowed.
    ///
    /// # Errors
    /// [`PemError`] when there is none, or one is broken.
    pub fn new(text: String) -> Result<PemCertificates, PemError> {
        let mut count = 0;
        for block in CertificateDer::pem_slice_iter(text.as_bytes()) {
            block.map_err(|e| PemError::Broken(e.to_string()))?;
            count += 1;
        }
        if count == 0 { Err(PemError::NoCertificate) } else { Ok(PemCertificates(text)) }
    }

    /// The text as it stood in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PemCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PemCertificates({} bytes)", self.0.len())
    }
}

/// A certificate chain and its private key, both in PEM form and both present.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    cert_chain: PemCertificates,
    private_key: Secret,
}

impl KeyPair {
    pub(super) fn new(cert_chain: PemCertificates, private_key: Secret) -> Result<KeyPair, PemError> {
        match PrivateKeyDer::from_pem_slice(private_key.expose().as_bytes()) {
            Ok(_) => Ok(KeyPair { cert_chain, private_key }),
            Err(rustls::pki_types::pem::Error::NoItemsFound) => Err(PemError::NoPrivateKey),
            Err(e) => Err(PemError::Broken(e.to_string())),
        }
    }

    /// The chain, leaf first.
    pub fn cert_chain(&self) -> &str {
        self.cert_chain.as_str()
    }

    /// The private key. Keep it out of logs and errors.
    pub fn private_key(&self) -> &str {
        self.private_key.expose()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("cert_chain", &self.cert_chain).finish_non_exhaustive()
    }
}

/// A text that logs and errors must not show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the key was left out, or empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(empty)" } else { "Secret(…)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERT: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn certificates_are_there_or_not() {
        assert!(PemCertificates::new(CERT.repeat(2)).is_ok());
        assert!(PemCertificates::new(format!("a comment\n{CERT}")).is_ok());
        assert_eq!(PemCertificates::new(String::new()).unwrap_err(), PemError::NoCertificate);
        assert_eq!(PemCertificates::new("junk".into()).unwrap_err(), PemError::NoCertificate);
        for broken in
            ["-----BEGIN CERTIFICATE-----\nAAAA\n", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----"]
        {
            let error = PemCertificates::new(broken.into()).unwrap_err();
            assert!(matches!(error, PemError::Broken(_)), "{broken}: {error}");
        }
    }

    #[test]
    fn a_key_pair_needs_a_key_and_does_not_show_it() {
        let chain = || PemCertificates::new(CERT.into()).unwrap();
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let key = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
            let pair = KeyPair::new(chain(), key.clone().into()).unwrap();
            assert_eq!(pair.private_key(), key);
            assert!(!format!("{pair:?}").contains("PRIVATE"));
        }
        assert_eq!(KeyPair::new(chain(), Secret::from(CERT.to_owned())).unwrap_err(), PemError::NoPrivateKey);
        assert_eq!(format!("{:?}", Secret::from("s3cret".to_owned())), "Secret(…)");
    }
}
