//! Bodies in motion: nothing waits for their end, nothing piles up, and no byte of one is taken for another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use trueroute_testkit::{
    app::Reply,
    client::Reader,
    eventually,
    peers::{self, Door, Line, Peer},
};

use super::{
    message::{HELLO, ask, told},
    scene::{After, Scene, plain, recorded},
    support::PATIENCE,
};

const MIB: u64 = 1024 * 1024;
/// More than the kernel's buffers between four sockets hold, and much less than the body.
const IN_FLIGHT: u64 = 64 * MIB;
const LARGE: u64 = 512 * MIB;

/// Reads so many bytes and forgets them.
async fn take(line: &mut Line, count: u64) {
    let mut left = count;
    while left > 0 {
        let piece = line.some(usize::try_from(left).unwrap()).await;
        assert!(!piece.is_empty(), "{left} bytes are missing");
        left -= piece.len() as u64;
    }
}

/// Waits until `count` has not changed for a while and gives it.
async fn at_rest(count: impl Fn() -> u64) -> u64 {
    let mut last = (count(), Instant::now());
    eventually(PATIENCE, || {
        let now = count();
        if now != last.0 {
            last = (now, Instant::now());
        }
        let rests = now > 0 && last.1.elapsed() > Duration::from_millis(300);
        async move { rests }
    })
    .await;
    count()
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_app() {
    let scene = Scene::by_path(recorded().without("endpoint_timeout")).await;
    for path in ["stream", "chunked"] {
        let before = scene.app.bytes_out();
        let mut client = scene.client().await;
        client.send_raw(ask(&format!("GET /{path}/{LARGE} HTTP/1.1"), &[], "")).await.unwrap();
        client.reader.head().await.unwrap();
        let sent = at_rest(|| scene.app.bytes_out()).await - before;
        assert!(sent > 0 && sent < IN_FLIGHT, "{path}: {sent} bytes are under way");
        // It goes on as soon as the client does.
        client.reader.skip(2 * IN_FLIGHT).await.unwrap();
        assert!(scene.app.bytes_out() - before > sent);
    }
}

#[tokio::test]
async fn an_app_that_does_not_read_stops_the_client() {
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let app = Peer::scripted(Door::Plain, move |mut line: Line| {
        let wait = Arc::clone(&wait);
        async move {
            line.head().await;
            wait.notified().await;
            take(&mut line, LARGE).await;
            line.send(HELLO).await.unwrap();
        }
    });
    let scene = Scene::with(recorded().without("endpoint_timeout")).await;
    scene.register(&plain(app.addr()).uri("lazy.example.com")).await;
    for fields in [format!("Content-Length: {LARGE}")] {
        let client = scene.client().await;
        let (mut reader, mut writer) = client.split();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        let uploading = tokio::spawn(async move {
            writer.send(ask("POST / HTTP/1.1", &["Host: lazy.example.com", &fields], "")).await.unwrap();
            while counted.load(Relaxed) < LARGE {
                writer.fill(64 * 1024).await.unwrap();
                counted.fetch_add(64 * 1024, Relaxed);
            }
        });
        let under_way = at_rest(|| sent.load(Relaxed)).await;
        assert!(under_way > 0 && under_way < IN_FLIGHT, "{under_way} bytes are under way");
        go_on.notify_one();
        uploading.await.unwrap();
        assert_eq!(reader.response("POST").await.unwrap().text(), "hello");
    }
}

#[tokio::test]
async fn an_early_413_comes_at_once_and_nothing_of_the_body_is_a_request() {
    let scene = Scene::new().await;
    let app = peers::answers_413_early(Door::Plain);
    scene.register(&plain(app.addr()).uri("full.example.com")).await;
    let length = format!("Content-Length: {LARGE}");
    let client = scene.client().await;
    let (mut reader, mut writer) = client.split();
    writer.send(ask("POST / HTTP/1.1", &["Host: full.example.com", &length], "some")).await.unwrap();
    // Not a tenth of the body is sent when the answer is there.
    let response = reader.response("POST").await.unwrap();
    assert_eq!((response.status, response.text()), (413, "too much"));
    // What follows is the rest of a body that nobody wants, not a request; the connection ends.
    let _ = writer.send(ask("GET /smuggled HTTP/1.1", &[], "")).await;
    let _ = writer.fill(LARGE - 4096).await;
    assert!(reader.closed().await);
    assert_eq!(scene.app.requests(), 0);
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_sends_on() {
    let scene = Scene::new().await;
    let app = peers::answers_413_early(Door::Plain);
    scene.register(&plain(app.addr()).uri("full.example.com")).await;
    for _ in 0..20 {
        let length = format!("Content-Length: {}", 8 * MIB);
        let (mut reader, mut writer) = scene.client().await.split();
        let sending = async {
            writer.send(ask("POST / HTTP/1.1", &["Host: full.example.com", &length], "")).await?;
            writer.fill(8 * MIB).await
        };
        let (response, _) = tokio::join!(reader.response("POST"), sending);
        assert_eq!(response.unwrap().status, 413);
    }
}

/// An app that answers early and wants the rest all the same gets it; both connections stay in step.
#[tokio::test]
async fn an_early_answer_of_an_app_that_reads_on_keeps_both_connections() {
    const LENGTH: u64 = 4 * MIB;
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        while let Some(head) = line.head().await {
            line.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
            if head.starts_with("POST") {
                take(&mut line, LENGTH).await;
            }
        }
    });
    let scene = Scene::with(recorded().set("disable_keep_alives", false).set("go_max_procs", 1)).await;
    scene.register(&plain(app.addr()).uri("full.example.com")).await;
    let mut client = scene.client().await;
    for _ in 0..3 {
        let fields = ["Host: full.example.com", &format!("Content-Length: {LENGTH}")];
        client.send_raw(ask("POST / HTTP/1.1", &fields, "")).await.unwrap();
        let response = client.response().await.unwrap();
        assert_eq!((response.status, response.text()), (413, "no"));
        client.writer.fill(LENGTH).await.unwrap();
        assert_eq!(scene.state(&mut client).await, After::Open);
    }
    assert_eq!(app.requests(), 3);
}

#[tokio::test]
async fn events_are_delivered_one_by_one() {
    let scene = Scene::by_path(recorded().without("endpoint_timeout")).await;
    let mut client = scene.client().await;
    client.send_raw(ask("GET /events/5 HTTP/1.1", &[], "")).await.unwrap();
    let head = client.reader.head().await.unwrap();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    for number in 0..5 {
        scene.app.release();
        let event = format!("9\r\ndata: {number}\n\n\r\n");
        assert_eq!(String::from_utf8(client.reader.exactly(event.len()).await.unwrap()).unwrap(), event);
    }
    assert_eq!(client.reader.exactly(5).await.unwrap(), b"0\r\n\r\n");
    assert_eq!(scene.state(&mut client).await, After::Open);
}

#[tokio::test]
async fn pieces_of_an_upload_are_delivered_one_by_one() {
    let scene = Scene::with(recorded().without("endpoint_timeout")).await;
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.head().await;
        line.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        loop {
            let piece = line.some(1000).await;
            if piece.is_empty() {
                return;
            }
            let echo = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
            line.send(echo).await.unwrap();
        }
    });
    scene.register(&plain(app.addr()).uri("echo.example.com")).await;
    let mut client = scene.client().await;
    let fields = ["Host: echo.example.com", "Transfer-Encoding: chunked"];
    client.send_raw(ask("POST / HTTP/1.1", &fields, "")).await.unwrap();
    client.reader.head().await.unwrap();
    for word in ["one", "two"] {
        client.send_raw(format!("3\r\n{word}\r\n")).await.unwrap();
        heard(&mut client.reader, word).await;
    }
}

/// Reads until `word` came by.
async fn heard(reader: &mut Reader, word: &str) {
    let mut heard = String::new();
    while !heard.contains(word) {
        heard.push_str(&String::from_utf8(reader.some().await.unwrap()).unwrap());
    }
}

#[tokio::test]
async fn exactly_one_100_comes_when_the_app_wants_the_body() {
    let scene = Scene::new().await;
    for at_once in [false, true] {
        let mut client = scene.client().await;
        let fields = ["Expect: 100-continue", "Content-Length: 4"];
        let head = ask("POST /p HTTP/1.1", &fields, "");
        client.send_raw(&head).await.unwrap();
        if !at_once {
            let interim = client.reader.head().await.unwrap();
            assert_eq!((interim.status, &*interim.headers), (100, &[][..]));
        }
        client.send_raw("abcd").await.unwrap();
        let response = client.response().await.unwrap();
        let interim = if at_once { vec![100] } else { vec![] };
        assert_eq!((response.status, response.text(), &response.interim), (200, "hello", &interim));
        let expected = told("POST /p HTTP/1.1", &["Content-Length: 4", "Expect: 100-continue"], "abcd");
        assert_eq!(scene.app_got(), expected);
        assert_eq!(scene.state(&mut client).await, After::Open);
    }
}

#[tokio::test]
async fn an_app_that_declines_before_the_body_is_heard_without_a_100() {
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.head().await;
        line.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        line.drain().await;
    });
    let scene = Scene::new().await;
    scene.register(&plain(app.addr()).uri("strict.example.com")).await;
    let request = |length: u64| {
        let fields = ["Host: strict.example.com", "Expect: 100-continue", &format!("Content-Length: {length}")];
        ask("POST /p HTTP/1.1", &fields, "")
    };
    let mut client = scene.client().await;
    client.send_raw(request(4)).await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.text(), &*response.interim), (401, "no", &[][..]));
}

#[tokio::test]
async fn an_app_that_knows_no_100_gets_the_body_after_a_second() {
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.request().await;
        line.send(HELLO).await.unwrap();
        line.drain().await;
    });
    let scene = Scene::new().await;
    scene.register(&plain(app.addr()).uri("old.example.com")).await;
    let mut client = scene.client().await;
    let fields = ["Host: old.example.com", "Expect: 100-continue", "Content-Length: 4"];
    client.send_raw(ask("POST /p HTTP/1.1", &fields, "abcd")).await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.text(), &*response.interim), (200, "hello", &[100][..]));
}

/// A client that leaves while it uploads has said nothing about the endpoint.
#[tokio::test]
async fn a_client_that_leaves_its_upload_costs_the_endpoint_nothing() {
    let scene = Scene::with(recorded().set("endpoint_timeout", "20s")).await;
    scene.app_says(Reply::Raw(HELLO.into()));
    for number in 1..=3 {
        let mut client = scene.client().await;
        client.send_raw(ask("POST /cut HTTP/1.1", &["Content-Length: 4"], "ab")).await.unwrap();
        eventually(PATIENCE, async || scene.app.requests() == number).await;
        drop(client);
    }
    eventually(PATIENCE, async || scene.app.open_connections() == 0).await;
    assert!(scene.app.received().iter().all(|request| !request.complete), "nothing was finished for them");
    assert_eq!(scene.get("app.example.com", "/").await.status, 200);
    assert_eq!(scene.metric("bad_gateways").await, 0.0);
}
