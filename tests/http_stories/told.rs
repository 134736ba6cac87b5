//! What the log tells of single requests, in Gorouter's words (gorouter.md section 1).

use trueroute_testkit::{app::Reply, eventually};

use super::{
    message::ask,
    scene::{Scene, plain, recorded},
    support::{LogLine, PATIENCE},
};

/// The id of the request whose line in the access log holds `needle`.
async fn request_id(scene: &Scene, needle: &str) -> String {
    let line = scene.access_log_line(needle).await;
    let rest = line.split_once("vcap_request_id:\"").unwrap().1;
    rest.split_once('"').unwrap().0.to_owned()
}

fn text<'l>(line: &'l LogLine, name: &str) -> &'l str {
    line.field(name).as_str().unwrap_or_default()
}

/// That the line says by which ids the request can be followed: those of a trace that began with it.
fn assert_traced(line: &LogLine, id: &str) {
    let digits = id.replace('-', "");
    assert_eq!([text(line, "trace-id"), text(line, "span-id")], [&*digits, &digits[16..]], "{line:?}");
}

#[tokio::test]
async fn an_answer_that_is_late_and_a_client_that_left_are_told_apart() {
    let scene = Scene::with(recorded().set("endpoint_timeout", "300ms").set("backends.max_attempts", 1)).await;
    scene.app_says(Reply::text("late").after_release());
    scene.exchange(&ask("GET /late HTTP/1.1", &[], "")).await;
    let late = request_id(&scene, "GET /late ").await;
    let line = scene.log_line("backend-request-timeout", &late).await;
    assert_eq!([text(&line, "error"), text(&line, "vcap_request_id")], ["context deadline exceeded", &*late]);

    let scene = Scene::with(recorded().set("endpoint_timeout", "20s")).await;
    scene.app_says(Reply::text("late").after_release());
    let mut client = scene.client().await;
    client.send_raw(ask("GET /left HTTP/1.1", &[], "")).await.unwrap();
    eventually(PATIENCE, async || scene.app.requests() == 1).await;
    drop(client);
    let left = request_id(&scene, "GET /left ").await;
    let line = scene.log_line("gateway-error-and-original-request-context-cancelled", &left).await;
    assert_eq!([text(&line, "error"), text(&line, "vcap_request_id")], ["context canceled", &*left]);
    assert!(scene.logged("backend-request-timeout", &left).is_empty());
}

#[tokio::test]
async fn a_failed_attempt_says_whether_the_request_may_go_elsewhere() {
    let scene = Scene::new().await;
    scene.app_says(Reply::Close);
    for (request, path, retriable) in [
        (ask("GET /safe HTTP/1.1", &[], ""), "/safe", true),
        (ask("POST /unsafe HTTP/1.1", &["Content-Length: 0"], ""), "/unsafe", false),
        (ask("POST /keyed HTTP/1.1", &["Content-Length: 0", "Idempotency-Key: 1"], ""), "/keyed", true),
        (ask("PUT /body HTTP/1.1", &["Content-Length: 2"], "ab"), "/body", false),
    ] {
        scene.exchange(&request).await;
        let id = request_id(&scene, path).await;
        let line = scene.log_line("backend-endpoint-failed", &id).await;
        assert_eq!(*line.field("retriable"), retriable, "{path}: {line:?}");
    }
    // There is no other endpoint, and the one that failed is not asked again.
    assert_eq!((scene.app.requests(), scene.metric("trueroute_retries_total").await), (4, 0.0));
}

#[tokio::test]
async fn lines_about_a_request_carry_the_ids_of_its_trace() {
    let scene = Scene::with(recorded().set("backends.max_conns", 1)).await;
    let malformed = ["Host: app.example.com", "X-CF-App-Instance: no;such"];
    scene.exchange(&ask("GET /malformed HTTP/1.1", &malformed, "")).await;
    let id = request_id(&scene, "GET /malformed ").await;
    let digits = id.replace('-', "");
    for message in ["vcap-request-id-header-set", "invalid-app-instance-header", "status"] {
        assert_traced(&scene.log_line(message, &digits).await, &id);
    }
    scene.exchange(&ask("GET /?a;b HTTP/1.1", &[], "")).await;
    let id = request_id(&scene, "GET /?a;b ").await;
    assert_traced(&scene.log_line("deprecated-semicolon-params", &id).await, &id);

    scene.app_says(Reply::text("late").after_release());
    let mut first = scene.client().await;
    first.send_raw(ask("GET /first HTTP/1.1", &[], "")).await.unwrap();
    eventually(PATIENCE, async || scene.app.requests() == 2).await;
    scene.exchange(&ask("GET /second HTTP/1.1", &[], "")).await;
    let id = request_id(&scene, "GET /second ").await;
    assert_traced(&scene.log_line("connection-limit-reached", &id.replace('-', "")).await, &id);
    scene.app.release();
}

#[tokio::test]
async fn a_trace_that_is_under_way_is_followed_in_the_log() {
    const T: &str = "a0f198ee56343ba8";
    const S: &str = "f457b5a2e4d86bd1";
    let scene = Scene::with(recorded().set("tracing.enable_zipkin", true)).await;
    scene.register(&plain(scene.app.addr()).uri("zipkin.example.com")).await;
    let fields = ["Host: zipkin.example.com", &format!("b3: {T}-{S}"), "X-CF-App-Instance: x"];
    scene.exchange(&ask("GET / HTTP/1.1", &fields, "")).await;
    let line = scene.log_line("status", T).await;
    assert_eq!([text(&line, "trace-id"), text(&line, "span-id")], [T, S]);
}
