//! Fields that a client's `Connection` names.

use serde_json::json;

use super::{
    message::{ask, told},
    scene::{Scene, recorded},
};

#[tokio::test]
async fn listed_fields_cannot_be_named_away() {
    let listed = json!(["X-Forwarded-For", "x-vcap-request-id", "X-Kept"]);
    let scene = Scene::with(recorded().set("hop_by_hop_headers_to_filter", listed)).await;
    for (fields, expected) in [
        (
            &["Connection: X-Forwarded-For, X-Vcap-Request-Id", "X-Forwarded-For: 1.2.3.4"][..],
            &["X-Forwarded-For: 1.2.3.4, 127.0.0.1"][..],
        ),
        (&["Connection: x-kept, X-Other", "X-Kept: 1", "X-Other: 2"], &["X-Kept: 1"]),
        (&["Connection:", "Connection: close, X-KEPT", "X-Kept: 1"], &["X-Kept: 1"]),
        (&["Connection: X-Foo, keep-alive", "X-Foo: 1", "Keep-Alive: timeout=5"], &[]),
    ] {
        scene.exchange(&ask("GET / HTTP/1.1", fields, "")).await;
        assert_eq!(scene.app_got(), told("GET / HTTP/1.1", expected, ""), "{fields:?}");
    }
}

#[tokio::test]
async fn what_earlier_hops_said_cannot_be_named_away() {
    let scene = Scene::with(recorded()).await;
    for field in [
        "X-Forwarded-Client-Cert: cert",
        "X-Forwarded-Host: h",
        "Forwarded: for=1",
        "B3: 1",
        "X-B3-Traceid: 80f198ee56343ba864fe8b2a57d3eff7",
        "Traceparent: x",
        "Tracestate: a=1",
    ] {
        let name = field.split(':').next().unwrap();
        for connection in [
            vec![format!("Connection: close, {name}")],
            vec!["Connection:".into(), format!("Connection:  {},", name.to_uppercase())],
        ] {
            let mut fields: Vec<&str> = connection.iter().map(String::as_str).collect();
            fields.push(field);
            scene.send(&ask("GET / HTTP/1.1", &fields, ""), "GET").await.unwrap();
            assert_eq!(scene.app_got(), told("GET / HTTP/1.1", &[field], ""), "{fields:?}");
        }
    }
}
