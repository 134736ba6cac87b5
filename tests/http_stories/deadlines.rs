//! Clients that take their time, on HTTP/1: each has a deadline, and none of them is mistaken for an endpoint that has
//! nothing to say.

use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use trueroute_testkit::{
    eventually,
    peers::{Door, Line, Peer},
};

use super::{
    message::ask,
    scene::{After, Scene, plain, recorded},
    support::PATIENCE,
};

const FOREVER: u64 = 1 << 40;

#[tokio::test]
async fn a_head_has_its_time_and_idleness_another() {
    let scene = Scene::new_with_head_timeout().await;
    let (mut silent, mut slow, mut kept) = (scene.client().await, scene.client().await, scene.client().await);
    slow.send_raw("GET / HTTP/1.1\r\nHost: app").await.unwrap();
    kept.send_raw(ask("GET /status/204 HTTP/1.1", &[], "")).await.unwrap();
    assert_eq!(kept.response().await.unwrap().status, 204);
    assert!(slow.reader.closed().await && silent.reader.closed().await, "from the beginning of the connection on");
    assert_eq!(scene.state(&mut kept).await, After::Open, "it may be idle for longer");
    kept.send_raw("GET / HT").await.unwrap();
    assert!(kept.reader.closed().await, "from the first byte on");
}

impl Scene {
    async fn new_with_head_timeout() -> Self {
        Self::by_path(recorded().set("read_header_timeout", "1s").set("disable_keep_alives", false)).await
    }
}

#[tokio::test]
async fn without_a_time_of_its_own_a_head_has_that_of_idleness() {
    let scene = Scene::by_path(recorded().set("frontend_idle_timeout", "1s")).await;
    let (mut silent, mut slow) = (scene.client().await, scene.client().await);
    slow.send_raw("GET / HTTP/1.1\r\nHost: app").await.unwrap();
    assert!(silent.reader.closed().await && slow.reader.closed().await);
    assert_eq!(scene.app.requests(), 0);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go_and_one_that_waits_for_news_is_not() {
    let scene = Scene::by_path(recorded().set("endpoint_timeout", "0s").set("frontend_idle_timeout", "1s")).await;
    let mut patient = scene.client().await;
    patient.send_raw(ask("GET /events/1 HTTP/1.1", &[], "")).await.unwrap();
    patient.reader.head().await.unwrap();
    for path in ["stream", "chunked"] {
        let mut stuck = scene.client().await;
        stuck.send_raw(ask(&format!("GET /{path}/{FOREVER} HTTP/1.1"), &[], "")).await.unwrap();
        eventually(PATIENCE, async || scene.app.open_connections() == 2).await;
        eventually(PATIENCE, async || scene.app.open_connections() == 1).await;
    }
    scene.app.release();
    assert_eq!(patient.reader.exactly(14).await.unwrap(), b"9\r\ndata: 0\n\n\r\n");
}

/// The upload goes on behind the answer. When its client is sent away for being idle, the app must not take what has
/// come for all of it.
#[tokio::test]
async fn an_upload_that_is_cut_off_behind_an_early_answer_has_no_end() {
    let (tell, mut told) = unbounded_channel();
    let app = Peer::scripted(Door::Plain, move |mut line: Line| {
        let tell = tell.clone();
        async move {
            line.head().await;
            line.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
            let mut got = Vec::new();
            loop {
                let piece = line.some(1000).await;
                if piece.is_empty() {
                    let _ = tell.send(String::from_utf8(got).unwrap());
                    return;
                }
                got.extend(piece);
            }
        }
    });
    let router = recorded().set("frontend_idle_timeout", "1s").set("endpoint_timeout", "0s");
    let scene = Scene::with(router.set("disable_keep_alives", false)).await;
    scene.register(&plain(app.addr()).uri("early.example.com")).await;
    let mut client = scene.client().await;
    let fields = ["Host: early.example.com", "Transfer-Encoding: chunked"];
    client.send_raw(ask("POST / HTTP/1.1", &fields, "5\r\nbegun\r\n")).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 413);
    assert!(client.reader.closed().await);
    let got = tokio::time::timeout(PATIENCE, told.recv()).await.expect("the upload ends").unwrap();
    assert_eq!(got, "5\r\nbegun\r\n");
}

#[tokio::test]
async fn an_upload_that_stops_has_the_time_of_its_exchange() {
    let scene = Scene::by_path(recorded()).await;
    let mut client = scene.client().await;
    client.send_raw(ask("POST / HTTP/1.1", &["Content-Length: 10"], "begun")).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 502);
    assert!(client.patience(Duration::from_secs(8)).reader.closed().await, "5 s for the rest");
}

/// What follows a refusal of an expectation, or of a request whose body was never asked for, is no request.
#[tokio::test]
async fn a_body_that_nobody_asked_for_is_not_read_as_a_request() {
    let scene = Scene::by_path(recorded()).await;
    let fields = ["Host: unknown.example.com", "Expect: 100-continue", "Content-Length: 60"];
    let mut client = scene.client().await;
    client.send_raw(ask("POST / HTTP/1.1", &fields, "")).await.unwrap();
    let answer = client.response().await.unwrap();
    assert_eq!((answer.status, answer.interim.len()), (404, 0));
    assert_eq!(answer.header("connection"), Some("close"));
    let _ = client.send_raw(ask("GET /smuggled HTTP/1.1", &[], "")).await;
    assert!(client.reader.closed().await);
    assert_eq!(scene.app.requests(), 0);
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_gets_its_answer() {
    const SIZE: u64 = 8 * 1024 * 1024;
    let scene = Scene::by_path(recorded()).await;
    let (mut reader, mut writer) = scene.client().await.split();
    let length = format!("Content-Length: {SIZE}");
    writer.send(ask("POST / HTTP/1.1", &[&length], "")).await.unwrap();
    writer.fill(SIZE).await.unwrap();
    assert_eq!(reader.response("POST").await.unwrap().json()["body_bytes"], SIZE);
}
