//! Stories about ends: clients that stay where they are not wanted, and a router that leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

mod support;

use support::{PATIENCE, RouterUnderTest};
use trueroute_testkit::{App, Registration, eventually};

const FOREVER: u64 = 1 << 40;

#[tokio::test]
async fn a_client_that_takes_nothing_more_holds_no_endpoint_beyond_the_timeout() {
    let router = RouterUnderTest::builder().set("endpoint_timeout", "3s").start().await;
    let app = App::start("a");
    router.register(&Registration::plain(app.addr()).uri("a.example")).await;
    let mut client = router.client().await;
    client.send_raw(format!("GET /stream/{FOREVER} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await.unwrap();
    eventually(PATIENCE, async || app.bytes_out() > 0).await;
    eventually(PATIENCE, async || app.open_connections() == 0).await;
}

#[tokio::test]
async fn a_client_that_stops_in_its_first_word_does_not_hold_up_a_drain() {
    let router = RouterUnderTest::builder().set("drain_wait", "0s").set("drain_timeout", "60s").start().await;
    let (mut silent, mut stuck) = (router.client().await, router.client().await);
    stuck.send_raw("GET / HT").await.unwrap();
    // Each worker serves a client after these.
    for _ in 0..2 {
        assert_eq!(router.get("a.example", "/").await.status, 404);
    }
    let drained = tokio::time::timeout(PATIENCE, router.drain()).await;
    assert_eq!(drained.expect("the drain ends long before its timeout"), Ok(true));
    assert!(silent.reader.closed().await && stuck.reader.closed().await);
}
