//! TLS towards NATS: the router's own certificate, and no authority but the configured ones.
//!
//! The name that a server must prove is the `hostname` under which it is configured, never one that it gives itself
//! in the greeting, which comes in the clear.
//!
//! Source: gorouter.md section 3.

use rustls::{ClientConfig, server::VerifierBuilderError};
use trueroute_identity::{credentials::CredentialsError, trust::TrustError};

use super::proofs::{Proof, Proofs};

/// TLS towards NATS cannot be set up. Each text names the key.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// The authorities cannot be read.
    #[error(transparent)]
    Authorities(#[from] TrustError),
    /// The own certificate or its key is unusable.
    #[error("nats.cert_chain, nats.private_key: {0}")]
    Credentials(#[from] CredentialsError),
    /// There is no authority to verify servers with.
    #[error("nats.ca_certs: {0}")]
    Verifier(#[from] VerifierBuilderError),
    /// rustls refuses the settings.
    #[error("nats.tls_enabled: {0}")]
    Tls(#[from] rustls::Error),
}

/// The client's side of TLS 1.2 and 1.3: trusts the authorities in `ca_certs`, shows `cert_chain`. All are PEM.
///
/// # Errors
/// Names the key that cannot be used.
pub fn client_config(ca_certs: &str, cert_chain: &str, private_key: &str) -> Result<ClientConfig, SecureError> {
    Proofs::new(Proof::from_pem(ca_certs, cert_chain, private_key)?).client_config()
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::pki::Authority;

    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_by_its_key() {
        let (ca, dir) = (Authority::new("nats"), trueroute_testkit::Tempdir::new().unwrap());
        let files = ca.router_client("router").issue().write_to(dir.path(), "router");
        let (chain, key) = (std::fs::read_to_string(files.cert).unwrap(), std::fs::read_to_string(files.key).unwrap());
        assert!(client_config(ca.pem(), &chain, &key).is_ok());
        for (ca_certs, chain, key, named) in [
            ("", &*chain, &*key, "nats.ca_certs: no certificate"),
            ("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n", &chain, &key, "nats.ca_certs: "),
            (ca.pem(), "", &key, "nats.cert_chain, nats.private_key: "),
            (ca.pem(), &chain, ca.pem(), "nats.cert_chain, nats.private_key: "),
        ] {
            let error = client_config(ca_certs, chain, key).unwrap_err().to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }
}
