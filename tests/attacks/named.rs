//! B3-7: fields of the head that a client's `Connection` names, so that a hop on the way takes them out.

use trueroute_testkit::app::{Received, Reply};

use super::canary::{Canary, HOST, settings};

/// What the router says itself: whatever the client says, the app gets the router's word, once.
const OURS: [&str; 7] = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Request-Start",
    "X-Vcap-Request-Id",
    "X-CF-ApplicationID",
    "X-CF-InstanceID",
    "X-CF-InstanceIndex",
];
/// What hops before the router say about the client, or what the router goes by: it stays.
const KEPT: [&str; 14] = [
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "Forwarded",
    "B3",
    "X-B3-TraceId",
    "X-B3-SpanId",
    "X-B3-ParentSpanId",
    "X-B3-Sampled",
    "X-B3-Flags",
    "Traceparent",
    "Tracestate",
    "X-CF-Proxy-Signature",
    "X-CF-Forwarded-Url",
];
/// What is a client's own to withdraw.
const GOES: [&str; 4] = ["X-Custom", "Cookie", "Accept", "Authorization"];

/// The ways to name a field.
fn ways(name: &str) -> Vec<String> {
    let odd: String = name
        .chars()
        .enumerate()
        .map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() })
        .collect();
    vec![
        format!("Connection: {name}\r\n"),
        format!("Connection: keep-alive, {name}\r\n"),
        format!("Connection: {name}, keep-alive\r\n"),
        format!("connection: {odd}\r\n"),
        format!("Connection:\r\nConnection: {name}\r\n"),
        format!("Connection: keep-alive\r\nConnection: {name}\r\n"),
        format!("Connection: {name}\r\nConnection: X-Other\r\n"),
        format!("Connection: ,,\t{name} ,\r\n"),
        format!("Connection: X-Other,{name},X-Another\r\n"),
    ]
}

async fn told(canary: &Canary, fields: &str) -> Received {
    let bytes = format!("GET /named HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n");
    let mut client = canary.client().await;
    client.send_raw(bytes).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 200, "{fields:?}");
    canary.app.last().unwrap()
}

#[tokio::test]
async fn no_client_names_away_what_the_app_must_know() {
    let settings = settings().set("forwarded_client_cert", "always_forward");
    let canary = Canary::with(settings, |_: &Received| Reply::text("ok")).await;
    for name in OURS {
        for way in ways(name) {
            for said in ["", &format!("{name}: evil\r\n")] {
                let request = told(&canary, &format!("{way}{said}")).await;
                let values = request.headers_named(name);
                assert!(
                    matches!(values[..], [value] if !value.contains("evil") && !value.is_empty())
                        || name == "X-CF-InstanceIndex",
                    "{way:?}: {values:?}"
                );
                assert!(values.iter().all(|value| *value != "evil"), "{way:?}: {values:?}");
            }
        }
    }
    for name in KEPT {
        for way in ways(name) {
            let request = told(&canary, &format!("{name}: said\r\n{way}")).await;
            assert_eq!(request.headers_named(name), ["said"], "{way:?}");
        }
    }
    for name in GOES {
        for way in ways(name) {
            let request = told(&canary, &format!("{name}: said\r\n{way}{name}: again\r\n")).await;
            assert_eq!(request.header(name), None, "{way:?}");
        }
    }
    for request in canary.got().await {
        for field in ["connection", "keep-alive", "x-other"] {
            assert_eq!(request.header(field), None, "{request:?}");
        }
    }
    canary.is_well("named fields").await;
}

/// Where a request goes and where it ends is not for `Connection` to change.
#[tokio::test]
async fn no_client_names_away_the_host_or_the_length() {
    let canary = Canary::new().await;
    let body = format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for name in ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer", "Expect"] {
        for way in ways(name) {
            for (framing, body) in [
                (format!("Content-Length: {}", body.len()), body.clone()),
                ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
            ] {
                let bytes = format!("POST /named HTTP/1.1\r\nHost: {HOST}\r\n{way}{framing}\r\n\r\n{body}");
                let mut client = canary.client().await;
                client.send_raw(bytes).await.unwrap();
                assert_eq!(client.response().await.unwrap().status, 200, "{way:?}");
            }
        }
    }
    for request in canary.got().await {
        assert_eq!((&*request.target, request.header("host")), ("/named", Some(HOST)));
        assert_eq!(request.body, body.as_bytes());
    }
    canary.is_well("named framing").await;
}
