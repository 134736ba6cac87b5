//! What can be known about a configuration before anything is opened.

use super::{StartError, fetcher, metron, rules, status, translate};
use crate::{config::Config, frontend::entry::Entry};

/// Everything that would keep a router with this configuration from starting, as far as that shows without a network:
/// certificates, keys and templates that cannot be used, settings that a part refuses.
#[must_use]
pub fn preflight(config: &Config) -> Vec<StartError> {
    [
        Entry::new(config, config.enable_http2).map(drop).map_err(StartError::from),
        translate::dialer(config).map(drop),
        translate::nats_proof(config).map(drop),
        fetcher::settings(config).map(drop),
        status::health_tls(config).map(drop),
        status::metrics_tls(config).map(drop),
        rules::error_page(config).map(drop),
        metron::check(config),
        translate::buckets(&config.prometheus.meters).map(drop),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}
