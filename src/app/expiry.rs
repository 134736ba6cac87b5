//! When the certificates of a configuration end, for the metrics.

use std::{path::Path, time::SystemTime};

use trueroute_identity::accept::Description;

use crate::config::Config;

/// For each key that names certificates, when the first of them ends. A key whose text holds none, or whose file cannot
/// be read, is left out: whoever uses it has said so.
#[must_use]
pub fn ends(config: &Config) -> Vec<(String, SystemTime)> {
    let file = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let front = config.front_tls.as_ref();
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut add = |key: String, text: &str| texts.push((key, text.to_owned()));
    for (index, pair) in front.iter().flat_map(|front| &front.certificates).enumerate() {
        add(format!("tls_pem[{index}]"), pair.cert_chain());
    }
    if let Some(authorities) = front.and_then(|front| front.client_ca_certs.as_ref()) {
        add("client_ca_certs".into(), authorities.as_str());
    }
    for (index, authorities) in config.ca_certs.iter().enumerate() {
        add(format!("ca_certs[{index}]"), authorities.as_str());
    }
    for (index, domain) in config.domains.iter().enumerate() {
        add(format!("domains[{index}].ca_certs"), domain.ca_certs.as_str());
    }
    if let Some(pair) = &config.backends.key_pair {
        add("backends.cert_chain".into(), pair.cert_chain());
    }
    if let Some(pair) = &config.route_services.key_pair {
        add("route_services.cert_chain".into(), pair.cert_chain());
    }
    if let Some(api) = &config.routing_api {
        add("routing_api.cert_chain".into(), api.key_pair.cert_chain());
        add("routing_api.ca_certs".into(), api.ca_certs.as_str());
    }
    if config.routing_api.is_some() && !config.oauth.ca_certs.is_empty() {
        add("oauth.ca_certs".into(), &file(Path::new(&config.oauth.ca_certs)));
    }
    if let Some(tls) = &config.nats.tls {
        add("nats.cert_chain".into(), tls.key_pair.cert_chain());
        add("nats.ca_certs".into(), tls.ca_certs.as_str());
    }
    if let Some(tls) = &config.status.tls {
        add("status.tls.certificate".into(), tls.key_pair.cert_chain());
    }
    if let Some(tls) = &config.prometheus.tls {
        add("prometheus.cert_path".into(), &file(&tls.cert_path));
        add("prometheus.ca_path".into(), &file(&tls.ca_path));
    }
    let first = |text: &str| Description::of_pem(text).into_iter().map(|certificate| certificate.not_after).min();
    let mut ends: Vec<_> = texts.into_iter().filter_map(|(key, text)| Some((key, first(&text)?))).collect();
    ends.sort();
    ends
}
