//! From the configuration to the settings of each part.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use rustls::SupportedCipherSuite;
use trueroute_identity::{Credentials, Dialer, DialerSettings, Trust, trust::Source};

use super::{StartError, services};
use crate::{
    admin,
    bus::{
        link::LinkSettings,
        proofs::{Proof, Proofs},
        subscriber::Policy,
    },
    config::{
        AzPreference, BalancingAlgorithm, Config, Meters, NatsTls, RedactQueryParams, RouteIntegrity, ShardingMode,
        SyslogNetwork,
    },
    frontend::{deadlines::Deadlines, h1, h2},
    headers::{forwarded::ProtoPolicy, sticky},
    observe::{
        access_log::{
            AccessLog, Fields, Privacy, Redact,
            syslog::{Network, Syslog},
        },
        metrics::{self, Bounds, Buckets},
    },
    proxy::{self, EndpointTimeout, rules::Rules},
    registration::Integrity,
    route::{balancing::Algorithm, mtls::Domains, pick},
    table::{self, Sharding},
    upstream::{dial::DialTerms, idle::Limits},
};

/// Idle connections that one router keeps at the most (gorouter.md section 13).
const MAX_IDLE: usize = 50_000;
/// Where the configuration sets no limit, the system's own comes first.
const NO_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Seconds for which a client must have been quiet before a drain closes its connection without a word. Who keeps a
/// connection for longer than that between two requests has to reckon with its end.
const LAST_WORD: u32 = 1;
/// A shorter `drain_timeout` would be over before everybody has been quiet for so long.
const ROOM_FOR_A_LAST_WORD: Duration = Duration::from_secs(5);
/// Longest time for one attempt at one NATS server.
const NATS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Who may see the status pages that are not for everybody.
pub(super) fn login(config: &Config) -> admin::routes::Login {
    let status = &config.status;
    admin::routes::Login { user: status.user.clone(), password: status.pass.expose().to_owned() }
}

/// Threads that carry traffic.
pub(super) fn workers(config: &Config) -> usize {
    let cpus = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    config.go_max_procs.map_or_else(cpus, NonZeroUsize::get)
}

pub(super) fn table(config: &Config) -> table::Settings {
    let segments = || config.isolation_segments.iter().map(|name| name.as_str().into()).collect();
    table::Settings {
        stale_threshold: config.droplet_stale_threshold,
        empty_pool_grace: if config.empty_pool_response_code_503 { config.empty_pool_timeout } else { Duration::ZERO },
        sharding: match config.routing_table_sharding_mode {
            ShardingMode::All => Sharding::All,
            ShardingMode::SharedAndSegments => Sharding::SharedAnd(segments()),
            ShardingMode::Segments => Sharding::Only(segments()),
        },
        balancing: match config.balancing_algorithm {
            BalancingAlgorithm::RoundRobin => Algorithm::RoundRobin,
            BalancingAlgorithm::LeastConnection => Algorithm::LeastConnection,
        },
    }
}

pub(super) fn policy(config: &Config) -> Policy {
    let integrity = match config.route_integrity {
        RouteIntegrity::AsRegistered => None,
        RouteIntegrity::Off => Some(Integrity::Off),
        RouteIntegrity::Tls => Some(Integrity::Tls),
        RouteIntegrity::Strict => Some(Integrity::Strict),
    };
    Policy { integrity, http2: config.enable_http2 }
}

/// What NATS is shown and believed by; none without `nats.tls_enabled`.
pub(super) fn nats_proof(config: &Config) -> Result<Option<Proof>, StartError> {
    let proof =
        |tls: &NatsTls| Proof::from_pem(tls.ca_certs.as_str(), tls.key_pair.cert_chain(), tls.key_pair.private_key());
    Ok(config.nats.tls.as_ref().map(proof).transpose()?)
}

pub(super) fn link(config: &Config, proofs: Option<&Arc<Proofs>>) -> Result<LinkSettings, StartError> {
    Ok(LinkSettings {
        servers: config.nats.hosts.iter().map(|host| (host.hostname.clone(), host.port)).collect(),
        user: config.nats.user.clone(),
        pass: config.nats.pass.expose().to_owned(),
        ping_interval: config.nats_client_ping_interval,
        connect_timeout: NATS_CONNECT_TIMEOUT,
        tls: proofs.map(Proofs::client_config).transpose()?,
    })
}

/// What the pages about the table go by.
pub(super) fn admin_rules(config: &Config) -> admin::view::Rules {
    admin::view::Rules {
        pick: pick_limits(config),
        max_attempts: config.backends.max_attempts.get(),
        empty_pool_is_503: config.empty_pool_response_code_503,
        has_certificate: config.backends.key_pair.is_some(),
        asks_services: !config.route_services.secret.is_empty(),
    }
}

fn pick_limits(config: &Config) -> pick::Limits {
    let max_conns = config.backends.max_conns.map_or(0, NonZeroUsize::get);
    pick::Limits {
        max_conns: u32::try_from(max_conns).unwrap_or(u32::MAX),
        rest: config.droplet_stale_threshold / 4,
        zone: (config.balancing_algorithm_az_preference == AzPreference::LocallyOptimistic)
            .then(|| config.zone.as_str().into()),
    }
}

pub(super) fn proxy(config: &Config, rules: &Arc<Rules>, domains: &Domains) -> proxy::Settings {
    proxy::Settings {
        max_attempts: config.backends.max_attempts.get(),
        endpoint_timeout: EndpointTimeout {
            http1: config.http_1_endpoint_timeout,
            http2: config.http_2_endpoint_timeout,
        },
        pick: pick_limits(config),
        one_request_per_connection: config.disable_keep_alives,
        empty_pool_is_503: config.empty_pool_response_code_503,
        proto: match (config.force_forwarded_proto_https, config.sanitize_forwarded_proto) {
            (true, _) => ProtoPolicy::ForceHttps,
            (false, true) => ProtoPolicy::Sanitize,
            (false, false) => ProtoPolicy::Keep,
        },
        max_response_head: config.max_response_header_bytes,
        sessions: sticky::Rules {
            names: config.sticky_session_cookie_names.clone(),
            negotiate: config.sticky_sessions_for_auth_negotiate,
            secure: config.secure_cookies,
        },
        max_response_lines: config.max_response_headers.map_or(usize::MAX, NonZeroUsize::get),
        domains: domains.clone(),
        rules: Arc::clone(rules),
        services: Arc::new(services::rules(config)),
    }
}

pub(super) fn deadlines(config: &Config) -> Deadlines {
    Deadlines {
        idle: config.frontend_idle_timeout,
        head: config.read_header_timeout,
        last_word: (config.drain_timeout >= ROOM_FOR_A_LAST_WORD).then_some(LAST_WORD),
    }
}

pub(super) fn h1(config: &Config) -> h1::Limits {
    h1::Limits::of(config.max_request_header_bytes, config.max_request_headers)
}

pub(super) fn h2(config: &Config) -> h2::Limits {
    h2::Limits::of(config.max_request_header_bytes)
}

/// The access log, if its lines go anywhere.
pub(super) fn access_log(config: &Config) -> Result<Option<AccessLog>, StartError> {
    let mut log = AccessLog::new();
    if let Some(file) = &config.access_log.file {
        log = log.file(file)?;
    }
    if config.access_log.enable_streaming {
        let logging = &config.logging;
        log = log.syslog(Syslog {
            address: logging.syslog_addr.clone(),
            network: match logging.syslog_network {
                SyslogNetwork::Udp => Network::Udp,
                SyslogNetwork::Tcp => Network::Tcp,
            },
            tag: if logging.syslog.is_empty() { "gorouter".into() } else { logging.syslog.clone() },
            truncate: logging.syslog_truncate,
        })?;
    }
    Ok(log.is_written().then_some(log))
}

/// What lines of the access log show. The fields by which traces are told apart are always shown where there are traces.
pub(super) fn access_log_fields(config: &Config) -> Fields {
    const ZIPKIN: [&str; 4] = ["X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "b3"];
    const W3C: [&str; 2] = ["traceparent", "tracestate"];
    let logging = &config.logging;
    let privacy = Privacy {
        redact: match logging.redact_query_params {
            RedactQueryParams::None => Redact::Nothing,
            RedactQueryParams::All => Redact::All,
            RedactQueryParams::Hash => Redact::Hash,
        },
        hides_forwarded_for: logging.disable_log_forwarded_for,
        hides_source: logging.disable_log_source_ip,
    };
    Fields::new(privacy)
        .and_extras(logging.extra_access_log_fields.iter().map(String::as_str))
        .and_headers(config.extra_headers_to_log.iter().map(String::as_str))
        .and_headers(config.tracing.enable_zipkin.then_some(ZIPKIN).into_iter().flatten())
        .and_headers(config.tracing.enable_w3c.then_some(W3C).into_iter().flatten())
}

pub(super) fn dial_times(config: &Config) -> DialTerms {
    DialTerms {
        dial: config.endpoint_dial_timeout.unwrap_or(NO_LIMIT),
        probe_interval: config.endpoint_keep_alive_probe_interval,
        barred: Arc::default(),
    }
}

/// A worker's share of the idle connections.
pub(super) fn idle(config: &Config, workers: usize) -> Limits {
    if config.disable_keep_alives {
        return Limits { total: 0, per_peer: 0 };
    }
    let per_peer = config
        .max_idle_conns
        .map_or(config.max_idle_conns_per_host, |most| most.get().min(config.max_idle_conns_per_host));
    Limits { total: MAX_IDLE.div_ceil(workers), per_peer: per_peer.div_ceil(workers) }
}

/// What is measured.
pub(super) fn metrics(config: &Config) -> Result<metrics::Settings, StartError> {
    Ok(metrics::Settings {
        buckets: buckets(&config.prometheus.meters)?,
        per_request: config.per_request_metrics_reporting,
        sources: config.per_app_prometheus_http_metrics_reporting.then(Arc::default),
    })
}

pub(super) fn buckets(meters: &Meters) -> Result<Buckets, StartError> {
    let bounds = |key: &'static str, values: &[f64], default: Bounds| {
        if values.is_empty() {
            return Ok(default);
        }
        Bounds::new(values.to_vec()).map_err(|_| StartError::Buckets(key))
    };
    let default = Buckets::default();
    Ok(Buckets {
        routing_response_latency: bounds(
            "routing_response_latency_histogram_buckets",
            &meters.routing_response_latency_histogram_buckets,
            default.routing_response_latency,
        )?,
        gorouter_time: bounds(
            "gorouter_time_histogram_buckets",
            &meters.gorouter_time_histogram_buckets,
            default.gorouter_time,
        )?,
        route_lookup_time: bounds(
            "route_lookup_time_histogram_buckets",
            &meters.route_lookup_time_histogram_buckets,
            default.route_lookup_time,
        )?,
        route_registration_latency: bounds(
            "route_registration_latency_histogram_buckets",
            &meters.route_registration_latency_histogram_buckets,
            default.route_registration_latency,
        )?,
        http_latency: bounds(
            "http_latency_histogram_buckets",
            &meters.http_latency_histogram_buckets,
            default.http_latency,
        )?,
    })
}

/// How endpoints are verified, and what the router shows of itself.
pub(super) fn dialer(config: &Config) -> Result<Arc<Dialer>, StartError> {
    let names: Vec<String> = (0..config.ca_certs.len()).map(|index| format!("ca_certs[{index}]")).collect();
    let sources: Vec<Source<'_>> =
        config.ca_certs.iter().zip(&names).map(|(certs, name)| Source { name, pem: certs.as_str() }).collect();
    let trust = Trust::new(&sources, true)?;
    let credentials = match &config.backends.key_pair {
        Some(pair) => {
            Some(Credentials::from_pem(pair.cert_chain(), pair.private_key()).map_err(StartError::Credentials)?)
        }
        None => None,
    };
    let settings = DialerSettings {
        tls12_suites: tls12_suites(config),
        handshake_timeout: config.tls_handshake_timeout,
        believes_anyone: false,
    };
    Ok(Arc::new(Dialer::new(trust, credentials, settings)?))
}

/// The suites of TLS 1.2 to offer to servers, if the configuration names any.
pub(super) fn tls12_suites(config: &Config) -> Option<Vec<SupportedCipherSuite>> {
    let is_tls12 = |suite: &&SupportedCipherSuite| suite.tls13().is_none();
    config.backends.cipher_suites.as_ref().map(|suites| suites.iter().filter(is_tls12).copied().collect())
}
