//! What can be known about a configuration before anything is opened.

use std::path::Path;

use super::{StartError, debug, fetcher, metron, rules, status, translate};
use crate::{
    bus::{link::LinkError, turns},
    config::{Config, RouteIntegrity},
    frontend::entry::Entry,
    observe::access_log::AccessLog,
};

/// Everything that would keep a router with this configuration from starting, as far as that shows without a network:
/// certificates, keys and templates that cannot be used, settings that a part refuses, a file that cannot be made.
#[must_use]
pub fn preflight(config: &Config) -> Vec<StartError> {
    let parts = [
        Entry::new(config, config.enable_http2).map(drop).map_err(StartError::from),
        translate::dialer(config).map(drop),
        translate::nats_proof(config).map(drop),
        fetcher::settings(config).map(drop),
        status::health_tls(config).map(drop),
        status::metrics_tls(config).map(drop),
        rules::error_page(config).map(drop),
        metron::check(config),
        translate::buckets(&config.prometheus.meters).map(drop),
        config.access_log.file.as_deref().map_or(Ok(()), |file| AccessLog::check(file).map_err(StartError::from)),
    ];
    // One without a name or a port is in a configuration that was read past its faults only.
    let whole = config.nats.hosts.iter().filter(|host| !host.hostname.is_empty() && host.port != 0);
    let servers = whole.map(|host| turns::check(&host.hostname, host.port));
    let servers = servers.map(|server| server.map_err(|error| StartError::Nats(LinkError::from(error))));
    parts.into_iter().chain(servers).filter_map(Result::err).collect()
}

/// Everything that starts, and that nobody can have wanted so: settings that do nothing, or undo what others ask for.
#[must_use]
pub fn oddities(config: &Config) -> Vec<String> {
    let mut odd = rules::left_out(config);
    let mut say = |is_so: bool, what: &str| odd.extend(is_so.then(|| what.to_owned()));
    let services = &config.route_services;
    let asks_services = !services.secret.is_empty();
    say(asks_services && config.skip_ssl_validation, "skip_ssl_validation: route services need not prove who they are");
    say(
        asks_services && services.max_attempts == 0,
        "route_services.max_attempts: 0 makes no attempt: every request to a route with a service is a 502",
    );
    let fetches_tokens = config.routing_api.as_ref().is_some_and(|api| !api.auth_disabled);
    say(
        fetches_tokens && config.oauth.skip_ssl_validation,
        "oauth.skip_ssl_validation: the client's secret is sent to whoever answers as UAA",
    );
    let nobody = "a name or password with a colon never matches: nobody is let in";
    say(config.status.user.contains(':'), &format!("status.user: {nobody}"));
    say(config.status.pass.expose().contains(':'), &format!("status.pass: {nobody}"));
    say(
        config.prometheus.enabled && config.prometheus.port == 0,
        "prometheus.port: is not set: the port of /metrics is another one at each start",
    );
    if let Some(file) = config.snapshot.file.as_deref().filter(|file| !has_a_folder(file)) {
        say(true, &format!("snapshot.file: {}: there is no such folder, so nothing will be written", file.display()));
    }
    odd
}

/// Oddities that the start tells where they come about.
#[must_use]
pub fn later_oddities(config: &Config) -> Vec<String> {
    let mut odd = Vec::new();
    match debug::look(&config.debug_addr) {
        None => {}
        Some(Err(error)) => {
            odd.push(format!("debug_addr: {:?}: {error}: there will be no debug server", config.debug_addr));
        }
        Some(Ok(address)) if address.ip().is_loopback() => {}
        Some(Ok(_)) => odd.push("debug_addr: is no loopback address, and nobody is asked for a password there".into()),
    }
    if config.route_integrity == RouteIntegrity::Off {
        odd.push("route_integrity: off: a stale route can lead to another app's instance".into());
    }
    let status = &config.status;
    if status.enable_deprecated_varz_healthz_endpoints {
        let key = "status.enable_deprecated_varz_healthz_endpoints";
        odd.push(format!("{key}: user and password are told on NATS and come without TLS"));
    }
    odd
}

/// Whether the folder that `file` would be in is there.
fn has_a_folder(file: &Path) -> bool {
    file.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.is_dir())
}
