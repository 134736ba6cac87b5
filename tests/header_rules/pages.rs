//! The operator's own page for errors.

use serde_json::json;
use trueroute_testkit::{Tempdir, app::Reply, eventually, peers};

use super::{
    message::{Message, ask, bad_gateway, failed},
    scene::{After, Scene, plain, recorded},
    support::{PATIENCE, RouterBuilder, RouterProcess},
};

const PAGE: &str = "<!doctype html>\n{{- /* the operator's */}}\n<title>{{.StatusText}}</title>\n<p id=\"{{.Header.Get \
                    \"X-Cf-RouterError\"}}\">{{if eq .Status 404}}Nothing here{{else}}{{.Status}}{{end}}: {{.Message}}</p>\n";

/// A file with this template, and a router that uses it.
fn showing(template: &str) -> (Tempdir, RouterBuilder) {
    let dir = Tempdir::new().unwrap();
    let file = dir.path().join("error.html");
    std::fs::write(&file, template).unwrap();
    let router = recorded().set("html_error_template_file", file.to_str().unwrap());
    (dir, router)
}

fn page(start: &str, error: &str, caching: &str, body: &str) -> Message {
    let mut message = failed(start, error, body);
    message.fields.retain(|field| !field.starts_with("Content-Type:"));
    message.fields.push("Content-Type: text/html; charset=utf-8".to_owned());
    if !caching.is_empty() {
        message.fields.push(format!("Cache-Control: {caching}"));
    }
    message.fields.sort();
    message
}

#[tokio::test]
async fn errors_of_the_lookup_are_told_on_the_page_and_escaped() {
    let (_dir, router) = showing(PAGE);
    let router = router.set("backends.max_conns", 1).set("endpoint_timeout", "20s");
    let scene = Scene::with(router).await;
    let head = |title: &str| format!("<!doctype html>\n<title>{title}</title>\n");
    for (host, start, error, caching, body) in [
        (
            "a'&b.example.com",
            "HTTP/1.1 404 Not Found",
            "unknown_route",
            "no-cache, no-store",
            head("Not Found")
                + "<p id=\"unknown_route\">Nothing here: Requested route (&#39;a&#39;&amp;b.example.com&#39;) does not exist.</p>\n",
        ),
        (
            "127.0.0.1",
            "HTTP/1.1 400 Bad Request",
            "empty_host",
            "public,max-age=2",
            head("Bad Request") + "<p id=\"empty_host\">400: Request had empty Host header</p>\n",
        ),
    ] {
        let got = scene.exchange(&ask("GET / HTTP/1.1", &[&format!("Host: {host}")], "")).await;
        assert_eq!(got, (page(start, error, caching, &body), After::Open));
    }
    scene.app_says(Reply::Events(1).after_release());
    let mut first = scene.client().await;
    first.send_raw(ask("GET / HTTP/1.1", &[], "")).await.unwrap();
    eventually(PATIENCE, async || scene.app.requests() == 1).await;
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
    let body = head("Service Unavailable")
        + "<p id=\"Connection Limit Reached\">503: Requested route (&#39;app.example.com&#39;) has reached the connection limit.</p>\n";
    assert_eq!(got, page("HTTP/1.1 503 Service Unavailable", "Connection Limit Reached", "", &body));
    scene.app.release();
}

#[tokio::test]
async fn errors_of_endpoints_and_large_heads_stay_as_they_are() {
    let (_dir, router) = showing(PAGE);
    let scene = Scene::with(router.set("max_request_headers", 2)).await;
    let dead = peers::refuses_connections();
    scene.register(&plain(dead.addr()).uri("dead.example.com")).await;
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &["Host: dead.example.com"], "")).await;
    assert_eq!(got, bad_gateway(&format!("dial tcp {}: connect: connection refused", dead.addr())));
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &["X-A: 1", "X-B: 2"], "")).await;
    assert_eq!((got.start.split(' ').nth(1), &*got.body), (Some("431"), ""));
}

#[tokio::test]
async fn what_cannot_be_rendered_is_told_as_text() {
    // The trial at the start takes no branch for 400.
    let (_dir, router) = showing("{{if eq .Status 400}}{{index .Message 1000}}{{end}}fine");
    let scene = Scene::with(router).await;
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &["Host: nowhere.example.com"], "")).await;
    assert_eq!(got.body, "fine");
    let (got, _) = scene.exchange(&ask("GET / HTTP/1.1", &["Host: 127.0.0.1"], "")).await;
    let mut expected =
        failed("HTTP/1.1 400 Bad Request", "empty_host", "400 Bad Request: Request had empty Host header\n");
    expected.fields.push("Cache-Control: public,max-age=2".to_owned());
    expected.fields.sort();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_template_that_is_none_stops_the_start() {
    let (dir, broken) = showing("line\n{{.Nonsense}}");
    let missing = dir.path().join("missing.html");
    let path = missing.to_str().unwrap();
    let could_not = format!("Could not read HTML error template file: {path}");
    let unread = recorded().set("html_error_template_file", json!(path));
    for (router, begins, ends) in [
        (unread, &*could_not, ""),
        (
            broken,
            "html_error_template_file: /",
            "/error.html: template: error.html:2: a page is given no .Nonsense, only .Status, .StatusText, .Message and .Header.Get \"Name\"",
        ),
    ] {
        let (code, lines) = RouterProcess::run_to_end(&router.yml()).await;
        let last = lines.last().unwrap();
        assert_eq!((code, last.message()), (1, "new-html-error-template-from-file"), "{lines:?}");
        let error = last.field("error").as_str().unwrap();
        assert!(error.starts_with(begins) && error.ends_with(ends), "{error}");
    }
}
