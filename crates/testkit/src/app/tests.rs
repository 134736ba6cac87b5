use std::time::Duration;

use serde_json::json;

use super::*;
use crate::client::{Client, Request};
use crate::pki::{Authority, InstanceId, KeyKind};
use crate::poll::eventually;
use crate::tls::{ClientTls, ServerTls, Version};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn echoes_and_keeps_what_arrived() {
    let app = App::builder("a").instance("i").start();
    let mut client = Client::connect(app.addr()).await.unwrap();
    let raw = "POST /x?y=1 HTTP/1.1\r\nhOst: h\r\nContent-Length: 3\r\n\r\nabc";
    client.send_raw(raw).await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!((response.header("X-App"), response.header("x-instance")), (Some("a"), Some("i")));
    let expected = json!({
        "app": "a", "instance": "i", "method": "POST", "target": "/x?y=1", "version": "HTTP/1.1",
        "headers": [["hOst", "h"], ["Content-Length", "3"]], "body_bytes": 3, "connection": 1,
    });
    assert_eq!(response.json(), expected);
    let chunked = Request::new("PUT", "/").host("h").body("abcde").chunked();
    assert_eq!(client.request(chunked.clone()).await.unwrap().json()["body_bytes"], 5);
    let received = app.received();
    assert_eq!((&received[0].raw[..], &received[0].body[..]), (raw.as_bytes(), &b"abc"[..]));
    assert_eq!((&received[1].raw, &received[1].body[..]), (&chunked.bytes(), &b"abcde"[..]));
    assert_eq!((app.requests(), app.connections()), (2, 1));
    assert_eq!(app.bytes_in(), (raw.len() + chunked.bytes().len()) as u64);
}

#[tokio::test]
async fn a_request_cut_short_is_on_record() {
    let app = App::start("a");
    let mut client = Client::connect(app.addr()).await.unwrap();
    client.send_raw("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
    client.reset();
    eventually(SOON, || async { app.last().is_some_and(|last| !last.complete && last.body == b"abc") }).await;
    eventually(SOON, || async { app.open_connections() == 0 }).await;
}

#[tokio::test]
async fn paths_choose_what_it_does() {
    let app = App::start("a");
    let mut client = Client::connect(app.addr()).await.unwrap();
    for path in ["/stream/200000", "/chunked/200000"] {
        assert_eq!(client.get("h", path).await.unwrap().body.len(), 200_000, "{path}");
    }
    assert_eq!(app.bytes_out(), 400_000);
    assert_eq!(client.get("h", "/status/418").await.unwrap().status, 418);
    let head = client.request(Request::new("HEAD", "/stream/70").host("h")).await.unwrap();
    assert_eq!((head.header("content-length"), head.body.len()), (Some("70"), 0));
    let waited = Request::new("POST", "/").host("h").header("Expect", "100-continue").body("x");
    assert_eq!(client.request(waited).await.unwrap().interim, [100]);
    assert_eq!(client.request(Request::new("GET", "/").header("Connection", "close")).await.unwrap().status, 200);
    assert!(client.reader.closed().await);
    for path in ["/close", "/reset"] {
        let mut client = Client::connect(app.addr()).await.unwrap();
        let failure = client.get("h", path).await.unwrap_err().kind();
        assert_eq!(failure == std::io::ErrorKind::ConnectionReset, path == "/reset", "{path}: {failure}");
    }
}

#[tokio::test]
async fn waits_until_released_and_notices_who_leaves() {
    let app = App::start("a");
    let mut client = Client::connect(app.addr()).await.unwrap();
    client.send_raw("GET /delay HTTP/1.1\r\n\r\n").await.unwrap();
    eventually(SOON, || async { app.requests() == 1 }).await;
    app.release();
    assert_eq!(client.response().await.unwrap().status, 200);
    client.send_raw("GET /delay HTTP/1.1\r\n\r\n").await.unwrap();
    eventually(SOON, || async { app.requests() == 2 }).await;
    drop(client);
    eventually(SOON, || async { app.open_connections() == 0 }).await;
}

#[tokio::test]
async fn events_come_one_by_one() {
    let app = App::start("a");
    let mut client = Client::connect(app.addr()).await.unwrap();
    client.send_raw("GET /events/2 HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(client.reader.head().await.unwrap().header("content-type"), Some("text/event-stream"));
    for number in 0..2 {
        app.release();
        let event = client.reader.exactly(14).await.unwrap();
        assert_eq!(event, format!("9\r\ndata: {number}\n\n\r\n").as_bytes());
    }
    assert_eq!(client.reader.exactly(5).await.unwrap(), b"0\r\n\r\n");
}

#[tokio::test]
async fn a_tunnel_echoes_until_it_is_closed() {
    let app = App::start("a");
    let mut client = Client::connect(app.addr()).await.unwrap();
    client.send_raw("GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly").await.unwrap();
    let head = client.response().await.unwrap();
    assert_eq!((head.status, head.header("upgrade")), (101, Some("websocket")));
    client.send_raw("late").await.unwrap();
    client.finish().await.unwrap();
    assert_eq!(client.reader.to_end().await.unwrap(), b"earlylate");
}

#[tokio::test]
async fn a_rule_replaces_the_paths() {
    let app = App::builder("a").rule(|request| Reply::text(request.path()).header("X-Y", "z")).start();
    let response = Client::connect(app.addr()).await.unwrap().get("h", "/p?q").await.unwrap();
    assert_eq!((response.text(), response.header("x-y")), ("/p", Some("z")));
    let raw = App::builder("b").raw("HTTP/1.1 299 Odd\r\n\r\nuntil close").start();
    let mut client = Client::connect(raw.addr()).await.unwrap();
    client.send_raw("GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(client.reader.exactly(30).await.unwrap(), b"HTTP/1.1 299 Odd\r\n\r\nuntil clos");
}

#[tokio::test]
async fn tls_shows_and_demands_certificates() {
    let (ours, routers) = (Authority::new("instances"), Authority::new("routers"));
    let id = InstanceId::random();
    let router = routers.router_client("gorouter.service.cf.internal").issue();
    for (version, key) in [(Version::Tls12, KeyKind::Rsa2048), (Version::Tls13, KeyKind::P256)] {
        let leaf = ours.instance(&id).key(key).issue();
        let app = App::builder("a").door(ServerTls::new(&leaf).require_client(&routers).only(version)).start();
        let tls = ClientTls::new(&ours, &id.instance).identity(&router);
        let mut client = Client::connect_tls(app.addr(), &tls).await.unwrap();
        assert_eq!(client.peer_certificate(), Some(&leaf.der[..]));
        client.get("h", "/").await.unwrap();
        assert_eq!(app.last().unwrap().client_certificate.as_ref(), Some(&router.der));
        assert_eq!((app.handshakes(), app.failed_handshakes()), (1, 0));

        let stranger = ClientTls::new(&ours, &id.instance);
        let refused = match Client::connect_tls(app.addr(), &stranger).await {
            Ok(mut client) => client.get("h", "/").await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "{version:?}");
        eventually(SOON, || async { app.failed_handshakes() == 1 }).await;
        assert_eq!(app.requests(), 1);
    }
}

#[tokio::test]
async fn dies_comes_back_and_leaves_its_port_to_another() {
    let first = App::start("first");
    let mut client = Client::connect(first.addr()).await.unwrap();
    client.get("h", "/").await.unwrap();
    first.die();
    assert!(client.reader.closed().await);
    Client::connect(first.addr()).await.unwrap_err();
    first.revive();
    let answer = Client::connect(first.addr()).await.unwrap().get("h", "/").await.unwrap();
    assert_eq!(answer.header("x-app"), Some("first"));
    first.die();
    let second = App::builder("second").port(first.port()).start();
    let answer = Client::connect(second.addr()).await.unwrap().get("h", "/").await.unwrap();
    assert_eq!(answer.header("x-app"), Some("second"));
}

#[tokio::test]
async fn hangs_up_on_those_who_are_there() {
    let app = App::start("a");
    let mut client = Client::connect(app.addr()).await.unwrap();
    client.get("h", "/").await.unwrap();
    app.hang_up();
    assert!(client.reader.closed().await);
    Client::connect(app.addr()).await.unwrap().get("h", "/").await.unwrap();
}
