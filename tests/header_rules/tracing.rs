//! Trace ids: what apps get, and that all formats, the request id and the log agree.

use super::{
    message::ask,
    scene::{Scene, recorded},
    support::RouterBuilder,
};

const T: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const S: &str = "e457b5a2e4d86bd1";

fn both() -> RouterBuilder {
    recorded().set("tracing.enable_zipkin", true).set("tracing.enable_w3c", true).set("tracing.w3c_tenant_id", "tenant")
}

/// The trace fields that the app gets, with ids that are not the client's replaced: `<id>` is the request id's digits,
/// `<span>` their last sixteen, `<new>` any other sixteen.
async fn told(scene: &Scene, fields: &[&str]) -> Vec<String> {
    scene.exchange(&ask("GET / HTTP/1.1", fields, "")).await;
    let request = scene.app.last().unwrap();
    let id = request.header("x-vcap-request-id").unwrap().replace('-', "");
    let steady = |value: &str| {
        let value = if id == T { value.to_owned() } else { value.replace(&id, "<id>").replace(&id[16..], "<span>") };
        let is_new = |word: &&str| word.len() == 16 && *word != S && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let found = value.split(['-', '=', ',']).find(is_new).map(str::to_owned);
        found.map_or(value.clone(), |word| value.replace(&word, "<new>"))
    };
    let raw = String::from_utf8_lossy(&request.raw).into_owned();
    let ours = |line: &&str| ["B3", "X-B3-", "Trace"].iter().any(|start| line.starts_with(start));
    let mut lines: Vec<String> = raw.split("\r\n").filter(ours).map(steady).collect();
    lines.push(if id == T { "request id: the trace".into() } else { "request id: new".into() });
    lines.sort();
    lines
}

#[tokio::test]
async fn traces_reach_the_app_as_they_do_through_gorouter() {
    let scene = Scene::with(both()).await;
    let b3 = format!("b3: {T}-{S}-1");
    let (trace, span) = (format!("X-B3-TraceId: {T}"), format!("X-B3-SpanId: {S}"));
    let parent = format!("traceparent: 00-{T}-{S}-01");
    for (fields, expected) in [
        (
            &[][..],
            vec![
                "B3: <id>-<span>".to_owned(),
                "Traceparent: 00-<id>-<span>-01".into(),
                "Tracestate: tenant@gorouter=<span>".into(),
                "X-B3-Spanid: <span>".into(),
                "X-B3-Traceid: <id>".into(),
                "request id: new".into(),
            ],
        ),
        (
            &[&*b3],
            vec![
                format!("B3: {T}-{S}-1"),
                format!("Traceparent: 00-{T}-{S}-01"),
                format!("Tracestate: tenant@gorouter={S}"),
                "request id: the trace".into(),
            ],
        ),
        (
            &[&*trace, &*span],
            vec![
                format!("B3: {T}-{S}"),
                format!("Traceparent: 00-{T}-{S}-01"),
                format!("Tracestate: tenant@gorouter={S}"),
                format!("X-B3-Spanid: {S}"),
                format!("X-B3-Traceid: {T}"),
                "request id: the trace".into(),
            ],
        ),
        (
            &[&*parent, "tracestate: other=1,tenant@gorouter=old"],
            vec![
                "B3: <id>-<span>".into(),
                format!("Traceparent: 00-{T}-<new>-01"),
                "Tracestate: tenant@gorouter=<new>,other=1".into(),
                "X-B3-Spanid: <span>".into(),
                "X-B3-Traceid: <id>".into(),
                "request id: new".into(),
            ],
        ),
    ] {
        assert_eq!(told(&scene, fields).await, expected, "{fields:?}");
    }
}

#[tokio::test]
async fn each_format_can_be_on_alone_and_none_is_by_default() {
    let parent = format!("traceparent: 00-{T}-{S}-00");
    let w3c = Scene::with(recorded().set("tracing.enable_w3c", true)).await;
    let expected =
        [format!("Traceparent: 00-{T}-<new>-00"), "Tracestate: gorouter=<new>".into(), "request id: the trace".into()];
    assert_eq!(told(&w3c, &[&parent]).await, expected);
    let zipkin = Scene::with(recorded().set("tracing.enable_zipkin", true)).await;
    let expected = ["B3: <id>-<span>", "X-B3-Spanid: <span>", "X-B3-Traceid: <id>", "request id: new"];
    assert_eq!(told(&zipkin, &[]).await, expected);
    let off = Scene::new().await;
    assert_eq!(told(&off, &[]).await, ["request id: new"]);
    assert_eq!(
        told(&off, &["b3: 1", &parent]).await,
        ["B3: 1".into(), format!("Traceparent: 00-{T}-{S}-00"), "request id: new".into()]
    );
}

#[tokio::test]
async fn the_id_of_a_trace_is_the_request_id_everywhere() {
    let scene = Scene::with(both()).await;
    let id = "80f198ee-5634-3ba8-64fe-8b2a57d3eff7";
    let b3 = format!("b3: {T}-{S}");
    let (response, _) = scene.send(&ask("GET /traced HTTP/1.1", &[&b3], ""), "GET").await.unwrap();
    assert_eq!(response.header("x-vcap-request-id"), Some(id));
    assert_eq!(scene.app.last().unwrap().header("x-vcap-request-id"), Some(id));
    let line = scene.access_log_line("GET /traced ").await;
    assert!(line.contains(&format!("vcap_request_id:\"{id}\"")), "{line}");
}
