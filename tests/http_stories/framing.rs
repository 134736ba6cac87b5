//! Where a message ends: lengths, chunks, trailers, and the versions that know none of them.

use trueroute_testkit::app::Reply;

use super::{
    message::{Message, answered, ask, hello, told},
    scene::{After, Scene, raw, recorded, whole},
};

#[tokio::test]
async fn a_body_reaches_the_app_in_its_framing() {
    let scene = Scene::new().await;
    for (name, request, expected) in [
        (
            "length",
            ask("POST /p HTTP/1.1", &["Content-Length: 4"], "abcd"),
            told("POST /p HTTP/1.1", &["Content-Length: 4"], "abcd"),
        ),
        (
            "the same length twice",
            ask("POST /p HTTP/1.1", &["Content-Length: 4", "Content-Length: 4"], "abcd"),
            told("POST /p HTTP/1.1", &["Content-Length: 4"], "abcd"),
        ),
        (
            "chunks",
            ask("POST /p HTTP/1.1", &["Transfer-Encoding: chunked"], "4\r\nabcd\r\n0\r\n\r\n"),
            told("POST /p HTTP/1.1", &["Transfer-Encoding: chunked"], "4\r\nabcd\r\n0\r\n\r\n"),
        ),
        (
            "chunks in capitals",
            ask("POST / HTTP/1.1", &["Transfer-Encoding: CHUNKED"], "4;ext=1\r\nabcd\r\n0\r\n\r\n"),
            told("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], "4\r\nabcd\r\n0\r\n\r\n"),
        ),
        (
            "no chunk",
            ask("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], "0\r\n\r\n"),
            told("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], "0\r\n\r\n"),
        ),
        (
            "trailers",
            ask(
                "POST /p HTTP/1.1",
                &["Transfer-Encoding: chunked", "Trailer: X-T"],
                "4\r\nabcd\r\n0\r\nx-t: v\r\n\r\n",
            ),
            told(
                "POST /p HTTP/1.1",
                &["Transfer-Encoding: chunked", "Trailer: X-T"],
                "4\r\nabcd\r\n0\r\nX-T: v\r\n\r\n",
            ),
        ),
        (
            "an announced nothing",
            ask("POST /?secret=1 HTTP/1.1", &["Content-Length: 0"], ""),
            told("POST /?secret=1 HTTP/1.1", &["Content-Length: 0"], ""),
        ),
        ("nothing, unannounced", ask("PUT / HTTP/1.1", &[], ""), told("PUT / HTTP/1.1", &["Content-Length: 0"], "")),
        ("nothing in a get", ask("GET / HTTP/1.1", &["Content-Length: 0"], ""), told("GET / HTTP/1.1", &[], "")),
        (
            "a get with a body",
            ask("GET / HTTP/1.1", &["Content-Length: 2"], "ab"),
            told("GET / HTTP/1.1", &["Content-Length: 2"], "ab"),
        ),
        (
            "a length named by Connection",
            ask("POST / HTTP/1.1", &["Connection: Content-Length", "Content-Length: 4"], "abcd"),
            told("POST / HTTP/1.1", &["Content-Length: 4"], "abcd"),
        ),
    ] {
        let (got, after) = scene.exchange(&request).await;
        assert_eq!((got, after), (hello(), After::Open), "{name}");
        assert_eq!(scene.app_got(), expected, "{name}");
    }
}

#[tokio::test]
async fn chunks_and_a_length_are_read_as_chunks_and_end_the_connection() {
    let scene = Scene::new().await;
    let request = ask(
        "POST / HTTP/1.1",
        &["Content-Length: 4", "Transfer-Encoding: chunked"],
        "4\r\nabcd\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.example.com\r\n\r\n",
    );
    let got = Message::read(&scene.to_the_end(&request).await);
    assert_eq!(got.body, "hello", "one answer, no second");
    assert_eq!(scene.app_got(), told("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], "4\r\nabcd\r\n0\r\n\r\n"));
    assert_eq!(scene.app.requests(), 1);
}

/// How the app frames its answer, and what the client gets.
#[tokio::test]
async fn an_answer_reaches_the_client_in_its_framing() {
    let ok = "HTTP/1.1 200 OK";
    let chunked = |fields: &[&str], body| {
        let mut fields = fields.to_vec();
        fields.push("Transfer-Encoding: chunked");
        answered(ok, &fields, body)
    };
    let scene = Scene::new().await;
    for (name, says, body, expected) in [
        ("no content", "HTTP/1.1 204 No Content\r\n\r\n", "", answered("HTTP/1.1 204 No Content", &[], "")),
        (
            "not modified",
            "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
            "",
            answered("HTTP/1.1 304 Not Modified", &["Etag: x"], ""),
        ),
        (
            "not modified, without the length of what was not sent",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "",
            answered("HTTP/1.1 304 Not Modified", &[], ""),
        ),
        (
            "a redirect",
            "HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
            "",
            answered("HTTP/1.1 301 Moved Permanently", &["Content-Length: 0", "Location: http://elsewhere/"], ""),
        ),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "hello",
            chunked(&[], ""),
        ),
        (
            "chunks and a length",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "hello",
            chunked(&[], ""),
        ),
        ("until the end", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", chunked(&[], "")),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", "hello", chunked(&[], "")),
        (
            "HTTP/1.0 with a length",
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
            answered(ok, &["Content-Length: 5"], ""),
        ),
        (
            "the same length twice",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
            answered(ok, &["Content-Length: 5"], ""),
        ),
        (
            "more than announced",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "hello",
            answered(ok, &["Content-Length: 5"], ""),
        ),
        (
            "no type is guessed",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "<html>",
            answered(ok, &["Content-Length: 6"], ""),
        ),
        (
            "what belongs to the app's connection",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Foo\r\nX-Foo: 1\r\nKeep-Alive: x\r\n\
             Proxy-Authenticate: y\r\n\r\nok",
            "ok",
            answered(ok, &["Content-Length: 2"], ""),
        ),
        (
            "names become canonical, what the app says stays",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-lower: 1\r\nServer: s\r\nX-Vcap-Request-Id: mine\r\n\
             X-Cf-Routererror: fake\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\r\nok",
            "ok",
            answered(
                ok,
                &["Content-Length: 2", "Server: s", "X-Cf-Routererror: fake", "X-Lower: 1", "X-Vcap-Request-Id: mine"],
                "",
            ),
        ),
    ] {
        scene.app_says(raw(says));
        let (mut got, after) = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
        assert_eq!(std::mem::take(&mut got.body), body, "{name}");
        assert_eq!((got, after), (expected, After::Open), "{name}");
    }
}

#[tokio::test]
async fn trailers_of_an_answer_reach_a_client_that_takes_them() {
    let scene = Scene::new().await;
    scene.app_says(raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nx-t: v\r\n\r\n",
    ));
    for (fields, trailers) in [(&[][..], &[][..]), (&["TE: trailers"], &[("X-T".to_owned(), "v".to_owned())])] {
        let (response, mut client) = scene.send(&ask("GET / HTTP/1.1", fields, ""), "GET").await.unwrap();
        let expected = answered("HTTP/1.1 200 OK", &["Trailer: X-T", "Transfer-Encoding: chunked"], "hello");
        assert_eq!(whole(&response), expected, "{fields:?}");
        assert_eq!(response.trailers, trailers, "{fields:?}");
        assert_eq!(scene.state(&mut client).await, After::Open, "{fields:?}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_and_no_length_but_the_apps() {
    let scene = Scene::new().await;
    for (name, says, fields) in [
        ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &["Content-Length: 5"][..]),
        ("a body all the same", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &["Content-Length: 5"]),
        ("no length", "HTTP/1.1 200 OK\r\n\r\n", &[]),
    ] {
        scene.app_says(raw(says));
        let (got, after) = scene.exchange(&ask("HEAD / HTTP/1.1", &[], "")).await;
        assert_eq!((got, after), (answered("HTTP/1.1 200 OK", fields, ""), After::Open), "{name}");
        assert_eq!(scene.app_got(), told("HEAD / HTTP/1.1", &[], ""), "{name}");
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let scene = Scene::new().await;
    scene.app_says(raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: v\r\n\r\n",
    ));
    for fields in [&[][..], &["Connection: keep-alive"]] {
        let got = Message::read(&scene.to_the_end(&ask("GET / HTTP/1.0", fields, "")).await);
        assert_eq!(got.start, "HTTP/1.0 200 OK");
        assert_eq!(got.body, "hello", "as it is, until the end: {got:?}");
        assert!(got.fields.iter().all(|field| !field.starts_with("Transfer-Encoding")), "{got:?}");
    }
}

#[tokio::test]
async fn an_app_of_http_1_0_may_keep_its_connection() {
    let scene = Scene::with(recorded().set("disable_keep_alives", false).set("go_max_procs", 1)).await;
    for (says, connections) in [
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", 1),
        // The connection of before still serves one request; after it there is none to keep.
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 3),
    ] {
        scene.app_says(Reply::Raw(says.into()));
        for _ in 0..3 {
            let (response, _) = scene.send(&ask("GET / HTTP/1.1", &[], ""), "GET").await.unwrap();
            assert_eq!(response.text(), "ok");
        }
        assert_eq!(scene.app.connections(), connections, "{says:?}");
    }
}

#[tokio::test]
async fn a_surplus_of_an_answer_never_reaches_the_next_client() {
    let scene = Scene::with(recorded().set("disable_keep_alives", false).set("go_max_procs", 1)).await;
    scene.app_says(Reply::Raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".into(),
    ));
    for turn in 1..=3 {
        let (response, _) = scene.send(&ask("GET / HTTP/1.1", &[], ""), "GET").await.unwrap();
        assert_eq!(response.text(), "hello");
        assert_eq!(scene.app.connections(), turn, "a connection with a surplus is not used again");
    }
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_turn() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.send_raw([ask("GET / HTTP/1.1", &[], ""), ask("GET /2 HTTP/1.1", &[], "")].concat()).await.unwrap();
    for target in ["/", "/2"] {
        assert_eq!(whole(&client.response().await.unwrap()), hello());
        let lines: Vec<String> = scene.app.received().iter().map(|request| request.target.clone()).collect();
        assert!(lines.iter().any(|line| line == target), "{lines:?}");
    }
    assert_eq!(scene.app.requests(), 2);
}
