//! The configuration as the router uses it, key by key, for a person to read.
//!
//! Every key of the file appears once, under its dotted name, in the order of gorouter.md section 2. No secret is shown.

use std::{fmt::Display, path::Path, time::Duration};

use super::{Config, KeyPair, PemCertificates, Secret, TlsVersions};

/// One key and what it means to the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The dotted key.
    pub key: &'static str,
    /// The value, in the file's notation where it has one.
    pub value: String,
}

/// A setting, and whether the file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The key with its value.
    pub setting: Setting,
    /// Whether the key stands in the file with a value; else it is the default, which may follow from other keys.
    pub is_given: bool,
}

impl Config {
    /// Every key with its value.
    #[must_use]
    pub fn effective(&self) -> Vec<Setting> {
        values(self).into_iter().map(|(key, value)| Setting { key, value }).collect()
    }
}

fn values(c: &Config) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for part in [first, front, behaviour, limits, services] {
        part(c, &mut |key, value| all.push((key, value)));
    }
    all
}

type Show<'s> = &'s mut dyn FnMut(&'static str, String);

/// Process, bus, logs.
fn first(c: &Config, show: Show<'_>) {
    show("status.host", text(&c.status.host));
    show("status.port", plain(c.status.port));
    show("status.enable_nontls_health_checks", plain(c.status.enable_nontls_health_checks));
    show("status.enable_deprecated_varz_healthz_endpoints", plain(c.status.enable_deprecated_varz_healthz_endpoints));
    show("status.user", text(&c.status.user));
    show("status.pass", secret(&c.status.pass));
    let tls = c.status.tls.as_ref();
    show("status.tls.port", tls.map_or_else(|| "none".into(), |tls| plain(tls.port)));
    show("status.tls.certificate", pair(tls.map(|tls| &tls.key_pair)));
    show("status.routes.port", plain(c.status.routes.port));
    show("nats.hosts", list(c.nats.hosts.iter().map(|host| format!("{}:{}", host.hostname, host.port))));
    show("nats.user", text(&c.nats.user));
    show("nats.pass", secret(&c.nats.pass));
    show("nats.tls_enabled", plain(c.nats.tls.is_some()));
    show("nats.ca_certs", certificates(c.nats.tls.iter().map(|tls| &tls.ca_certs)));
    show("nats.cert_chain", pair(c.nats.tls.as_ref().map(|tls| &tls.key_pair)));
    show("nats_client_ping_interval", span(c.nats_client_ping_interval));
    show("logging.level", plain(c.logging.level.as_str()));
    show("logging.format.timestamp", plain(c.logging.format.timestamp.as_str()));
    show("logging.syslog", text(&c.logging.syslog));
    show("logging.syslog_addr", text(&c.logging.syslog_addr));
    show("logging.syslog_network", plain(c.logging.syslog_network.as_str()));
    show("logging.syslog_truncate", plain(c.logging.syslog_truncate));
    show("logging.loggregator_enabled", plain(c.logging.loggregator_enabled));
    show("logging.metron_address", text(c.metron()));
    show("logging.disable_log_forwarded_for", plain(c.logging.disable_log_forwarded_for));
    show("logging.disable_log_source_ip", plain(c.logging.disable_log_source_ip));
    show("logging.redact_query_params", plain(c.logging.redact_query_params));
    show("logging.extra_access_log_fields", list(&c.logging.extra_access_log_fields));
    show("extra_headers_to_log", list(&c.extra_headers_to_log));
    show("access_log.file", path(c.access_log.file.as_deref()));
    show("access_log.enable_streaming", plain(c.access_log.enable_streaming));
    show("access_log.log_aborted_exchanges", plain(c.access_log.log_aborted_exchanges));
    show("prometheus.enabled", plain(c.prometheus.enabled));
    show("prometheus.port", plain(c.prometheus.port));
    let tls = c.prometheus.tls.as_ref();
    show("prometheus.cert_path", path(tls.map(|tls| &*tls.cert_path)));
    show("prometheus.key_path", path(tls.map(|tls| &*tls.key_path)));
    show("prometheus.ca_path", path(tls.map(|tls| &*tls.ca_path)));
    let meters = &c.prometheus.meters;
    for (key, bounds) in [
        ("prometheus.meters.route_lookup_time_histogram_buckets", &meters.route_lookup_time_histogram_buckets),
        ("prometheus.meters.gorouter_time_histogram_buckets", &meters.gorouter_time_histogram_buckets),
        (
            "prometheus.meters.route_registration_latency_histogram_buckets",
            &meters.route_registration_latency_histogram_buckets,
        ),
        (
            "prometheus.meters.routing_response_latency_histogram_buckets",
            &meters.routing_response_latency_histogram_buckets,
        ),
        ("prometheus.meters.http_latency_histogram_buckets", &meters.http_latency_histogram_buckets),
    ] {
        show(key, list(bounds));
    }
    show("index", plain(c.index));
    show("zone", text(&c.zone));
    show("go_max_procs", c.go_max_procs.map_or_else(|| "all processors".into(), plain));
    show("debug_addr", text(&c.debug_addr));
}

/// The traffic ports and TLS.
fn front(c: &Config, show: Show<'_>) {
    let front = c.front_tls.as_ref();
    let of = |said: fn(&super::FrontTls) -> String| front.map_or_else(|| "none".into(), said);
    show("port", plain(c.port));
    show("disable_http", plain(c.disable_http));
    show("enable_ssl", plain(front.is_some()));
    show("ssl_port", of(|front| plain(front.port)));
    show(
        "tls_pem",
        of(|front| format!("[{} with their keys]", counted(front.certificates.len(), "certificate chain"))),
    );
    show("cipher_suites", of(|front| list(front.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())))));
    show(
        "min_tls_version",
        of(|front| if front.versions == TlsVersions::Tls13 { "TLSv1.3" } else { "TLSv1.2" }.into()),
    );
    show(
        "max_tls_version",
        of(|front| if front.versions == TlsVersions::Tls12 { "TLSv1.2" } else { "TLSv1.3" }.into()),
    );
    show("client_cert_validation", of(|front| plain(front.client_cert_validation)));
    show("client_ca_certs", of(|front| certificates(front.client_ca_certs.iter())));
    show("only_trust_client_ca_certs", of(|front| plain(front.only_trust_client_ca_certs)));
    show("enable_verify_client_certificate_metadata", of(|front| plain(!front.client_metadata_rules.is_empty())));
    show("verify_client_certificate_metadata", of(|front| counted(front.client_metadata_rules.len(), "rule")));
    show("domains", list(c.domains.iter().map(|domain| &domain.domain)));
    show("enable_proxy", plain(c.enable_proxy));
    show("enable_http2", plain(c.enable_http2));
    show("enable_http1_concurrent_read_write", plain(c.enable_http1_concurrent_read_write));
    show("ca_certs", certificates(&c.ca_certs));
    show("tls_handshake_timeout", limit(c.tls_handshake_timeout));
    show("skip_ssl_validation", plain(c.skip_ssl_validation));
    show("forwarded_client_cert", plain(c.forwarded_client_cert));
    show("frontend_idle_timeout", limit(c.frontend_idle_timeout));
    show("read_header_timeout", limit(c.read_header_timeout));
}

/// Headers, cookies, balancing.
fn behaviour(c: &Config, show: Show<'_>) {
    show("force_forwarded_proto_https", plain(c.force_forwarded_proto_https));
    show("sanitize_forwarded_proto", plain(c.sanitize_forwarded_proto));
    show("hop_by_hop_headers_to_filter", list(&c.hop_by_hop_headers_to_filter));
    show("tracing.enable_zipkin", plain(c.tracing.enable_zipkin));
    show("tracing.enable_w3c", plain(c.tracing.enable_w3c));
    show("tracing.w3c_tenant_id", text(&c.tracing.w3c_tenant_id));
    show("trace_key", secret(&c.trace_key));
    let rewrite = &c.http_rewrite;
    let added = rewrite.add_headers_if_not_present.iter().map(|(name, value)| format!("{name}: {value}"));
    show("http_rewrite.responses.add_headers_if_not_present", list(added));
    show("http_rewrite.responses.remove_headers", list(&rewrite.remove_headers));
    show("html_error_template_file", path(c.html_error_template_file.as_deref()));
    show("healthcheck_user_agent", text(&c.healthcheck_user_agent));
    show("secure_cookies", plain(c.secure_cookies));
    show("sticky_session_cookie_names", list(&c.sticky_session_cookie_names));
    show("sticky_sessions_for_auth_negotiate", plain(c.sticky_sessions_for_auth_negotiate));
    show("balancing_algorithm", plain(c.balancing_algorithm));
    show("balancing_algorithm_az_preference", plain(c.balancing_algorithm_az_preference));
    show("isolation_segments", list(&c.isolation_segments));
    show("routing_table_sharding_mode", plain(c.routing_table_sharding_mode));
    show("route_integrity", plain(c.route_integrity.as_str()));
    show("snapshot.file", path(c.snapshot.file.as_deref()));
    show("snapshot.interval", span(c.snapshot.interval));
    show("empty_pool_response_code_503", plain(c.empty_pool_response_code_503));
    show("empty_pool_timeout", span(c.empty_pool_timeout));
    show("per_request_metrics_reporting", plain(c.per_request_metrics_reporting));
    show("enable_envelope_v1_metrics", plain(c.tells_metron()));
    show("send_http_start_stop_server_event", plain(c.send_http_start_stop_server_event));
    show("send_http_start_stop_client_event", plain(c.send_http_start_stop_client_event));
    show("per_app_prometheus_http_metrics_reporting", plain(c.per_app_prometheus_http_metrics_reporting));
}

/// Times and bounds.
fn limits(c: &Config, show: Show<'_>) {
    show("suspend_pruning_if_nats_unavailable", plain(c.suspend_pruning_if_nats_unavailable));
    show("prune_stale_droplets_interval", limit(c.prune_stale_droplets_interval));
    show("droplet_stale_threshold", span(c.droplet_stale_threshold));
    show("publish_active_apps_interval", limit(c.publish_active_apps_interval));
    show("start_response_delay_interval", span(c.start_response_delay_interval));
    show("endpoint_timeout", limit(c.endpoint_timeout));
    show("http_1_endpoint_timeout", limit(c.http_1_endpoint_timeout));
    show("http_2_endpoint_timeout", limit(c.http_2_endpoint_timeout));
    show("endpoint_dial_timeout", limit(c.endpoint_dial_timeout));
    show("endpoint_keep_alive_probe_interval", limit(c.endpoint_keep_alive_probe_interval));
    show("route_latency_metric_muzzle_duration", span(c.route_latency_metric_muzzle_duration));
    show("drain_wait", span(c.drain_wait));
    show("drain_timeout", span(c.drain_timeout));
    show("backends.max_conns", most(c.backends.max_conns));
    show("backends.max_attempts", plain(c.backends.max_attempts));
    show("backends.cert_chain", pair(c.backends.key_pair.as_ref()));
    show("disable_keep_alives", plain(c.disable_keep_alives));
    show("max_idle_conns", most(c.max_idle_conns));
    show("max_idle_conns_per_host", plain(c.max_idle_conns_per_host));
    show("max_request_header_bytes", plain(c.max_request_header_bytes));
    show("max_request_headers", most(c.max_request_headers));
    show("max_response_header_bytes", plain(c.max_response_header_bytes));
    show("max_response_headers", most(c.max_response_headers));
    show("keep_alive_100_continue_requests", plain(c.keep_alive_100_continue_requests));
}

/// Route services and the Routing API.
fn services(c: &Config, show: Show<'_>) {
    let services = &c.route_services;
    show("route_services_secret", secret(&services.secret));
    show("route_services_secret_decrypt_only", secret(&services.secret_decrypt_only));
    show("route_services_timeout", span(c.route_services_timeout));
    show("route_services_recommend_https", plain(services.recommend_https));
    show("route_services_hairpinning", plain(services.hairpinning));
    show("route_services_hairpinning_allowlist", list(&services.hairpinning_allowlist));
    show("route_services_internal_server_port", plain(services.internal_server_port));
    show("route_services.max_attempts", plain(services.max_attempts));
    show("route_services.strict_signature_validation", plain(services.strict_signature_validation));
    show("route_services.enable_websockets", plain(services.enable_websockets));
    show("route_services.egress_blocklist", list(&services.egress_blocklist));
    show("route_services.cert_chain", pair(services.key_pair.as_ref()));
    show("oauth.token_endpoint", text(&c.oauth.token_endpoint));
    show("oauth.port", plain(c.oauth.port));
    show("oauth.client_name", text(&c.oauth.client_name));
    show("oauth.client_secret", secret(&c.oauth.client_secret));
    show("oauth.ca_certs", text(&c.oauth.ca_certs));
    show("oauth.skip_ssl_validation", plain(c.oauth.skip_ssl_validation));
    let api = c.routing_api.as_ref();
    show("routing_api.uri", api.map_or_else(|| "none".into(), |api| text(&api.uri)));
    show("routing_api.port", api.map_or_else(|| "none".into(), |api| plain(api.port)));
    show("routing_api.auth_disabled", plain(api.is_some_and(|api| api.auth_disabled)));
    show("routing_api.ca_certs", certificates(api.iter().map(|api| &api.ca_certs)));
    show("routing_api.cert_chain", pair(api.map(|api| &api.key_pair)));
    show("token_fetcher_max_retries", plain(c.token_fetcher.max_retries));
    show("token_fetcher_retry_interval", span(c.token_fetcher.retry_interval));
    show("token_fetcher_expiration_buffer_time", span(c.token_fetcher.expiration_buffer_time));
}

fn plain(value: impl Display) -> String {
    value.to_string()
}

/// A text, quoted where it would not be read back as one.
fn text(value: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./*@".contains(c);
    if !value.is_empty() && value.chars().all(bare) { value.into() } else { format!("{value:?}") }
}

fn list(values: impl IntoIterator<Item = impl Display>) -> String {
    let texts: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    format!("[{}]", texts.join(", "))
}

/// In Go's notation, which is the file's.
fn span(value: Duration) -> String {
    let (secs, millis) = (value.as_secs(), value.subsec_millis());
    match (secs, millis) {
        (0, 0) if !value.is_zero() => format!("{}ns", value.as_nanos()),
        (0, 0) => "0s".into(),
        (0, millis) => format!("{millis}ms"),
        (secs, 0) if secs % 3600 == 0 => format!("{}h", secs / 3600),
        (secs, 0) if secs % 60 == 0 => format!("{}m", secs / 60),
        (secs, 0) => format!("{secs}s"),
        (secs, _) => format!("{secs}.{millis:03}s"),
    }
}

fn limit(value: Option<Duration>) -> String {
    value.map_or_else(|| "none".into(), span)
}

fn most(value: Option<impl Display>) -> String {
    value.map_or_else(|| "no limit".into(), plain)
}

fn path(value: Option<&Path>) -> String {
    value.map_or_else(|| "none".into(), |path| text(&path.display().to_string()))
}

fn secret(value: &Secret) -> String {
    if value.is_empty() { "none" } else { "(not shown)" }.into()
}

fn pair(value: Option<&KeyPair>) -> String {
    if value.is_some() { "(a chain and its key)" } else { "none" }.into()
}

fn certificates<'c>(values: impl IntoIterator<Item = &'c PemCertificates>) -> String {
    let blocks = |pem: &PemCertificates| pem.as_str().matches("-----BEGIN CERTIFICATE-----").count();
    match values.into_iter().map(blocks).sum() {
        0 => "none".into(),
        count => format!("({})", counted(count, "certificate")),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_files_notation() {
        let ms = Duration::from_millis;
        for (value, shown) in
            [(0, "0s"), (5, "5ms"), (90_000, "90s"), (120_000, "2m"), (7_200_000, "2h"), (1_500, "1.500s")]
        {
            assert_eq!(span(ms(value)), shown);
        }
        assert_eq!([text(""), text("a.b"), text("a b\n")], ["\"\"", "a.b", "\"a b\\n\""]);
        assert_eq!(secret(&Secret::from("s3cret".to_owned())), "(not shown)");
    }

    #[test]
    fn what_the_file_says_is_no_default_and_no_key_comes_twice() {
        let text =
            "port: 8081\nnats: {pass: s3cret}\nendpoint_timeout: 900s\nindex: ~\nx: &x {port: 1}\nstatus: {<<: *x}\n";
        let explained = super::super::explain(text).unwrap();
        let given: Vec<_> = explained.iter().filter(|key| key.is_given).map(|key| key.setting.key).collect();
        assert_eq!(given, ["status.port", "nats.pass", "port", "endpoint_timeout"]);
        let settings: Vec<_> = explained.into_iter().map(|explained| explained.setting).collect();
        let value = |key| &*settings.iter().find(|setting| setting.key == key).unwrap().value;
        assert_eq!((value("drain_timeout"), value("status.port")), ("15m", "1"));
        assert!(settings.iter().all(|setting| !setting.value.contains("s3cret")));
        let mut keys: Vec<_> = settings.iter().map(|setting| setting.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), settings.len());
    }
}
