//! B3-10 over HTTP/2, where a connection can be slow in more ways, and what TLS itself offers to those who have time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use trueroute_testkit::{
    app::Reply,
    client_h2::raw::{Frame, Raw, block, flag, kind},
    tls::{ClientTls, Version},
};

use super::{
    canary::{Canary, HOST, settings},
    secure::with_tls,
    support::PATIENCE,
};

const CROWD: usize = 30;
const LIMIT: Duration = Duration::from_secs(2);
const PACE: Duration = Duration::from_millis(250);

/// Where a client lingers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Behind the preface.
    Preface,
    /// In a head of which no more comes; in too many parts it would end the connection at once.
    Head,
    /// In a body of which more comes now and then.
    Body,
    /// Before an answer that it takes nothing of.
    Answer,
    /// Nowhere; it asks whether the router is there now and then.
    Ping,
}
use Phase::{Answer, Body, Head, Ping, Preface};

fn usual(method: &str, path: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)])
}

/// Lingers until the router has enough of it.
async fn linger(mut raw: Raw, phase: Phase) {
    let head = |method, path, flags| Frame::new(kind::HEADERS, flags, 1, usual(method, path));
    let (begin, drip) = match phase {
        Preface => (None, None),
        Head => (Some(head("GET", "/slow", flag::END_STREAM)), None),
        Body => (Some(head("POST", "/slow", flag::END_HEADERS)), Some(Frame::new(kind::DATA, 0, 1, *b"x"))),
        Answer => (Some(head("GET", "/stream/1000000", flag::END_HEADERS | flag::END_STREAM)), None),
        Ping => (None, Some(Frame::new(kind::PING, 0, 0, [0; 8]))),
    };
    if let Some(begin) = begin {
        raw.send(&begin).await.unwrap();
    }
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "{phase:?}: it is let to linger");
        if let Some(drip) = &drip
            && raw.send(drip).await.is_err()
        {
            return;
        }
        match tokio::time::timeout(PACE, raw.frame()).await {
            Ok(Ok(frame)) if frame.kind == kind::GOAWAY => return,
            // An upload that takes too long ends with its stream.
            Ok(Ok(frame)) if phase == Body && matches!(frame.kind, kind::HEADERS | kind::RST_STREAM) => return,
            Ok(Err(_)) => return,
            Ok(Ok(_)) | Err(_) => {}
        }
    }
}

#[tokio::test]
async fn slow_connections_of_http2_are_shown_out_on_time() {
    let settings = settings()
        .set("go_max_procs", 2)
        .set("frontend_idle_timeout", "2s")
        .set("read_header_timeout", "2s")
        .set("endpoint_timeout", "3s");
    let (settings, tls) = with_tls(settings);
    let canary = Canary::with(settings, Reply::by_path).await;
    let crowds = [Preface, Head, Body, Answer, Ping].into_iter().flat_map(|phase| [phase; CROWD]);
    let crowds = crowds.map(async |phase| {
        let no_window: &[_] = if phase == Answer { &[(4, 0)] } else { &[] };
        let raw = Raw::connect(canary.https(), &tls, no_window).await.unwrap();
        let came = Instant::now();
        linger(raw, phase).await;
        let took = came.elapsed();
        assert!(took > LIMIT / 2 && took < LIMIT * 2 + Duration::from_secs(6), "{phase:?}: {took:?}");
    });
    join_all(crowds).await;
    assert!(canary.got().await.iter().all(|request| request.target != "/slow" || !request.complete));
    canary.is_well("the crowd").await;
}

/// New keys as often as a record holds their request: each costs the router more than the client (GO-2026-6090).
#[tokio::test]
async fn a_client_that_asks_for_new_keys_all_the_time_is_shown_out() {
    let (settings, tls) = with_tls(settings());
    let canary = Canary::with(settings.set("max_tls_version", "TLSv1.3"), |_| Reply::text("ok")).await;
    let tls: ClientTls = tls.only(Version::Tls13);
    let connect = async || {
        let tcp = TcpStream::connect(canary.https()).await.unwrap();
        TlsConnector::from(tls.config()).connect(tls.server_name(), tcp).await.unwrap()
    };
    let get = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut now_and_then = connect().await;
    for _ in 0..5 {
        now_and_then.get_mut().1.refresh_traffic_keys().unwrap();
        now_and_then.write_all(get.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            assert!(now_and_then.read_buf(&mut answer).await.unwrap() > 0, "{answer:?}");
        }
    }
    let mut all_the_time = connect().await;
    let mut asked = 0;
    while asked < 10_000 && all_the_time.get_mut().1.refresh_traffic_keys().is_ok() {
        asked += 1;
        if all_the_time.flush().await.is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, all_the_time.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "it is served on");
    canary.is_well("new keys").await;
}
