//! Requests that name a process, or an instance of it.

use trueroute_testkit::App;

use super::{
    message::{Message, ask, failed, hello},
    scene::{APP_ID, After, Scene, plain},
};

const WEB: &str = "0a1b2c3d-0000-4000-8000-000000000009";
const WORKER: &str = "0a1b2c3d-0000-4000-8000-00000000000a";

fn refused(error: &str, text: &str) -> Message {
    let mut message = failed("HTTP/1.1 400 Bad Request", error, &format!("400 Bad Request: {text}\n"));
    message.fields.push("Cache-Control: no-cache, no-store".to_owned());
    message.fields.sort();
    message
}

fn asking(host: &str, fields: &[&str]) -> String {
    let host = format!("Host: {host}");
    ask("GET / HTTP/1.1", &[&[&*host], fields].concat(), "")
}

#[tokio::test]
async fn a_request_that_names_a_process_reaches_its_instances_only() {
    let scene = Scene::new().await;
    let (second, worker) = (App::start("b"), App::start("c"));
    scene.register(&plain(second.addr()).index(1).uri("app.example.com")).await;
    scene.register(&plain(worker.addr()).index(0).tag("process_id", WORKER).uri("app.example.com")).await;
    let got = || [scene.app.requests(), second.requests(), worker.requests()];

    let field = format!("X-CF-Process-Instance: {WEB}:0");
    for _ in 0..6 {
        assert_eq!(scene.exchange(&asking("app.example.com", &[&field])).await.0, hello());
    }
    assert_eq!(got(), [6, 0, 0]);
    assert_eq!(
        scene.app.last().unwrap().header("x-cf-process-instance"),
        Some(&*format!("{WEB}:0")),
        "it is passed on"
    );

    // Any of its instances, in turn.
    let field = format!("X-CF-Process-Instance: {WEB}");
    for _ in 0..6 {
        scene.exchange(&asking("app.example.com", &[&field])).await;
    }
    assert_eq!(got(), [9, 3, 0]);

    // The instance of an app wins over the process.
    let fields = [&*format!("X-CF-Process-Instance: {WORKER}"), &format!("X-CF-App-Instance: {APP_ID}:1")];
    scene.exchange(&asking("app.example.com", &fields)).await;
    assert_eq!(got(), [9, 4, 0]);
}

#[tokio::test]
async fn a_process_that_is_not_there_is_a_400_that_says_so() {
    let scene = Scene::new().await;
    let unknown = |what: &str, process: &str, host: &str| {
        refused(
            "unknown_route",
            &format!("Requested {what} with process guid ('{process}') does not exist for route ('{host}')"),
        )
    };
    let malformed = || refused("invalid_cf_process_instance_header", "Invalid X-CF-Process-Instance Header");
    for (host, value, expected) in [
        ("bad.wild.example.com", "nonsense".to_owned(), malformed()),
        ("app.example.com", format!("{WEB}:"), malformed()),
        ("app.example.com", format!("{WEB}:x"), malformed()),
        ("app.example.com", format!("{WEB}:7"), unknown("instance ('7')", WEB, "app.example.com")),
        ("app.example.com", format!("{WORKER}:0"), unknown("instance ('0')", WORKER, "app.example.com")),
        ("app.example.com", WORKER.to_owned(), unknown("instance", WORKER, "app.example.com")),
        ("nowhere.example.com:8080", WEB.to_owned(), unknown("instance", WEB, "nowhere.example.com:8080")),
    ] {
        let field = format!("X-CF-Process-Instance: {value}");
        assert_eq!(scene.exchange(&asking(host, &[&field])).await, (expected, After::Open), "{host} {value}");
    }
    assert_eq!(scene.app.requests(), 0);
    scene.log_line("invalid-process-instance-header", "bad.wild.example.com").await;
    let lines = scene.lines(7).await;
    assert!(lines[0].contains("x_cf_routererror:\"invalid_cf_process_instance_header\""), "{}", lines[0]);
}

/// Nobody can stand in for an instance that was named, so it is asked again at once.
#[tokio::test]
async fn an_instance_that_was_named_does_not_rest_after_a_failure() {
    let scene = Scene::new().await;
    let other = App::start("b");
    scene.register(&plain(other.addr()).index(1).uri("app.example.com")).await;
    scene.app_says(trueroute_testkit::app::Reply::Reset);
    let field = format!("X-CF-App-Instance: {APP_ID}:0");
    let (got, _) = scene.exchange(&asking("app.example.com", &[&field])).await;
    assert_eq!(got.start, "HTTP/1.1 502 Bad Gateway");
    scene.app_says(super::scene::raw(super::message::HELLO));
    assert_eq!(scene.exchange(&asking("app.example.com", &[&field])).await.0, hello());
    // It does rest for those who name nobody.
    for _ in 0..4 {
        scene.exchange(&asking("app.example.com", &[])).await;
    }
    assert_eq!((scene.app.requests(), other.requests()), (2, 4));
}
