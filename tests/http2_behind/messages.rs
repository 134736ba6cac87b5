//! What a message is on its way through: trailers, interim answers, events, uploads that are answered early, deadlines.

use trueroute_testkit::{
    Registration,
    app::Reply,
    client::Request,
    eventually,
    peers::http2::{Http2, LAST, OK, WHOLE, code, http2_door, kind, speaks_http2},
    pki::InstanceId,
};

use crate::support::{PATIENCE, RouterUnderTest};

#[tokio::test]
async fn trailers_travel_both_ways() {
    let router = RouterUnderTest::start().await;
    let rule = |_: &trueroute_testkit::app::Received| Reply::WithTrailers {
        body: b"body".to_vec(),
        trailers: vec![("x-sum".into(), "17".into())],
    };
    let app = router.instance("a").uri("trail.h2").http2().rule(rule).register().await;
    let mut client = router.client().await;
    let request = "POST / HTTP/1.1\r\nHost: trail.h2\r\nTE: trailers\r\nTrailer: X-End, X-Forwarded-For\r\n\
                   Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-End: 1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    client.send_raw(request).await.unwrap();
    let answer = client.reader.response("POST").await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "body"));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "17".to_owned())].map(|(name, value)| (canonical(&name), value)));
    let got = app.last().unwrap();
    assert_eq!((got.body_bytes, &got.trailers[..]), (4, &[("x-end".to_owned(), "1".to_owned())][..]));
    assert_eq!(got.header("te"), Some("trailers"));
}

/// As the client sees it: names in their case.
fn canonical(name: &str) -> String {
    let mut upper = true;
    let letters = name.chars().map(|letter| {
        let written = if upper { letter.to_ascii_uppercase() } else { letter };
        upper = letter == '-';
        written
    });
    letters.collect()
}

#[tokio::test]
async fn fields_about_a_connection_stay_on_it() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("fields.h2").http2().register().await;
    let request = Request::new("GET", "/").host("fields.h2").header("Connection", "keep-alive, x-mine");
    let request = request.header("X-Mine", "1").header("Keep-Alive", "timeout=5").header("X-Other", "2");
    assert_eq!(router.ask(request.header("Cookie", "a=1; b=2")).await.status, 200);
    let got = app.last().unwrap();
    for name in ["connection", "x-mine", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_eq!(got.header(name), None, "{name}");
    }
    assert_eq!((got.header("x-other"), got.headers_named("cookie")), (Some("2"), vec!["a=1; b=2"]));
}

#[tokio::test]
async fn events_come_one_by_one() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("events.h2").http2().register().await;
    let mut client = router.client().await;
    client.send_raw("GET /events/3 HTTP/1.1\r\nHost: events.h2\r\n\r\n").await.unwrap();
    assert_eq!(client.reader.head().await.unwrap().status, 200);
    for number in 0..3 {
        app.release();
        let mut got = String::new();
        while !got.contains(&format!("data: {number}\n\n")) {
            got.push_str(&String::from_utf8(client.reader.some().await.unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_body_that_waits_to_be_asked_for_is_asked_for_once() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("expect.h2").http2().register().await;
    let mut client = router.client().await;
    let head = "POST / HTTP/1.1\r\nHost: expect.h2\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    client.send_raw(head).await.unwrap();
    assert_eq!(client.reader.head().await.unwrap().status, 100);
    client.send_raw("body").await.unwrap();
    assert_eq!(client.reader.response("POST").await.unwrap().status, 200);
    assert_eq!(app.last().unwrap().body, b"body");
}

#[tokio::test]
async fn an_upload_that_is_answered_early_ends_in_order() {
    let router = RouterUnderTest::start().await;
    let id = InstanceId::of_app("a");
    let door = http2_door(&router.scene.pki.instances.instance(&id).issue());
    let peer = speaks_http2(door, async |mut talk: Http2| {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        while let Some(stream) = talk.request().await {
            // :status 413, and no more of the body is wanted.
            talk.send(kind::HEADERS, WHOLE | LAST, stream, [0x48, 0x03, b'4', b'1', b'3']).await;
            talk.reset(stream, code::NO_ERROR).await;
        }
    });
    router.register(&Registration::tls(peer.addr(), &id.instance).uri("early.h2").protocol("http2")).await;
    for size in [1000, 300_000] {
        let answer = router.ask(Request::new("POST", "/").host("early.h2").body(vec![b'x'; size])).await;
        assert_eq!((answer.status, answer.body.len()), (413, 0), "{size}");
    }
    assert_eq!(router.endpoints("early.h2").await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole() {
    let router = RouterUnderTest::builder().set("endpoint_timeout", "500ms").start().await;
    let id = InstanceId::of_app("a");
    let door = http2_door(&router.scene.pki.instances.instance(&id).issue());
    let peer = speaks_http2(door, async |mut talk: Http2| {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        for turn in 0.. {
            let Some(stream) = talk.request().await else { return };
            talk.send(kind::HEADERS, WHOLE, stream, OK).await;
            talk.send(kind::DATA, 0, stream, b"half".to_vec()).await;
            match turn {
                0 => talk.reset(stream, code::INTERNAL_ERROR).await,
                1 => talk.reset(stream, code::NO_ERROR).await,
                // Nothing more comes: the deadline passes.
                2 => drop(talk.until(kind::RST_STREAM, stream).await),
                _ => return talk.hang_up().await,
            }
        }
    });
    router.register(&Registration::tls(peer.addr(), &id.instance).uri("half.h2").protocol("http2")).await;
    let mut turns = 0;
    while peer.requests() < 8 && turns < 20 {
        turns += 1;
        let mut client = router.client().await;
        client.send_raw("GET / HTTP/1.1\r\nHost: half.h2\r\n\r\n").await.unwrap();
        let whole = client.reader.response("GET").await;
        assert!(whole.is_err(), "{turns}: {whole:?}");
    }
    assert_eq!(router.endpoints("half.h2").await.len(), 1);
    eventually(PATIENCE, async || peer.open_connections() <= 2).await;
}
