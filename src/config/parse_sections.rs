//! The named sections of the file, one function each.

use std::path::PathBuf;
use std::time::Duration;

use super::decode::Word;
use super::duration::GoDuration;
use super::error::{ConfigError, Problem};
use super::modes::{SyslogNetwork, TimestampFormat};
use super::parse::path;
use super::parse_tls::{optional_pair, required_certificates, required_pair};
use super::read::Section;
use super::sections::*;

pub(super) fn status(s: &mut Section<'_>) -> Result<Status, ConfigError> {
    let d = Status::default();
    let status = Status {
        host: s.or("host", d.host)?,
        port: s.or("port", d.port)?,
        enable_nontls_health_checks: s.or("enable_nontls_health_checks", d.enable_nontls_health_checks)?,
        enable_deprecated_varz_healthz_endpoints: s.or("enable_deprecated_varz_healthz_endpoints", false)?,
        user: s.or("user", d.user)?,
        pass: s.or("pass", d.pass)?,
        tls: s.section("tls", status_tls)?,
        routes: s.section("routes", |s| Ok(StatusRoutes { port: s.or("port", d.routes.port)? }))?,
    };
    if !status.enable_nontls_health_checks && status.tls.is_none() {
        let rule = "Neither TLS nor non-TLS health endpoints are enabled. Refusing to start gorouter.";
        // A TLS port that is wrong is one that was asked for.
        if s.is_sound("tls") {
            s.refuse("enable_nontls_health_checks", Problem::Rule(rule))?;
        }
    }
    Ok(status)
}

pub(super) fn snapshot(s: &mut Section<'_>) -> Result<Snapshot, ConfigError> {
    let interval = s.or("interval", GoDuration::default())?;
    if interval.nanos() < 0 {
        s.refuse("interval", Problem::Rule("must not be negative"))?;
    }
    let interval = interval.positive().unwrap_or(Snapshot::default().interval);
    Ok(Snapshot { file: path(s, "file")?, interval })
}

/// Any value other than the default asks for the listener, and then all three have to be right.
fn status_tls(s: &mut Section<'_>) -> Result<Option<StatusTls>, ConfigError> {
    const PORT: u16 = 8443;
    let port = s.or("port", PORT)?;
    let texts = [s.or("certificate", String::new())?, s.or("key", String::new())?];
    if port == PORT && texts.iter().all(String::is_empty) {
        return Ok(None);
    }
    if port == 0 {
        s.refuse("port", Problem::Missing { why: "for the TLS health port" })?;
    }
    let key_pair = required_pair(s, "certificate", "key", "for the TLS health port")?;
    Ok(key_pair.map(|key_pair| StatusTls { port, key_pair }))
}

pub(super) fn nats(s: &mut Section<'_>) -> Result<Nats, ConfigError> {
    let d = Nats::default();
    for key in ["clientauthcertificate", "capool"] {
        s.skip(key);
    }
    let hosts = match s.field("hosts") {
        None => d.hosts,
        Some(_) => s.sections("hosts", nats_host)?,
    };
    if hosts.is_empty() && s.is_sound("hosts") {
        s.refuse("hosts", Problem::Rule("must name at least one host"))?;
    }
    let tls = if s.or("tls_enabled", false)? {
        const WHY: &str = "with nats.tls_enabled";
        let ca_certs = required_certificates(s, "ca_certs", WHY)?;
        let key_pair = required_pair(s, "cert_chain", "private_key", WHY)?;
        ca_certs.zip(key_pair).map(|(ca_certs, key_pair)| NatsTls { ca_certs, key_pair })
    } else {
        for key in ["ca_certs", "cert_chain", "private_key"] {
            s.or(key, String::new())?;
        }
        None
    };
    Ok(Nats { hosts, user: s.or("user", d.user)?, pass: s.or("pass", d.pass)?, tls })
}

fn nats_host(s: &mut Section<'_>) -> Result<NatsHost, ConfigError> {
    const WHY: &str = "for a NATS host";
    let host = NatsHost { hostname: s.or("hostname", String::new())?, port: s.or("port", 0)? };
    if host.hostname.is_empty() {
        s.refuse("hostname", Problem::Missing { why: WHY })?;
    }
    if host.port == 0 {
        s.refuse("port", Problem::Missing { why: WHY })?;
    }
    Ok(host)
}

pub(super) fn logging(s: &mut Section<'_>) -> Result<Logging, ConfigError> {
    let d = Logging::default();
    Ok(Logging {
        syslog: s.or("syslog", d.syslog)?,
        syslog_addr: s.or("syslog_addr", d.syslog_addr)?,
        syslog_network: match s.optional::<String>("syslog_network")? {
            None => d.syslog_network,
            Some(text) if text.starts_with("tcp") => SyslogNetwork::Tcp,
            Some(text) if text.starts_with("udp") => SyslogNetwork::Udp,
            Some(_) => {
                s.refuse("syslog_network", Problem::Rule("must start with tcp or udp"))?;
                d.syslog_network
            }
        },
        syslog_truncate: usize::try_from(s.or("syslog_truncate", 0i64)?).unwrap_or(0),
        level: s.or("level", Word(d.level))?.0,
        loggregator_enabled: s.or("loggregator_enabled", d.loggregator_enabled)?,
        metron_address: s.optional("metron_address")?,
        disable_log_forwarded_for: s.or("disable_log_forwarded_for", d.disable_log_forwarded_for)?,
        disable_log_source_ip: s.or("disable_log_source_ip", d.disable_log_source_ip)?,
        redact_query_params: s.or("redact_query_params", Word(d.redact_query_params))?.0,
        format: s.section("format", |s| {
            let timestamp = match s.optional::<String>("timestamp")?.as_deref() {
                None => d.format.timestamp,
                Some("rfc3339") => TimestampFormat::Rfc3339,
                Some(_) => TimestampFormat::UnixEpoch,
            };
            Ok(LogFormat { timestamp })
        })?,
        extra_access_log_fields: s.or("extra_access_log_fields", d.extra_access_log_fields)?,
    })
}

pub(super) fn prometheus(s: &mut Section<'_>) -> Result<Prometheus, ConfigError> {
    let port = s.or("port", 0)?;
    let cert_path = s.or("cert_path", String::new())?;
    let key_path = s.or("key_path", String::new())?;
    let ca_path = s.or("ca_path", String::new())?;
    let tls = if port == 0 || cert_path.is_empty() {
        None
    } else {
        for (key, path) in [("key_path", &key_path), ("ca_path", &ca_path)] {
            if path.is_empty() {
                s.refuse(key, Problem::Missing { why: "with prometheus.cert_path" })?;
            }
        }
        Some(PrometheusTls {
            cert_path: PathBuf::from(cert_path),
            key_path: PathBuf::from(key_path),
            ca_path: PathBuf::from(ca_path),
        })
    };
    Ok(Prometheus { enabled: s.or("enabled", false)?, port, tls, meters: s.section("meters", meters)? })
}

fn meters(s: &mut Section<'_>) -> Result<Meters, ConfigError> {
    let d = Meters::default();
    let mut buckets = |key, default| match s.or(key, Vec::<f64>::new())? {
        list if list.is_empty() => Ok(default),
        list if list.is_sorted_by(|a, b| a < b) && !list[0].is_nan() => Ok(list),
        _ => {
            s.refuse(key, Problem::Rule("must be strictly ascending"))?;
            Ok(default)
        }
    };
    Ok(Meters {
        route_lookup_time_histogram_buckets: buckets(
            "route_lookup_time_histogram_buckets",
            d.route_lookup_time_histogram_buckets,
        )?,
        gorouter_time_histogram_buckets: buckets("gorouter_time_histogram_buckets", d.gorouter_time_histogram_buckets)?,
        route_registration_latency_histogram_buckets: buckets(
            "route_registration_latency_histogram_buckets",
            d.route_registration_latency_histogram_buckets,
        )?,
        routing_response_latency_histogram_buckets: buckets(
            "routing_response_latency_histogram_buckets",
            d.routing_response_latency_histogram_buckets,
        )?,
        http_latency_histogram_buckets: buckets("http_latency_histogram_buckets", d.http_latency_histogram_buckets)?,
    })
}

pub(super) fn tracing(s: &mut Section<'_>) -> Result<Tracing, ConfigError> {
    Ok(Tracing {
        enable_zipkin: s.or("enable_zipkin", false)?,
        enable_w3c: s.or("enable_w3c", false)?,
        w3c_tenant_id: s.or("w3c_tenant_id", String::new())?,
    })
}

pub(super) fn access_log(s: &mut Section<'_>) -> Result<AccessLog, ConfigError> {
    Ok(AccessLog {
        file: path(s, "file")?,
        enable_streaming: s.or("enable_streaming", false)?,
        log_aborted_exchanges: s.or("log_aborted_exchanges", false)?,
    })
}

pub(super) fn oauth(s: &mut Section<'_>) -> Result<OAuth, ConfigError> {
    let d = OAuth::default();
    Ok(OAuth {
        token_endpoint: s.or("token_endpoint", d.token_endpoint)?,
        port: s.or("port", d.port)?,
        client_name: s.or("client_name", d.client_name)?,
        client_secret: s.or("client_secret", d.client_secret)?,
        ca_certs: s.or("ca_certs", d.ca_certs)?,
        skip_ssl_validation: s.or("skip_ssl_validation", d.skip_ssl_validation)?,
    })
}

pub(super) fn routing_api(s: &mut Section<'_>) -> Result<Option<RoutingApi>, ConfigError> {
    for key in ["clientauthcertificate", "capool"] {
        s.skip(key);
    }
    let (uri, port) = (s.or("uri", String::new())?, s.or("port", 0)?);
    let auth_disabled = s.or("auth_disabled", false)?;
    if uri.is_empty() || port == 0 {
        for key in ["ca_certs", "cert_chain", "private_key"] {
            s.or(key, String::new())?;
        }
        return Ok(None);
    }
    const WHY: &str = "with routing_api.uri and routing_api.port";
    let key_pair = required_pair(s, "cert_chain", "private_key", WHY)?;
    let ca_certs = required_certificates(s, "ca_certs", WHY)?;
    Ok(ca_certs.zip(key_pair).map(|(ca_certs, key_pair)| RoutingApi { uri, port, auth_disabled, ca_certs, key_pair }))
}

pub(super) fn token_fetcher(s: &mut Section<'_>) -> Result<TokenFetcher, ConfigError> {
    let d = TokenFetcher::default();
    let buffer = s.optional::<i64>("token_fetcher_expiration_buffer_time")?;
    Ok(TokenFetcher {
        max_retries: s.or("token_fetcher_max_retries", d.max_retries)?,
        retry_interval: s.optional("token_fetcher_retry_interval")?.map_or(d.retry_interval, GoDuration::or_zero),
        expiration_buffer_time: buffer
            .map_or(d.expiration_buffer_time, |n| Duration::from_secs(u64::try_from(n).unwrap_or(0))),
    })
}

/// The section `route_services` and the top-level keys that begin with it.
pub(super) fn route_services(s: &mut Section<'_>) -> Result<RouteServices, ConfigError> {
    const ALLOWLIST: &str = "route_services_hairpinning_allowlist";
    let d = RouteServices::default();
    let hairpinning_allowlist = s.or(ALLOWLIST, d.hairpinning_allowlist)?;
    if !hairpinning_allowlist.iter().all(|entry| is_hairpin_name(entry)) {
        let rule = "has an entry that is no lower-case host name with at least two labels, the first of which may be *";
        s.refuse(ALLOWLIST, Problem::Rule(rule))?;
    }
    let outer = RouteServices {
        secret: s.or("route_services_secret", d.secret)?,
        secret_decrypt_only: s.or("route_services_secret_decrypt_only", d.secret_decrypt_only)?,
        recommend_https: s.or("route_services_recommend_https", d.recommend_https)?,
        hairpinning: s.or("route_services_hairpinning", d.hairpinning)?,
        hairpinning_allowlist,
        internal_server_port: s.or("route_services_internal_server_port", d.internal_server_port)?,
        max_attempts: d.max_attempts,
        strict_signature_validation: d.strict_signature_validation,
        key_pair: d.key_pair,
        enable_websockets: d.enable_websockets,
        egress_blocklist: d.egress_blocklist,
    };
    s.section("route_services", |s| {
        s.skip("clientauthcertificate");
        let attempts = s.or("max_attempts", 0i64)?.clamp(0, i64::from(u32::MAX));
        Ok(RouteServices {
            max_attempts: u32::try_from(attempts).unwrap_or(0),
            strict_signature_validation: s.or("strict_signature_validation", false)?,
            key_pair: optional_pair(s)?,
            enable_websockets: s.or("enable_websockets", false)?,
            egress_blocklist: s.or("egress_blocklist", Vec::new())?,
            ..outer
        })
    })
}

/// `^(\*\.)?[a-z\d-]+(\.[a-z\d-]+)+$`
fn is_hairpin_name(entry: &str) -> bool {
    let name = entry.strip_prefix("*.").unwrap_or(entry);
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    name.contains('.') && name.split('.').all(label)
}
