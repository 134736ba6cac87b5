//! `backends.max_conns`: how many requests one endpoint works on at a time.

use trueroute_testkit::{client::Request, eventually};

use crate::support::{PATIENCE, RouterUnderTest};

const HOST: &str = "limits.example";

#[tokio::test]
async fn an_endpoint_at_its_limit_is_spared() {
    let router = RouterUnderTest::builder().set("backends.max_conns", 1).start().await;
    let one = router.instance("one").uri(HOST).register().await;
    let mut waiting = router.client().await;
    waiting.send_raw(format!("GET /delay HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    eventually(PATIENCE, async || one.requests() == 1).await;

    let answer = router.ask(Request::new("GET", "/").host(HOST)).await;
    assert_eq!((answer.status, answer.header("x-cf-routererror")), (503, Some("Connection Limit Reached")));
    let body = "503 Service Unavailable: Requested route ('limits.example') has reached the connection limit.\n";
    assert_eq!((answer.text(), answer.header("cache-control")), (body, None));
    assert_eq!(router.metric("backend_exhausted_conns").await, 1.0);
    assert_eq!(one.requests(), 1);

    // Another endpoint takes what this one may not.
    let two = router.instance("two").uri(HOST).register().await;
    for _ in 0..4 {
        assert_eq!(router.get(HOST, "/").await.header("x-app"), Some("two"));
    }
    two.unregister().await;
    one.release();
    assert_eq!(waiting.response().await.unwrap().status, 200);
    assert_eq!(router.get(HOST, "/").await.header("x-app"), Some("one"));
}

#[tokio::test]
async fn only_the_wait_for_an_answer_counts() {
    let router = RouterUnderTest::builder().set("backends.max_conns", 1).start().await;
    let app = router.instance("app").uri(HOST).register().await;
    let mut reading = router.client().await;
    reading.send_raw(format!("GET /events/2 HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    assert_eq!(reading.reader.head().await.unwrap().status, 200);
    // The body is still to come, and a tunnel never ends.
    let mut tunnel = router.client().await;
    let upgrade = Request::new("GET", "/").host(HOST).header("Connection", "Upgrade").header("Upgrade", "echo");
    assert_eq!(tunnel.request(upgrade).await.unwrap().status, 101);
    assert_eq!(router.get(HOST, "/").await.status, 200);
    assert_eq!(app.open_connections(), 3);
}
