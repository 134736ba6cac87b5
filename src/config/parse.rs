//! From the sections of the file to a [`Config`]: types, defaults, and the rules between keys.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::decode::Word;
use super::duration::GoDuration;
use super::effective::Explained;
use super::error::{ConfigError, Problem, Warning};
use super::model::{Backends, Config};
use super::modes::{IntegrityWord, RouteIntegrity, ShardingMode, XfccFormat};
use super::parse_sections as sections;
use super::parse_tls::{self, Tls};
use super::read::{Reader, Section};
use super::sections::{HttpRewrite, MtlsDomain};
use super::yaml::Document;
use super::{Faults, Parsed};

/// The size of a request's header block that no setting can raise (gorouter.md §7.2).
const REQUEST_HEADER_CAP: usize = 1 << 20;

/// Reads a whole file.
pub(super) fn document(text: &str) -> Result<Parsed, ConfigError> {
    let reader = Reader::new(Document::parse(text)?);
    let config = reader.read(root)?;
    Ok(Parsed { config, warnings: reader.warnings() })
}

/// Reads a whole file, and tells which of its keys are given.
pub(super) fn explained(text: &str) -> Result<Vec<Explained>, ConfigError> {
    let reader = Reader::new(Document::parse(text)?);
    let settings = reader.read(root)?.effective().into_iter();
    Ok(settings.map(|setting| Explained { is_given: reader.is_given(setting.key), setting }).collect())
}

/// Reads a whole file past what is wrong; the result stands only if nothing is.
pub(super) fn survey(text: &str) -> Result<Parsed, Faults> {
    let unread = |error| Faults { errors: vec![error], rest: None, warnings: Vec::new() };
    let mut reader = Reader::surveying(Document::parse(text).map_err(unread)?);
    let read = reader.read(root);
    let (mut errors, warnings) = (reader.faults(), reader.warnings());
    match read {
        Ok(config) if errors.is_empty() => Ok(Parsed { config, warnings }),
        Ok(config) => Err(Faults { errors, rest: Some(Box::new(config)), warnings }),
        Err(error) => {
            errors.push(error);
            Err(Faults { errors, rest: None, warnings })
        }
    }
}

fn root(s: &mut Section<'_>) -> Result<Config, ConfigError> {
    let d = Config::default();
    let tls = parse_tls::tls(s)?;
    let times = times(s, &d)?;
    let disable_http = s.or("disable_http", false)?;
    if disable_http && !tls.enabled {
        s.refuse("disable_http", Problem::Rule("needs enable_ssl: no port would be left"))?;
    }
    let config = Config {
        status: s.section("status", sections::status)?,
        nats: s.section("nats", sections::nats)?,
        logging: s.section("logging", sections::logging)?,
        port: s.or("port", d.port)?,
        disable_http,
        prometheus: s.section("prometheus", sections::prometheus)?,
        index: s.or("index", d.index)?,
        zone: s.or("zone", d.zone)?,
        go_max_procs: count(s.or("go_max_procs", -1)?),
        tracing: s.section("tracing", sections::tracing)?,
        trace_key: s.or("trace_key", d.trace_key)?,
        access_log: s.section("access_log", sections::access_log)?,
        debug_addr: s.or("debug_addr", d.debug_addr)?,
        enable_proxy: s.or("enable_proxy", d.enable_proxy)?,
        enable_http2: s.or("enable_http2", d.enable_http2)?,
        enable_http1_concurrent_read_write: s.or("enable_http1_concurrent_read_write", false)?,
        ca_certs: s.or("ca_certs", d.ca_certs)?,
        skip_ssl_validation: s.or("skip_ssl_validation", d.skip_ssl_validation)?,
        forwarded_client_cert: s.or("forwarded_client_cert", Word(d.forwarded_client_cert))?.0,
        force_forwarded_proto_https: s.or("force_forwarded_proto_https", d.force_forwarded_proto_https)?,
        sanitize_forwarded_proto: s.or("sanitize_forwarded_proto", d.sanitize_forwarded_proto)?,
        hop_by_hop_headers_to_filter: s.or("hop_by_hop_headers_to_filter", d.hop_by_hop_headers_to_filter)?,
        isolation_segments: s.or("isolation_segments", d.isolation_segments)?,
        routing_table_sharding_mode: s.or("routing_table_sharding_mode", Word(d.routing_table_sharding_mode))?.0,
        suspend_pruning_if_nats_unavailable: s.or("suspend_pruning_if_nats_unavailable", false)?,
        secure_cookies: s.or("secure_cookies", d.secure_cookies)?,
        sticky_session_cookie_names: s.list_or("sticky_session_cookie_names", d.sticky_session_cookie_names)?,
        sticky_sessions_for_auth_negotiate: s.or("sticky_sessions_for_auth_negotiate", false)?,
        healthcheck_user_agent: s.or("healthcheck_user_agent", d.healthcheck_user_agent)?,
        oauth: s.section("oauth", sections::oauth)?,
        routing_api: s.section("routing_api", sections::routing_api)?,
        token_fetcher: sections::token_fetcher(s)?,
        route_services: sections::route_services(s)?,
        backends: s.section("backends", |s| backends(s, &tls))?,
        front_tls: tls.front,
        extra_headers_to_log: s.or("extra_headers_to_log", d.extra_headers_to_log)?,
        balancing_algorithm: s.or("balancing_algorithm", Word(d.balancing_algorithm))?.0,
        balancing_algorithm_az_preference: s
            .or("balancing_algorithm_az_preference", Word(d.balancing_algorithm_az_preference))?
            .0,
        disable_keep_alives: s.or("disable_keep_alives", d.disable_keep_alives)?,
        max_idle_conns: count(s.or("max_idle_conns", 100)?),
        max_idle_conns_per_host: match s.or("max_idle_conns_per_host", 0i64)? {
            0 => d.max_idle_conns_per_host,
            n => usize::try_from(n).unwrap_or(0),
        },
        max_request_header_bytes: request_header_bytes(s)?,
        max_request_headers: count(s.or("max_request_headers", 0)?),
        max_response_header_bytes: count(s.or("max_response_header_bytes", 0)?)
            .map_or(d.max_response_header_bytes, NonZeroUsize::get),
        max_response_headers: count(s.or("max_response_headers", 0)?),
        keep_alive_100_continue_requests: s.or("keep_alive_100_continue_requests", false)?,
        http_rewrite: s.section("http_rewrite", http_rewrite)?,
        empty_pool_response_code_503: s.or("empty_pool_response_code_503", d.empty_pool_response_code_503)?,
        html_error_template_file: path(s, "html_error_template_file")?,
        per_request_metrics_reporting: s.or("per_request_metrics_reporting", true)?,
        enable_envelope_v1_metrics: s.optional("enable_envelope_v1_metrics")?,
        send_http_start_stop_server_event: s.or("send_http_start_stop_server_event", true)?,
        send_http_start_stop_client_event: s.or("send_http_start_stop_client_event", true)?,
        per_app_prometheus_http_metrics_reporting: s.or("per_app_prometheus_http_metrics_reporting", false)?,
        domains: s.sections("domains", domain)?.into_iter().flatten().collect(),
        snapshot: s.section("snapshot", sections::snapshot)?,
        route_integrity: s.optional("route_integrity")?.map_or(d.route_integrity, |Word(IntegrityWord(mode))| mode),
        ..times
    };
    unused(s)?;
    rules_between(s, &config)?;
    Ok(config)
}

/// The top-level durations; the rest of the result is the default.
fn times(s: &mut Section<'_>, d: &Config) -> Result<Config, ConfigError> {
    let start_response_delay_interval = span(s, "start_response_delay_interval", d.start_response_delay_interval)?;
    let droplet_stale_threshold = span(s, "droplet_stale_threshold", d.droplet_stale_threshold)?;
    let endpoint_timeout = limit(s, "endpoint_timeout", d.endpoint_timeout)?;
    Ok(Config {
        start_response_delay_interval,
        // A table that forgets faster than it fills would start empty.
        droplet_stale_threshold: droplet_stale_threshold.max(start_response_delay_interval),
        endpoint_timeout,
        http_1_endpoint_timeout: unless_zero(s, "http_1_endpoint_timeout")?
            .map_or(endpoint_timeout, GoDuration::positive),
        http_2_endpoint_timeout: unless_zero(s, "http_2_endpoint_timeout")?
            .map_or(endpoint_timeout, GoDuration::positive),
        drain_timeout: unless_zero(s, "drain_timeout")?
            .map_or(endpoint_timeout.unwrap_or_default(), GoDuration::or_zero),
        drain_wait: span(s, "drain_wait", d.drain_wait)?,
        tls_handshake_timeout: limit(s, "tls_handshake_timeout", d.tls_handshake_timeout)?,
        prune_stale_droplets_interval: limit(s, "prune_stale_droplets_interval", d.prune_stale_droplets_interval)?,
        publish_active_apps_interval: limit(s, "publish_active_apps_interval", None)?,
        endpoint_dial_timeout: limit(s, "endpoint_dial_timeout", d.endpoint_dial_timeout)?,
        endpoint_keep_alive_probe_interval: match s.optional::<GoDuration>("endpoint_keep_alive_probe_interval")? {
            None => d.endpoint_keep_alive_probe_interval,
            // Go's dialer takes zero for its own default.
            Some(t) if t.nanos() == 0 => Some(Duration::from_secs(15)),
            Some(t) => t.positive(),
        },
        route_services_timeout: span(s, "route_services_timeout", d.route_services_timeout)?,
        frontend_idle_timeout: limit(s, "frontend_idle_timeout", d.frontend_idle_timeout)?,
        read_header_timeout: limit(s, "read_header_timeout", d.read_header_timeout)?,
        route_latency_metric_muzzle_duration: span(
            s,
            "route_latency_metric_muzzle_duration",
            d.route_latency_metric_muzzle_duration,
        )?,
        nats_client_ping_interval: span(s, "nats_client_ping_interval", d.nats_client_ping_interval)?,
        empty_pool_timeout: span(s, "empty_pool_timeout", d.empty_pool_timeout)?,
        ..d.clone()
    })
}

/// The rules that need more than one section.
fn rules_between(s: &Section<'_>, config: &Config) -> Result<(), ConfigError> {
    let only = config.routing_table_sharding_mode == ShardingMode::Segments;
    if only && config.isolation_segments.is_empty() && s.is_sound("isolation_segments") {
        let rule = "segments needs a non-empty isolation_segments";
        s.refuse("routing_table_sharding_mode", Problem::Rule(rule))?;
    }
    if config.route_integrity == RouteIntegrity::Strict && config.backends.key_pair.is_none() && s.is_sound("backends")
    {
        let rule = "strict needs backends.cert_chain and backends.private_key";
        s.refuse("route_integrity", Problem::Rule(rule))?;
    }
    Ok(())
}

/// Keys that Gorouter reads and does not use, or does not know any more.
fn unused(s: &mut Section<'_>) -> Result<(), ConfigError> {
    const LENGTHS_OF_TIME: [&str; 4] = [
        "publish_start_message_interval",
        "healthcheck_poll_interval",
        "healthcheck_timeout",
        "websocket_dial_timeout",
    ];
    s.or("pid_file", String::new())?;
    s.has_no_effect("pid_file");
    s.has_no_effect("keep_alive_100_continue_requests");
    for key in LENGTHS_OF_TIME {
        s.or(key, GoDuration::default())?;
        s.has_no_effect(key);
    }
    const THRESHOLD: &str = "load_balancer_healthy_threshold";
    if s.or(THRESHOLD, GoDuration::default())?.nanos() < 0 {
        s.refuse(THRESHOLD, Problem::Rule("must not be negative"))?;
    }
    Ok(())
}

fn backends(s: &mut Section<'_>, tls: &Tls) -> Result<Backends, ConfigError> {
    s.skip("clientauthcertificate");
    let attempts = s.or("max_attempts", 0i64)?.clamp(1, i64::from(u32::MAX));
    Ok(Backends {
        max_conns: count(s.or("max_conns", 0)?),
        max_attempts: u32::try_from(attempts).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
        key_pair: parse_tls::optional_pair(s)?,
        cipher_suites: tls.backend_suites.clone(),
    })
}

fn request_header_bytes(s: &mut Section<'_>) -> Result<usize, ConfigError> {
    let value = s.or("max_request_header_bytes", 0i64)?;
    let wanted = count(value).map_or(REQUEST_HEADER_CAP, NonZeroUsize::get);
    if wanted > REQUEST_HEADER_CAP {
        s.warn(Warning::HeaderLimitCapped { value });
    }
    Ok(wanted.min(REQUEST_HEADER_CAP))
}

fn http_rewrite(s: &mut Section<'_>) -> Result<HttpRewrite, ConfigError> {
    s.section("responses", |s| {
        Ok(HttpRewrite {
            add_headers_if_not_present: s.sections("add_headers_if_not_present", |s| {
                Ok((s.or("name", String::new())?, s.or("value", String::new())?))
            })?,
            remove_headers: s.sections("remove_headers", |s| {
                // Gorouter reads both lists with one type; the value of a header to remove means nothing.
                s.or("value", String::new())?;
                s.or("name", String::new())
            })?,
        })
    })
}

fn domain(s: &mut Section<'_>) -> Result<Option<MtlsDomain>, ConfigError> {
    let domain = s.or("domain", String::new())?;
    if domain.is_empty() {
        s.refuse("domain", Problem::Missing { why: "in domains" })?;
    }
    let ca_certs = parse_tls::required_certificates(s, "ca_certs", "in domains")?;
    let forwarded_client_cert = s.optional("forwarded_client_cert")?.map(|Word(mode)| mode);
    let xfcc_format = s.or("xfcc_format", Word(XfccFormat::Raw))?.0;
    Ok(ca_certs.map(|ca_certs| MtlsDomain { domain, ca_certs, forwarded_client_cert, xfcc_format }))
}

/// A duration where zero or less means "none".
fn limit(s: &mut Section<'_>, key: &'static str, default: Option<Duration>) -> Result<Option<Duration>, ConfigError> {
    Ok(s.optional(key)?.map_or(default, GoDuration::positive))
}

/// A duration where less than zero means zero.
fn span(s: &mut Section<'_>, key: &'static str, default: Duration) -> Result<Duration, ConfigError> {
    Ok(s.optional(key)?.map_or(default, GoDuration::or_zero))
}

/// A duration where zero is the same as leaving the key out: Go cannot tell them apart.
fn unless_zero(s: &mut Section<'_>, key: &'static str) -> Result<Option<GoDuration>, ConfigError> {
    Ok(s.optional::<GoDuration>(key)?.filter(|t| t.nanos() != 0))
}

/// A number where zero or less means "no limit".
pub(super) fn count(n: i64) -> Option<NonZeroUsize> {
    usize::try_from(n).ok().and_then(NonZeroUsize::new)
}

/// A path; none when it is empty.
pub(super) fn path(s: &mut Section<'_>, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
    Ok(s.optional::<String>(key)?.filter(|path| !path.is_empty()).map(PathBuf::from))
}
