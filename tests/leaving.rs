//! Stories about ends: clients that stay where they are not wanted, and a router that leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};

use support::{PATIENCE, RouterUnderTest, Scene};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use trueroute::{app::Router, config};
use trueroute_testkit::{App, Registration, eventually};

const FOREVER: u64 = 1 << 40;

#[tokio::test]
async fn a_client_that_takes_nothing_more_holds_no_endpoint_beyond_the_timeout() {
    let router = RouterUnderTest::builder().set("endpoint_timeout", "3s").start().await;
    let app = App::start("a");
    router.register(&Registration::plain(app.addr()).uri("a.example")).await;
    let mut client = router.client().await;
    client.send_raw(format!("GET /stream/{FOREVER} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await.unwrap();
    eventually(PATIENCE, async || app.bytes_out() > 0).await;
    eventually(PATIENCE, async || app.open_connections() == 0).await;
}

#[tokio::test]
async fn a_client_that_stops_in_its_first_word_does_not_hold_up_a_drain() {
    let router = RouterUnderTest::builder().set("drain_wait", "0s").set("drain_timeout", "60s").start().await;
    let (mut silent, mut stuck) = (router.client().await, router.client().await);
    stuck.send_raw("GET / HT").await.unwrap();
    // Each worker serves a client after these.
    for _ in 0..2 {
        assert_eq!(router.get("a.example", "/").await.status, 404);
    }
    let drained = tokio::time::timeout(PATIENCE, router.drain()).await;
    assert_eq!(drained.expect("the drain ends long before its timeout"), Ok(true));
    assert!(silent.reader.closed().await && stuck.reader.closed().await);
}

/// A client that comes while the router says how many are left.
struct Latecomer {
    router: Mutex<Option<SocketAddr>>,
    came: Arc<Mutex<Option<TcpStream>>>,
}

impl<S: tracing::Subscriber> Layer<S> for Latecomer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = String::new();
        event.record(&mut |_: &tracing::field::Field, value: &dyn std::fmt::Debug| text = format!("{value:?}"));
        if text.contains("outstanding idle connections")
            && let Some(router) = self.router.lock().unwrap().take()
        {
            let mut stream = TcpStream::connect(router).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").unwrap();
            *self.came.lock().unwrap() = Some(stream);
        }
    }
}

#[tokio::test]
async fn who_was_let_in_at_the_last_moment_is_answered() {
    let settings = Scene::new().router().set("drain_wait", "0s").set("drain_timeout", "60s");
    let router = Router::bind(config::parse(&settings.yml()).unwrap().config).await.unwrap().open().await.unwrap();
    let port = router.addresses().http.unwrap().port();
    let came = Arc::default();
    let latecomer = Latecomer { router: Mutex::new(Some(([127, 0, 0, 1], port).into())), came: Arc::clone(&came) };
    let _logs = tracing::subscriber::set_default(tracing_subscriber::registry().with(latecomer));
    assert!(router.drain().await);
    // At this point, not some time later: what follows a drain is a stop, and that cuts.
    let mut stream = came.lock().unwrap().take().expect("the drain is logged");
    stream.set_nonblocking(true).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer is there, and the connection closed in order");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer:?}");
    router.stop().await;
}

#[tokio::test]
async fn who_is_answered_before_the_end_of_an_upload_keeps_the_connection() {
    let router = RouterUnderTest::start().await;
    let body = "x".repeat(100_000);
    for (framing, body) in [
        (format!("Content-Length: {}", body.len()), body.clone()),
        ("Transfer-Encoding: chunked".into(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
    ] {
        let mut client = router.client().await;
        client.send_raw(format!("POST / HTTP/1.1\r\nHost: nowhere.example\r\n{framing}\r\n\r\n")).await.unwrap();
        assert_eq!(client.reader.response("POST").await.unwrap().status, 404);
        client.send_raw(body).await.unwrap();
        let next = client.get("nowhere.example", "/").await.expect("the connection takes another request");
        assert_eq!(next.status, 404);
    }
}

#[tokio::test]
async fn an_upload_that_nobody_wants_is_not_read_for_ever() {
    let router = RouterUnderTest::start().await;
    let mut client = router.client().await;
    client.send_raw("POST / HTTP/1.1\r\nHost: nowhere.example\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    assert_eq!(client.reader.response("POST").await.unwrap().status, 404);
    // What lies in buffers on the way is a small part of it.
    let sent = async {
        for _ in 0..1000 {
            client.send_raw("x".repeat(1_000_000)).await?;
        }
        Ok::<(), std::io::Error>(())
    };
    sent.await.expect_err("the connection is closed");
}

#[tokio::test]
async fn a_body_that_was_not_asked_for_is_not_waited_for() {
    let router = RouterUnderTest::start().await;
    // An app would not hear of an expectation that is named by Connection; the client has it all the same.
    for connection in ["", "Connection: Expect\r\n"] {
        let mut client = router.client().await;
        let head = "POST / HTTP/1.1\r\nHost: nowhere.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n";
        client.send_raw(format!("{head}{connection}\r\n")).await.unwrap();
        let answer = client.reader.response("POST").await.unwrap();
        assert_eq!((answer.status, &*answer.interim), (404, &[][..]));
        assert_eq!(answer.header("connection"), Some("close"), "{connection}");
        assert!(client.reader.closed().await);
    }
}
