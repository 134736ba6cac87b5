//! TLS of the status ports, from the configuration.

use std::path::Path;

use tokio_rustls::TlsAcceptor;

use super::StartError;
use crate::{admin::secure::Secure, config::Config};

/// TLS of the health port: the versions and suites of the traffic port, where there is one.
pub(super) fn health_tls(config: &Config) -> Result<Option<TlsAcceptor>, StartError> {
    let Some(status) = &config.status.tls else { return Ok(None) };
    let front = config.front_tls.as_ref();
    let secure = Secure {
        certificate: status.key_pair.cert_chain(),
        key: status.key_pair.private_key(),
        clients: None,
        suites: front.map(|front| &*front.cipher_suites),
        versions: front.map_or(rustls::ALL_VERSIONS, |front| front.versions.supported()),
    };
    secure.acceptor().map(Some).map_err(StartError::StatusTls)
}

/// TLS of the metrics port: whoever scrapes shows a certificate of the authorities in `ca_path`.
pub(super) fn metrics_tls(config: &Config) -> Result<Option<TlsAcceptor>, StartError> {
    let Some(tls) = &config.prometheus.tls else { return Ok(None) };
    let read = |key, path: &Path| {
        std::fs::read_to_string(path).map_err(|error| StartError::Unreadable { key, path: path.to_owned(), error })
    };
    let certificate = read("prometheus.cert_path", &tls.cert_path)?;
    let key = read("prometheus.key_path", &tls.key_path)?;
    let clients = read("prometheus.ca_path", &tls.ca_path)?;
    let secure = Secure {
        certificate: &certificate,
        key: &key,
        clients: Some(&clients),
        suites: None,
        versions: rustls::ALL_VERSIONS,
    };
    secure.acceptor().map(Some).map_err(StartError::PrometheusTls)
}
