//! A client that gives a request up, at each stage: the endpoint keeps its place, and nothing is left over.

use std::time::Duration;

use trueroute::route::moment::Moment;
use trueroute_testkit::{
    client_h2::{Call, Client, Reason, data, get, request},
    eventually,
    peers::{self, Door, Line, Peer},
};

use super::{
    scene::{HOST, Scene, router},
    support::PATIENCE,
};

impl Scene {
    /// Waits until nothing is under way any more; the endpoint must be where it was, and unblamed.
    async fn is_at_rest(&self) {
        eventually(PATIENCE, async || self.metric("trueroute_open_exchanges").await == 0.0).await;
        assert_eq!(self.in_flight(), 0);
        let pool = self.table().lookup(HOST, "/").unwrap();
        assert_eq!(pool.leases().len(), 1);
        assert!(!pool.leases()[0].is_resting(Moment::from_ms(0), Duration::MAX), "it is marked");
    }
}

async fn start(scene: &Scene, path: &str) -> (Client, Call) {
    let client = scene.h2().await;
    let call = client.start(get(HOST, path), true).await.unwrap();
    (client, call)
}

#[tokio::test]
async fn while_the_endpoint_thinks() {
    let scene = Scene::new().await;
    let (client, call) = start(&scene, "/delay").await;
    eventually(PATIENCE, async || scene.in_flight() == 1).await;
    drop(call);
    scene.is_at_rest().await;
    let line = scene.access_log_line("/delay").await;
    assert!(line.contains("HTTP/2.0\" 499 "), "{line}");
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200, "the connection goes on");
}

#[tokio::test]
async fn with_its_whole_connection() {
    let scene = Scene::new().await;
    let (client, _call) = start(&scene, "/delay").await;
    eventually(PATIENCE, async || scene.in_flight() == 1).await;
    client.cut().await;
    scene.is_at_rest().await;
    let line = scene.access_log_line("/delay").await;
    assert!(line.contains("HTTP/2.0\" 499 "), "{line}");
}

#[tokio::test]
async fn in_the_middle_of_an_answer() {
    let scene = Scene::new().await;
    let (client, call) = start(&scene, "/chunked/100000000").await;
    let mut body = call.head().await.unwrap().into_body();
    assert!(data(&mut body).await.unwrap().is_some());
    drop(body);
    scene.is_at_rest().await;
    eventually(PATIENCE, async || scene.app.open_connections() == 0).await;
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn in_the_middle_of_an_upload_of_which_the_app_gets_no_end() {
    let scene = Scene::new().await;
    let client = scene.h2().await;
    // A reset for any reason: some of them do not look like errors.
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        let before = scene.app.requests();
        let mut call = client.start(request("POST", HOST, "/upload"), false).await.unwrap();
        call.body.send_data("some of it".into(), false).unwrap();
        eventually(PATIENCE, async || scene.app.requests() == before + 1).await;
        call.body.send_reset(reason);
        scene.is_at_rest().await;
        eventually(PATIENCE, async || scene.app.open_connections() == 0).await;
        let got = scene.app.last().unwrap();
        assert!(!got.complete, "{reason:?}: half a body was delivered as a whole one: {got:?}");
    }
}

/// The upload goes on behind an answer that was early; its reset must not look like its end there either.
#[tokio::test]
async fn in_the_middle_of_an_upload_that_was_answered_early() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
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
    let scene = Scene::new().await;
    scene.register(&trueroute_testkit::Registration::plain(app.addr()).uri("early.example.com")).await;
    for reason in [Reason::CANCEL, Reason::NO_ERROR] {
        let client = scene.h2().await;
        let mut call = client.start(request("POST", "early.example.com", "/"), false).await.unwrap();
        call.body.send_data("begun".into(), false).unwrap();
        let (response, mut body) = (call.response, call.body);
        assert_eq!(response.await.unwrap().status(), 413);
        body.send_data(" and on".into(), false).unwrap();
        body.send_reset(reason);
        let got = tokio::time::timeout(PATIENCE, told.recv()).await.expect("the upload ends").unwrap();
        assert!(!got.ends_with("0\r\n\r\n"), "{reason:?}: {got:?}");
    }
}

#[tokio::test]
async fn before_the_endpoint_is_reached() {
    let scene = Scene::with(router().set("endpoint_dial_timeout", "5s")).await;
    let silent = peers::never_accepts();
    scene.register(&trueroute_testkit::Registration::plain(silent.addr()).uri("far.example.com")).await;
    let client = scene.h2().await;
    let call = client.start(get("far.example.com", "/"), true).await.unwrap();
    eventually(PATIENCE, async || scene.metric("trueroute_open_exchanges").await == 1.0).await;
    drop(call);
    scene.is_at_rest().await;
    assert_eq!(scene.addresses("far.example.com").await.len(), 1);
}

/// Each request that is given up costs an endpoint its work; a client that does nothing else is sent away.
#[tokio::test]
async fn again_and_again() {
    let scene = Scene::new().await;
    let client = scene.h2().await;
    let mut given_up = 0;
    while given_up < 5_000 {
        let Ok(call) = client.start(get(HOST, "/delay"), true).await else { break };
        tokio::task::yield_now().await;
        drop(call);
        given_up += 1;
        if given_up % 20 == 0 {
            // So that they are seen, and not dropped unseen.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert!(given_up < 5_000, "the connection goes on and on");
    scene.is_at_rest().await;
}
