//! A request to an HTTP/2 endpoint and its answer.

use futures_util::future::join_all;
use trueroute_testkit::{app::Reply, client::Request, eventually};

use crate::support::{PATIENCE, RouterUnderTest};

#[tokio::test]
async fn an_app_registered_for_http2_gets_http2() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("get.h2").http2().register().await;
    let answer = router.get("get.h2", "/a%2Fb?q=%20;x").await;
    assert_eq!((answer.status, answer.header("x-app")), (200, Some("a")));
    let got = app.last().unwrap();
    assert_eq!((&*got.version, &*got.target), ("HTTP/2.0", "/a%2Fb?q=%20;x"));
    assert_eq!(got.header("host"), Some("get.h2"));
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-request-start", "x-vcap-request-id", "x-cf-applicationid"] {
        assert!(got.header(name).is_some(), "{name}: {got:?}");
    }
    assert!(got.client_certificate.is_some());
}

#[tokio::test]
async fn only_who_registers_for_http2_is_asked_for_it() {
    let router = RouterUnderTest::start().await;
    let pki = &router.scene.pki;
    let speaks = |id| pki.door(id).alpn(&["h2", "http/1.1"]);
    let builder = router.instance("a").uri("one.h2");
    let id = trueroute_testkit::pki::InstanceId::of_app("a");
    let app = builder.id(&id).door(speaks(&id)).register().await;
    assert_eq!(router.get("one.h2", "/").await.status, 200);
    assert_eq!(app.last().unwrap().version, "HTTP/1.1");

    let off = RouterUnderTest::builder().set("enable_http2", false).start().await;
    let app = off.instance("b").uri("off.h2").http2().register().await;
    assert_eq!(off.get("off.h2", "/").await.status, 200);
    assert_eq!(app.last().unwrap().version, "HTTP/1.1");
}

#[tokio::test]
async fn an_app_that_does_not_agree_gets_http11_and_its_connection_is_kept() {
    let router = RouterUnderTest::start().await;
    let pki = router.scene.pki.clone();
    for (name, alpn) in [("silent", &[][..]), ("old", &["http/1.1"])] {
        let id = trueroute_testkit::pki::InstanceId::of_app(name);
        let host = format!("{name}.h2");
        let app = router.instance(name).id(&id).uri(&host).http2().door(pki.door(&id).alpn(alpn)).register().await;
        let mut client = router.client().await;
        for _ in 0..5 {
            assert_eq!(client.get(&host, "/").await.unwrap().status, 200, "{name}");
        }
        assert_eq!(app.last().unwrap().version, "HTTP/1.1", "{name}");
        assert_eq!((app.requests(), app.connections()), (5, 1), "{name}");
    }
}

#[tokio::test]
async fn a_plain_app_registered_for_http2_gets_http11() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("plain.h2").plain().http2().register().await;
    assert_eq!(router.get("plain.h2", "/").await.status, 200);
    assert_eq!(app.last().unwrap().version, "HTTP/1.1");
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole_in_both_directions() {
    let router = RouterUnderTest::start().await;
    let app = router
        .instance("a")
        .uri("size.h2")
        .http2()
        .rule(|got| Reply::Stream { bytes: got.body_bytes, chunked: got.path() == "/chunked" })
        .register()
        .await;
    for size in [0, 1, 1000, 64 * 1024, 1024 * 1024, 5 * 1024 * 1024] {
        for chunked in [false, true] {
            let path = if chunked { "/chunked" } else { "/length" };
            let request = Request::new("POST", path).host("size.h2").body(vec![b'x'; size]);
            let answer = router.ask(if chunked { request.chunked() } else { request }).await;
            assert_eq!((answer.status, answer.body.len()), (200, size), "{size} {chunked}");
            let got = app.last().unwrap();
            assert_eq!((got.body_bytes, got.complete), (size as u64, true));
            let length = (!chunked).then(|| size.to_string());
            assert_eq!(got.header("content-length").map(str::to_owned), length, "{size} {chunked}");
        }
    }
    assert_eq!(app.open_connections(), 1.max(app.connections()));
    assert_eq!(app.cancelled(), 0);
}

#[tokio::test]
async fn many_requests_share_a_connection_that_is_opened_once() {
    let router = RouterUnderTest::builder().set("go_max_procs", 1).start().await;
    let app = router.instance("a").uri("share.h2").http2().register().await;
    let requests = join_all((0..40).map(|_| router.get("share.h2", "/delay")));
    let release = async {
        eventually(PATIENCE, async || app.requests() == 40).await;
        app.release_all();
    };
    let (answers, ()) = tokio::join!(requests, release);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((app.connections(), app.handshakes()), (1, 1));
}

#[tokio::test]
async fn no_more_requests_are_sent_at_once_than_the_app_allows() {
    let router = RouterUnderTest::builder().set("go_max_procs", 1).start().await;
    let app = router.instance("a").uri("few.h2").http2_streams(4).register().await;
    let requests = join_all((0..16).map(|_| router.get("few.h2", "/delay")));
    let release = async {
        eventually(PATIENCE, async || app.requests() == 16).await;
        app.release_all();
    };
    let (answers, ()) = tokio::join!(requests, release);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(app.connections() >= 4, "{}", app.connections());
}

#[tokio::test]
async fn a_head_request_has_no_body_and_a_status_of_its_own() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("odd.h2").http2().register().await;
    let answer = router.ask(Request::new("HEAD", "/stream/1000").host("odd.h2")).await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, Some("1000"), 0));
    for status in [204, 304, 404, 500, 599] {
        let answer = router.get("odd.h2", &format!("/status/{status}")).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
    assert_eq!(app.cancelled(), 0);
}

#[tokio::test]
async fn an_upgrade_goes_over_http11_even_to_an_app_that_speaks_http2() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("up.h2").http2().register().await;
    assert_eq!(router.get("up.h2", "/").await.status, 200);
    let mut client = router.client().await;
    client
        .send_raw("GET /ws HTTP/1.1\r\nHost: up.h2\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let answer = client.reader.response("GET").await.unwrap();
    assert_eq!(answer.status, 101);
    client.send_raw("hello").await.unwrap();
    assert_eq!(&client.reader.some().await.unwrap()[..], b"hello");
    assert_eq!(app.received().iter().find(|got| got.path() == "/ws").unwrap().version, "HTTP/1.1");
    assert_eq!(router.get("up.h2", "/").await.status, 200);
    assert_eq!(app.last().unwrap().version, "HTTP/2.0");
}
