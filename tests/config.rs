//! `gorouter.yml` as a user writes it: a table of small files and what becomes of each.

#[path = "config/accepted.rs"]
mod accepted;
#[path = "config/golden.rs"]
mod golden;
#[path = "config/refused.rs"]
mod refused;

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use trueroute::config::*;

const CERT: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

/// `CERT` and `KEY` in a file stand for texts of that shape.
fn fill(text: &str) -> String {
    text.replace("CERT", &format!("{CERT:?}")).replace("KEY", &format!("{KEY:?}"))
}

fn good(text: &str) -> Config {
    parsed(text).config
}

fn parsed(text: &str) -> Parsed {
    parse(&fill(text)).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn bad(text: &str) -> String {
    match parse(&fill(text)) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(e) => e.to_string(),
    }
}

fn warnings(text: &str) -> Vec<String> {
    parsed(text).warnings.iter().map(ToString::to_string).collect()
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const SSL: &str = "\nenable_ssl: true\ntls_pem: [{cert_chain: CERT, private_key: KEY}]\nclient_cert_validation: none\n";
const SUITES: &str = "cipher_suites: ECDHE-RSA-AES128-GCM-SHA256\n";

/// A file with a front TLS listener, and some more lines.
fn ssl(more: &str) -> String {
    format!("{SSL}{SUITES}{more}")
}

#[test]
fn nothing_means_the_defaults() {
    for text in
        ["", "~", "{}", "---\n", "# a comment\n", "port:\nstatus:\n  port: ~\n  tls: null\nnats: {hosts: ~, pass: ~}"]
    {
        assert_eq!(parsed(text), Parsed { config: Config::default(), warnings: vec![] }, "{text}");
    }
}

#[test]
fn null_keeps_every_default() {
    // A key that the file had wrong would be reported as unknown. Lists are another matter: see `list_or`.
    let text = include_str!("config/all_null.yml");
    assert_eq!(parsed(text), Parsed { config: Config::default(), warnings: vec![] });
}

#[test]
fn accepted_files_mean_this() {
    for (text, holds) in accepted::ACCEPTED {
        let config = good(text);
        assert!(holds(&config), "{text}\n{config:?}");
    }
}

#[test]
fn refused_files_name_the_key() {
    for (text, wanted) in refused::REFUSED {
        let error = bad(text);
        assert!(error.starts_with(wanted), "{text}\n  got    {error}\n  wanted {wanted}");
        assert!(!error.contains('\n') && !error.contains("secret-text"), "{error}");
    }
}

#[test]
fn front_tls_needs_its_three_keys() {
    let error = |text: &str| bad(text);
    assert_eq!(error("enable_ssl: true"), "tls_pem: is required with enable_ssl (line 1)");
    let pem = "enable_ssl: true\ntls_pem: [{cert_chain: CERT, private_key: KEY}]\n";
    assert_eq!(error(pem), "cipher_suites: is required with enable_ssl (line 1)");
    assert_eq!(error(&format!("{pem}{SUITES}")), "client_cert_validation: is required with enable_ssl (line 1)");
    let half = "enable_ssl: true\ntls_pem:\n- cert_chain: CERT\n";
    assert_eq!(error(half), "tls_pem[0].private_key: is required with enable_ssl (line 3)");
}

#[test]
fn front_tls_with_its_defaults() {
    let config = good(&ssl(""));
    let front = config.front_tls.as_ref().unwrap();
    assert_eq!((front.port, front.certificates.len(), front.versions), (443, 1, TlsVersions::Tls12));
    assert_eq!(front.cipher_suites.len(), 1);
    assert_eq!(front.client_cert_validation, ClientCertValidation::None);
    assert_eq!(front.certificates[0].cert_chain(), CERT);
    // Backends always speak TLS 1.3 as well.
    assert_eq!(config.backends.cipher_suites.as_ref().map(Vec::len), Some(4));
    assert_eq!(config.http_port(), Some(8081));
    assert_eq!(good(&ssl("disable_http: true")).http_port(), None);
}

#[test]
fn tls_versions_and_suites() {
    let front = |more: &str| {
        let front = good(&ssl(more)).front_tls.unwrap();
        (front.versions, front.cipher_suites.len())
    };
    assert_eq!(front("max_tls_version: TLSv1.3"), (TlsVersions::Tls12And13, 4));
    assert_eq!(front("max_tls_version: TLSv1.3\nmin_tls_version: TLSv1.3"), (TlsVersions::Tls13, 3));
    assert_eq!(front("max_tls_version: ''\nmin_tls_version: ''"), (TlsVersions::Tls12, 1));
    assert_eq!(front("min_tls_version: TLSv1.0"), (TlsVersions::Tls12, 1));
    for text in ["TLSv1.0", "TLSv1.1"] {
        let warned = warnings(&ssl(&format!("min_tls_version: {text}")));
        assert_eq!(warned, ["min_tls_version: TLS before 1.2 cannot be offered, the minimum is TLSv1.2"]);
    }
    assert!(bad(&ssl("min_tls_version: TLSv1.3")).starts_with("min_tls_version: is above max_tls_version"));
    assert!(bad(&ssl("min_tls_version: SSLv3")).starts_with("min_tls_version: Invalid minimum TLS version SSLv3. "));
    assert_eq!(
        bad(&ssl("max_tls_version: TLSv1.1")),
        "max_tls_version: Invalid maximum TLS version TLSv1.1. Allowed values are [TLSv1.2 TLSv1.3] (line 6)"
    );
    for (suites, wanted) in [
        ("RC4-SHA:NOPE", "cipher_suites: unknown cipher suite `NOPE`"),
        ("RC4-SHA:AES128-SHA", "cipher_suites: no usable cipher suite is left of `RC4-SHA:AES128-SHA`"),
        ("TLS_AES_128_GCM_SHA256", "cipher_suites: names no suite of TLSv1.2"),
    ] {
        assert!(bad(&format!("{SSL}cipher_suites: {suites}")).starts_with(wanted), "{suites}");
    }
    let only13 = good(&format!("{SSL}cipher_suites: TLS_AES_128_GCM_SHA256\nmax_tls_version: TLSv1.3"));
    assert_eq!(only13.front_tls.unwrap().versions, TlsVersions::Tls13);
    let legacy = format!("{SSL}cipher_suites: RC4-SHA:ECDHE-RSA-AES128-GCM-SHA256:TLS_RSA_WITH_AES_128_CBC_SHA");
    assert_eq!(
        warnings(&legacy),
        ["cipher_suites: left out, as they cannot be offered: RC4-SHA:TLS_RSA_WITH_AES_128_CBC_SHA"]
    );
}

#[test]
fn suites_without_enable_ssl_hold_for_backends_only() {
    let config = good(SUITES);
    assert!(config.front_tls.is_none());
    assert_eq!(config.backends.cipher_suites.map(|s| s.len()), Some(4));
    for (list, wanted) in [
        ("NOPE", "cipher_suites: unknown cipher suite `NOPE`; the list is not used"),
        ("RC4-SHA", "cipher_suites: no usable cipher suite is left of `RC4-SHA`; the list is not used"),
    ] {
        let Parsed { config, warnings } = parsed(&format!("cipher_suites: {list}"));
        assert!(config.backends.cipher_suites.is_none());
        assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [wanted]);
    }
}

#[test]
fn client_checks_are_parsed() {
    for mode in ["request", "require"] {
        let config = good(&ssl("").replace("none", mode));
        assert_eq!(config.front_tls.unwrap().client_cert_validation.to_string(), mode);
        let alone = ssl("only_trust_client_ca_certs: true").replace("none", mode);
        assert!(bad(&alone).starts_with("only_trust_client_ca_certs: needs client_ca_certs"), "{mode}");
        assert!(good(&format!("{alone}\nclient_ca_certs: CERT")).front_tls.is_some());
    }
    let rules = "enable_verify_client_certificate_metadata: true
verify_client_certificate_metadata:
- issuer_in_chain: {common_name: ca, organization: [o]}
  valid_cert_subjects: [{common_name: a}, {common_name: b, country: [c]}]";
    let front = good(&ssl(rules)).front_tls.unwrap();
    assert_eq!(front.client_metadata_rules[0].issuer_in_chain.organization, ["o"]);
    assert_eq!(front.client_metadata_rules[0].valid_cert_subjects[1].common_name, "b");
}

#[test]
fn unknown_keys_are_reported_once_each() {
    let text = "
ip_local_port_range: 1024 65535
status: {prot: 1, routes: {prot: 2}}
nats:
  hosts: [{hostname: a, port: 1, zone: {deep: [1]}}]
x: {y: {z: 1}}
\"odd\\nkey\": 1
";
    assert_eq!(
        warnings(text),
        [
            "unknown key status.routes.prot (line 3)",
            "unknown key status.prot (line 3)",
            "unknown key nats.hosts[0].zone (line 5)",
            "unknown key ip_local_port_range (line 2)",
            "unknown key x (line 6)",
            "unknown key odd\\nkey (line 7)",
        ]
    );
}

#[test]
fn a_file_that_go_marshalled_raises_no_warning() {
    let cert = "{certificate: [], privatekey: null, supportedsignaturealgorithms: [], ocspstaple: [], leaf: null}";
    let text = format!(
        "
status: {{host: 0.0.0.0, port: 0, user: '', pass: '', tls: {{port: 8443, certificate: '', key: ''}}}}
nats:
  hosts: [{{hostname: localhost, port: 4222}}]
  tls_enabled: false
  ca_certs: ''
  clientauthcertificate: {cert}
routing_api: {{uri: '', port: 0, clientauthcertificate: {cert}}}
backends: {{clientauthcertificate: {cert}, max_conns: 0, max_attempts: 0, cert_chain: '', private_key: ''}}
route_services: {{clientauthcertificate: {cert}, max_attempts: 0}}
tls_pem: []
cipher_suites: ''
client_cert_validation: ''
endpoint_timeout: 1m0s
drain_timeout: 0s
drain_wait: 0s
nats_client_ping_interval: 0s
keep_alive_100_continue_requests: false
http_rewrite: {{responses: {{add_headers_if_not_present: [], remove_headers: []}}}}
prometheus: {{meters: {{http_latency_histogram_buckets: []}}}}
"
    );
    let status = Status { port: 0, ..Status::default() };
    let expected = Config { status, nats_client_ping_interval: Duration::ZERO, ..Config::default() };
    assert_eq!(parsed(&text), Parsed { config: expected, warnings: vec![] });
}

#[test]
fn header_limit_above_the_cap_is_capped_with_a_warning() {
    let Parsed { config, warnings } = parsed("max_request_header_bytes: 2000000");
    assert_eq!(config.max_request_header_bytes, 1 << 20);
    assert_eq!(
        warnings[0].to_string(),
        "max_request_header_bytes: innefectual-max-header-bytes-value 2000000, the limit is 1048576"
    );
}

#[test]
fn aliases_cannot_blow_up() {
    let mut text = String::from("a0: &a0 {user: u}\n");
    for n in 1..40 {
        text.push_str(&format!("a{n}: &a{n} {{<<: [{}]}}\n", vec![format!("*a{}", n - 1); 10].join(", ")));
    }
    let error = bad(&format!("{text}status: {{<<: *a20}}"));
    assert!(error.ends_with("document contains excessive aliasing (line 1)") || error.contains("excessive aliasing"));
    let error = bad(&format!("{text}status: {{<<: *a39}}"));
    assert!(error.starts_with("status.<<"), "{error}");
    // Few references per level: the depth alone stops it.
    let chain: String = (1..100).map(|n| format!("a{n}: &a{n} {{<<: *a{}}}\n", n - 1)).collect();
    let error = bad(&format!("a0: &a0 {{user: u}}\n{chain}status: {{<<: *a99}}"));
    assert!(error.contains("excessive aliasing"), "{error}");
}

#[test]
fn secrets_do_not_show() {
    let config =
        good("status: {pass: hunter2}\nnats: {pass: hunter2}\ntrace_key: hunter2\nroute_services_secret: hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn every_example_file_parses_without_a_warning() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut names = vec![];
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        // Not the router's: what Prometheus and Grafana read, which tests/metrics holds to the page.
        if path.ends_with("alerts.yml") || path.ends_with("grafana-dashboard.json") {
            continue;
        }
        let parsed = load(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(parsed.warnings, [], "{}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["compose.yml", "gorouter.yml", "minimal.yml", "strict.yml"]);
    let strict = load(&dir.join("strict.yml")).unwrap().config;
    assert_eq!(strict.route_integrity, RouteIntegrity::Strict);
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nowhere/gorouter.yml")).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere/gorouter.yml: "), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn the_start_failure_line_has_gorouters_shape() {
    let error = parse("port: '80'").unwrap_err();
    assert_eq!(
        start_failure_line(&error, 1_700_000_000.25),
        r#"{"log_level":3,"timestamp":1700000000.25,"message":"Error loading config:","data":{"error":"port: cannot unmarshal !!str `80` into uint16 (line 1)"}}"#
    );
    let line = start_failure_line(&"a \"quoted\"\ntext", f64::NAN);
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["data"]["error"], "a \"quoted\"\ntext");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_a_verdict_on_one_line(text in "(?s).{0,200}") {
        if let Err(e) = parse(&text) {
            prop_assert!(!e.to_string().contains('\n'));
        }
    }

    #[test]
    fn yaml_like_text_gets_a_verdict_on_one_line(text in yaml_like()) {
        if let Err(e) = parse(&text) {
            prop_assert!(!e.to_string().contains('\n'));
        }
    }

    #[test]
    fn known_keys_take_any_scalar_without_a_panic(key in key(), value in scalar()) {
        if let Err(e) = parse(&format!("{key}: {value}")) {
            prop_assert!(!e.to_string().contains('\n'));
        }
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "port",
        "status",
        "nats",
        "hosts",
        "hostname",
        "drain_wait",
        "endpoint_timeout",
        "ca_certs",
        "tls_pem",
        "backends",
        "max_attempts",
        "cipher_suites",
        "enable_ssl",
        "logging",
        "level",
        "isolation_segments",
        "<<",
        "meters",
        "prometheus",
        "gorouter_time_histogram_buckets",
        "route_integrity",
        "max_request_header_bytes",
        "index",
        "zone",
        "token_fetcher_expiration_buffer_time",
        "go_max_procs",
        "max_idle_conns_per_host",
        "domains",
        "unknown",
    ])
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-+0-9._eExXbo]{1,24}",
        "[0-9]{1,20}(ns|us|ms|s|m|h)",
        "(&a |\\*a|!!str |!!int |!x )?(yes|no|~|null|true|'1'|\"\\\\n\"|\\[\\]|\\{\\}|\\[a, b\\]|\\{port: 1\\})?",
        "\\PC{0,12}",
    ]
}

fn yaml_like() -> impl Strategy<Value = String> {
    let line = (0usize..4, prop::sample::select(vec!["", "- ", "? ", "&a ", "- - "]), key(), scalar())
        .prop_map(|(indent, lead, key, value)| format!("{}{lead}{key}: {value}\n", "  ".repeat(indent)));
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

#[test]
fn the_own_address_is_one_that_others_can_use() {
    // A machine without a default route has none; the router refuses to start there.
    if let Ok(ip) = own_ip() {
        assert!(!ip.is_unspecified() && !ip.is_multicast(), "{ip}");
    }
}

#[test]
fn every_key_of_the_file_is_explained() {
    /// Shown by the key that they belong to, or read and not used.
    const NOT_SHOWN: &[&str] = &[
        "status.tls.key",
        "nats.private_key",
        "routing_api.private_key",
        "route_services.private_key",
        "backends.private_key",
        "pid_file",
        "load_balancer_healthy_threshold",
        "publish_start_message_interval",
        "healthcheck_poll_interval",
        "healthcheck_timeout",
        "websocket_dial_timeout",
    ];
    let text: Vec<&str> = include_str!("config/all_null.yml").lines().filter(|line| !line.starts_with('#')).collect();
    let text = text.join("\n");
    let mut keys = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut name_from = None;
    for (at, c) in text.char_indices() {
        match c {
            ':' => {
                let name = &text[name_from.take().expect("a key stands before its colon")..at];
                keys.push(path.iter().chain([&name]).copied().collect::<Vec<_>>().join("."));
                if text[at + 1..].trim_start().starts_with('{') {
                    path.push(name);
                }
            }
            '}' => drop(path.pop()),
            c if c.is_ascii_alphanumeric() || c == '_' => drop(name_from.get_or_insert(at)),
            _ => {}
        }
    }
    let explained: Vec<&str> = Config::default().effective().iter().map(|setting| setting.key).collect();
    let is_section = |key: &str| keys.iter().any(|other| other.starts_with(&format!("{key}.")));
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !explained.contains(&key.as_str()) && !NOT_SHOWN.contains(&key.as_str()) && !is_section(key))
        .collect();
    assert!(keys.len() > 120, "{}", keys.len());
    assert!(missing.is_empty(), "{missing:?}");
}
