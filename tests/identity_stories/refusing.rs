//! An app that refuses behind a sidecar that stands: requests go elsewhere, whatever their method, and none is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use trueroute_testkit::{client::Request, eventually};

use crate::support::{Reach, RouterUnderTest};

const POSTS: u64 = 10_000;
const CLIENTS: u64 = 16;
const LONG: Duration = Duration::from_secs(120);

async fn post(router: Reach, done: Arc<AtomicU64>) {
    let mut client = router.client().await;
    for _ in 0..POSTS / CLIENTS {
        let answer = client.request(Request::new("POST", "/").host("app.example").body("once")).await.unwrap();
        assert_eq!((answer.status, answer.header("x-app")), (200, Some("app")), "{answer:?}");
        done.fetch_add(1, Relaxed);
    }
}

#[tokio::test]
async fn ten_thousand_posts_find_the_instance_that_listens_and_each_is_delivered_once() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let good = router.instance("app").uri("app.example").behind_sidecar().register().await;
    let refusing = router.instance("app").uri("app.example").behind_sidecar().register().await;
    refusing.die();

    let done = Arc::new(AtomicU64::new(0));
    let posts: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(post(router.clone(), Arc::clone(&done)))).collect();
    // The router takes it out of the table; its platform, which has not noticed yet, puts it back, again and again.
    let told = AtomicU64::new(0);
    eventually(LONG, async || {
        refusing.announce().await;
        told.fetch_add(1, Relaxed);
        done.load(Relaxed) == POSTS || posts.iter().any(tokio::task::JoinHandle::is_finished)
    })
    .await;
    for post in posts {
        post.await.unwrap();
    }
    let told = told.into_inner();
    let retried = router.metric("trueroute_retries_total").await;
    assert!(retried >= 20.0, "{retried} requests met the instance that refuses, of which {told} messages told");
    assert_eq!((good.requests() as u64, refusing.requests()), (POSTS, 0));
    println!("{POSTS} requests, {told} registrations of the refusing instance, {retried} retries");
}
