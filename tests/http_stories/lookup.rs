//! From a request to a route: what the client is told when there is none, or none that can serve (gorouter.md 7.3).

use trueroute_testkit::{App, Registration, app::Reply, eventually, peers, pki::InstanceId};

use super::{
    message::{Message, ask, failed, hello},
    scene::{APP_ID, After, Scene, plain, recorded},
    support::PATIENCE,
};

/// The answer of the look-up: status line, error, caching, body.
fn refused(start: &str, error: &str, caching: &str, body: &str) -> Message {
    let mut message = failed(start, error, body);
    if !caching.is_empty() {
        message.fields.push(format!("Cache-Control: {caching}"));
        message.fields.sort();
    }
    message
}

fn not_found(host: &str) -> Message {
    let body = format!("404 Not Found: Requested route ('{host}') does not exist.\n");
    refused("HTTP/1.1 404 Not Found", "unknown_route", "no-cache, no-store", &body)
}

fn no_endpoints(host: &str) -> Message {
    let body = format!("503 Service Unavailable: Requested route ('{host}') has no available endpoints.\n");
    refused("HTTP/1.1 503 Service Unavailable", "no_endpoints", "public,max-age=2", &body)
}

fn empty_host() -> Message {
    let body = "400 Bad Request: Request had empty Host header\n";
    refused("HTTP/1.1 400 Bad Request", "empty_host", "public,max-age=2", body)
}

#[tokio::test]
async fn a_request_for_no_route_says_so() {
    let scene = Scene::new().await;
    for (request, expected, after) in [
        (ask("GET / HTTP/1.1", &["Host: nowhere.example.com"], ""), not_found("nowhere.example.com"), After::Open),
        (
            ask("GET / HTTP/1.1", &["Host: Nowhere.example.com:8080"], ""),
            not_found("Nowhere.example.com:8080"),
            After::Open,
        ),
        (ask("GET /ctxother HTTP/1.1", &["Host: path.example.com"], ""), not_found("path.example.com"), After::Open),
        (ask("GET / HTTP/1.1", &["Host: wild.example.com"], ""), not_found("wild.example.com"), After::Open),
        (ask("GET / HTTP/1.1", &["Host: [::1]"], ""), not_found("[::1]"), After::Open),
        (
            ask("POST / HTTP/1.1", &["Host: nowhere.example.com", "Content-Length: 4"], "abcd"),
            not_found("nowhere.example.com"),
            After::Open,
        ),
        (ask("GET / HTTP/1.1", &["Host:"], ""), empty_host(), After::Open),
        (ask("GET / HTTP/1.1", &["Host: :80"], ""), empty_host(), After::Open),
        (ask("GET / HTTP/1.1", &["Host: 127.0.0.1"], ""), empty_host(), After::Open),
        (
            ask("GET / HTTP/1.0", &["!Host"], ""),
            Message { start: "HTTP/1.0 400 Bad Request".to_owned(), ..empty_host() },
            After::Closed,
        ),
    ] {
        assert_eq!(scene.exchange(&request).await, (expected, after), "{request:?}");
    }
    assert_eq!((scene.app.connections(), scene.metric("bad_gateways").await), (0, 0.0));
    // The probes that ask whether a connection is open are refused like the rest.
    assert_eq!(scene.metric("rejected_requests").await, 10.0 + 9.0);
}

#[tokio::test]
async fn a_route_without_endpoints_is_503_where_that_is_wanted() {
    for (wanted, expected) in [(false, not_found("gone.example.com")), (true, no_endpoints("gone.example.com"))] {
        let router = recorded().set("empty_pool_response_code_503", wanted).set("empty_pool_timeout", "60s");
        let scene = Scene::with(router).await;
        let message = plain(scene.app.addr()).uri("gone.example.com");
        scene.register(&message).await;
        let request = ask("GET / HTTP/1.1", &["Host: gone.example.com"], "");
        assert_eq!(scene.exchange(&request).await.0, hello());
        scene.unregister(&message).await;
        assert_eq!(scene.exchange(&request).await, (expected, After::Open), "{wanted}");
        // A route that was never there stays 404.
        let request = ask("GET / HTTP/1.1", &["Host: never.example.com"], "");
        assert_eq!(scene.exchange(&request).await.0, not_found("never.example.com"));
    }
}

/// The endpoint leaves the table when it fails to prove itself; what is left is an empty route.
#[tokio::test]
async fn the_last_endpoint_that_is_pruned_leaves_an_empty_route() {
    for (wanted, expected) in [(false, not_found("stale.example.com")), (true, no_endpoints("stale.example.com"))] {
        let scene = Scene::with(recorded().set("empty_pool_response_code_503", wanted)).await;
        let (stranger, id) = (peers::certificate_of_another_instance(&scene.scene.pki.instances), InstanceId::random());
        let message = Registration::tls(stranger.addr(), &id.instance).app(&id.app).uri("stale.example.com");
        scene.register(&message).await;
        let request = ask("GET / HTTP/1.1", &["Host: stale.example.com"], "");
        let (got, _) = scene.exchange(&request).await;
        assert_eq!((&*got.start, &*got.body), ("HTTP/1.1 503 Service Unavailable", "503 Service Unavailable\n"));
        assert_eq!(scene.exchange(&request).await, (expected, After::Open), "{wanted}");
        assert_eq!((stranger.requests(), stranger.bytes_in()), (0, 0), "nothing was said to a stranger");
    }
}

#[tokio::test]
async fn a_route_at_its_limit_says_so_until_an_answer_begins() {
    let scene = Scene::with(recorded().set("backends.max_conns", 1).set("endpoint_timeout", "20s")).await;
    scene.app_says(Reply::Events(1).after_release());
    let mut first = scene.client().await;
    first.send_raw(ask("GET / HTTP/1.1", &[], "")).await.unwrap();
    eventually(PATIENCE, async || scene.app.requests() == 1).await;

    let request = ask("GET / HTTP/1.1", &[], "");
    let body = "503 Service Unavailable: Requested route ('app.example.com') has reached the connection limit.\n";
    let expected = refused("HTTP/1.1 503 Service Unavailable", "Connection Limit Reached", "", body);
    assert_eq!(scene.exchange(&request).await, (expected, After::Open));
    assert_eq!(scene.metric("backend_exhausted_conns").await, 1.0);

    // Its head counts, its body no more.
    scene.app.release();
    first.reader.head().await.unwrap();
    scene.app_says(Reply::text("next"));
    assert_eq!(scene.get("app.example.com", "/").await.text(), "next");
    scene.app.release();
}

#[tokio::test]
async fn another_endpoint_is_tried_when_one_is_gone() {
    let scene = Scene::new().await;
    let dead = peers::refuses_connections();
    scene.register(&plain(dead.addr()).uri("app.example.com")).await;
    for _ in 0..20 {
        assert_eq!(scene.get("app.example.com", "/").await.status, 200);
    }
    assert_eq!(scene.app.requests(), 20);
    assert!(scene.metric("trueroute_retries_total{reason=\"dial\"}").await >= 1.0);
}

#[tokio::test]
async fn a_request_that_names_an_instance_reaches_that_one_or_none() {
    let scene = Scene::new().await;
    let other = App::start("b");
    scene.register(&plain(other.addr()).index(1).uri("app.example.com")).await;
    let asking = |host: &str, instance: &str| {
        ask("GET / HTTP/1.1", &[&format!("Host: {host}"), &format!("X-CF-App-Instance: {instance}")], "")
    };
    for _ in 0..10 {
        assert_eq!(scene.exchange(&asking("app.example.com", &format!("{APP_ID}:0"))).await.0, hello());
    }
    assert_eq!((scene.app.requests(), other.requests()), (10, 0));
    assert!(scene.app.received().iter().all(|request| request.header("x-cf-app-instance").is_none()));

    let malformed = refused(
        "HTTP/1.1 400 Bad Request",
        "invalid_cf_app_instance_header",
        "no-cache, no-store",
        "400 Bad Request: Invalid X-CF-App-Instance Header\n",
    );
    let unknown = |host: &str, index: &str| {
        let body = format!(
            "400 Bad Request: Requested instance ('{index}') with guid ('{APP_ID}') does not exist for route ('{host}')\n"
        );
        refused("HTTP/1.1 400 Bad Request", "unknown_route", "no-cache, no-store", &body)
    };
    for (host, instance, expected) in [
        ("app.example.com", "nonsense".to_owned(), malformed),
        ("app.example.com", format!("{APP_ID}:7"), unknown("app.example.com", "7")),
        ("nowhere.example.com", format!("{APP_ID}:0"), unknown("nowhere.example.com", "0")),
    ] {
        assert_eq!(scene.exchange(&asking(host, &instance)).await, (expected, After::Open), "{host} {instance}");
    }
    assert_eq!((scene.app.requests(), other.requests()), (10, 0));
}

#[tokio::test]
async fn no_request_passes_a_route_service_by() {
    let scene = Scene::new().await;
    let bound = plain(scene.app.addr()).route_service("https://login.example.com").uri("bound.example.com");
    scene.register(&bound).await;
    let got = scene.exchange("GET / HTTP/1.1\r\nHost: bound.example.com\r\n\r\n").await;
    let body = "502 Bad Gateway: Support for route services is disabled.\n";
    assert_eq!(got, (failed("HTTP/1.1 502 Bad Gateway", "route_service_unsupported", body), After::Open));
    assert_eq!(scene.app.requests(), 0);
}
