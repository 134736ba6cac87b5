//! Two configurations as recorded, whole: what the app gets, what the client gets, what the log says.

use serde_json::json;

use super::{
    message::{Message, answered, ask, hello, told},
    scene::{After, Scene, raw, recorded},
    support::RouterBuilder,
};

/// Everything about headers at once.
fn headers() -> RouterBuilder {
    recorded()
        .set("tracing", json!({"enable_zipkin": true, "enable_w3c": true, "w3c_tenant_id": "tenant"}))
        .set("sanitize_forwarded_proto", true)
        .set("forwarded_client_cert", "sanitize_set")
        .set("trace_key", "key")
        .set("extra_headers_to_log", json!(["X-A", "Accept"]))
        .set("hop_by_hop_headers_to_filter", json!(["X-Forwarded-For", "X-Vcap-Request-Id"]))
        .set(
            "http_rewrite",
            json!({"responses": {
                "add_headers_if_not_present": [{"name": "Strict-Transport-Security", "value": "max-age=1"}],
                "remove_headers": [{"name": "Server"}],
            }}),
        )
}

/// The trace fields of a request without a trace.
const BEGUN: [&str; 5] = [
    "B3: <hex32>-<hex16>",
    "Traceparent: 00-<hex32>-<hex16>-01",
    "Tracestate: tenant@gorouter=<hex16>",
    "X-B3-Spanid: <hex16>",
    "X-B3-Traceid: <hex32>",
];

/// The message with runs of 32 and of 16 hexadecimal digits replaced in the trace fields, as in the recordings.
fn steady(mut message: Message) -> Message {
    for field in &mut message.fields {
        if ["B3", "X-B3-", "Trace"].iter().any(|start| field.starts_with(start)) {
            *field = masked(field);
        }
        // The id of a trace that is taken up is no random UUID.
        if field.starts_with("X-Vcap-Request-Id: 80f198ee-5634-3ba8-64fe-8b2a57d3eff7") {
            *field = "X-Vcap-Request-Id: <uuid>".to_owned();
        }
    }
    message.fields.sort();
    message
}

fn masked(text: &str) -> String {
    let mut out = String::new();
    for piece in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let digits = piece.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        match digits.len() {
            16 | 32 => out += &format!("<hex{}>{}", digits.len(), &piece[digits.len()..]),
            _ => out += piece,
        }
    }
    out
}

#[tokio::test]
async fn with_everything_about_headers_on_the_app_gets_what_gorouter_sends() {
    let scene = Scene::with(headers()).await;
    let kept = "b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";
    let one = ["B3: <hex32>-<hex16>-1", "Traceparent: 00-<hex32>-<hex16>-01", "Tracestate: tenant@gorouter=<hex16>"];
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&[], &BEGUN, &[]),
        (&["X-Forwarded-For: 1.2.3.4"], &BEGUN, &["X-Forwarded-For: 1.2.3.4, 127.0.0.1"]),
        (&["X-Forwarded-Proto: https"], &BEGUN, &["X-Forwarded-Proto: http"]),
        (&["X-Forwarded-Proto:"], &BEGUN, &["X-Forwarded-Proto: http"]),
        (&["X-Forwarded-Client-Cert: spoof"], &BEGUN, &[]),
        (
            &[
                "Connection: X-Foo, keep-alive",
                "X-Foo: 1",
                "Keep-Alive: timeout=5",
                "Proxy-Connection: x",
                "TE: trailers, gzip",
            ],
            &BEGUN,
            &["Te: trailers"],
        ),
        (
            &["Connection: X-Forwarded-For, X-Vcap-Request-Id", "X-Forwarded-For: 1.2.3.4"],
            &BEGUN,
            &["X-Forwarded-For: 1.2.3.4, 127.0.0.1"],
        ),
        (&[kept], &one, &[]),
        (&["X-A: one", "Accept: */*"], &BEGUN, &["X-A: one", "Accept: */*"]),
    ];
    let mut expected_answer = hello();
    expected_answer.fields.push("Strict-Transport-Security: max-age=1".to_owned());
    expected_answer.fields.sort();
    for (fields, trace, others) in cases {
        let (got, after) = scene.exchange(&ask("GET / HTTP/1.1", fields, "")).await;
        assert_eq!((steady(got), after), (expected_answer.clone(), After::Open), "{fields:?}");
        let app = steady(scene.app_got());
        assert_eq!(app, told("GET / HTTP/1.1", &[*trace, *others].concat(), ""), "{fields:?}");
    }
    let lines = scene.lines(2 * cases.len()).await;
    let first = masked(lines.iter().find(|line| line.contains("\" 200 ")).unwrap());
    let end = "x_cf_routererror:\"-\" x_a:\"-\" accept:\"-\" x_b3_traceid:\"<hex32>\" x_b3_spanid:\"<hex16>\" \
               x_b3_parentspanid:\"-\" b3:\"<hex32>-<hex16>\" traceparent:\"00-<hex32>-<hex16>-01\" \
               tracestate:\"tenant@gorouter=<hex16>\"";
    assert!(first.ends_with(end), "{first}");
}

#[tokio::test]
async fn a_switch_of_protocols_carries_the_trace_and_is_not_rewritten() {
    let scene = Scene::with(headers()).await;
    scene.app_says(raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"));
    let fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "X-Vcap-Trace: key"];
    let (switched, _) = scene.send(&ask("GET /ws HTTP/1.1", &fields, ""), "GET").await.unwrap();
    assert_eq!(switched.header("strict-transport-security"), None);
    assert_eq!(switched.header("x-vcap-backend"), Some(&*scene.app.addr().to_string()));
    let others = ["Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Version: 13", "X-Vcap-Trace: key"];
    assert_eq!(steady(scene.app_got()), told("GET /ws HTTP/1.1", &[&BEGUN[..], &others].concat(), ""));
}

#[tokio::test]
async fn with_everything_kept_private_the_app_is_still_told_who_asked() {
    let router = recorded()
        .set("logging.redact_query_params", "hash")
        .set("logging.disable_log_forwarded_for", true)
        .set("logging.disable_log_source_ip", true)
        .set("force_forwarded_proto_https", true);
    let scene = Scene::with(router).await;
    for (start, fields, expected) in [
        ("GET / HTTP/1.1", &[][..], &["X-Forwarded-Proto: https"][..]),
        ("GET / HTTP/1.1", &["X-Forwarded-Proto: http"], &["X-Forwarded-Proto: https"]),
        (
            "GET /a/b?x=1&y=%20;z HTTP/1.1",
            &["X-Forwarded-For: 1.2.3.4"],
            &["X-Forwarded-Proto: https", "X-Forwarded-For: 1.2.3.4, 127.0.0.1"],
        ),
    ] {
        assert_eq!(scene.exchange(&ask(start, fields, "")).await, (hello(), After::Open), "{start}");
        assert_eq!(scene.app_got(), told(start, expected, ""), "{start}");
    }
    let line = scene.access_log_line("\"GET /a/b?").await;
    assert!(line.contains("\"GET /a/b?hash=35bd8a2d097a2498d0057bf6165c881b60dfffa1 HTTP/1.1\""), "{line}");
    assert!(line.contains("x_forwarded_for:\"-\" x_forwarded_proto:\"https\""), "{line}");
    assert!(line.ends_with("x_cf_routererror:\"deprecated-semicolon-params\""), "{line}");
}

/// Go's spelling: the first letter and each after a hyphen in upper case, all others in lower case.
#[tokio::test]
async fn names_have_gos_spelling_on_both_sides() {
    let scene = Scene::with(recorded()).await;
    let names = [
        ("x-b3-traceid", "X-B3-Traceid"),
        ("ETAG", "Etag"),
        ("www-authenticate", "Www-Authenticate"),
        ("X_UNDER-sCORE", "X_under-Score"),
        ("x-1a-2B", "X-1a-2b"),
        ("DNT", "Dnt"),
        ("sec-ch-ua", "Sec-Ch-Ua"),
        ("x--y-", "X--Y-"),
        ("odd.Name~x", "Odd.name~x"),
    ];
    let sent: Vec<String> = names.iter().map(|(name, _)| format!("{name}: 1")).collect();
    let fields: Vec<&str> = sent.iter().map(String::as_str).collect();
    let written: Vec<String> = names.iter().map(|(_, name)| format!("{name}: 1")).collect();
    let mut expected: Vec<&str> = written.iter().map(String::as_str).collect();
    scene.app_says(raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\n\r\nok", sent.join("\r\n"))));
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &fields, "")).await;
    assert_eq!(scene.app_got(), told("GET / HTTP/1.1", &expected, ""));
    expected.push("Content-Length: 2");
    assert_eq!(got, answered("HTTP/1.1 200 OK", &expected, "ok"));
}
