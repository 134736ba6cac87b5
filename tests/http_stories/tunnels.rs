//! Upgrades: a tunnel when the app agrees, an answer like any other when it does not.

use trueroute_testkit::{
    app::Reply,
    eventually,
    peers::{Door, Line, Peer},
};

use super::{
    message::{Message, answered, ask, told},
    scene::{After, Scene, plain, raw, recorded},
    support::PATIENCE,
};

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

fn websocket(host: &str) -> String {
    let fields = [
        &format!("Host: {host}"),
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ];
    ask("GET /ws HTTP/1.1", &fields, "")
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways() {
    let scene = Scene::by_path(recorded()).await;
    let mut client = scene.client().await;
    client.send_raw(websocket("app.example.com")).await.unwrap();
    let mut got = Message::read(&client.response().await.unwrap().raw_head);
    got.fields.retain(|field| !field.starts_with("X-App: ") && !field.starts_with("X-Instance: "));
    let expected = ["Connection: Upgrade", "Upgrade: websocket"];
    assert_eq!(got, answered("HTTP/1.1 101 Switching Protocols", &expected, ""));
    let expected = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-Websocket-Version: 13",
    ];
    assert_eq!(scene.app_got(), told("GET /ws HTTP/1.1", &expected, ""));
    for word in ["ping", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\0\r\n\r\n\u{e4}"] {
        client.send_raw(word).await.unwrap();
        assert_eq!(client.reader.exactly(word.len()).await.unwrap(), word.as_bytes());
    }
    assert_eq!(scene.app.requests(), 1, "nothing in a tunnel is a request");
    client.finish().await.unwrap();
    assert!(client.reader.closed().await);
    assert_eq!((scene.metric("websocket_upgrades").await, scene.metric("websocket_failures").await), (1.0, 0.0));
}

#[tokio::test]
async fn a_tunnel_carries_bytes_to_a_proven_instance() {
    let scene = Scene::new().await;
    let instance = scene.instance("ws").uri("ws.example.com").register().await;
    let mut client = scene.client().await;
    client.send_raw(websocket("ws.example.com")).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 101);
    let word = "x".repeat(300_000);
    let (mut reader, mut writer) = client.split();
    let sending = async {
        writer.send(&word).await.unwrap();
        writer.finish().await.unwrap();
    };
    let (came, ()) = tokio::join!(reader.to_end(), sending);
    assert!(came.unwrap() == word.as_bytes());
    assert_eq!(instance.requests(), 1);
}

#[tokio::test]
async fn bytes_that_come_early_are_not_lost() {
    // The app's first words come with its 101, the client's with its request.
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.head().await;
        line.send(format!("{SWITCHED}app first")).await.unwrap();
        let heard = line.some(100).await;
        line.send(heard).await.unwrap();
    });
    let scene = Scene::new().await;
    scene.register(&plain(app.addr()).uri("early.example.com")).await;
    let mut client = scene.client().await;
    client.send_raw(format!("{}client first", websocket("early.example.com"))).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 101);
    assert_eq!(client.reader.to_end().await.unwrap(), b"app firstclient first");
}

#[tokio::test]
async fn each_side_may_finish_first() {
    // The app speaks on after the client has finished.
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.head().await;
        line.send(SWITCHED).await.unwrap();
        line.drain().await;
        line.send("last words").await.unwrap();
    });
    let scene = Scene::new().await;
    scene.register(&plain(app.addr()).uri("patient.example.com")).await;
    let mut client = scene.client().await;
    client.send_raw(websocket("patient.example.com")).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 101);
    client.finish().await.unwrap();
    assert_eq!(client.reader.to_end().await.unwrap(), b"last words");

    // The client speaks on after the app has finished.
    let app = Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.head().await;
        line.send(SWITCHED).await.unwrap();
        line.finish().await.unwrap();
        line.drain().await;
    });
    scene.register(&plain(app.addr()).uri("curt.example.com")).await;
    let mut client = scene.client().await;
    client.send_raw(websocket("curt.example.com")).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 101);
    assert!(client.reader.to_end().await.unwrap().is_empty());
    let before = app.bytes_in();
    client.send_raw("more").await.unwrap();
    eventually(PATIENCE, async || app.bytes_in() == before + 4).await;
    client.finish().await.unwrap();
    eventually(PATIENCE, async || app.open_connections() == 0).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_either_side() {
    let scene = Scene::by_path(recorded()).await;
    let open = async || {
        let mut client = scene.client().await;
        client.send_raw(websocket("app.example.com")).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 101);
        client
    };
    let client = open().await;
    client.reset();
    eventually(PATIENCE, async || scene.app.open_connections() == 0).await;
    let mut client = open().await;
    scene.app.hang_up();
    assert!(client.reader.closed().await);
}

#[tokio::test]
async fn a_tunnel_outlives_the_endpoint_timeout() {
    let scene = Scene::by_path(recorded().set("endpoint_timeout", "300ms").set("backends.max_attempts", 1)).await;
    let mut client = scene.client().await;
    client.send_raw(websocket("app.example.com")).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 101);
    // A request that begins now runs into the timeout; by then the tunnel is older than that.
    assert_eq!(scene.get("app.example.com", "/delay").await.status, 502);
    client.send_raw("ping").await.unwrap();
    assert_eq!(client.reader.exactly(4).await.unwrap(), b"ping");
}

#[tokio::test]
async fn an_app_may_decline() {
    let scene = Scene::with(recorded().set("disable_keep_alives", false)).await;
    scene.app_says(Reply::Raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".into()));
    let (got, after) = scene.exchange(&websocket("app.example.com")).await;
    assert_eq!((got, after), (answered("HTTP/1.1 403 Forbidden", &["Content-Length: 2"], "no"), After::Open));
}

/// Bytes behind a request for an upgrade are a tunnel's only if the app agrees; else they are a request.
#[tokio::test]
async fn bytes_behind_a_declined_upgrade_are_the_next_request() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.send_raw([websocket("app.example.com"), ask("GET /next HTTP/1.1", &[], "")].concat()).await.unwrap();
    for target in ["/ws", "/next"] {
        assert_eq!(client.response().await.unwrap().text(), "hello");
        assert_eq!(scene.app.received().iter().filter(|request| request.target == target).count(), 1);
    }
    assert_eq!(scene.app_got(), told("GET /next HTTP/1.1", &[], ""));
}

#[tokio::test]
async fn another_protocol_than_asked_for_is_a_bare_502() {
    let scene = Scene::new().await;
    for says in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
    ] {
        scene.app_says(raw(says));
        let (got, after) = scene.exchange(&websocket("app.example.com")).await;
        assert_eq!((&*got.start, &*got.body, after), ("HTTP/1.1 502 Bad Gateway", "", After::Open));
        assert_eq!(got.fields, ["Content-Length: 0", "Date: <date>"]);
    }
    assert_eq!((scene.metric("websocket_upgrades").await, scene.metric("websocket_failures").await), (0.0, 2.0));
    assert_eq!(scene.metric("bad_gateways").await, 2.0);
    scene.app_says(Reply::Close);
    scene.exchange(&websocket("app.example.com")).await;
    assert_eq!(scene.metric("websocket_failures").await, 3.0, "an app that closes has failed too");
}

#[tokio::test]
async fn any_protocol_may_be_asked_for() {
    let scene = Scene::by_path(recorded()).await;
    let mut client = scene.client().await;
    let fields = ["Connection: keep-alive, upgrade", "Upgrade: My-Own/1"];
    client.send_raw(ask("POST /x HTTP/1.1", &fields, "")).await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.header("upgrade")), (101, Some("My-Own/1")));
    client.send_raw("ping").await.unwrap();
    assert_eq!(client.reader.exactly(4).await.unwrap(), b"ping");
    assert_eq!(scene.metric("websocket_upgrades").await, 0.0);
}
