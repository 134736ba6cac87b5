//! From the command line to `gorouter.started`, or to a line that says why not.

use std::{net::TcpListener, path::Path, process::Command};

use serde_json::{Value, json};
use trueroute_testkit::{Bus, Client, Nats, ReservedPort, Tempdir};

use super::support::{RouterBuilder, RouterProcess, Scene};

fn settings() -> RouterBuilder {
    Scene::over(Bus::Small(Nats::start())).router()
}

/// Runs the program to its end: exit code and standard output.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trueroute")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The line that tells of a wrong configuration: it comes alone, in Gorouter's order of keys, and has no source.
fn told(path: &Path) -> String {
    let (code, printed) = run(&["-c", path.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{printed}");
    let line = printed.strip_suffix('\n').unwrap();
    assert!(line.starts_with("{\"log_level\":3,\"timestamp\":") && !line.contains('\n'), "{printed}");
    let (_, end) = line.split_once(",\"message\":\"Error loading config:\",\"data\":{\"error\":").unwrap();
    let value: Value = serde_json::from_str(line).unwrap();
    assert!(value["timestamp"].as_f64().is_some_and(|now| now > 1.6e9), "{printed}");
    assert_eq!(value.as_object().unwrap().len(), 4, "{printed}");
    assert!(end.ends_with("}}"), "{printed}");
    value["data"]["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_wrong_configuration_is_told_in_one_line() {
    let dir = Tempdir::new().unwrap();
    let missing = dir.path().join("missing.yml");
    assert!(told(&missing).contains(missing.to_str().unwrap()), "{}", told(&missing));
    for (text, words) in [
        ("port: 8080\n  - nonsense: [", &["YAML", "line"][..]),
        ("balancing_algorithm: coin-toss", &["balancing_algorithm", "coin-toss", "[round-robin least-connection]"]),
        ("port: 70000", &["port", "70000"]),
        ("endpoint_timeout: 60", &["endpoint_timeout", "60"]),
        ("drain_wait: soon", &["drain_wait", "soon"]),
        ("port: 1\nport: 2", &["port", "already defined"]),
        ("enable_ssl: true\ncipher_suites: ECDHE-RSA-AES128-GCM-SHA256\nclient_cert_validation: none", &["tls_pem"]),
        ("enable_ssl: true\ntls_pem: []\nclient_cert_validation: none", &["tls_pem"]),
        ("route_integrity: strict", &["backends"]),
        ("ca_certs: [nonsense]", &["ca_certs"]),
        ("backends: {cert_chain: nonsense, private_key: nonsense}", &["backends"]),
        ("disable_http: true", &["disable_http"]),
        ("logging: {level: loud}", &["logging.level", "loud"]),
        ("route_services_hairpinning_allowlist: ['*.com']", &["route_services_hairpinning_allowlist"]),
    ] {
        let file = dir.path().join("gorouter.yml");
        std::fs::write(&file, text).unwrap();
        let error = told(&file);
        assert!(words.iter().all(|word| error.contains(word)), "{text:?}: {error}, without one of {words:?}");
    }
}

#[test]
fn an_unknown_argument_is_named() {
    let (code, printed) = run(&["--nonsense"]);
    assert!(code.is_some_and(|code| code != 0) && printed.is_empty(), "{code:?} {printed}");
}

#[tokio::test]
async fn a_router_without_a_bus_does_not_start() {
    let nobody = ReservedPort::new();
    let hosts = json!([{"hostname": "127.0.0.1", "port": nobody.port()}]);
    let (code, lines) = RouterProcess::run_to_end(&settings().set("nats.hosts", hosts).yml()).await;
    let last = lines.last().unwrap();
    assert_eq!((code, last.message(), &last.0["log_level"]), (1, "nats-connection-error", &json!(3)), "{lines:?}");
    assert!(last.field("error").as_str().unwrap().contains(&nobody.port().to_string()), "{last:?}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    for (key, message) in [
        ("port", "tcp-listener-error"),
        ("status.port", "initialize-router-error"),
        ("status.routes.port", "initialize-router-error"),
    ] {
        // On all addresses, as the router wants it.
        let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let (code, lines) = RouterProcess::run_to_end(&settings().set(key, port).yml()).await;
        let last = lines.last().unwrap();
        assert_eq!((code, last.message()), (1, message), "{key}: {lines:?}");
        let error = last.field("error").as_str().unwrap();
        assert!(error.contains(key) && error.contains(&port.to_string()), "{key}: {error}");
    }
}

#[tokio::test]
async fn a_port_for_metrics_that_nobody_chose_is_told() {
    let router = settings().set("prometheus", json!({"enabled": true})).spawn().await;
    let said = router.line("prometheus-listener-started").await;
    let mut client = Client::connect(said.field("address").as_str().unwrap().parse().unwrap()).await.unwrap();
    assert_eq!(client.get("metrics", "/metrics").await.unwrap().status, 200);
    let warned = router.line("config-warning").await;
    assert!(warned.field("warning").as_str().unwrap().starts_with("prometheus.port: "), "{warned:?}");
}

#[tokio::test]
async fn unknown_keys_are_warned_of() {
    let router = settings().set("no_such_key", 1).set("status.nor_this", true);
    let process = router.spawn().await;
    let warnings: Vec<String> = process
        .lines()
        .iter()
        .filter(|line| line.message() == "config-warning")
        .map(|line| {
            assert_eq!(line.0["log_level"], 2);
            line.field("warning").as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for key in ["no_such_key", "status.nor_this"] {
        assert!(warnings.iter().any(|warning| warning.starts_with(&format!("unknown key {key} "))), "{warnings:?}");
    }
    assert_eq!(process.health().await, 200);
}

#[tokio::test]
async fn each_line_has_the_shape_that_operators_parse() {
    for (format, source) in [(json!({}), "gorouter.stdout"), (json!({"timestamp": "rfc3339"}), "vcap.gorouter")] {
        let rfc3339 = format["timestamp"] == "rfc3339";
        let router = settings().set("logging", json!({"format": format, "level": "debug"}));
        let router = if rfc3339 { router.set("logging.syslog", source) } else { router };
        let process = router.spawn().await;
        let app = process.instance("app").plain().uri("app.example.com").register().await;
        app.die();
        process.get("app.example.com", "/").await;
        process.line("backend-endpoint-failed").await;
        process.signal("TERM");
        assert_eq!(process.exit_code().await, 0);

        let printed = process.stdout();
        assert!(printed.ends_with('\n'));
        let mut sources = std::collections::BTreeSet::new();
        for line in printed.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(value["log_level"].as_u64().is_some_and(|level| level <= 3), "{line}");
            let time = &value["timestamp"];
            if rfc3339 {
                let time = time.as_str().unwrap();
                assert!(time.len() == 30 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
            } else {
                assert!(time.as_f64().is_some_and(|now| now > 1.6e9), "{line}");
            }
            // The order of the keys is part of the form.
            let places = ["{\"log_level\":", ",\"timestamp\":", ",\"message\":\"", ",\"source\":\""]
                .map(|key| line.find(key).unwrap_or_else(|| panic!("no {key} in {line}")));
            assert!(places.is_sorted() && places[0] == 0, "{line}");
            if let Some(at) = line.find(",\"data\":{") {
                assert!(at > places[3] && !value["data"].as_object().unwrap().is_empty(), "{line}");
            }
            sources.insert(value["source"].as_str().unwrap().to_owned());
        }
        let nats = format!("{source}.nats");
        assert!(sources.contains(source) && sources.contains(&nats), "{sources:?}");
        assert!(sources.iter().all(|other| other == source || other.starts_with(&format!("{source}."))), "{sources:?}");
        assert_eq!(process.stderr(), "", "nothing but log lines");
        let messages: Vec<String> = process.lines().iter().map(|line| line.message().to_owned()).collect();
        let order = [
            "starting",
            "setting-up-nats-connection",
            "Successfully-connected-to-nats",
            "tcp-listener-started",
            "gorouter.started",
            "endpoint-registered",
            "backend-endpoint-failed",
            "gorouter.stopping",
            "gorouter.stopped",
            "gorouter.exited",
        ];
        let places: Vec<usize> = order
            .iter()
            .map(|message| {
                messages
                    .iter()
                    .position(|other| other == message)
                    .unwrap_or_else(|| panic!("{message} in {messages:?}"))
            })
            .collect();
        assert!(places.is_sorted(), "{messages:?}");
        let failed = process.line("backend-endpoint-failed").await;
        let route = failed.field("route-endpoint");
        assert_eq!(route["Addr"], app.addr().to_string());
        assert_eq!((failed.field("attempt"), failed.field("retriable")), (&json!(1), &json!(true)));
        assert!(failed.field("error").as_str().unwrap().starts_with("dial tcp "));
        let listening = process.line("tcp-listener-started").await;
        assert_eq!(listening.field("address")["Port"], process.http().port());
        assert!(process.line("gorouter.stopped").await.field("took").as_u64().is_some());
    }
}

/// From the first line to the last, in the order of the reference.
#[tokio::test]
async fn messages_come_in_gorouters_order() {
    let router = settings().set("zone", "z1").set("isolation_segments", json!(["one", "two"]));
    let router = router.set("routing_table_sharding_mode", "shared-and-segments").set("debug_addr", "127.0.0.1:0");
    let router = router.set("start_response_delay_interval", "1ms").set("drain_wait", "0s").spawn().await;
    router.signal("USR1");
    assert_eq!(router.exit_code().await, 0);
    let lines = router.lines();
    let mut from = 0;
    for (level, source, message) in [
        (1, "", "starting"),
        (0, "", "local-az-set"),
        (1, "", "retrieved-isolation-segments"),
        (1, "", "debug-server-started"),
        (1, "", "setting-up-nats-connection"),
        (1, ".nats", "Successfully-connected-to-nats"),
        (0, ".router", "Sleeping before returning success on /health endpoint to preload routing table"),
        (1, ".router", "tcp-listener-started"),
        (1, ".router", "tls-listener-not-enabled"),
        (1, ".router", "gorouter.started"),
        (1, ".router", "gorouter-draining"),
        (1, ".router", "Draining with 0 outstanding active connections"),
        (1, ".router", "Draining with 0 outstanding idle connections"),
        (1, ".router", "gorouter.stopping"),
        (1, ".router", "gorouter.stopped"),
        // Whoever started last ends first.
        (1, ".router", "exited"),
        (1, ".NATSMonitor", "exited"),
        (1, ".subscriber", "exited"),
        (1, ".FileDescriptor", "exited"),
        (1, "", "gorouter.exited"),
    ] {
        let at = lines[from..].iter().position(|line| line.message() == message);
        let at = from + at.unwrap_or_else(|| panic!("{message} after line {from} of {lines:#?}"));
        assert_eq!(
            (&lines[at].0["log_level"], &lines[at].0["source"]),
            (&json!(level), &json!(format!("gorouter.stdout{source}")))
        );
        from = at + 1;
    }
    let field =
        |message: &str, field: &str| lines.iter().find(|line| line.message() == message).unwrap().field(field).clone();
    assert_eq!(field("local-az-set", "AvailabilityZone"), "z1");
    assert_eq!(field("retrieved-isolation-segments", "isolation_segments"), json!(["one", "two"]));
    assert_eq!(field("retrieved-isolation-segments", "routing_table_sharding_mode"), "shared-and-segments");
}

/// What is wrong comes out in the same order: the page for errors before the bus, the bus before the ports.
#[tokio::test]
async fn the_first_thing_that_is_wrong_is_told() {
    let nobody = ReservedPort::new();
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let hosts = json!([{"hostname": "127.0.0.1", "port": nobody.port()}]);
    let all_wrong = || {
        let router = settings().set("html_error_template_file", "/nowhere/page.html").set("nats.hosts", hosts.clone());
        router.set("access_log.file", "/nowhere/access.log").set("status.routes.port", port).set("port", port)
    };
    let ends = async |router: RouterBuilder| {
        let (code, lines) = RouterProcess::run_to_end(&router.yml()).await;
        let last = lines.last().unwrap().clone();
        assert_eq!((code, &last.0["log_level"]), (1, &json!(3)), "{last:?}");
        (last.message().to_owned(), last.field("error").as_str().unwrap().to_owned())
    };
    let (message, error) = ends(all_wrong()).await;
    assert_eq!(message, "new-html-error-template-from-file");
    assert!(error.starts_with("Could not read HTML error template file: /nowhere/page.html"), "{error}");
    let router = all_wrong().without("html_error_template_file");
    assert_eq!(ends(router).await.0, "nats-connection-error");
    let bus = settings();
    let with_bus = |router: RouterBuilder| {
        let hosts = serde_json::from_str::<Value>(&bus.yml()).unwrap()["nats"]["hosts"].clone();
        router.without("html_error_template_file").set("nats.hosts", hosts)
    };
    assert_eq!(ends(with_bus(all_wrong())).await.0, "error-creating-access-logger");
    let router = with_bus(all_wrong()).without("access_log.file");
    assert_eq!(ends(router).await.0, "initialize-router-error");
    let router = with_bus(all_wrong()).without("access_log.file").set("status.routes.port", 0);
    assert_eq!(ends(router).await.0, "tcp-listener-error");
}
