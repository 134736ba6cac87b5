//! Clients that do not take what they asked for, and endpoints that have nothing to give.

use trueroute_testkit::{
    client_h2::{Builder, Client, Reason, data, get, rest},
    eventually,
};

use super::{
    scene::{HOST, Scene, router},
    support::PATIENCE,
};

const FOREVER: u64 = 1 << 40;

async fn scene() -> Scene {
    Scene::with(router().set("frontend_idle_timeout", "2s").set("endpoint_timeout", "0s")).await
}

#[tokio::test]
async fn a_stream_that_takes_nothing_is_reset_alone() {
    let scene = scene().await;
    let mut settings = Builder::new();
    settings.initial_window_size(100_000).initial_connection_window_size(10_000_000);
    let client = Client::connect_with(scene.https(), &scene.tls, &settings).await.unwrap();
    let events = client.start(get(HOST, "/events/2"), true).await.unwrap();
    let mut events = events.head().await.unwrap().into_body();
    let stalled = client.start(get(HOST, &format!("/stream/{FOREVER}")), true).await.unwrap();
    let mut stalled = stalled.head().await.unwrap().into_body();
    // Nothing is given back to its window, so no more comes.
    eventually(PATIENCE, async || scene.app.bytes_out() > 0).await;
    let error = loop {
        match stalled.data().await.expect("the stream does not end in order") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((error.reason(), error.is_remote()), (Some(Reason::CANCEL), true), "{error}");
    eventually(PATIENCE, async || scene.app.open_connections() == 1).await;
    // The endpoint that had nothing to say meanwhile was left alone.
    for number in 0..2 {
        scene.app.release();
        assert_eq!(data(&mut events).await.unwrap().unwrap(), format!("data: {number}\n\n"));
    }
    assert_eq!(rest(&mut events).await.unwrap().0, b"");
}

#[tokio::test]
async fn a_connection_on_which_all_stall_ends() {
    let scene = scene().await;
    let mut settings = Builder::new();
    settings.initial_window_size(0);
    let client = Client::connect_with(scene.https(), &scene.tls, &settings).await.unwrap();
    let mut calls = Vec::new();
    for path in ["/stream/10000", "/chunked/1000000", "/"] {
        calls.push(client.start(get(HOST, path), true).await.unwrap().head().await.unwrap());
    }
    let _ = client.ended().await;
    eventually(PATIENCE, async || scene.metric("trueroute_open_exchanges").await == 0.0).await;
}

#[tokio::test]
async fn a_slow_client_is_no_stalled_one() {
    let scene = scene().await;
    let mut settings = Builder::new();
    settings.initial_window_size(1000);
    let client = Client::connect_with(scene.https(), &scene.tls, &settings).await.unwrap();
    let call = client.start(get(HOST, "/stream/6000"), true).await.unwrap();
    let mut body = call.head().await.unwrap().into_body();
    let mut got = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        got += piece.len();
        tokio::time::sleep(std::time::Duration::from_millis(900)).await;
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(got, 6000, "it took longer than a client may stall, and went on");
}
