//! Exchanges that are not finished: where that is asked for, they leave a line that says how they ended.

use trueroute_testkit::{app::Reply, eventually};

use super::{
    message::ask,
    scene::{APP_ID, INSTANCE_ID, Scene, recorded},
    support::{PATIENCE, RouterBuilder},
};

fn logging() -> RouterBuilder {
    recorded().set("access_log.log_aborted_exchanges", true).set("endpoint_timeout", "20s")
}

/// The line of the exchange with `needle` in it: from its target to its status, and how it ended.
async fn ended(scene: &Scene, needle: &str) -> (String, String) {
    let line = scene.access_log_line(needle).await;
    let (_, rest) = line.split_once("] ").unwrap();
    let start: Vec<&str> = rest.split(' ').take(4).collect();
    let how = rest.rsplit_once(" aborted:").unwrap_or_else(|| panic!("no end in {line}")).1;
    (start.join(" "), how.trim_matches('"').to_owned())
}

fn pair(start: &str, how: &str) -> (String, String) {
    (start.to_owned(), how.to_owned())
}

#[tokio::test]
async fn an_answer_that_is_cut_says_by_whom() {
    let scene = Scene::by_path(logging()).await;
    let mut client = scene.client().await;
    client.send_raw(ask("GET /stream/100000000 HTTP/1.1", &[], "")).await.unwrap();
    client.reader.head().await.unwrap();
    drop(client);
    assert_eq!(ended(&scene, "GET /stream").await, pair("\"GET /stream/100000000 HTTP/1.1\" 200", "client_left"));
    let mut client = scene.client().await;
    client.send_raw(ask("GET /events/2 HTTP/1.1", &[], "")).await.unwrap();
    client.reader.head().await.unwrap();
    scene.app.hang_up();
    assert_eq!(ended(&scene, "GET /events/2").await, pair("\"GET /events/2 HTTP/1.1\" 200", "answer_cut"));
    // The usual fields are all there, and the endpoint is named.
    let line = scene.access_log_line("GET /events/2").await;
    let ids = format!("app_id:\"{APP_ID}\" app_index:\"0\" instance_id:\"{INSTANCE_ID}\"");
    let app = format!("\"{}\" x_forwarded_for:\"127.0.0.1\" x_forwarded_proto:\"http\"", scene.app.addr());
    assert!(line.contains(&ids) && line.contains(&app), "{line}");
    assert!(line.ends_with(" x_cf_routererror:\"-\" aborted:\"answer_cut\""), "{line}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_says_so() {
    let scene = Scene::by_path(logging().set("endpoint_timeout", "300ms")).await;
    let mut client = scene.client().await;
    client.send_raw(ask("GET /events/2 HTTP/1.1", &[], "")).await.unwrap();
    client.reader.head().await.unwrap();
    assert_eq!(ended(&scene, "GET /events/2").await, pair("\"GET /events/2 HTTP/1.1\" 200", "answer_timed_out"));
}

#[tokio::test]
async fn a_request_that_ends_before_its_answer_says_how() {
    let scene = Scene::with(logging()).await;
    scene.app_says(Reply::text("late").after_release());
    let mut client = scene.client().await;
    client.send_raw(ask("GET /gone HTTP/1.1", &[], "")).await.unwrap();
    eventually(PATIENCE, async || scene.app.requests() == 1).await;
    drop(client);
    assert_eq!(ended(&scene, "GET /gone ").await, pair("\"GET /gone HTTP/1.1\" 499", "client_left"));
    // In the middle of its body.
    let mut client = scene.client().await;
    client.send_raw(ask("POST /part HTTP/1.1", &["Content-Length: 10"], "abc")).await.unwrap();
    drop(client);
    assert_eq!(ended(&scene, "POST /part ").await, pair("\"POST /part HTTP/1.1\" 499", "request_cut"));
    assert!(scene.access_log_line("POST /part ").await.contains(" 499 3 "), "three bytes came");
    // In the middle of its head.
    let mut client = scene.client().await;
    client.send_raw("GET /unfinished HTTP/1.1\r\nHost: app.exam").await.unwrap();
    drop(client);
    let line = scene.access_log_line("\"- - -\"").await;
    assert!(line.starts_with(" - [") && line.contains("] \"- - -\" \"-\" 0 0 \"-\" \"-\" \"127.0.0.1:"), "{line}");
    assert!(line.ends_with(" aborted:\"request_cut\""), "{line}");
}

#[tokio::test]
async fn what_is_refused_before_it_is_routed_is_logged() {
    let scene = Scene::with(logging()).await;
    for (request, start, status) in [
        ("GET /no-host HTTP/1.1\r\n\r\n", "\"GET /no-host HTTP/1.1\" 400", 400),
        ("GET /expects HTTP/1.1\r\nHost: app.example.com\r\nExpect: x\r\n\r\n", "\"GET /expects HTTP/1.1\" 417", 417),
        ("GET /third HTTP/3.0\r\nHost: app.example.com\r\n\r\n", "\"- - -\" 400", 400),
    ] {
        let (response, _client) = scene.send(request, "GET").await.unwrap();
        assert_eq!(response.status, status, "{request}");
        assert_eq!(ended(&scene, start).await, pair(start, "refused"));
    }
    // The server's own answer to a question about itself is no refusal.
    let (response, _client) =
        scene.send("OPTIONS * HTTP/1.1\r\nHost: app.example.com\r\n\r\n", "OPTIONS").await.unwrap();
    assert_eq!(response.status, 200);
    scene.exchange(&ask("GET /whole HTTP/1.1", &[], "")).await;
    let whole = scene.access_log_line("GET /whole ").await;
    assert!(whole.ends_with(" x_cf_routererror:\"-\""), "{whole}");
    assert!(scene.access_log().iter().all(|line| !line.contains("OPTIONS")), "{:?}", scene.access_log());
}

#[tokio::test]
async fn unless_it_is_asked_for_nothing_unfinished_leaves_a_line() {
    let scene = Scene::with(recorded()).await;
    for request in ["GET /no-host HTTP/1.1\r\n\r\n", "GET /third HTTP/3.0\r\nHost: app.example.com\r\n\r\n"] {
        assert_eq!(scene.send(request, "GET").await.unwrap().0.status, 400);
    }
    let mut client = scene.client().await;
    client.send_raw("GET /unfinished HTTP/1.1\r\nHost: app.exam").await.unwrap();
    client.finish().await.unwrap();
    assert!(client.reader.closed().await);
    scene.app_says(Reply::text("late").after_release());
    let mut client = scene.client().await;
    client.send_raw(ask("GET /gone HTTP/1.1", &[], "")).await.unwrap();
    eventually(PATIENCE, async || scene.app.requests() == 1).await;
    drop(client);
    // As in Gorouter: the one, and without the field.
    let line = scene.access_log_line("GET /gone ").await;
    assert!(
        line.contains(" 499 ") && line.ends_with(" x_cf_routererror:\"endpoint_failure (context canceled)\""),
        "{line}"
    );
    assert_eq!(scene.access_log().len(), 1, "{:?}", scene.access_log());
}
