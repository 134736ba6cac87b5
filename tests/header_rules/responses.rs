//! What becomes of the heads of responses.

use serde_json::json;

use super::{
    message::{Message, answered, ask, failed, hello},
    scene::{Scene, raw, recorded},
    support::RouterBuilder,
};

const HSTS: &str = "Strict-Transport-Security: max-age=1";

fn rewriting() -> RouterBuilder {
    recorded().set(
        "http_rewrite",
        json!({"responses": {
            "add_headers_if_not_present": [{"name": "Strict-Transport-Security", "value": "max-age=1"}],
            "remove_headers": [{"name": "Server"}],
        }}),
    )
}

fn with(mut message: Message, field: &str) -> Message {
    message.fields.push(field.to_owned());
    message.fields.sort();
    message
}

#[tokio::test]
async fn fields_are_added_and_removed_as_the_configuration_says() {
    let scene = Scene::with(rewriting()).await;
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
    assert_eq!(got, with(hello(), HSTS));

    let odd = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-lower: 1\r\nServer: s\r\nX-Vcap-Request-Id: mine\r\nX-Cf-Routererror: fake\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\r\nok";
    scene.app_says(raw(odd));
    let told = ["Content-Length: 2", "X-Lower: 1", "X-Vcap-Request-Id: mine", "X-Cf-Routererror: fake", HSTS];
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
    assert_eq!(got, answered("HTTP/1.1 200 OK", &told, "ok"));

    let says = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nStrict-Transport-Security: max-age=2\r\n\r\nok";
    scene.app_says(raw(says));
    let told = ["Content-Length: 2", "Strict-Transport-Security: max-age=2"];
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
    assert_eq!(got, answered("HTTP/1.1 200 OK", &told, "ok"), "what the app says itself stands");
}

#[tokio::test]
async fn the_routers_own_answers_are_rewritten_too_but_no_switch_of_protocols() {
    let scene = Scene::with(rewriting()).await;
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &["Host: nowhere.example.com"], "")).await;
    let body = "404 Not Found: Requested route ('nowhere.example.com') does not exist.\n";
    let unknown = failed("HTTP/1.1 404 Not Found", "unknown_route", body);
    assert_eq!(got, with(with(unknown, "Cache-Control: no-cache, no-store"), HSTS));
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &["User-Agent: HTTP-Monitor/1.1"], "")).await;
    assert!(got.fields.iter().any(|field| field == HSTS), "{got:?}");

    scene.app_says(raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"));
    let upgrade = ask("GET /ws HTTP/1.1", &["Connection: Upgrade", "Upgrade: websocket"], "");
    let (switched, _) = scene.send(&upgrade, "GET").await.unwrap();
    assert_eq!((switched.status, switched.header("strict-transport-security")), (101, None));
}

#[tokio::test]
async fn a_route_services_signature_reaches_no_client() {
    let scene = Scene::new().await;
    scene.app_says(raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-CF-Proxy-Signature: secret\r\n\r\nok"));
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
    assert_eq!(got, answered("HTTP/1.1 200 OK", &["Content-Length: 2"], "ok"));
}

#[tokio::test]
async fn who_knows_the_key_is_shown_the_way_of_a_request() {
    let scene = Scene::with(recorded().set("trace_key", "key")).await;
    let address = scene.app.addr().to_string();
    let own_ip = trueroute::config::own_ip().unwrap().to_string();
    for (said, shown) in [("key", true), ("kez", false), ("ke", false), ("keyy", false), ("", false), ("KEY", false)] {
        let request = ask("GET / HTTP/1.1", &[&format!("X-Vcap-Trace: {said}")], "");
        let (response, _) = scene.send(&request, "GET").await.unwrap();
        let got = ["x-vcap-router", "x-vcap-backend", "x-cf-routeendpoint"].map(|name| response.header(name));
        let expected = if shown { [&*own_ip, &address, &address].map(Some) } else { [None; 3] };
        assert_eq!(got, expected, "{said:?}");
        assert_eq!(scene.app.last().unwrap().header("x-vcap-trace"), Some(said), "it goes on to the app");
    }
    let (response, _) = scene.send(&ask("GET / HTTP/1.1", &[], ""), "GET").await.unwrap();
    assert_eq!(response.header("x-vcap-router"), None);
    let off = Scene::with(recorded()).await;
    let (response, _) = off.send(&ask("GET / HTTP/1.1", &["X-Vcap-Trace:"], ""), "GET").await.unwrap();
    assert_eq!(response.header("x-vcap-router"), None, "an empty key is none");
}
