//! Limits on answers, and on how long they may take: the same for both versions of HTTP behind.

use trueroute_testkit::app::Reply;

use crate::support::RouterUnderTest;

fn with_fields(count: usize) -> Reply {
    // Beside these an answer names the app, the instance and its length.
    (3..count).fold(Reply::text("ok"), |reply, number| reply.header(&format!("x-field-{number}"), "v"))
}

#[tokio::test]
async fn an_answer_with_too_many_fields_is_a_502_and_goes_nowhere_else() {
    let router = RouterUnderTest::builder().set("max_response_headers", 10).start().await;
    for http2 in [false, true] {
        let host = format!("fields-{http2}.h2");
        let instance = router.instance("a").uri(&host).rule(|got| with_fields(got.path()[1..].parse().unwrap()));
        let app = if http2 { instance.http2() } else { instance }.register().await;
        assert_eq!(router.get(&host, "/10").await.status, 200, "{http2}");
        let answer = router.get(&host, "/11").await;
        assert_eq!(answer.status, 502, "{http2}");
        assert_eq!(answer.header("x-cf-routererror"), Some("endpoint_failure (Too many response headers)"));
        assert_eq!(app.requests(), 2, "{http2}: not tried again");
        let id = app.last().unwrap().header("x-vcap-request-id").unwrap().to_owned();
        router.log_line("backend-too-many-response-headers", &id).await;
        assert_eq!(router.endpoints(&host).await.len(), 1);
        assert_eq!(router.get(&host, "/10").await.status, 200, "{http2}: others go on");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_a_502_and_costs_nobody_else() {
    let router = RouterUnderTest::builder().set("max_response_header_bytes", 2000).start().await;
    for http2 in [false, true] {
        let host = format!("bytes-{http2}.h2");
        let rule = |got: &trueroute_testkit::app::Received| {
            Reply::text("ok").header("x-large", &"v".repeat(got.path()[1..].parse().unwrap()))
        };
        let instance = router.instance("a").uri(&host).rule(rule);
        let app = if http2 { instance.http2() } else { instance }.register().await;
        assert_eq!(router.get(&host, "/1000").await.status, 200, "{http2}");
        assert_eq!(router.get(&host, "/2000").await.status, 502, "{http2}");
        assert_eq!(router.get(&host, "/1000").await.status, 200, "{http2}");
        assert_eq!(app.requests(), 3);
    }
}

#[tokio::test]
async fn an_answer_must_come_within_the_timeout_of_the_clients_version() {
    let router =
        RouterUnderTest::builder().set("endpoint_timeout", "30s").set("http_1_endpoint_timeout", "300ms").start().await;
    for http2 in [false, true] {
        let host = format!("late-{http2}.h2");
        let instance = router.instance("a").uri(&host);
        let app = if http2 { instance.http2() } else { instance }.register().await;
        let answer = router.get(&host, "/delay").await;
        assert_eq!(answer.status, 502, "{http2}");
        assert_eq!(answer.header("x-cf-routererror"), Some("endpoint_failure (context deadline exceeded)"));
        assert_eq!(app.requests(), 1);
        app.release_all();
    }
}
