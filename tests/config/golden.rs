//! What Go's yaml.v3 makes of some 360 documents, and what this reader makes of them: the same, but for the rows of
//! [`OTHERWISE`].
//!
//! `yaml_v3/outcomes.json` is what yaml.v3 3.0.1 said; `yaml_v3/main.go` is the program that asked it, over the same
//! defaults and into fields of the same types.
#![allow(clippy::unwrap_used, reason = "a table that cannot be read holds nothing")]

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use trueroute::config::{Config, parse};

const DOCUMENTS: &str = include_str!("yaml_v3/documents.txt");
const OUTCOMES: &str = include_str!("yaml_v3/outcomes.json");

/// The documents that are not read as by yaml.v3: what becomes of them, and why.
const OTHERWISE: &[(&str, &str, &str)] = &[
    ("null hosts", "read as ", "no host means localhost:4222 to Go's NATS client, and so it does here"),
    ("empty hosts", "nats.hosts: must name at least one host", "an empty list is a mistake in the file, and is named"),
    ("index 18446744073709551616", "index: cannot unmarshal !!float", "no uint holds it; Go's conversion wraps around"),
    ("zone \u{2028}x", "read as ", "YAML 1.2 knows no such line break"),
    ("directive 1.2", "read as ", "the file says which YAML it is, and that is the one that is read"),
];

/// Each document with its name, as they stand in the file.
fn documents() -> Vec<(&'static str, &'static str)> {
    let starts: Vec<_> = DOCUMENTS.match_indices("=== ").map(|(at, _)| at).collect();
    let starts = starts.into_iter().filter(|at| *at == 0 || DOCUMENTS[..*at].ends_with('\n')).collect::<Vec<_>>();
    let ends = starts.iter().skip(1).copied().chain([DOCUMENTS.len()]);
    starts.iter().zip(ends).filter_map(|(start, end)| DOCUMENTS[start + 4..end].split_once('\n')).collect()
}

/// What yaml.v3 said of a document: what is changed of the defaults, or its error.
fn outcomes() -> HashMap<String, Result<Value, String>> {
    let outcome = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let said = match row["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(row["read"].clone()),
        };
        (row["name"].as_str().unwrap().to_owned(), said)
    };
    OUTCOMES.lines().map(outcome).collect()
}

/// The fields that the program reads, under their keys.
fn read(c: &Config) -> Value {
    let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap();
    let hosts: Vec<_> = c.nats.hosts.iter().map(|h| json!({"hostname": h.hostname, "port": h.port})).collect();
    let removed: Vec<_> = c.http_rewrite.remove_headers.iter().map(|name| json!({"name": name})).collect();
    json!({
        "port": c.port,
        "index": c.index,
        "zone": c.zone,
        "enable_proxy": c.enable_proxy,
        "disable_keep_alives": c.disable_keep_alives,
        "drain_wait": nanos(c.drain_wait),
        "frontend_idle_timeout": c.frontend_idle_timeout.map_or(0, nanos),
        "isolation_segments": c.isolation_segments,
        "sticky_session_cookie_names": c.sticky_session_cookie_names,
        "status": {"host": c.status.host, "port": c.status.port, "user": c.status.user, "pass": c.status.pass.expose()},
        "prometheus": {
            "meters": {"gorouter_time_histogram_buckets": c.prometheus.meters.gorouter_time_histogram_buckets},
        },
        "nats": {"hosts": hosts},
        "backends": {"max_conns": c.backends.max_conns.map_or(0, |n| n.get())},
        "http_rewrite": {"responses": {"remove_headers": removed}},
    })
}

/// What the defaults become by the changes that yaml.v3 made, in the shape that this configuration keeps them in:
/// lengths of time and limits below zero mean none, an empty list of bounds means the default.
fn expected(changes: &Value) -> Value {
    let mut all = read(&Config::default());
    apply(&mut all, changes);
    for key in ["/drain_wait", "/frontend_idle_timeout", "/backends/max_conns"] {
        let value = all.pointer_mut(key).unwrap();
        if value.as_i64().is_some_and(|n| n < 0) {
            *value = json!(0);
        }
    }
    let buckets = "/prometheus/meters/gorouter_time_histogram_buckets";
    if all.pointer(buckets) == Some(&json!([])) {
        *all.pointer_mut(buckets).unwrap() = read(&Config::default()).pointer(buckets).unwrap().clone();
    }
    all
}

fn apply(to: &mut Value, changes: &Value) {
    for (key, change) in changes.as_object().unwrap() {
        match change {
            Value::Object(_) => apply(&mut to[key], change),
            Value::Null => to[key] = json!([]),
            _ => to[key] = change.clone(),
        }
    }
}

#[test]
fn documents_mean_what_they_mean_to_yaml_v3() {
    let documents = documents();
    let outcomes = outcomes();
    assert_eq!(documents.len(), outcomes.len());
    let mut wrong = Vec::new();
    for (name, text) in documents {
        let said = &outcomes[name];
        let ours = parse(text).map(|parsed| read(&parsed.config)).map_err(|e| e.to_string());
        let same = match (said, &ours) {
            (Ok(changes), Ok(read)) => alike(read, &expected(changes)),
            (Err(_), Err(_)) => true,
            _ => false,
        };
        let known = OTHERWISE.iter().find(|row| row.0 == name);
        let shown = match &ours {
            Ok(read) => format!("read as {read}"),
            Err(error) => error.clone(),
        };
        match known {
            None if !same => wrong.push(format!("{name}: {text:?}\n  yaml.v3: {said:?}\n  ours:    {shown}")),
            Some(_) if same => wrong.push(format!("{name}: is no exception")),
            Some((_, begins, _)) if !shown.starts_with(begins) => wrong.push(format!("{name}: {shown}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Equal, with numbers compared by value.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn every_exception_names_a_document() {
    let documents: Vec<_> = documents().into_iter().map(|(name, _)| name).collect();
    for (name, _, why) in OTHERWISE {
        assert!(documents.contains(name) && !why.is_empty(), "{name}");
    }
}

/// What `yaml.Marshal` writes of Go structs of such fields, a loaded `tls.Certificate` and zero values among them (the
/// bytes of the certificate are cut short).
#[test]
fn a_file_that_yaml_v3_wrote_is_read_whole() {
    let parsed = parse(include_str!("yaml_v3/marshalled.yml")).unwrap();
    assert_eq!(parsed.warnings, []);
    let config = parsed.config;
    let front = config.front_tls.unwrap();
    assert_eq!((config.port, front.port, front.certificates.len()), (8081, 8443, 1));
    assert_eq!(config.status.pass.expose(), "1234");
    assert_eq!(config.drain_timeout, Duration::from_secs(60));
    assert!(config.backends.key_pair.is_some() && config.backends.max_conns.is_none());
}
