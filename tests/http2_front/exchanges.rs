//! What a client and an app say to each other, one in HTTP/2 and the other in HTTP/1.

use bytes::Bytes;
use http::HeaderMap;
use trueroute_testkit::{
    Client,
    app::Reply,
    client_h2::{Call, Reason, data, get, request, rest, send_data},
    peers::{self, Door, Line, Peer},
};

use super::scene::{HOST, Scene, router};

fn plain(addr: std::net::SocketAddr, uri: &str) -> trueroute_testkit::Registration {
    trueroute_testkit::Registration::plain(addr).uri(uri).app("app-guid")
}

#[tokio::test]
async fn a_request_arrives_as_http1_has_it() {
    let scene = Scene::new().await;
    let mut asked = get(HOST, "/a%2Fb?q=%zz&x");
    asked.headers_mut().insert("x-thing", "1".parse().unwrap());
    for cookie in ["a=b", "c=d"] {
        asked.headers_mut().append("cookie", cookie.parse().unwrap());
    }
    let answer = scene.h2().await.ask(asked).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("x-app")), (200, Some("a")));
    let got = scene.app.last().unwrap();
    assert_eq!((&*got.method, &*got.target, &*got.version), ("GET", "/a%2Fb?q=%zz&x", "HTTP/1.1"));
    let one = |name: &str| got.headers_named(name);
    assert_eq!(one("host"), [HOST]);
    assert_eq!(one("X-Thing"), ["1"]);
    assert_eq!(one("Cookie"), ["a=b; c=d"]);
    assert_eq!(one("X-Forwarded-Proto"), ["https"]);
    assert_eq!(one("X-Forwarded-For"), ["127.0.0.1"]);
    assert!(one("Transfer-Encoding").is_empty() && one("Content-Length").is_empty() && one("Te").is_empty());
    assert_eq!(answer.header("x-vcap-request-id"), one("X-Vcap-Request-Id").first().copied());
}

/// hyper sends no 100 here; a client waits for it in vain, for as long as it likes.
#[tokio::test]
async fn a_body_that_waits_for_a_100_arrives_all_the_same() {
    let scene = Scene::new().await;
    let mut asked = request("POST", HOST, "/");
    asked.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let answer = scene.h2().await.send(asked, "late").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.json()["body_bytes"].as_u64()), (200, Some(4)));
}

#[tokio::test]
async fn every_line_of_the_access_log_names_the_protocol() {
    let scene = Scene::new().await;
    scene.h2().await.get(HOST, "/logged?x").await.unwrap();
    let line = scene.access_log_line("/logged").await;
    assert!(line.contains("\"GET /logged?x HTTP/2.0\" 200 "), "{line}");
    assert!(line.contains("x_forwarded_proto:\"https\""), "{line}");
}

#[tokio::test]
async fn bodies_go_both_ways_whole() {
    let scene =
        Scene::ruled(router(), |request| Reply::text(&String::from_utf8_lossy(&request.body).to_uppercase())).await;
    let client = scene.h2().await;
    for size in [1, 100_000, 250_000] {
        let mut call = client.start(request("POST", HOST, "/"), false).await.unwrap();
        send_data(&mut call.body, Bytes::from(vec![b'x'; size]), true).await.unwrap();
        let answer = call.whole().await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, size));
        assert_eq!(answer.header("content-length"), Some(&*size.to_string()));
        assert!(answer.body.iter().all(|byte| *byte == b'X'));
        assert_eq!(scene.app.last().unwrap().header("transfer-encoding"), Some("chunked"), "its length is unknown");
    }
    // With a length that is announced, the app is told so.
    let announced = http::Request::builder().method("POST").uri(format!("https://{HOST}/"));
    let announced = announced.header("content-length", "5").body(()).unwrap();
    assert_eq!(client.send(announced, "hello").await.unwrap().text(), "HELLO");
    let got = scene.app.last().unwrap();
    assert_eq!((got.header("content-length"), got.header("transfer-encoding")), (Some("5"), None));
}

#[tokio::test]
async fn many_streams_share_a_connection_and_none_waits_for_another() {
    let scene = Scene::new().await;
    let client = scene.h2().await;
    let waits = client.start(get(HOST, "/delay"), true).await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..50 {
        calls.push(client.start(get(HOST, "/chunked/300000"), true).await.unwrap());
    }
    for answer in futures_util::future::join_all(calls.into_iter().map(Call::whole)).await {
        assert_eq!(answer.unwrap().body.len(), 300_000);
    }
    scene.app.release();
    assert_eq!(waits.whole().await.unwrap().status, 200);
}

#[tokio::test]
async fn large_answers_pass_as_they_are_taken() {
    const SIZE: usize = 20_000_000;
    let scene = Scene::new().await;
    let answer = scene.h2().await.get(HOST, &format!("/stream/{SIZE}")).await.unwrap();
    assert_eq!(answer.body.len(), SIZE);
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let scene = Scene::new().await;
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.head().await;
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            got.extend(line.some(1000).await);
        }
        let told = String::from_utf8(got).unwrap();
        let told = told.rsplit("0\r\n").next().unwrap().trim_end().replace("\r\n", ",");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTrailer: X-Told\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Told: {told}\r\nConnection: x\r\n\r\n"
        );
        line.send(answer).await.unwrap();
    });
    scene.register(&plain(app.addr(), "trailers.example.com")).await;
    let mut call = scene.h2().await.start(request("POST", "trailers.example.com", "/"), false).await.unwrap();
    call.body.send_data("body".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    trailers.insert("x-forwarded-for", "6.6.6.6".parse().unwrap());
    call.body.send_trailers(trailers).unwrap();
    let answer = call.whole().await.unwrap();
    assert_eq!((answer.text(), answer.header("trailer")), ("x", Some("X-Told")));
    assert_eq!(answer.trailers.get("x-told").unwrap(), "X-Sum: 1", "what only the router may say is left out");
    assert_eq!(answer.trailers.len(), 1);
}

#[tokio::test]
async fn events_are_delivered_one_by_one() {
    let scene = Scene::new().await;
    let call = scene.h2().await.start(get(HOST, "/events/3"), true).await.unwrap();
    let head = call.head().await.unwrap();
    assert_eq!(head.headers()["content-type"], "text/event-stream");
    let mut body = head.into_body();
    for number in 0..3 {
        scene.app.release();
        assert_eq!(data(&mut body).await.unwrap().unwrap(), format!("data: {number}\n\n"));
    }
    assert_eq!(rest(&mut body).await.unwrap().0, b"");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let scene = Scene::ruled(router(), |request| match request.path() {
        "/304" => Reply::Full { status: 304, headers: vec![("Etag".into(), "x".into())], body: Vec::new() },
        "/204" => Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".into()),
        _ => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".into()),
    })
    .await;
    let client = scene.h2().await;
    let answer = client.ask(request("HEAD", HOST, "/")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("content-length"), answer.text()), (200, Some("5"), ""));
    for status in [204, 304] {
        let answer = client.get(HOST, &format!("/{status}")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text()), (status, ""));
    }
    // The router's own words are left out too, but for their length.
    let answer = client.ask(request("HEAD", "unknown.example.com", "/")).await.unwrap();
    let length = "404 Not Found: Requested route ('unknown.example.com') does not exist.\n".len().to_string();
    assert_eq!((answer.status.as_u16(), answer.text()), (404, ""));
    assert_eq!(answer.header("content-length"), Some(&*length));
}

#[tokio::test]
async fn the_routers_own_answers_are_the_same() {
    let scene = Scene::new().await;
    let client = scene.h2().await;
    let answer = client.get("unknown.example.com", "/").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("x-cf-routererror")), (404, Some("unknown_route")));
    assert_eq!(answer.text(), "404 Not Found: Requested route ('unknown.example.com') does not exist.\n");
    let answer = client.get(HOST, "/reset").await.unwrap();
    assert_eq!(answer.status, 502);
    let options = http::Request::builder().method("OPTIONS").uri(format!("https://{HOST}/*")).body(()).unwrap();
    assert_eq!(client.ask(options).await.unwrap().status, 200);
}

#[tokio::test]
async fn nothing_about_the_connection_reaches_the_client() {
    let scene = Scene::ruled(router(), |_| {
        let head =
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nKeep-Alive: timeout=1\r\nProxy-Connection: close\r\n";
        Reply::RawThenClose(
            format!("{head}Upgrade: h3\r\nX-Hop: 1\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nhi").into(),
        )
    })
    .await;
    let client = scene.h2().await;
    for _ in 0..2 {
        let answer = client.get(HOST, "/").await.unwrap();
        assert_eq!((answer.text(), answer.header("x-stays")), ("hi", Some("1")));
        for gone in ["connection", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding"] {
            assert_eq!(answer.header(gone), None);
        }
    }
}

#[tokio::test]
async fn an_early_answer_ends_its_stream_and_no_other() {
    let scene = Scene::new().await;
    let app = peers::answers_413_early(Door::Plain);
    scene.register(&plain(app.addr(), "full.example.com")).await;
    let client = scene.h2().await;
    for _ in 0..5 {
        let mut call = client.start(request("POST", "full.example.com", "/"), false).await.unwrap();
        call.body.send_data(vec![b'x'; 10_000].into(), false).unwrap();
        let (head, mut body) = (call.response, call.body);
        let answer = head.await.unwrap();
        assert_eq!(answer.status(), 413);
        assert_eq!(rest(&mut answer.into_body()).await.unwrap().0, b"too much");
        // The rest is not wanted, and takes nothing from other streams' windows.
        let reset = std::future::poll_fn(|cx| body.poll_reset(cx)).await.unwrap();
        assert_eq!(reset, Reason::NO_ERROR);
    }
    let mut call = client.start(request("POST", HOST, "/"), false).await.unwrap();
    send_data(&mut call.body, vec![b'x'; 3_000_000].into(), true).await.unwrap();
    assert_eq!(call.whole().await.unwrap().json()["body_bytes"], 3_000_000);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
    let scene = Scene::new().await;
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.head().await;
        line.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    });
    scene.register(&plain(app.addr(), "half.example.com")).await;
    let client = scene.h2().await;
    let error = client.get("half.example.com", "/").await.unwrap_err();
    assert!(error.is_reset() && error.is_remote(), "{error}");
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200, "the connection goes on");
}

#[tokio::test]
async fn http1_is_spoken_to_whoever_asks_for_it_or_for_nothing() {
    let scene = Scene::new().await;
    for (offered, chosen) in
        [(&["http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None), (&["h2", "http/1.1"], Some(b"h2"))]
    {
        let client = Client::connect_tls(scene.https(), &scene.tls.clone().alpn(offered)).await.unwrap();
        assert_eq!(client.alpn(), chosen, "{offered:?}");
    }
    let mut client = Client::connect_tls(scene.https(), &scene.tls).await.unwrap();
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
    assert!(Client::connect_tls(scene.https(), &scene.tls.clone().alpn(&["h3"])).await.is_err());

    let scene = Scene::with(router().set("enable_http2", false)).await;
    let mut client = Client::connect_tls(scene.https(), &scene.tls.clone().alpn(&["h2", "http/1.1"])).await.unwrap();
    assert_eq!(client.alpn(), None, "no protocol is offered");
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
}
