//! SIGUSR1: the end in good order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use trueroute_testkit::{Bus, Client, Nats, app::Reply, client::Response, eventually};

use super::support::{PATIENCE, RouterBuilder, RouterProcess, Scene};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n";
const DELAY: &str = "GET /delay HTTP/1.1\r\nHost: app.example.com\r\n\r\n";

fn settings() -> RouterBuilder {
    Scene::over(Bus::Small(Nats::start())).router()
}

fn messages(router: &RouterProcess) -> Vec<String> {
    router.lines().iter().map(|line| line.message().to_owned()).collect()
}

async fn ask(client: &mut Client, request: &str) -> Response {
    client.send_raw(request).await.unwrap();
    client.response().await.unwrap()
}

#[tokio::test]
async fn clients_are_told_to_leave_and_what_they_asked_for_is_finished() {
    let router = settings().set("drain_wait", "3s").set("drain_timeout", "20s").spawn().await;
    let app = router.instance("app").plain().uri("app.example.com").register().await;
    let mut kept = router.client().await;
    let got = ask(&mut kept, GET).await;
    assert_eq!((got.status, got.header("connection")), (200, None));
    let mut idle = router.client().await;
    assert_eq!(ask(&mut idle, GET).await.status, 200);
    let mut long = router.client().await;
    long.send_raw(DELAY).await.unwrap();
    eventually(PATIENCE, async || app.requests() == 3).await;
    let mut begun = router.client().await;
    begun.send_raw("GET /events/2 HTTP/1.1\r\nHost: app.example.com\r\n\r\n").await.unwrap();
    assert_eq!(begun.reader.head().await.unwrap().header("connection"), None);

    router.signal("USR1");
    let line = router.line("gorouter-draining").await;
    assert_eq!((line.field("wait_seconds").as_f64(), line.field("timeout_seconds").as_f64()), (Some(3.0), Some(20.0)));
    assert_eq!(router.health().await, 503);
    // Whoever keeps a connection is told, and only then is it closed.
    let got = ask(&mut kept, GET).await;
    assert_eq!((got.status, got.header("connection")), (200, Some("close")));
    assert!(kept.reader.closed().await);
    // New clients are served while the load balancer has not noticed.
    let mut new = router.client().await;
    let got = ask(&mut new, GET).await;
    assert_eq!((got.status, got.header("connection")), (200, Some("close")));
    assert!(!messages(&router).iter().any(|message| message.starts_with("Draining with ")), "drain_wait is over");

    // Then none.
    let line = "Draining with 2 outstanding active connections";
    router.line(line).await;
    eventually(PATIENCE, async || Client::connect(router.http()).await.is_err()).await;
    assert!(idle.reader.closed().await);
    assert_eq!(router.health().await, 503);
    assert!(router.is_running());
    app.release_all();
    assert_eq!(long.response().await.unwrap().status, 200);
    assert!(long.reader.closed().await);
    let rest = String::from_utf8(begun.reader.to_end().await.unwrap()).unwrap();
    assert!(rest.contains("data: 0\n\n") && rest.contains("data: 1\n\n") && rest.ends_with("0\r\n\r\n"), "{rest:?}");
    assert_eq!(router.exit_code().await, 0);
    let messages = messages(&router);
    assert!(!messages.iter().any(|message| message.contains("timed-out")), "{messages:?}");
    let last = ["gorouter.stopping", "gorouter.stopped", "exited", "exited", "exited", "exited", "gorouter.exited"];
    assert!(messages.ends_with(&last.map(str::to_owned)), "{messages:?}");
}

#[tokio::test]
async fn what_takes_too_long_is_cut() {
    let router = settings().set("drain_wait", "0s").set("drain_timeout", "1s").spawn().await;
    let app = router.instance("app").plain().uri("app.example.com").register().await;
    let mut long = router.client().await;
    long.send_raw(DELAY).await.unwrap();
    let mut tunnel = router.client().await;
    tunnel
        .send_raw("GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(tunnel.response().await.unwrap().status, 101);
    eventually(PATIENCE, async || app.requests() == 2).await;
    router.signal("USR1");
    assert!(long.reader.closed().await, "no answer: the connection is cut");
    assert!(tunnel.reader.closed().await);
    assert_eq!(router.exit_code().await, 0);
    let messages = messages(&router);
    for expected in ["router.drain.timed-out", "gorouter-draining-error", "gorouter.stopped"] {
        assert!(messages.iter().any(|message| message == expected), "{expected} in {messages:?}");
    }
}

#[tokio::test]
async fn further_signals_are_ignored() {
    let router = settings().set("drain_wait", "0s").set("drain_timeout", "20s").spawn().await;
    let app = router.instance("app").plain().uri("app.example.com").register().await;
    let mut long = router.client().await;
    long.send_raw(DELAY).await.unwrap();
    eventually(PATIENCE, async || app.requests() == 1).await;
    router.signal("USR1");
    router.line("gorouter-draining").await;
    let ignored = || router.lines().into_iter().filter(|line| line.message() == "gorouter.signal.ignored").count();
    for (number, signal) in ["USR1", "TERM", "INT"].into_iter().enumerate() {
        router.signal(signal);
        eventually(PATIENCE, async || ignored() == number + 1).await;
    }
    let lines = router.lines();
    let names: Vec<_> = lines
        .iter()
        .filter(|line| line.message() == "gorouter.signal.ignored")
        .map(|line| line.field("signal").clone())
        .collect();
    assert_eq!(names, ["user defined signal 1", "terminated", "interrupt"]);
    app.release();
    assert_eq!(long.response().await.unwrap().status, 200, "nothing was cut");
    assert_eq!(router.exit_code().await, 0);
}

/// One client after the other, each on kept connections until it is told to leave; none may see a failure, whatever
/// moment the drain begins at.
#[tokio::test]
async fn a_drain_under_load_fails_no_request() {
    let old = settings().set("drain_wait", "1s").set("drain_timeout", "20s").spawn().await;
    let new = old.scene.router().spawn().await;
    let app = old.instance("app").plain().uri("app.example.com").rule(|_| Reply::text("ok")).register().await;
    new.register(&app.registration).await;

    let (served, told, over) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (served, told, over) = (Arc::clone(&served), Arc::clone(&told), Arc::clone(&over));
            let (old, new) = (old.http(), new.http());
            tokio::spawn(async move {
                let mut client = Client::connect(old).await.unwrap();
                while !over.load(Relaxed) {
                    let got = client.get("app.example.com", "/").await.unwrap();
                    assert_eq!((got.status, got.text()), (200, "ok"));
                    served.fetch_add(1, Relaxed);
                    if got.header("connection") == Some("close") {
                        told.fetch_add(1, Relaxed);
                        assert!(client.reader.closed().await);
                        client = Client::connect(new).await.unwrap();
                    }
                }
            })
        })
        .collect();
    eventually(PATIENCE, async || served.load(Relaxed) > 500).await;
    let begun = Instant::now();
    old.signal("USR1");
    assert_eq!(old.exit_code().await, 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody was waited for");
    let (at_end, all) = (served.load(Relaxed), told.load(Relaxed));
    assert_eq!(all, 16, "everyone was told to leave");
    eventually(PATIENCE, async || served.load(Relaxed) > at_end + 500).await;
    over.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(old.lines().iter().filter(|line| line.0["log_level"] == 3).count(), 0);
}
