//! B3-4: a switch of protocols that one party has not seen, and requests that would travel behind it.

use trueroute_testkit::{
    Registration,
    app::{Received, Reply},
    eventually,
    peers::{self, Door, Line, Peer},
};

use super::{
    canary::{Canary, HOST, answers, settings, statuses},
    support::PATIENCE,
};

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";

fn behind() -> String {
    format!("GET /behind HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
}

fn ask(fields: &str) -> String {
    format!("GET /asks HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n{}", behind())
}

/// An app that never switches: the bytes behind the request are the next request, seen by the gate, the access log
/// and the canary as such.
#[tokio::test]
async fn what_follows_a_declined_switch_is_a_request() {
    let canary = Canary::with(settings(), |request| match request.target.as_str() {
        "/asks" if request.header("upgrade").is_some() => Reply::status(426),
        _ => Reply::text("ok"),
    })
    .await;
    for (name, fields, told) in [
        ("a WebSocket", WEBSOCKET, true),
        ("an odd version", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n", true),
        ("another protocol", "Connection: Upgrade\r\nUpgrade: x/1\r\n", true),
        ("no Connection", "Upgrade: websocket\r\n", false),
        ("no Upgrade", "Connection: Upgrade\r\n", false),
        ("an empty Upgrade", "Connection: Upgrade\r\nUpgrade:\r\n", false),
        ("h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", false),
        ("H2C among others", "Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n", false),
        ("h2c with a version", "Connection: Upgrade\r\nUpgrade: h2c/1\r\n", false),
        ("h2c in a second field", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", true),
        ("HTTP/2.0", "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", false),
    ] {
        let got = statuses(&canary.send(ask(fields)).await);
        assert_eq!(got, [if told { 426 } else { 200 }, 200], "{name}");
        let received = canary.got().await;
        let [.., first, second] = &received[..] else { panic!("{name}") };
        assert_eq!((&*first.target, &*second.target), ("/asks", "/behind"), "{name}");
        assert_eq!(first.header("upgrade").is_some(), told, "{name}: {first:?}");
        assert!(!first.headers_named("upgrade").iter().any(|protocol| protocol.contains("h2c")), "{name}: {first:?}");
        for field in ["http2-settings", "keep-alive", "proxy-connection"] {
            assert_eq!(first.header(field), None, "{name}");
        }
    }
    assert_eq!(canary.app.requests(), 22);
    canary.is_well("declined switches").await;
}

/// Bodies end where they end, whatever else the request asks for.
#[tokio::test]
async fn a_switch_with_a_body_hides_no_request() {
    let canary = Canary::with(settings(), |_: &Received| Reply::status(426)).await;
    let body = behind();
    for framing in [
        format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
    ] {
        let bytes = format!("POST /asks HTTP/1.1\r\nHost: {HOST}\r\n{WEBSOCKET}{framing}");
        assert_eq!(statuses(&canary.send(format!("{bytes}{body}")).await), [426, 426]);
    }
    let targets: Vec<String> = canary.got().await.into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/asks", "/behind", "/asks", "/behind"]);
}

/// An app that says 101 to who has not asked, or to something else than was asked for: no tunnel, so that nothing
/// that follows goes past the gate.
#[tokio::test]
async fn a_switch_that_was_not_asked_for_opens_no_tunnel() {
    let canary = Canary::new().await;
    let unasked = peers::unsolicited_101(Door::Plain);
    let other = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.head().await;
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n";
        let _ = line.send(head).await;
        line.drain().await;
    });
    for (host, peer) in [("unasked.example", &unasked), ("other.example", &other)] {
        canary.register(&Registration::plain(peer.addr()).uri(host).app("switch")).await;
        for fields in ["", "Upgrade: other\r\n", "Connection: Upgrade\r\n", WEBSOCKET] {
            let before = (peer.requests(), canary.app.requests());
            let bytes = format!("GET /asks HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{}", behind());
            assert_eq!(statuses(&canary.send(bytes).await), [502, 200], "{host} {fields:?}");
            assert_eq!((peer.requests(), canary.app.requests()), (before.0 + 1, before.1 + 1), "{host} {fields:?}");
            eventually(PATIENCE, async || peer.open_connections() == 0).await;
        }
        let tunnelled = String::from_utf8_lossy(behind().as_bytes()).len() as u64;
        assert!(peer.bytes_in() < peer.requests() * (600 + tunnelled), "{host}");
    }
    canary.is_well("odd switches").await;
}

/// A tunnel is opened by HTTP/1.1 alone, and the bytes in it are nobody's requests.
#[tokio::test]
async fn bytes_in_a_tunnel_are_no_requests() {
    let canary = Canary::with(settings(), Reply::by_path).await;
    let mut client = canary.client().await;
    client.send_raw(ask(WEBSOCKET)).await.unwrap();
    assert_eq!(client.reader.head().await.unwrap().status, 101);
    let echo = client.reader.exactly(behind().len()).await.unwrap();
    assert_eq!(echo, behind().as_bytes(), "the app has the bytes as they are");
    assert_eq!(canary.app.requests(), 1);
    client.finish().await.unwrap();
    assert!(client.reader.closed().await);
    let answers = {
        let mut client = canary.client().await;
        let bytes = format!("GET /asks HTTP/1.0\r\nHost: {HOST}\r\n{WEBSOCKET}\r\n{}", behind());
        client.send_raw(bytes).await.unwrap();
        statuses(&answers(&mut client).await)
    };
    assert_eq!(answers, [200], "HTTP/1.0 switches to nothing");
    assert_eq!(canary.app.last().unwrap().header("upgrade"), None);
    canary.is_well("a tunnel").await;
}

/// HTTP/2 without TLS is not spoken: its preface is no request.
#[tokio::test]
async fn the_preface_of_http_2_is_refused() {
    let canary = Canary::new().await;
    for bytes in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", behind()),
        format!("CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}\r\n\r\n{}", behind()),
        format!("CONNECT / HTTP/1.1\r\nHost: {HOST}\r\n\r\n{}", behind()),
    ] {
        let got = statuses(&canary.send(&bytes).await);
        assert!(matches!(got[..], [400 | 405 | 505]), "{bytes:?}: {got:?}");
    }
    assert_eq!(canary.app.requests(), 0);
    canary.is_well("prefaces").await;
}
