//! An app that refuses behind a sidecar that stands: requests go elsewhere, whatever their method, and none is lost.

use trueroute_testkit::client::Request;

use crate::support::{Reach, RouterUnderTest};

const POSTS: u64 = 10_000;
const CLIENTS: u64 = 16;

async fn post(router: Reach) {
    let mut client = router.client().await;
    for _ in 0..POSTS / CLIENTS {
        let answer = client.request(Request::new("POST", "/").host("app.example").body("once")).await.unwrap();
        assert_eq!((answer.status, answer.header("x-app")), (200, Some("app")), "{answer:?}");
    }
}

#[tokio::test]
async fn ten_thousand_posts_find_the_instance_that_listens_and_each_is_delivered_once() {
    // An instance that failed rests for a quarter of the threshold: this one is tried again all the time.
    let router = RouterUnderTest::builder().one_attempt().set("droplet_stale_threshold", "20ms").start().await;
    let good = router.instance("app").uri("app.example").behind_sidecar().register().await;
    let refusing = router.instance("app").uri("app.example").behind_sidecar().register().await;
    refusing.die();

    let posts: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(post(router.clone()))).collect();
    for post in posts {
        post.await.unwrap();
    }
    let retried = router.metric("trueroute_retries_total").await;
    assert!(retried >= 50.0, "{retried} requests met the instance that refuses");
    assert_eq!((good.requests() as u64, refusing.requests()), (POSTS, 0));
    println!("{POSTS} requests, {retried} of them met the instance that refuses");
}
