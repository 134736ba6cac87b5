//! What the requests on one connection must not do to each other, and when a connection is used again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Notify;
use trueroute_testkit::{
    Registration,
    app::Reply,
    client::Request,
    eventually,
    peers::{
        Peer,
        http2::{Frame, Http2, http2_door, kind, speaks_http2},
    },
    pki::InstanceId,
};

use crate::support::{PATIENCE, RouterBuilder, RouterUnderTest};

/// One worker, so that all requests meet on one connection.
fn one_worker() -> RouterBuilder {
    RouterUnderTest::builder().set("go_max_procs", 1)
}

#[tokio::test]
async fn a_client_that_leaves_costs_its_own_request_and_no_other() {
    let router = one_worker().start().await;
    let app = router.instance("a").uri("leave.h2").http2().register().await;
    let mut waits = router.client().await;
    waits.send_raw("GET /delay HTTP/1.1\r\nHost: leave.h2\r\n\r\n").await.unwrap();
    eventually(PATIENCE, async || app.requests() == 1).await;
    // Waiting for its answer, in the middle of it, and in the middle of a body of its own.
    let mut silent = router.client().await;
    silent.send_raw("GET /delay HTTP/1.1\r\nHost: leave.h2\r\n\r\n").await.unwrap();
    let mut reading = router.client().await;
    reading.send_raw("GET /stream/100000000 HTTP/1.1\r\nHost: leave.h2\r\n\r\n").await.unwrap();
    reading.reader.exactly(100_000).await.unwrap();
    let mut writing = router.client().await;
    writing.send_raw("POST / HTTP/1.1\r\nHost: leave.h2\r\nContent-Length: 1000\r\n\r\nhalf").await.unwrap();
    eventually(PATIENCE, async || app.requests() == 4).await;
    silent.reset();
    reading.reset();
    writing.reset();
    // The app is told to stop, and takes nothing for whole that is not.
    eventually(PATIENCE, async || app.cancelled() == 2 && app.received().len() == 4).await;
    assert!(app.received().iter().filter(|got| got.method == "POST").all(|got| !got.complete));
    app.release_all();
    assert_eq!(waits.reader.response("GET").await.unwrap().status, 200);
    assert_eq!(app.connections(), 1);
    let rows = router.endpoints("leave.h2").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(router.get("leave.h2", "/").await.status, 200);
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_up_nobody_else() {
    let router = one_worker().start().await;
    let app = router.instance("a").uri("slow.h2").http2().register().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut client = router.client().await;
        client.send_raw("GET /stream/50000000 HTTP/1.1\r\nHost: slow.h2\r\n\r\n").await.unwrap();
        slow.push(client);
    }
    eventually(PATIENCE, async || {
        let before = app.bytes_out();
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.requests() == 20 && before > 0 && before == app.bytes_out()
    })
    .await;
    assert!(app.bytes_out() < 20 * 8_000_000, "the app is held up: {}", app.bytes_out());
    for _ in 0..5 {
        assert_eq!(router.get("slow.h2", "/stream/1000000").await.body.len(), 1_000_000);
    }
    assert_eq!(app.connections(), 1);
    // Whoever takes up again gets all of it.
    let mut client = slow.pop().unwrap();
    assert_eq!(client.reader.response("GET").await.unwrap().body.len(), 50_000_000);
}

#[tokio::test]
async fn an_app_that_takes_nothing_of_a_body_holds_up_its_client() {
    let router = one_worker().start().await;
    let id = InstanceId::of_app("a");
    let door = http2_door(&router.scene.pki.instances.instance(&id).issue());
    // It never opens its window beyond the 64 KiB that each stream begins with.
    let peer = speaks_http2(door, async |mut talk: Http2| {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        talk.drain().await;
    });
    router.register(&Registration::tls(peer.addr(), &id.instance).uri("full.h2").protocol("http2")).await;
    let (_reader, mut writer) = router.client().await.split();
    writer.send("POST / HTTP/1.1\r\nHost: full.h2\r\nContent-Length: 100000000\r\n\r\n").await.unwrap();
    let upload = tokio::time::timeout(Duration::from_secs(2), writer.fill(100_000_000)).await;
    assert!(upload.is_err(), "nobody holds 100 MB");
    assert!((65_535..70_000).contains(&peer.bytes_in()), "{}", peer.bytes_in());
}

#[tokio::test]
async fn an_app_that_sends_its_clients_elsewhere_loses_no_request() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let app = router.instance("a").uri("away.h2").http2().register().await;
    let load = join_all((0..8).map(async |number| {
        let mut client = router.client().await;
        let mut statuses = Vec::new();
        for turn in 0..100 {
            let post = Request::new("POST", "/").host("away.h2").header("X-Post", &format!("{number}-{turn}"));
            let answer = client.request(post.body(vec![b'x'; 2000])).await.unwrap();
            statuses.push((answer.status, answer.header("x-cf-routererror").map(str::to_owned)));
        }
        statuses
    }));
    let restarts = async {
        for _ in 0..20 {
            let served = app.requests();
            eventually(PATIENCE, async || app.requests() >= served + 20 || app.requests() == 800).await;
            app.go_away();
        }
    };
    let (statuses, ()) = tokio::join!(load, restarts);
    let failed: Vec<_> = statuses.iter().flatten().filter(|outcome| outcome.0 != 200).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let mut posts: Vec<String> = app.received().iter().map(|got| got.header("x-post").unwrap().to_owned()).collect();
    posts.sort();
    posts.dedup();
    assert_eq!((posts.len(), app.requests()), (800, 800), "each once");
    assert!(app.connections() > 5, "{}", app.connections());
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_no_request() {
    let router = one_worker().one_attempt().start().await;
    let app = router.instance("a").uri("idle.h2").http2().register().await;
    for turn in 0..30 {
        let method = if turn % 2 == 0 { "GET" } else { "POST" };
        let answer = router.ask(Request::new(method, "/").host("idle.h2").body("")).await;
        assert_eq!(answer.status, 200, "{turn} {:?}", answer.header("x-cf-routererror"));
        app.hang_up();
        eventually(PATIENCE, async || app.open_connections() == 0).await;
    }
    assert_eq!((app.requests(), app.connections()), (30, 30));
}

#[tokio::test]
async fn without_keep_alive_each_request_has_a_connection_of_its_own() {
    let router = one_worker().set("disable_keep_alives", true).start().await;
    let app = router.instance("a").uri("once.h2").http2().register().await;
    let mut client = router.client().await;
    for size in [10, 100_000, 0] {
        let answer = client.get("once.h2", &format!("/stream/{size}")).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, size));
    }
    assert_eq!((app.requests(), app.connections()), (3, 3));
    eventually(PATIENCE, async || app.open_connections() == 0).await;
    assert!(app.received().iter().all(|got| got.version == "HTTP/2.0"));
}

#[tokio::test]
async fn a_broken_connection_fails_each_request_by_its_own_state() {
    let router = one_worker().start().await;
    let rule = |got: &trueroute_testkit::app::Received| match got.path() {
        "/begun" => Reply::Events(2),
        _ => Reply::text("late").after_release(),
    };
    let app = router.instance("a").uri("torn.h2").http2().rule(rule).register().await;
    let mut begun = router.client().await;
    begun.send_raw("GET /begun HTTP/1.1\r\nHost: torn.h2\r\n\r\n").await.unwrap();
    assert_eq!(begun.reader.head().await.unwrap().status, 200);
    let mut post = router.client().await;
    post.send_raw("POST /wait HTTP/1.1\r\nHost: torn.h2\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
    let mut get = router.client().await;
    get.send_raw("GET /wait HTTP/1.1\r\nHost: torn.h2\r\n\r\n").await.unwrap();
    eventually(PATIENCE, async || app.received().len() == 3).await;
    app.hang_up();
    assert!(begun.reader.to_end().await.is_err() || begun.reader.closed().await, "half an answer is cut");
    assert_eq!(post.reader.response("POST").await.unwrap().status, 502, "it may have been acted on");
    app.release_all();
    assert_eq!(get.reader.response("GET").await.unwrap().status, 200, "it does no harm to ask again");
    assert_eq!(app.received().iter().filter(|got| got.method == "POST").count(), 1);
    assert_eq!(router.endpoints("torn.h2").await.len(), 1);
}

#[tokio::test]
async fn one_reset_that_many_requests_waited_for_is_no_row_of_resets() {
    let router = one_worker().start().await;
    let id = InstanceId::of_app("a");
    let door = http2_door(&router.scene.pki.instances.instance(&id).issue());
    let all_wait = Arc::new(Notify::new());
    let gate = Arc::clone(&all_wait);
    let peer = speaks_http2(door.require_client(&router.scene.pki.routers), move |talk: Http2| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            talk.reset_connection();
        }
    });
    router.register(&Registration::tls(peer.addr(), &id.instance).uri("crowd.h2").protocol("http2")).await;
    let requests = join_all((0..10).map(|_| router.get("crowd.h2", "/")));
    let reset = async {
        eventually(PATIENCE, async || router.metric("trueroute_open_exchanges").await == 10.0).await;
        all_wait.notify_one();
    };
    let (answers, ()) = tokio::join!(requests, reset);
    assert!(answers.iter().all(|answer| answer.status == 502));
    assert_eq!(peer.connections(), 1, "all of them waited for it");
    assert_eq!(router.endpoints("crowd.h2").await.len(), 1, "once says nothing");
}

/// An endpoint whose first connection says nothing more once it has a request, as if its cell had lost its power.
async fn dies_once(router: &RouterUnderTest, host: &str) -> Peer {
    let id = InstanceId::of_app("dies");
    let door = http2_door(&router.scene.pki.instances.instance(&id).issue());
    let died = Arc::new(AtomicBool::new(false));
    let peer = speaks_http2(door, move |mut talk: Http2| {
        let died = Arc::clone(&died);
        async move {
            talk.send(kind::SETTINGS, 0, 0, []).await;
            while let Some(stream) = talk.request().await {
                if !died.swap(true, Relaxed) {
                    return talk.drain().await;
                }
                talk.ok(stream).await;
            }
        }
    });
    router.register(&Registration::tls(peer.addr(), &id.instance).uri(host).protocol("http2")).await;
    peer
}

#[tokio::test]
async fn a_connection_that_fell_silent_gets_no_further_request() {
    let router = one_worker().start().await;
    let slow = router.instance("a").uri("slow.h2").http2().register().await;
    let mut waits = router.client().await;
    waits.send_raw("GET /delay HTTP/1.1\r\nHost: slow.h2\r\n\r\n").await.unwrap();
    let peer = dies_once(&router, "silent.h2").await;
    let mut first = router.client().await;
    first.send_raw("GET / HTTP/1.1\r\nHost: silent.h2\r\n\r\n").await.unwrap();
    eventually(PATIENCE, async || peer.requests() == 1).await;
    eventually(PATIENCE, async || {
        let answer = tokio::time::timeout(Duration::from_secs(1), router.get("silent.h2", "/")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert_eq!(peer.connections(), 2);
    // An app that takes its time says that it is there, and keeps its connection.
    assert_eq!(router.get("slow.h2", "/").await.status, 200);
    slow.release_all();
    assert_eq!(waits.reader.response("GET").await.unwrap().status, 200);
    assert_eq!(slow.connections(), 1);
}

#[tokio::test]
async fn a_connection_on_which_a_request_timed_out_has_to_show_that_it_lives() {
    let router = one_worker().set("endpoint_timeout", "1s").start().await;
    let peer = dies_once(&router, "late.h2").await;
    assert_eq!(router.get("late.h2", "/").await.status, 502);
    assert_eq!(router.get("late.h2", "/").await.status, 200);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn an_app_that_sends_its_clients_elsewhere_before_their_first_request_loses_none() {
    let router = one_worker().one_attempt().start().await;
    let id = InstanceId::of_app("a");
    let door = http2_door(&router.scene.pki.instances.instance(&id).issue());
    let opened = Arc::new(AtomicBool::new(false));
    let peer = speaks_http2(door, move |mut talk: Http2| {
        let opened = Arc::clone(&opened);
        async move {
            let settings = Frame::new(kind::SETTINGS, 0, 0, []);
            if !opened.swap(true, Relaxed) {
                let go_away = Frame::new(kind::GOAWAY, 0, 0, [0; 8]);
                talk.raw(&[settings.bytes(), go_away.bytes()].concat()).await;
                return talk.drain().await;
            }
            talk.raw(&settings.bytes()).await;
            while let Some(stream) = talk.request().await {
                talk.ok(stream).await;
            }
        }
    });
    router.register(&Registration::tls(peer.addr(), &id.instance).uri("first.h2").protocol("http2")).await;
    let answer = router.ask(Request::new("POST", "/").host("first.h2").body("x")).await;
    assert_eq!(answer.status, 200, "{:?}", answer.header("x-cf-routererror"));
    assert_eq!((peer.connections(), peer.requests()), (2, 1));
}
