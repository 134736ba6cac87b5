//! Small files that are accepted, and what they mean.

use std::time::Duration;

use trueroute::config::*;

use crate::secs;

/// One file, and one thing that must be true of the result.
pub(crate) type Case = (&'static str, fn(&Config) -> bool);

pub(crate) const ACCEPTED: &[Case] = &[
    // What a scalar may look like.
    ("enable_proxy: yes", |c| c.enable_proxy),
    ("enable_proxy: on", |c| c.enable_proxy),
    ("enable_proxy: y", |c| c.enable_proxy),
    ("enable_proxy: 'yes'", |c| c.enable_proxy),
    ("disable_keep_alives: no", |c| !c.disable_keep_alives),
    ("disable_keep_alives: off", |c| !c.disable_keep_alives),
    ("disable_keep_alives: n", |c| !c.disable_keep_alives),
    ("disable_keep_alives: FALSE", |c| !c.disable_keep_alives),
    ("trace_key: 22", |c| c.trace_key.expose() == "22"),
    ("trace_key: 0123", |c| c.trace_key.expose() == "0123"),
    ("trace_key: true", |c| c.trace_key.expose() == "true"),
    ("trace_key: 1_0", |c| c.trace_key.expose() == "1_0"),
    ("status: {pass: !!str ~}", |c| c.status.pass.expose() == "~"),
    ("status: {pass: !!str }", |c| c.status.pass.expose().is_empty()),
    ("status: {pass: '~'}", |c| c.status.pass.expose() == "~"),
    ("status: {pass: ~}", |c| c.status.pass.is_empty()),
    ("port: 1_000", |c| c.port == 1000),
    ("port: 017", |c| c.port == 15),
    ("port: 0x50", |c| c.port == 80),
    ("port: !!int '80'", |c| c.port == 80),
    ("port: 80.0", |c| c.port == 80),
    // Merging.
    ("status: {port: 1}", |c| c.status.port == 1 && c.status.routes.port == 8082),
    ("nats: {hosts: [{hostname: a, port: 1}]}", |c| c.nats.hosts.len() == 1 && c.nats.hosts[0].hostname == "a"),
    ("sticky_session_cookie_names: ~", |c| c.sticky_session_cookie_names.is_empty()),
    ("sticky_session_cookie_names: [A, ~, B]", |c| c.sticky_session_cookie_names == ["A", "B"]),
    ("x: &x {port: 1, user: u}\nstatus: {<<: *x, port: 2}", |c| c.status.port == 2 && c.status.user == "u"),
    ("a: &a {user: a}\nb: &b {user: b, pass: b}\nstatus: {<<: [*a, *b]}", |c| {
        c.status.user == "a" && c.status.pass.expose() == "b"
    }),
    ("a: &a {user: a}\nb: &b {<<: *a, pass: b}\nstatus: {<<: *b}", |c| c.status.user == "a"),
    ("port: 1\n---\nport: [", |c| c.port == 1),
    ("x: {a: 1, a: 2}\nport: 1", |c| c.port == 1),
    // Durations and limits.
    ("endpoint_timeout: 1m30s", |c| c.endpoint_timeout == Some(secs(90)) && c.drain_timeout == secs(90)),
    ("endpoint_timeout: 0s", |c| c.endpoint_timeout.is_none() && c.drain_timeout == Duration::ZERO),
    ("endpoint_timeout: -1s", |c| c.endpoint_timeout.is_none()),
    ("endpoint_timeout: '0'", |c| c.endpoint_timeout.is_none()),
    ("endpoint_timeout: 1.5h", |c| c.endpoint_timeout == Some(secs(5400))),
    ("drain_timeout: 7s", |c| c.drain_timeout == secs(7) && c.endpoint_timeout == Some(secs(60))),
    ("drain_timeout: 0s", |c| c.drain_timeout == secs(60)),
    ("http_1_endpoint_timeout: 5s", |c| {
        c.http_1_endpoint_timeout == Some(secs(5)) && c.http_2_endpoint_timeout == Some(secs(60))
    }),
    ("droplet_stale_threshold: 1s\nstart_response_delay_interval: 20s", |c| c.droplet_stale_threshold == secs(20)),
    ("prune_stale_droplets_interval: 0s", |c| c.prune_stale_droplets_interval.is_none()),
    ("frontend_idle_timeout: 100ms", |c| c.frontend_idle_timeout == Some(Duration::from_millis(100))),
    ("endpoint_keep_alive_probe_interval: 0s", |c| c.endpoint_keep_alive_probe_interval == Some(secs(15))),
    ("endpoint_keep_alive_probe_interval: -1s", |c| c.endpoint_keep_alive_probe_interval.is_none()),
    ("backends: {max_attempts: 0}", |c| c.backends.max_attempts.get() == 1),
    ("backends: {max_attempts: -3}", |c| c.backends.max_attempts.get() == 1),
    ("backends: {max_attempts: 3, max_conns: 500}", |c| {
        c.backends.max_attempts.get() == 3 && c.backends.max_conns.is_some_and(|n| n.get() == 500)
    }),
    ("backends: {max_conns: -1}", |c| c.backends.max_conns.is_none()),
    ("route_services: {max_attempts: 0}", |c| c.route_services.max_attempts == 0),
    ("go_max_procs: 3", |c| c.go_max_procs.is_some_and(|n| n.get() == 3)),
    ("go_max_procs: 0", |c| c.go_max_procs.is_none()),
    ("max_idle_conns: 0\nmax_idle_conns_per_host: 0", |c| c.max_idle_conns.is_none() && c.max_idle_conns_per_host == 2),
    ("max_idle_conns_per_host: -1", |c| c.max_idle_conns_per_host == 0),
    ("max_request_header_bytes: 80", |c| c.max_request_header_bytes == 80),
    ("max_response_header_bytes: 80", |c| c.max_response_header_bytes == 80),
    // Words.
    ("logging: {level: ''}", |c| c.logging.level == LogLevel::Info),
    ("logging: {level: WARN}", |c| c.logging.level == LogLevel::Warn),
    ("logging: {format: {timestamp: rfc3339}}", |c| c.logging.format.timestamp == TimestampFormat::Rfc3339),
    ("logging: {format: {timestamp: deprecated}}", |c| c.logging.format.timestamp == TimestampFormat::UnixEpoch),
    ("logging: {syslog_network: tcp4}", |c| c.logging.syslog_network == SyslogNetwork::Tcp),
    ("route_integrity: off", |c| c.route_integrity == RouteIntegrity::Off),
    ("route_integrity: tls", |c| c.route_integrity == RouteIntegrity::Tls),
    ("route_integrity: strict\nbackends: {cert_chain: CERT, private_key: KEY}", |c| {
        c.route_integrity == RouteIntegrity::Strict && c.backends.key_pair.is_some()
    }),
    ("routing_table_sharding_mode: segments\nisolation_segments: [a]", |c| {
        c.routing_table_sharding_mode == ShardingMode::Segments
    }),
    // Groups that are off keep their rules to themselves.
    ("snapshot: {file: /var/lib/routes}", |c| {
        c.snapshot.file.as_deref() == Some("/var/lib/routes".as_ref()) && c.snapshot.interval.as_secs() == 10
    }),
    ("snapshot: {interval: 1s}", |c| c.snapshot.file.is_none() && c.snapshot.interval.as_secs() == 1),
    ("nats: {tls_enabled: false, ca_certs: junk, cert_chain: junk}", |c| c.nats.tls.is_none()),
    ("tls_pem: [{cert_chain: junk}]\nmin_tls_version: junk\nclient_cert_validation: junk", |c| c.front_tls.is_none()),
    ("routing_api: {uri: 'https://api'}", |c| c.routing_api.is_none()),
    ("prometheus: {cert_path: /c}", |c| c.prometheus.tls.is_none()),
    ("status: {tls: {port: 8443, certificate: '', key: ''}}", |c| c.status.tls.is_none()),
    ("status: {enable_nontls_health_checks: false, tls: {certificate: CERT, key: KEY}}", |c| {
        c.status.tls.as_ref().is_some_and(|t| t.port == 8443)
    }),
    ("nats: {tls_enabled: true, ca_certs: CERT, cert_chain: CERT, private_key: KEY}", |c| c.nats.tls.is_some()),
    ("routing_api: {uri: u, port: 3000, ca_certs: CERT, cert_chain: CERT, private_key: KEY}", |c| {
        c.routing_api.is_some()
    }),
    ("ca_certs: [CERT, CERT]", |c| c.ca_certs.len() == 2),
    ("access_log: {file: ''}", |c| c.access_log.file.is_none() && !c.access_log.log_aborted_exchanges),
    ("access_log: {log_aborted_exchanges: true}", |c| c.access_log.log_aborted_exchanges),
    ("prometheus: {meters: {gorouter_time_histogram_buckets: [1, 2.5]}}", |c| {
        c.prometheus.meters.gorouter_time_histogram_buckets == [1.0, 2.5]
    }),
    ("prometheus: {meters: {gorouter_time_histogram_buckets: []}}", |c| c.prometheus == Prometheus::default()),
    (
        "http_rewrite: {responses: {remove_headers: [{name: X}], add_headers_if_not_present: [{name: A, value: 1}]}}",
        |c| {
            c.http_rewrite.remove_headers == ["X"]
                && c.http_rewrite.add_headers_if_not_present == [("A".into(), "1".into())]
        },
    ),
    ("domains: [{domain: '*.x', ca_certs: CERT, xfcc_format: envoy}]", |c| {
        c.domains[0].xfcc_format == XfccFormat::Envoy
    }),
    ("token_fetcher_expiration_buffer_time: 7", |c| c.token_fetcher.expiration_buffer_time == secs(7)),
];
