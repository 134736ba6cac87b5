//! Requests that the router answers itself: health checks, and heads that are larger than the operator wants. And the
//! one that it complains of in the log alone.

use trueroute_testkit::eventually;

use super::{
    message::{Message, ask, hello},
    scene::{APP_ID, After, Scene, recorded},
    support::PATIENCE,
};

fn plain(start: &str, fields: &[&str], body: &str) -> Message {
    let mut fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    fields.extend(["Date: <date>".to_owned(), format!("Content-Length: {}", body.len())]);
    fields.sort();
    Message { start: start.to_owned(), fields, body: body.to_owned() }
}

fn too_large() -> Message {
    plain("HTTP/1.1 431 Request Header Fields Too Large", &["X-Cf-Routererror: max-request-size-exceeded"], "")
}

#[tokio::test]
async fn a_health_check_is_answered_whatever_its_host() {
    let scene = Scene::with(recorded().set("drain_wait", "3s")).await;
    let caching = ["Cache-Control: private, max-age=0", "Expires: 0"];
    let ok = plain("HTTP/1.1 200 OK", &caching, "ok\n");
    for host in ["app.example.com", "nowhere.example.com", "127.0.0.1", ""] {
        let host = format!("Host: {host}");
        let request = ask("GET /any HTTP/1.1", &[&host, "User-Agent: HTTP-Monitor/1.1"], "");
        assert_eq!(scene.exchange(&request).await, (ok.clone(), After::Open), "{host}");
    }
    let post = ask("POST / HTTP/1.1", &["User-Agent: HTTP-Monitor/1.1", "Content-Length: 4"], "abcd");
    assert_eq!(scene.exchange(&post).await, (ok, After::Open));
    assert_eq!(scene.app.requests(), 0);
    for agent in ["HTTP-Monitor/1.2", "http-monitor/1.1", "HTTP-Monitor/1.1x", "HTTP-Monitor"] {
        let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &[&format!("User-Agent: {agent}")], "")).await;
        assert_eq!(got, hello(), "{agent}");
    }
    let line = scene.access_log_line("nowhere.example.com - ").await;
    assert!(line.contains(r#"] "GET /any HTTP/1.1" 200 0 3 "-" "HTTP-Monitor/1.1" "#), "{line}");
    assert!(line.contains(r#"" "-" x_forwarded_for:"-" x_forwarded_proto:"-" vcap_request_id:""#), "{line}");

    let mut client = scene.client().await;
    let _drained = scene.router.drain();
    eventually(PATIENCE, async || scene.health().await == 503).await;
    client.send_raw(ask("GET / HTTP/1.1", &["User-Agent: HTTP-Monitor/1.1"], "")).await.unwrap();
    let response = client.response().await.unwrap();
    let mut got = super::scene::whole(&response);
    got.fields.retain(|field| field != "Connection: close");
    assert_eq!(got, plain("HTTP/1.1 503 Service Unavailable", &caching, ""));
}

#[tokio::test]
async fn the_agent_of_health_checks_can_be_another() {
    let scene = Scene::with(recorded().set("healthcheck_user_agent", "probe")).await;
    for (agent, body) in [("probe", "ok\n"), ("HTTP-Monitor/1.1", "hello")] {
        let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &[&format!("User-Agent: {agent}")], "")).await;
        assert_eq!(got.body, body, "{agent}");
    }
    let off = Scene::with(recorded().set("healthcheck_user_agent", "")).await;
    for fields in [&[][..], &["User-Agent:"]] {
        assert_eq!(off.exchange(&ask("GET / HTTP/1.1", fields, "")).await.0.body, "hello", "{fields:?}");
    }
}

/// GET / HTTP/1.1, Host: app.example.com, the request id, and `X-Long` with its line end: 16 + 23 + 57 + 10 bytes.
const AROUND: usize = 16 + 23 + 57 + 10;

#[tokio::test]
async fn a_head_of_more_bytes_than_wanted_is_refused_on_known_routes() {
    let scene = Scene::with(recorded().set("max_request_header_bytes", 600)).await;
    for (length, refused) in [(600 - AROUND - 1, false), (600 - AROUND, true), (5000, true)] {
        let request = ask("GET / HTTP/1.1", &[&format!("X-Long: {}", "a".repeat(length))], "");
        let expected = if refused { too_large() } else { hello() };
        assert_eq!(scene.exchange(&request).await, (expected, After::Open), "{length}");
    }
    assert_eq!(scene.app.requests(), 1);
    let line = scene.access_log_line(" 431 ").await;
    assert!(line.contains(r#""GET / HTTP/1.1" 431 0 0 "#), "{line}");
    assert!(line.contains(&format!(r#"app_id:"{APP_ID}" app_index:"0" "#)), "{line}");
    assert!(line.contains(r#"x_cf_routererror:"max-request-size-exceeded""#), "{line}");

    let long = format!("X-Long: {}", "a".repeat(700));
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &["Host: nowhere.example.com", &long], "")).await;
    assert!(got.start.contains("404"), "{got:?}");
    let post = ask("POST / HTTP/1.1", &[&long, "Content-Length: 4"], "abcd");
    assert_eq!(scene.exchange(&post).await, (too_large(), After::Open));
}

#[tokio::test]
async fn a_head_of_more_lines_than_wanted_is_refused() {
    let scene = Scene::with(recorded().set("max_request_headers", 3)).await;
    for (fields, refused) in [
        (&["X-A: 1", "X-A: 2"][..], false),
        (&["X-A: 1", "X-B: 2", "X-Vcap-Request-Id: replaced"], false),
        (&["X-A: 1", "X-A: 2", "X-A: 3"], true),
    ] {
        let expected = if refused { too_large() } else { hello() };
        assert_eq!(scene.exchange(&ask("GET / HTTP/1.1", fields, "")).await.0, expected, "{fields:?}");
    }
}

#[tokio::test]
async fn a_semicolon_in_the_target_is_told_in_the_log_alone() {
    let scene = Scene::new().await;
    let (got, _) = scene.exchange(&ask("GET /?a=1;b=2 HTTP/1.1", &[], "")).await;
    assert_eq!(got, hello());
    scene.exchange(&ask("GET /?c;d HTTP/1.1", &["Host: nowhere.example.com"], "")).await;
    scene.exchange(&ask("GET /?e HTTP/1.1", &[], "")).await;
    for (target, error) in [("/?a=1;b=2", "deprecated-semicolon-params"), ("/?c;d", "unknown_route"), ("/?e", "-")] {
        let line = scene.access_log_line(&format!("GET {target} ")).await;
        assert!(line.ends_with(&format!("x_cf_routererror:\"{error}\"")), "{line}");
    }
}
