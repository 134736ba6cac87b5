//! Exchanges that come to their end, in every cell.

use serde_json::Value;
use trueroute_testkit::{
    App,
    app::{Received, Reply},
    eventually,
    peers::{
        self, Peer,
        http2::{LAST, WHOLE, code, kind},
    },
};

use super::{
    asker::{Answer, Ask, Body, Exit},
    cell::{Cell, HOST, Scene, everywhere},
    support::PATIENCE,
};

const MIB: usize = 1024 * 1024;

/// What the router adds to every answer of an endpoint, and what the app adds.
fn is_the_apps(scene: &Scene, answer: &Answer, case: &str) {
    let named = format!("{:?}, {case}", scene.cell);
    assert_eq!(answer.status, 200, "{named}: {:?}", answer.text());
    assert_eq!(answer.field("x-app"), Some("matrix"), "{named}");
    assert_eq!(answer.field("x-instance"), Some(&*scene.id.instance), "{named}");
    assert!(answer.field("x-vcap-request-id").is_some_and(|id| id.len() == 36), "{named}");
    for field in ["connection", "keep-alive", "x-cf-routererror"] {
        assert_eq!(answer.field(field), None, "{named}");
    }
}

/// What every app is told, whatever the ways.
fn is_told_everything(scene: &Scene, got: &Received, ask: &Ask, case: &str) {
    let named = format!("{:?}, {case}", scene.cell);
    assert_eq!((&*got.method, &*got.target), (ask.method, &*ask.path), "{named}");
    assert_eq!((&*got.version, got.complete), (scene.cell.behind.version(), true), "{named}");
    for (name, value) in [
        ("host", ask.host),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", scene.cell.front.scheme()),
        ("x-cf-applicationid", "matrix"),
        ("x-cf-instanceid", &scene.id.instance),
    ] {
        assert_eq!(got.headers_named(name), [value], "{named}: {name}");
    }
    for name in ["x-request-start", "x-vcap-request-id"] {
        assert_eq!(got.headers_named(name).len(), 1, "{named}: {name}");
    }
    for (name, value) in &ask.fields {
        assert_eq!(got.headers_named(name), [value], "{named}: {name}");
    }
    let mutual = scene.cell.behind.is_mutual();
    assert_eq!(got.client_certificate.is_some(), mutual, "{named}: the router's certificate");
}

/// Asks over one connection what has an ordinary answer.
async fn ordinary(scene: &Scene) {
    let mut asker = scene.asker().await;
    let fields = |ask: Ask| ask.field("x-custom", "a, b").field("cookie", "c=d").field("accept", "*/*");
    let cases = [
        ("GET", Ask::new("GET", HOST, "/a%2Fb?q=%20;x"), 0),
        ("HEAD", Ask::new("HEAD", HOST, "/head"), 0),
        ("DELETE", Ask::new("DELETE", HOST, "/"), 0),
        ("POST without a body", Ask::new("POST", HOST, "/none"), 0),
        ("POST of 1 byte", Ask::new("POST", HOST, "/one").body(Body::Length(1)), 1),
        ("POST of 1 MiB", Ask::new("POST", HOST, "/mib").body(Body::Length(MIB)), MIB),
        ("1 MiB in pieces", Ask::new("PUT", HOST, "/pieces").body(Body::Pieces(MIB, vec![])), MIB),
        ("trailers", Ask::new("POST", HOST, "/trailers").body(Body::Pieces(5, vec![("x-t", "v"), ("x-u", "w")])), 5),
        // What must stand in the head is not told behind the body.
        ("a posing trailer", Ask::new("POST", HOST, "/posing").body(Body::Pieces(5, vec![("cookie", "evil")])), 5),
    ];
    for (number, (case, ask, length)) in cases.into_iter().enumerate() {
        let ask = fields(ask);
        let answer = asker.ask(&ask).await;
        is_the_apps(scene, &answer, case);
        let got = scene.app.last().unwrap();
        assert_eq!(scene.app.requests(), number as u64 + 1, "{:?}, {case}: once", scene.cell);
        is_told_everything(scene, &got, &ask, case);
        assert_eq!(got.body_bytes, length as u64, "{:?}, {case}", scene.cell);
        assert!(got.body.iter().all(|byte| *byte == b'x'), "{:?}, {case}", scene.cell);
        if let Body::Pieces(_, trailers) = &ask.body {
            let came: Vec<_> = got.trailers.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone())).collect();
            let sent: Vec<_> = trailers
                .iter()
                .filter(|(name, _)| *name != "cookie")
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            assert_eq!(came, sent, "{:?}, {case}", scene.cell);
        }
        match ask.method {
            "HEAD" => assert!(answer.body.is_empty(), "{:?}, {case}", scene.cell),
            _ => assert_eq!(answer.json()["body_bytes"], Value::from(length), "{:?}, {case}", scene.cell),
        }
        scene.is_at_rest(HOST, case).await;
    }
    for (case, path) in [("a stream", format!("/stream/{MIB}")), ("chunks", format!("/chunked/{MIB}"))] {
        let answer = asker.ask(&Ask::new("GET", HOST, &path)).await;
        is_the_apps(scene, &answer, case);
        assert!(answer.body.len() == MIB && answer.body.iter().all(|byte| *byte == b'x'), "{:?}, {case}", scene.cell);
    }
    for status in [204, 304, 404, 500] {
        let answer = asker.ask(&Ask::new("GET", HOST, &format!("/status/{status}"))).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{:?}", scene.cell);
    }
    let unknown = asker.ask(&Ask::new("GET", "nowhere.example", "/")).await;
    assert_eq!((unknown.status, unknown.field("x-cf-routererror")), (404, Some("unknown_route")), "{:?}", scene.cell);
    assert_eq!(scene.app.connections(), 1, "{:?}: connections to the app are kept", scene.cell);
}

#[tokio::test]
async fn ordinary_exchanges() {
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        ordinary(&scene).await;
        scene.ends().await;
    })
    .await;
}

/// Fields behind the body of an answer reach a client that says it takes them.
#[tokio::test]
async fn trailers_of_an_answer() {
    const TRAILING: &str = "trailing.example";
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        let app = answers_with_trailers(&scene);
        scene.lead(TRAILING, app.addr()).await;
        let ask = Ask::new("GET", TRAILING, "/").field("te", "trailers");
        let answer = scene.asker().await.ask(&ask).await;
        assert_eq!((answer.status, &*answer.text()), (200, "hello"), "{cell:?}");
        assert_eq!(answer.trailers, [("x-t".to_owned(), "v".to_owned())], "{cell:?}");
        scene.is_at_rest(TRAILING, "trailers").await;
        scene.ends().await;
    })
    .await;
}

fn answers_with_trailers(scene: &Scene) -> App {
    let trailers = vec![("X-T".to_owned(), "v".to_owned())];
    let reply = Reply::WithTrailers { body: b"hello".into(), trailers };
    App::builder("trailing").door(scene.door()).rule(move |_| reply.clone()).start()
}

/// Each event is there before the next one is made.
#[tokio::test]
async fn events_come_one_by_one() {
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        let ask = Ask::new("GET", HOST, "/events/4").field("accept", "text/event-stream");
        let mut events = scene.asker().await.begin(&ask, 0).await;
        assert_eq!(events.status().await, 200, "{cell:?}");
        for number in 0..4 {
            scene.app.release();
            events.until(&format!("data: {number}\n\n")).await;
        }
        events.leave(Exit::Closes).await;
        scene.is_at_rest(HOST, "events").await;
        scene.ends().await;
    })
    .await;
}

/// The answer is there while most of the body is not, and the client may go on sending or not.
#[tokio::test]
async fn an_early_413_overtakes_the_upload() {
    const EARLY: &str = "early.example";
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        let early = answers_early(&scene);
        scene.lead(EARLY, early.addr()).await;
        for body in [Body::Length(64 * MIB), Body::Pieces(64 * MIB, vec![])] {
            let ask = Ask::new("POST", EARLY, "/").body(body);
            let before = early.requests();
            let mut waits = scene.asker().await.begin(&ask, 1000).await;
            assert_eq!(waits.status().await, 413, "{cell:?}");
            waits.leave(Exit::Closes).await;
            let answer = scene.asker().await.ask(&ask).await;
            assert_eq!((answer.status, &*answer.text()), (413, "too much"), "{cell:?}");
            assert_eq!(early.requests(), before + 2, "{cell:?}");
        }
        scene.is_at_rest(EARLY, "an early 413").await;
        // Over HTTP/2 it was the stream alone that ended.
        let left = u64::from(cell.behind.is_http2());
        eventually(PATIENCE, async || early.open_connections() <= left).await;
        scene.ends().await;
    })
    .await;
}

fn answers_early(scene: &Scene) -> Peer {
    if !scene.cell.behind.is_http2() {
        return peers::answers_413_early(scene.door());
    }
    peers::http2::speaks_http2(scene.door(), |mut talk| async move {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        while let Some(stream) = talk.request().await {
            // A literal with the eighth name of the table, which is `:status`.
            talk.send(kind::HEADERS, WHOLE, stream, *b"\x08\x03413").await;
            talk.send(kind::DATA, LAST, stream, *b"too much").await;
            talk.reset(stream, code::NO_ERROR).await;
        }
    })
}

#[tokio::test]
async fn a_switch_of_protocols_joins_both_ends() {
    everywhere(async |cell: Cell| {
        if !cell.front.switches() {
            return;
        }
        let scene = Scene::new(cell).await;
        let ask = Ask::new("GET", HOST, "/").field("connection", "Upgrade").field("upgrade", "websocket");
        let mut tunnel = scene.asker().await.begin(&ask, 0).await;
        assert_eq!(tunnel.status().await, 101, "{cell:?}");
        for word in ["there", "and back"] {
            tunnel.send(word).await;
            tunnel.until(word).await;
        }
        tunnel.leave(Exit::Closes).await;
        scene.is_at_rest(HOST, "a tunnel").await;
        eventually(PATIENCE, async || scene.app.open_connections() == 0).await;
        scene.ends().await;
    })
    .await;
}
