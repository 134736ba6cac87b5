//! What clients lose by a drain: nothing, however they ask.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use trueroute_testkit::{Bus, Client, Nats, app::Reply, eventually};

use super::support::{PATIENCE, RouterBuilder, RouterProcess, Scene};

const HOST: &str = "app.example.com";

fn settings() -> RouterBuilder {
    Scene::over(Bus::Small(Nats::start())).router()
}

/// A tunnel through the router, which echoes.
async fn tunnel(router: &RouterProcess) -> Client {
    let mut client = router.client().await;
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    client.send_raw(head).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 101);
    client
}

/// Clients that keep a connection and pause between two requests, so that at any moment some of them are about to send
/// one: with no `drain_wait` at all, and without a failure.
#[tokio::test]
async fn clients_that_pause_between_requests_lose_none() {
    let old = settings().set("drain_wait", "0s").set("drain_timeout", "20s").spawn().await;
    let new = old.scene.router().spawn().await;
    let app = old.instance("app").plain().uri(HOST).rule(|_| Reply::text("ok")).register().await;
    new.register(&app.registration).await;
    let (served, moved, over) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..40)
        .map(|number: u64| {
            let (served, moved, over) = (Arc::clone(&served), Arc::clone(&moved), Arc::clone(&over));
            let (old, new) = (old.http(), new.http());
            tokio::spawn(async move {
                let mut client = Client::connect(old).await.unwrap();
                let mut is_new = false;
                while !over.load(Relaxed) {
                    let answer = client.get(HOST, "/").await.expect("no request is lost");
                    assert_eq!((answer.status, answer.text()), (200, "ok"));
                    served.fetch_add(1, Relaxed);
                    if answer.header("connection") == Some("close") {
                        assert!(!is_new, "the new one stays");
                        is_new = true;
                        moved.fetch_add(1, Relaxed);
                        client = Client::connect(new).await.unwrap();
                    }
                    tokio::time::sleep(Duration::from_millis(5 + number * 15)).await;
                }
            })
        })
        .collect();
    eventually(PATIENCE, async || served.load(Relaxed) > 400).await;
    old.signal("USR1");
    assert_eq!(old.exit_code().await, 0);
    assert_eq!(moved.load(Relaxed), 40, "each was told, and went elsewhere");
    over.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let complaints: Vec<_> = old.lines().into_iter().filter(|line| line.0["log_level"] == 3).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert_eq!(app.requests(), served.load(Relaxed));
}

/// The head of its answer went out before anybody thought of leaving, so it does not know.
#[tokio::test]
async fn whoever_was_not_told_may_ask_once_more() {
    let router = settings().set("drain_wait", "0s").set("drain_timeout", "20s").spawn().await;
    let app = router.instance("app").plain().uri(HOST).register().await;
    let mut client = router.client().await;
    client.send_raw(format!("GET /events/2 HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    assert_eq!(client.reader.head().await.unwrap().header("connection"), None);
    router.signal("USR1");
    eventually(PATIENCE, async || Client::connect(router.http()).await.is_err()).await;
    app.release_all();
    let mut body = Vec::new();
    while !body.ends_with(b"0\r\n\r\n") {
        body.extend(client.reader.some().await.unwrap());
    }
    let answer = client.get(HOST, "/").await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(client.reader.closed().await);
    assert_eq!(router.exit_code().await, 0);
}

#[tokio::test]
async fn a_tunnel_goes_on_until_the_drain_is_over_and_is_closed_then() {
    let router = settings().set("drain_wait", "0s").set("drain_timeout", "2s").spawn().await;
    let _app = router.instance("app").plain().uri(HOST).register().await;
    let mut client = tunnel(&router).await;
    router.signal("USR1");
    eventually(PATIENCE, async || Client::connect(router.http()).await.is_err()).await;
    client.send_raw("still here").await.unwrap();
    assert_eq!(client.reader.exactly(10).await.unwrap(), b"still here");
    assert!(client.reader.closed().await);
    router.line("router.drain.timed-out").await;
    assert_eq!(router.exit_code().await, 0);
}

#[tokio::test]
async fn a_tunnel_that_ends_by_itself_ends_the_drain() {
    let router = settings().set("drain_wait", "0s").set("drain_timeout", "1h").spawn().await;
    let _app = router.instance("app").plain().uri(HOST).register().await;
    let mut client = tunnel(&router).await;
    router.signal("USR1");
    eventually(PATIENCE, async || Client::connect(router.http()).await.is_err()).await;
    assert!(router.is_running());
    client.finish().await.unwrap();
    assert!(client.reader.closed().await);
    assert_eq!(router.exit_code().await, 0);
}

/// The tool that measures routers, if it is there; with CI set it has to be.
fn wrk() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("wrk")).find(|file| file.is_file());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "no wrk, and CI must not skip what needs it");
    found
}

/// As many requests as go through, by somebody else's count.
#[tokio::test]
async fn a_drain_under_wrk_fails_no_request() {
    let Some(wrk) = wrk() else { return eprintln!("skipped: there is no wrk") };
    let router = settings().set("drain_wait", "20s").set("drain_timeout", "20s").spawn().await;
    let app = router.instance("app").plain().uri(HOST).rule(|_| Reply::text("ok")).register().await;
    let mut command = Command::new(wrk);
    command.args(["-t2", "-c16", "-d3s", "--timeout", "10s", "-H", &format!("Host: {HOST}")]);
    command.arg(format!("http://{}/", router.http()));
    let running = tokio::task::spawn_blocking(move || command.output().unwrap());
    eventually(PATIENCE, async || app.requests() > 500).await;
    router.signal("USR1");
    router.line("gorouter-draining").await;
    let told = app.requests();
    let output = running.await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let requests: u64 = said.split(" requests in ").next().unwrap().split_whitespace().last().unwrap().parse().unwrap();
    assert!(output.status.success() && requests > 500, "{said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    assert!(app.requests() > told, "it went on during the drain");
    assert!(app.requests() >= requests, "{} by the app's count: {said}", app.requests());
    assert_eq!(router.health().await, 503);
}
