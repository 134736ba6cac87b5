//! How connections end: by a drain, or because nothing is said on them.

use trueroute_testkit::{
    client_h2::{get, raw::kind},
    eventually,
};

use super::{
    scene::{HOST, Scene, router},
    support::PATIENCE,
};

#[tokio::test]
async fn a_drain_says_goaway_and_finishes_what_has_come() {
    let scene = Scene::with(router().set("drain_timeout", "30s")).await;
    let client = scene.h2().await;
    let slow = client.start(get(HOST, "/delay"), true).await.unwrap();
    eventually(PATIENCE, async || scene.in_flight() == 1).await;
    let drained = scene.drain();
    // GOAWAY forbids new streams; until it is here they are served.
    while let Ok(call) = client.start(get(HOST, "/"), true).await {
        match call.whole().await {
            Ok(answer) => assert_eq!(answer.status, 200),
            Err(error) => {
                assert!(error.is_go_away(), "{error}");
                break;
            }
        }
    }
    scene.app.release();
    let answer = slow.whole().await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, None));
    client.ended().await.unwrap();
    assert_eq!(drained.await, Ok(true));
}

#[tokio::test]
async fn a_drain_ends_idle_connections_at_once() {
    let scene = Scene::with(router().set("drain_timeout", "30s")).await;
    let (used, new) = (scene.h2().await, scene.h2().await);
    assert_eq!(used.get(HOST, "/").await.unwrap().status, 200);
    let drained = scene.drain();
    used.ended().await.unwrap();
    new.ended().await.unwrap();
    assert_eq!(drained.await, Ok(true));
}

/// It is told in the waiting time already, as HTTP/1 clients are by `Connection: close`.
#[tokio::test]
async fn clients_are_sent_elsewhere_from_the_beginning_of_a_drain() {
    let scene = Scene::with(router().set("drain_wait", "3s")).await;
    let client = scene.h2().await;
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
    let _drained = scene.drain();
    eventually(PATIENCE, async || scene.health().await == 503).await;
    let mut last = client.get(HOST, "/").await;
    while let Ok(answer) = &last {
        assert_eq!(answer.status, 200);
        last = client.get(HOST, "/").await;
    }
    client.ended().await.unwrap();
}

#[tokio::test]
async fn a_client_that_answers_no_ping_does_not_hold_up_a_drain() {
    let scene = Scene::with(router().set("drain_timeout", "60s")).await;
    let mut deaf = scene.raw(&[]).await;
    deaf.next(kind::SETTINGS).await.unwrap();
    let drained = tokio::time::timeout(PATIENCE, scene.drain()).await;
    assert_eq!(drained.expect("it ends long before its timeout"), Ok(true));
}

#[tokio::test]
async fn an_idle_connection_ends_in_order() {
    let scene = Scene::with(router().set("frontend_idle_timeout", "1s")).await;
    let client = scene.h2().await;
    let slow = client.start(get(HOST, "/delay"), true).await.unwrap();
    // It is in use for longer than it may be idle.
    let mut other = scene.client().await;
    assert!(other.reader.closed().await, "an idle one ends meanwhile");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    scene.app.release();
    assert_eq!(slow.whole().await.unwrap().status, 200);
    client.ended().await.unwrap();
}

#[tokio::test]
async fn a_client_that_only_pings_is_idle() {
    use trueroute_testkit::client_h2::raw::Frame;
    let scene = Scene::with(router().set("frontend_idle_timeout", "1s")).await;
    let mut raw = scene.raw(&[]).await;
    let ping = Frame::new(kind::PING, 0, 0, [0; 8]);
    let mut ended = false;
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if raw.send(&ping).await.is_err() {
            ended = true;
            break;
        }
    }
    assert!(ended, "it goes on and on");
}
