//! Small files that are refused, and how the error begins.

pub(crate) const REFUSED: &[(&str, &str)] = &[
    // Not YAML, or not a mapping.
    ("port: [", "not valid YAML: "),
    ("a: &a [*a]", "not valid YAML: an anchor contains itself (line 1)"),
    ("status: {pass: !!binary AAAA}", "not valid YAML: the tag !!binary is not supported (line 1)"),
    ("- port", "(document): cannot unmarshal !!seq into a section (line 1)"),
    ("port", "(document): cannot unmarshal !!str `port` into a section (line 1)"),
    // Kinds.
    ("port: '80'", "port: cannot unmarshal !!str `80` into uint16 (line 1)"),
    ("\nport: 65536", "port: cannot unmarshal !!int `65536` into uint16 (line 2)"),
    ("port: -1", "port: cannot unmarshal !!int `-1` into uint16 (line 1)"),
    (
        "nats: {hosts: [{hostname: a, port: 70000}]}",
        "nats.hosts[0].port: cannot unmarshal !!int `70000` into uint16 (line 1)",
    ),
    ("enable_ssl: 'true'", "enable_ssl: cannot unmarshal !!str `true` into bool (line 1)"),
    ("enable_ssl: 1", "enable_ssl: cannot unmarshal !!int `1` into bool (line 1)"),
    ("enable_ssl: Yes", "enable_ssl: cannot unmarshal !!str `Yes` into bool (line 1)"),
    ("zone: [a]", "zone: cannot unmarshal !!seq into string (line 1)"),
    ("isolation_segments: a", "isolation_segments: cannot unmarshal !!str `a` into a list (line 1)"),
    ("status: 5", "status: cannot unmarshal !!int `5` into a section (line 1)"),
    ("index: -1", "index: cannot unmarshal !!int `-1` into uint (line 1)"),
    ("? [a]\n: b", "(document): cannot unmarshal !!seq into a key (line 1)"),
    ("x: &x [1]\nstatus: {<<: *x}", "status.<<[0]: cannot unmarshal !!int `1` into a section (line 1)"),
    // Durations.
    (
        "drain_wait: 0",
        "drain_wait: cannot unmarshal !!int `0` into time.Duration (a text with a unit, as \"30s\") (line 1)",
    ),
    (
        "drain_wait: 30",
        "drain_wait: cannot unmarshal !!int `30` into time.Duration (a text with a unit, as \"30s\") (line 1)",
    ),
    ("drain_wait: 1.5", "drain_wait: cannot unmarshal !!float `1.5` into time.Duration"),
    ("drain_wait: '30'", "drain_wait: time: missing unit in duration \"30\" (line 1)"),
    ("drain_wait: 1 day", "drain_wait: time: unknown unit \" day\" in duration \"1 day\" (line 1)"),
    ("drain_wait: soon", "drain_wait: time: invalid duration \"soon\" (line 1)"),
    ("websocket_dial_timeout: 5", "websocket_dial_timeout: cannot unmarshal !!int `5` into time.Duration"),
    ("nats_client_ping_interval: 0s", "nats_client_ping_interval: must be above zero (line 1)"),
    ("load_balancer_healthy_threshold: -1s", "load_balancer_healthy_threshold: must not be negative (line 1)"),
    // Doubles.
    ("port: 1\nport: 1", "port: mapping key already defined at line 1 (line 2)"),
    ("what: 1\nwhat: 1", "what: mapping key already defined at line 1 (line 2)"),
    ("nats:\n  hosts:\n  - {port: 1, port: 1}", "nats.hosts[0].port: mapping key already defined at line 3 (line 3)"),
    // Words.
    (
        "balancing_algorithm: random",
        "balancing_algorithm: Invalid load balancing algorithm random. Allowed values are [round-robin least-connection] (line 1)",
    ),
    (
        "balancing_algorithm_az_preference: x",
        "balancing_algorithm_az_preference: Invalid load balancing AZ preference x. ",
    ),
    ("routing_table_sharding_mode: x", "routing_table_sharding_mode: Invalid routing table sharding mode x. "),
    ("forwarded_client_cert: x", "forwarded_client_cert: Invalid forwarded client cert mode x. "),
    ("logging: {level: Debug}", "logging.level: Invalid log level Debug. "),
    ("logging: {redact_query_params: x}", "logging.redact_query_params: Invalid redact query params mode x. "),
    ("logging: {syslog_network: unix}", "logging.syslog_network: must start with tcp or udp (line 1)"),
    (
        "route_integrity: x",
        "route_integrity: Invalid route integrity mode x. Allowed values are [off tls strict] (line 1)",
    ),
    ("route_integrity: \"a\\nb\"", "route_integrity: Invalid route integrity mode a\\nb. "),
    // Rules between keys.
    (
        "routing_table_sharding_mode: segments",
        "routing_table_sharding_mode: segments needs a non-empty isolation_segments",
    ),
    ("route_integrity: strict", "route_integrity: strict needs backends.cert_chain and backends.private_key (line 1)"),
    (
        "status: {enable_nontls_health_checks: false}",
        "status.enable_nontls_health_checks: Neither TLS nor non-TLS health endpoints are enabled. Refusing to start gorouter. (line 1)",
    ),
    ("disable_http: true", "disable_http: needs enable_ssl: no port would be left (line 1)"),
    ("status: {tls: {port: 0}}", "status.tls.port: is required for the TLS health port"),
    ("status: {tls: {port: 9}}", "status.tls.certificate: is required for the TLS health port"),
    ("status: {tls: {certificate: CERT}}", "status.tls.key: is required for the TLS health port"),
    ("status: {tls: {certificate: CERT, key: CERT}}", "status.tls.key: holds no PEM private key"),
    ("nats: {hosts: []}", "nats.hosts: must name at least one host"),
    ("nats: {hosts: [{port: 1}]}", "nats.hosts[0].hostname: is required for a NATS host"),
    ("nats: {hosts: [{hostname: a}]}", "nats.hosts[0].port: is required for a NATS host"),
    ("nats: {tls_enabled: true}", "nats.ca_certs: is required with nats.tls_enabled"),
    ("nats: {tls_enabled: true, ca_certs: CERT}", "nats.cert_chain: is required with nats.tls_enabled"),
    ("routing_api: {uri: u, port: 1}", "routing_api.cert_chain: is required with routing_api.uri and routing_api.port"),
    ("backends: {cert_chain: CERT}", "backends.private_key: is required with cert_chain"),
    ("backends: {private_key: KEY}", "backends.cert_chain: is required with private_key"),
    ("backends: {cert_chain: secret-text, private_key: KEY}", "backends.cert_chain: holds no PEM certificate"),
    ("ca_certs: [CERT, '']", "ca_certs[1]: holds no PEM certificate"),
    ("prometheus: {port: 1, cert_path: /c, key_path: /k}", "prometheus.ca_path: is required with prometheus.cert_path"),
    (
        "prometheus: {meters: {gorouter_time_histogram_buckets: [2, 1]}}",
        "prometheus.meters.gorouter_time_histogram_buckets: must be strictly ascending",
    ),
    (
        "prometheus: {meters: {gorouter_time_histogram_buckets: [.nan]}}",
        "prometheus.meters.gorouter_time_histogram_buckets: ",
    ),
    ("route_services_hairpinning_allowlist: [UPPER.case]", "route_services_hairpinning_allowlist: has an entry "),
    ("route_services_hairpinning_allowlist: [a.b, '*.c']", "route_services_hairpinning_allowlist: has an entry "),
    ("domains: [{ca_certs: CERT}]", "domains[0].domain: is required in domains"),
    ("domains: [{domain: a}]", "domains[0].ca_certs: is required in domains"),
];
