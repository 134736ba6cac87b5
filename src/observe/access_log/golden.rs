//! Whole lines, as gorouter.md section 9 writes them. The text beside this file is the table: a name, and below it the
//! line.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    Aborted, Cost, Entry, Fields, Formatter, Privacy, Redact,
    tests::{proxied, time},
};

const LINES: &str = include_str!("golden.txt");

/// The line below `name`.
fn golden(name: &str) -> String {
    let mut lines = LINES.lines().skip_while(|line| *line != format!("# {name}")).skip(1);
    lines.next().unwrap_or_else(|| panic!("no {name}")).replace("<time>", &time())
}

fn full(headers: &HeaderMap) -> Entry<'_> {
    Entry {
        host: b"APP.example.com:8080",
        method: "POST",
        target: b"/p/a%20th?q=1&r=%22",
        protocol: "HTTP/2.0",
        status: Some(503),
        request_bytes: 17,
        response_bytes: 4_294_967_296,
        referer: b"https://refer.example/?a=b",
        user_agent: b"agent/1.0 (x; y)",
        remote_addr: "10.0.0.1:50000",
        backend_addr: "10.0.0.2:61001",
        x_forwarded_for: b"1.2.3.4, 10.0.0.1",
        x_forwarded_proto: b"https",
        response_time: Some(Duration::from_micros(61_000_001)),
        gorouter_time: Some(Duration::from_nanos(1_499)),
        app_id: "0a1b2c3d",
        app_index: "12",
        instance_id: "i-5",
        router_error: b"endpoint_failure (EOF)",
        headers,
        ..proxied()
    }
}

fn bare(headers: &HeaderMap) -> Entry<'_> {
    Entry {
        host: b"",
        status: None,
        response_bytes: 0,
        remote_addr: "",
        backend_addr: "",
        x_forwarded_for: b"",
        x_forwarded_proto: b"",
        request_id: b"",
        response_time: None,
        gorouter_time: None,
        app_id: "",
        app_index: "",
        instance_id: "",
        headers,
        ..proxied()
    }
}

fn fields() -> Fields {
    Fields::default()
        .and_extras(["tls_time", "nonsense", "failed_attempts", "backend_time", "tls_time", "dial_time", "dns_time"])
        .and_extras(["failed_attempts_time", "local_address"])
        .and_headers(["X-Second", "X-First", "x-second", "Absent"])
}

fn cost() -> Cost {
    let ms = |ms| Some(Duration::from_millis(ms));
    Cost {
        failed: 2,
        failed_time: Duration::from_millis(1_500),
        backend: ms(12),
        dns: None,
        dial: ms(3),
        tls: ms(4),
        local: Some(([10, 0, 0, 9], 40_000).into()),
    }
}

#[test]
fn lines_are_those_of_the_table() {
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-first", "one"), ("x-first", "two"), ("x-second", "a \"b\"")] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let none = HeaderMap::new();
    let private = |redact| Fields::new(Privacy { redact, hides_forwarded_for: true, hides_source: true });
    let (cost, usual) = (cost(), Fields::default());
    let get = Entry { method: "GET", ..full(&none) };
    let cases: [(&str, Fields, Entry<'_>); 12] = [
        ("everything", usual.clone(), full(&none)),
        ("nothing", usual.clone(), bare(&none)),
        ("status 0", usual.clone(), Entry { status: Some(0), ..bare(&none) }),
        (
            "websocket",
            usual.clone(),
            Entry { status: Some(101), response_bytes: 0, gorouter_time: Some(Duration::ZERO), ..proxied() },
        ),
        (
            "quoting",
            usual.clone(),
            Entry {
                user_agent: b"tab\t quote\" back\\ nul\x00 bell\x07 del\x7f \xff k\xc3\xa4se \xe2\x80\xa8",
                target: b"/\"",
                ..proxied()
            },
        ),
        ("extras and headers", fields(), Entry { cost: Some(&cost), headers: &headers, ..proxied() }),
        ("extras without an attempt", fields(), Entry { headers: &none, ..proxied() }),
        ("all hidden", private(Redact::All), get),
        ("hashed", private(Redact::Hash), get),
        ("post is not redacted", private(Redact::All), full(&none)),
        (
            "aborted",
            fields(),
            Entry { aborted: Some(Aborted::ClientLeft), cost: Some(&cost), headers: &headers, ..proxied() },
        ),
        (
            "refused",
            usual,
            Entry { method: "-", target: b"-", protocol: "-", aborted: Some(Aborted::Refused), ..bare(&none) },
        ),
    ];
    for (name, fields, entry) in &cases {
        let mut line = Vec::new();
        Formatter::showing(Arc::new(fields.clone())).line(entry, &mut line);
        assert_eq!(String::from_utf8(line).unwrap(), golden(name) + "\n", "{name}");
    }
    assert_eq!(LINES.lines().filter(|line| line.starts_with("# ")).count(), cases.len(), "each line has its case");
}
