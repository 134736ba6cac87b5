//! What the program says beside routing.

use std::process::{Command, Output};

use trueroute_testkit::Tempdir;

fn trueroute(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trueroute")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Runs a command on a file of this text: the exit code and what it prints.
fn on_file(command: &[&str], yml: &str) -> (i32, String) {
    let dir = Tempdir::new().unwrap();
    let file = dir.path().join("gorouter.yml");
    std::fs::write(&file, yml).unwrap();
    let output = trueroute(&[command, &["-c", file.to_str().unwrap()]].concat());
    assert_eq!(text(&output.stderr), "");
    (output.status.code().unwrap(), text(&output.stdout).replace(file.to_str().unwrap(), "FILE"))
}

#[test]
fn check_names_every_problem_and_leaves_with_1() {
    let (code, said) = on_file(&["check"], "port: many\nbackends: {max_conns: x}\nodd: 1\n");
    let wanted = "error: port: cannot unmarshal !!str `many` into uint16 (line 1)\n\
                  error: backends.max_conns: cannot unmarshal !!str `x` into int (line 2)\n\
                  warning: unknown key odd (line 3)\n\
                  FILE: the router does not start with it\n";
    assert_eq!((code, &*said), (1, wanted));
}

#[test]
fn check_reads_the_page_for_errors_too() {
    let (code, said) = on_file(&["check"], "html_error_template_file: /nowhere/page.html\n");
    let wanted = "error: Could not read HTML error template file: /nowhere/page.html: No such file or directory \
                  (os error 2)\nFILE: the router does not start with it\n";
    assert_eq!((code, &*said), (1, wanted));
}

#[test]
fn check_names_a_port_that_two_listeners_want() {
    let (code, said) = on_file(&["check"], "port: 8081\nstatus: {routes: {port: 8081}}\n");
    let wanted = "error: port: 8081 is the port of status.routes.port already\n\
                  FILE: the router does not start with it\n";
    assert_eq!((code, &*said), (1, wanted));
}

#[test]
fn check_names_what_would_end_the_start_later() {
    let hairpin = "port: 8081\nroute_services_secret: s\nroute_services: {max_attempts: 3}\n\
                   route_services_hairpinning: true\nroute_services_internal_server_port: 8081\n";
    for (yml, said_first) in [
        (
            "nats: {hosts: [{hostname: user@host, port: 4222}]}\n",
            "nats.hosts: \"user@host:4222\" is not a host and port",
        ),
        (
            "access_log: {file: /nowhere/a.log}\n",
            "access_log.file: access log /nowhere/a.log: No such file or directory (os error 2)",
        ),
        (hairpin, "port: 8081 is the port of route_services_internal_server_port already"),
    ] {
        let (code, said) = on_file(&["check"], yml);
        let wanted = format!("error: {said_first}\nFILE: the router does not start with it\n");
        assert_eq!((code, &*said), (1, &*wanted));
    }
}

#[test]
fn a_rule_that_is_broken_does_not_end_a_check() {
    let yml = "logging: {syslog_network: foo, level: bad}\nload_balancer_healthy_threshold: -1s\nport: many\nunknown_key: 1\n";
    let (code, said) = on_file(&["check"], yml);
    let told: Vec<&str> = said.lines().map(|line| line.split(": ").nth(1).unwrap_or(line)).collect();
    let wanted = [
        "logging.syslog_network",
        "logging.level",
        "port",
        "load_balancer_healthy_threshold",
        "unknown key unknown_key (line 4)",
        "the router does not start with it",
    ];
    assert_eq!((code, &*told), (1, &wanted[..]), "{said}");
}

#[test]
fn what_is_no_certificate_is_told_without_the_parsers_words() {
    let pem = |label: &str| format!("-----BEGIN {label}-----\\nAAAA\\n-----END {label}-----");
    let text = format!(
        "backends: {{cert_chain: \"{}\", private_key: \"{}\"}}\nca_certs: [\"{}\"]\n",
        pem("CERTIFICATE"),
        pem("PRIVATE KEY"),
        pem("CERTIFICATE")
    );
    let (code, said) = on_file(&["check"], &text);
    assert!(code == 1 && said.matches("invalid certificate\n").count() == 2, "{said}");
}

#[test]
fn explain_tells_what_is_wrong_on_standard_error() {
    let output = trueroute(&["explain", "--json", "-c", "/nowhere/gorouter.yml"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(
        text(&output.stderr).starts_with("trueroute: cannot read /nowhere/gorouter.yml: No such file"),
        "{output:?}"
    );
}

#[test]
fn check_warns_of_what_is_odd_and_leaves_with_0() {
    let (code, said) = on_file(&["check"], "port: 80\nodd: 1\n");
    assert_eq!((code, &*said), (0, "warning: unknown key odd (line 2)\nFILE: the router starts with it\n"));
    let (code, said) = on_file(&["check", "--json"], "port: 80\nodd: 1\n");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let wanted =
        serde_json::json!({"file": "FILE", "ok": true, "problems": [], "warnings": ["unknown key odd (line 2)"]});
    assert_eq!((code, said), (0, wanted));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = trueroute(&["check", "-c", "/nowhere/gorouter.yml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("error: cannot read /nowhere/gorouter.yml: No such file"), "{output:?}");
}

#[test]
fn explain_shows_every_key_and_marks_the_defaults() {
    let (code, said) = on_file(&["explain"], "port: 80\nnats: {pass: s3cret}\nendpoint_timeout: 1m30s\n");
    assert_eq!(code, 0);
    let line = |key: &str| said.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} in {said}"));
    assert_eq!(line("port:"), "port: 80");
    assert_eq!(line("endpoint_timeout:"), "endpoint_timeout: 90s");
    assert_eq!(line("nats.pass:"), "nats.pass: (not shown)");
    assert!(line("status.port:").starts_with("status.port: 8080 ") && line("status.port:").ends_with("# default"));
    assert!(!said.contains("s3cret"));
    // By what stands in the file, not by what it comes to.
    let (_, said) = on_file(&["explain", "--json"], "port: 8081\nendpoint_timeout: 900s\n");
    let said: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    let told = |key: &str| said.iter().find(|setting| setting["key"] == key).unwrap();
    assert_eq!(told("port"), &serde_json::json!({"key": "port", "value": "8081", "default": false}));
    assert_eq!(told("drain_timeout"), &serde_json::json!({"key": "drain_timeout", "value": "15m", "default": true}));
}

#[test]
fn version_completions_and_manual_are_there() {
    assert!(text(&trueroute(&["--version"]).stdout).starts_with(concat!("trueroute ", env!("CARGO_PKG_VERSION"))));
    for shell in ["bash", "zsh", "fish"] {
        let script = trueroute(&["completions", shell]);
        for command in ["explain", "routes", "why"] {
            assert!(text(&script.stdout).contains(command), "{command} for {shell}");
        }
    }
    let manual = trueroute(&["man"]);
    let manual = text(&manual.stdout);
    for part in [
        ".TH trueroute 1",
        ".SH SIGNALS\n.TP\nUSR1\n",
        ".SH \"EXIT STATUS\"",
        "Usage: trueroute check [OPTIONS] \\-c <FILE>\n",
        "Usage: trueroute explain [OPTIONS] \\-c <FILE>\n",
        "Usage: trueroute routes [OPTIONS] [HOST]\n",
        "Usage: trueroute why [OPTIONS] <URL>\n",
        "\\-\\-watch",
    ] {
        assert!(manual.contains(part), "{part} in {manual}");
    }
    assert!(!manual.contains("\\-check(1)"), "there is one page only: {manual}");
}
