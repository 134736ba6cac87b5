use std::time::Duration;

use super::*;
use crate::settings::{AccessLog, ClientCa, IdentitySource, ListenersFile, Mode, SecretFile};

/// As the executor writes it since 2026, with every default written out.
const V3: &str = include_str!("../../tests/fixtures/v3/envoy.yaml");
/// The same with the API of Envoy 1.40, in which there are more defaults to write out.
const CURRENT: &str = include_str!("../../tests/fixtures/current/envoy.yaml");
/// As it was in 2019.
const V2: &str = include_str!("../../tests/fixtures/v2/envoy.yaml");
/// As it was in 2018.
const OLDEST: &str = include_str!("../../tests/fixtures/2018/envoy.yaml");
const OLDEST_LISTENERS: &str = include_str!("../../tests/fixtures/2018/listeners.yaml");

fn read(text: &str) -> Result<Bootstrap, BootstrapError> {
    parse(Path::new("envoy.yaml"), text, &|path| match path.to_str() {
        Some("/etc/cf-assets/envoy_config/listeners.yaml") => Ok(OLDEST_LISTENERS.to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

fn secret(path: &str, name: &str) -> SecretFile {
    SecretFile { path: format!("/etc/cf-assets/envoy_config/{path}").into(), name: name.to_owned(), watched: None }
}

fn watched(path: &str, name: &str) -> SecretFile {
    SecretFile { watched: Some("/etc/cf-assets/envoy_config".into()), ..secret(path, name) }
}

fn doors(bootstrap: &Bootstrap) -> Vec<(&str, String, &str)> {
    bootstrap.listeners.iter().map(|l| (l.name.as_str(), l.address.to_string(), l.cluster.as_str())).collect()
}

#[test]
fn the_bootstrap_of_version_3_is_read_with_all_its_defaults() {
    let bootstrap = read(V3).unwrap();
    assert_eq!(
        doors(&bootstrap),
        [
            ("listener-8080-61001", "0.0.0.0:61001".to_owned(), "service-cluster-8080"),
            ("listener-8080-61443", "0.0.0.0:61443".to_owned(), "service-cluster-8080"),
            ("listener-2222-61002", "0.0.0.0:61002".to_owned(), "service-cluster-2222"),
        ]
    );
    let [app, c2c, ssh] = bootstrap.listeners.as_slice() else { panic!("three listeners") };
    let identity = watched("sds-id-cert-and-key.yaml", "id-cert-and-key");
    let client_ca = ClientCa::Secret(watched("sds-id-validation-context.yaml", "id-validation-context"));
    assert_eq!(app.identity, IdentitySource::Secret(identity));
    assert_eq!(app.mode, Mode::Strict { client_ca, names: vec![] });
    assert_eq!(app.offer.protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(app.offer.suites.len(), 2);
    // Certificate-free on purpose, and without h2: clients broke when the app did not speak it.
    assert_eq!(c2c.identity, IdentitySource::Secret(watched("sds-c2c-cert-and-key.yaml", "c2c-cert-and-key")));
    assert_eq!((&c2c.mode, c2c.offer.protocols.len()), (&Mode::Tls, 0));
    assert_eq!((ssh.idle, ssh.handshake, ssh.stat_prefix.as_str()), (None, None, "stats-2222-61002"));
    let cluster = &bootstrap.clusters[0];
    assert_eq!(
        (cluster.endpoints[0].to_string().as_str(), cluster.connect_timeout),
        ("10.255.116.6:8080", Duration::from_millis(250))
    );
    assert_eq!((cluster.breakers.default.connections, cluster.breakers.default.pending), (4_294_967_295, 1024));
    assert_eq!(bootstrap.admin, Some(AdminAddress::Tcp(([127, 0, 0, 1], 61003).into())));
    assert_eq!(bootstrap.node.cluster, "proxy-cluster");
    assert!(bootstrap.node.id.starts_with("sidecar~10.255.116.6~") && bootstrap.stats_rejected);
    assert_eq!(bootstrap.warnings, [""; 0]);
}

#[test]
fn every_default_of_the_current_api_is_no_setting() {
    let (current, before) = (read(CURRENT).unwrap(), read(V3).unwrap());
    assert_eq!(doors(&current), doors(&before));
    let [app, ..] = current.listeners.as_slice() else { panic!("three listeners") };
    assert_eq!((&app.identity, &app.mode), (&before.listeners[0].identity, &before.listeners[0].mode));
    assert_eq!((current.clusters, current.admin, current.node), (before.clusters, before.admin, before.node));
    let shown = current.shown.bootstrap.to_string();
    assert!(!shown.contains("ADD_IF_ABSENT") && !shown.contains("IMMEDIATE"), "{shown}");
}

#[test]
fn the_bootstrap_of_2019_is_read() {
    let bootstrap = read(V2).unwrap();
    assert_eq!(
        doors(&bootstrap),
        [
            ("listener-8080", "0.0.0.0:61001".to_owned(), "0-service-cluster"),
            ("listener-2222", "0.0.0.0:61002".to_owned(), "1-service-cluster"),
        ]
    );
    let listener = &bootstrap.listeners[0];
    assert_eq!(
        listener.identity,
        IdentitySource::Secret(secret("sds-server-cert-and-key.yaml", "server-cert-and-key"))
    );
    let client_ca = ClientCa::Secret(secret("sds-server-validation-context.yaml", "server-validation-context"));
    assert_eq!(listener.mode, Mode::Strict { client_ca, names: vec![] });
    assert_eq!(listener.offer.suites.len(), 2);
}

#[test]
fn the_layout_of_2018_is_read_and_renews_its_certificates_in_the_file_of_listeners() {
    let bootstrap = read(OLDEST).unwrap();
    assert_eq!(
        doors(&bootstrap),
        [
            ("listener-8080", "0.0.0.0:61001".to_owned(), "0-service-cluster"),
            ("listener-2222", "0.0.0.0:61002".to_owned(), "1-service-cluster"),
        ]
    );
    let path: PathBuf = "/etc/cf-assets/envoy_config/listeners.yaml".into();
    let entry = ListenersFile { path: path.clone(), listener: "listener-2222".into() };
    assert_eq!(bootstrap.listeners[1].identity, IdentitySource::Listeners(entry));
    assert_eq!(bootstrap.clusters[1].endpoints[0].to_string(), "10.255.247.3:2222");
    let again = listener_of(&path, OLDEST_LISTENERS, "listener-2222").unwrap();
    assert!(matches!(again.identity, IdentitySource::Given(_)));
    assert!(listener_of(&path, OLDEST_LISTENERS, "listener-9").is_err());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = parse(Path::new("envoy.yaml"), OLDEST, &|_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
    assert_eq!(error.to_string(), "/etc/cf-assets/envoy_config/listeners.yaml");
    assert!(matches!(read("a: ["), Err(BootstrapError::Yaml { .. })));
}

/// [`V3`] with something exchanged: in its listeners if it stands there.
fn mutated(find: &str, replace: &str) -> String {
    let listeners = V3.find("\n  listeners:\n").unwrap();
    let from = V3[listeners..].find(find).map(|at| listeners + at).or_else(|| V3.find(find));
    let from = from.unwrap_or_else(|| panic!("{find} does not stand there"));
    format!("{}{replace}{}", &V3[..from], &V3[from + find.len()..])
}

#[test]
fn settings_that_are_not_implemented_are_refused_by_their_place() {
    let table = [
        (
            "use_original_dst: null",
            "use_original_dst: true",
            "static_resources.listeners[0].use_original_dst: true is not supported",
        ),
        (
            "listener_filters: []",
            "listener_filters: [{name: envoy.filters.listener.proxy_protocol}]",
            "static_resources.listeners[0].listener_filters: a list of 1 is not supported",
        ),
        (
            "bind_to_port: null",
            "bind_to_port: false",
            "static_resources.listeners[0].bind_to_port: false is not supported",
        ),
        ("filter_chain_match: null", "filter_chain_match: {server_names: [a]}", "filter_chains[0].filter_chain_match"),
        (
            "          tunneling_config: null",
            "          tunneling_config: {hostname: a}",
            "filters[0].typed_config.tunneling_config",
        ),
        (
            "          weighted_clusters: null",
            "          weighted_clusters: {clusters: [{name: a, weight: 1}]}",
            "filters[0].typed_config.weighted_clusters",
        ),
        ("            require_sni: null", "            require_sni: true", "typed_config.require_sni: true"),
        (
            "            combined_validation_context: null",
            "            combined_validation_context: {default_validation_context: {crl: {filename: a}}}",
            "common_tls_context.combined_validation_context",
        ),
        (
            "                tls_maximum_protocol_version: TLS_AUTO",
            "                tls_maximum_protocol_version: TLSv1_1",
            "tls_maximum_protocol_version: \"TLSv1_1\"",
        ),
        (
            "                - ECDHE-RSA-AES128-GCM-SHA256",
            "                - AES128-SHA",
            "cipher_suites[1]: \"AES128-SHA\"",
        ),
        ("  flags_path: ''", "  flags_path: /flags", "flags_path: \"/flags\" is not supported"),
        ("  overload_manager: null", "  overload_manager: {actions: [{name: a}]}", "overload_manager: {actions}"),
        ("    type: STATIC", "    type: EDS", "static_resources.clusters[0].type: \"EDS\""),
    ];
    for (find, replace, expected) in table {
        let (find, replace) = (find.trim_start(), replace.trim_start());
        let error = read(&mutated(find, replace)).expect_err(replace).to_string();
        assert!(error.contains(expected), "{replace}\n{error}");
    }
}

#[test]
fn versions_are_bounded_from_both_sides() {
    let (lowest, highest) = ("tls_minimum_protocol_version: TLS_AUTO", "tls_maximum_protocol_version: TLS_AUTO");
    let offer = |text: String| {
        let offer = read(&text).unwrap().listeners.remove(0).offer;
        (offer.tls12, offer.tls13)
    };
    assert_eq!(offer(V3.to_owned()), (true, true));
    assert_eq!(offer(mutated(lowest, "tls_minimum_protocol_version: TLSv1_3")), (false, true));
    assert_eq!(offer(mutated(highest, "tls_maximum_protocol_version: TLSv1_2")), (true, false));
    let neither = mutated(lowest, "tls_minimum_protocol_version: TLSv1_3").replacen(
        highest,
        "tls_maximum_protocol_version: TLSv1_2",
        1,
    );
    assert!(read(&neither).unwrap_err().to_string().contains("expected a version that the minimum allows"));
}

#[test]
fn access_logs_go_to_files_and_standard_streams() {
    let file = |path: &str| format!("name: a, typed_config: {{'@type': x.v3.FileAccessLog, path: {path}}}");
    for (log, expected) in [
        (file("/var/log/a"), Some(AccessLog::File("/var/log/a".into()))),
        (file("/dev/stderr"), Some(AccessLog::Stderr)),
        (file("/dev/null"), None),
        ("name: envoy.file_access_log, config: {path: /dev/stdout}".to_owned(), Some(AccessLog::Stdout)),
        ("name: a, typed_config: {'@type': x.v3.StdoutAccessLog}".to_owned(), Some(AccessLog::Stdout)),
    ] {
        let text = mutated("          access_log: []", &format!("          access_log: [{{{log}}}]"));
        assert_eq!(read(&text).unwrap().listeners[0].access_log, expected, "{log}");
    }
    for log in [
        "name: a, typed_config: {'@type': x.HttpGrpcAccessLogConfig}",
        "name: a, typed_config: {'@type': x.v3.FileAccessLog, path: /a, log_format: {json_format: {a: b}}}",
    ] {
        let text = mutated("          access_log: []", &format!("          access_log: [{{{log}}}]"));
        assert!(read(&text).unwrap_err().to_string().contains("access_log[0].typed_config"), "{log}");
    }
}

#[test]
fn what_can_not_be_served_is_refused_by_its_place() {
    let table = [
        (
            "cluster: service-cluster-8080",
            "cluster: elsewhere",
            "filters[0].typed_config.cluster: there is no cluster \"elsewhere\"",
        ),
        (
            "    name: listener-8080-61443\n    per",
            "    name: listener-8080-61001\n    per",
            "the name \"listener-8080-61001\" is taken",
        ),
        ("port_value: 61001", "port_value: 661001", "address.socket_address.port_value: expected a port below 65536"),
        ("address: 0.0.0.0", "address: everywhere", "static_resources.listeners[0].address: expected an IP address"),
        (
            "require_client_certificate: true",
            "require_client_certificate: false",
            "require_client_certificate: missing, a validation context without it is not supported",
        ),
        ("connect_timeout: 0.25s", "connect_timeout: 250ms", "connect_timeout: expected a duration like 0.25s"),
    ];
    for (find, replace, expected) in table {
        let error = read(&mutated(find, replace)).expect_err(replace).to_string();
        assert!(error.contains(expected), "{replace}\n{error}");
    }
    for text in ["", "{}", "static_resources: {listeners: []}"] {
        assert!(read(text).unwrap_err().to_string().contains("static_resources.listeners: missing"), "{text}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = mutated("type: STATIC", "type: EDS").replace("port_value: 61443", "port_value: x");
    let error = read(&text).unwrap_err().to_string();
    assert!(error.contains("type: \"EDS\"") && error.contains("port_value: expected a number"), "{error}");
}

#[test]
fn the_remains_of_istio_are_passed_over_with_a_warning() {
    let ads = "dynamic_resources:\n  ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: pilot-ads}}]}\n  lds_config: {ads: {}}\n  cds_config: {ads: {}}\n";
    let text = format!("{}\n{ads}", V3.replace("dynamic_resources: null\n", ""));
    let bootstrap = read(&text).unwrap();
    assert_eq!((bootstrap.listeners.len(), bootstrap.warnings.len()), (3, 1));
}

#[test]
fn no_key_is_shown() {
    let bootstrap = read(OLDEST).unwrap();
    let shown = serde_json::to_string(&bootstrap.shown.dynamic_listeners).unwrap();
    assert!(shown.contains("[redacted]") && shown.contains("BEGIN CERTIFICATE") && !shown.contains("PRIVATE KEY"));
    assert!(!format!("{bootstrap:?}").contains("PRIVATE KEY"));
}

mod anything {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z0-9./:]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z_]{1,10}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Puts `value` in the place of the `at`th node.
    fn graft(target: &mut Value, at: &mut usize, value: &Value) {
        if *at == 0 {
            *target = value.clone();
        }
        *at = at.wrapping_sub(1);
        match target {
            Value::Object(map) => map.values_mut().for_each(|child| graft(child, at, value)),
            Value::Array(items) => items.iter_mut().for_each(|child| graft(child, at, value)),
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = read(&text);
            let _ = secret::certificate(&text, "x");
            let _ = secret::validation(&text, "x");
        }

        #[test]
        fn no_tree_in_any_place_makes_it_panic(at in 0usize..400, value in tree()) {
            let mut document = document::parse(V3).unwrap();
            graft(&mut document, &mut at.clone(), &value);
            let _ = read(&document.to_string());
        }
    }
}
