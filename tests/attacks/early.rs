//! B3-3: bodies where one party expects none, bodies that nobody waits for, and the games with `Expect`.

use std::sync::{Arc, Mutex};

use trueroute_testkit::{
    Registration, eventually,
    peers::{Door, Line, Peer},
};

use super::{
    canary::{Canary, HOST, answers, statuses},
    support::PATIENCE,
};

const EARLY: &str = "early.example";
/// What is read of a body that nobody wants.
const DRAINED: usize = 256 * 1024;

fn hidden() -> String {
    format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

fn next() -> String {
    format!("GET /next HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
}

/// An app that refuses each request when it has seen its head, in time for the body to meet a connection where it is
/// not wanted; it keeps whatever comes that could be a head.
fn refuses_at_the_head() -> (Peer, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let peer = Peer::scripted(Door::Plain, move |mut line: Line| {
        let seen = Arc::clone(&seen);
        async move {
            while let Some(head) = line.head().await {
                seen.lock().unwrap().push(head);
                let _ = line.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
                line.drain().await;
            }
        }
    });
    (peer, heads)
}

/// The answer is there before the body; what follows on the client's connection is the rest of that body, and only
/// behind its end the next request.
#[tokio::test]
async fn an_early_answer_turns_no_body_into_a_request() {
    let canary = Canary::new().await;
    let (peer, heads) = refuses_at_the_head();
    canary.register(&Registration::plain(peer.addr()).uri(EARLY).app("early")).await;
    let small = hidden().repeat(20);
    let large = hidden().repeat(8 * DRAINED / hidden().len());
    let (mut accepted, mut nexts) = (0, 0);
    for host in [EARLY, "nowhere.example"] {
        let status = if host == EARLY { 413 } else { 404 };
        for (body, is_small) in [(&small, true), (&large, false)] {
            for chunked in [false, true] {
                let (framing, body) = match chunked {
                    false => (format!("Content-Length: {}", body.len()), body.clone()),
                    true => ("Transfer-Encoding: chunked".into(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
                };
                let head = format!("POST /early HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n");
                let (mut reader, mut writer) = canary.client().await.split();
                writer.send(head).await.unwrap();
                let first = reader.response("POST").await.unwrap().status;
                assert_eq!(first, status);
                // The client goes on as if nobody had said anything.
                let _ = writer.send(format!("{body}{}", next())).await;
                let mut got = vec![first];
                while let Ok(answer) = reader.response("GET").await {
                    got.push(answer.status);
                }
                // As long as the app takes it a body is read; one that nobody takes is not read for ever.
                let right = match &got[1..] {
                    [200] => is_small || host == EARLY,
                    [] => !is_small,
                    _ => false,
                };
                assert!(right, "{host}, {} bytes, chunked: {chunked}: {got:?}", body.len());
                accepted += usize::from(host == EARLY);
                nexts += got.len() - 1;
            }
        }
    }
    let heads = heads.lock().unwrap().clone();
    assert!(heads.len() == accepted && heads.iter().all(|head| head.starts_with("POST /early ")), "{heads:?}");
    let targets: Vec<String> = canary.got().await.into_iter().map(|request| request.target).collect();
    assert_eq!(targets, vec!["/next"; nexts]);
    canary.is_well("early answers").await;
}

/// Methods that have no body as a rule: if one comes, it is the body, whatever the app makes of it.
#[tokio::test]
async fn a_body_is_one_whatever_the_method() {
    let canary = Canary::new().await;
    let methods = ["GET", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "X"];
    for method in methods {
        for chunked in [false, true] {
            let body = hidden();
            let (framing, body) = match chunked {
                false => (format!("Content-Length: {}", body.len()), body),
                true => ("Transfer-Encoding: chunked".into(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
            };
            let bytes = format!("{method} /body HTTP/1.1\r\nHost: {HOST}\r\n{framing}\r\n\r\n{body}{}", next());
            assert_eq!(statuses(&canary.send(bytes).await), [200, 200], "{method}, chunked: {chunked}");
            let got = canary.got().await;
            let [.., request, after] = &got[..] else { panic!("{method}") };
            assert_eq!((&*request.method, &*request.target, &*after.target), (method, "/body", "/next"));
            assert_eq!(request.body, hidden().as_bytes(), "{method}");
        }
    }
    assert_eq!(canary.app.requests(), methods.len() as u64 * 4);
    canary.is_well("bodies").await;
}

/// What an expectation may look like. A party that overlooks one sends, or skips, a body that the other takes for a
/// request.
#[tokio::test]
async fn expectations_hide_no_request() {
    let canary = Canary::new().await;
    let body = hidden();
    let length = format!("Content-Length: {}", body.len());
    for (name, fields, served) in [
        ("the usual one", vec!["Expect: 100-continue", &length], true),
        ("capitals", vec!["expect: 100-CONTINUE", &length], true),
        ("blanks", vec!["Expect:   100-continue  ", &length], true),
        ("twice", vec!["Expect: 100-continue", "Expect: 100-continue", &length], true),
        ("named by Connection", vec!["Connection: Expect", "Expect: 100-continue", &length], true),
        ("something else", vec!["Expect: y", &length], false),
        ("something else first", vec!["Expect: y 100-continue", &length], false),
        ("something else behind", vec!["Expect: 100-continue y", &length], false),
        ("a list", vec!["Expect: 100-continue, 100-continue", &length], false),
        ("another one beside it", vec!["Expect: 100-continue", "Expect: x", &length], false),
        ("another one before it", vec!["Expect: x", "Expect: 100-continue", &length], false),
        ("quotes", vec!["Expect: \"100-continue\"", &length], false),
        ("a fold", vec!["Expect:", " 100-continue", &length], false),
        ("a space before the colon", vec!["Expect : 100-continue", &length], false),
        ("a CR", vec!["Expect: 100-continue\rX: y", &length], false),
    ] {
        let before = canary.app.requests();
        let head = format!("POST /expect HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n\r\n", fields.join("\r\n"));
        let got = statuses(&canary.send(format!("{head}{body}{}", next())).await);
        match served {
            true => assert_eq!(got, [200, 200], "{name}"),
            false => assert!(matches!(got[..], [400 | 417]), "{name}: {got:?}"),
        }
        assert_eq!(canary.app.requests() - before, if served { 2 } else { 0 }, "{name}");
    }
    let got = canary.got().await;
    assert!(got.iter().all(|request| request.target != "/smuggled" && request.complete));
    canary.is_well("expectations").await;
}

/// The app answers at once and has not asked for the body; whether it comes all the same or not, none of it is a
/// request, to whatever connection.
#[tokio::test]
async fn a_body_that_was_not_asked_for_is_never_a_request() {
    let canary = Canary::new().await;
    let (peer, heads) = refuses_at_the_head();
    canary.register(&Registration::plain(peer.addr()).uri(EARLY).app("early")).await;
    let head = |length: usize| {
        format!("POST /early HTTP/1.1\r\nHost: {EARLY}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
    };
    for (number, at_once) in [false, true].into_iter().enumerate() {
        let mut client = canary.client().await;
        let rest = format!("{}{}", hidden(), next());
        client.send_raw(head(hidden().len())).await.unwrap();
        if at_once {
            client.send_raw(&rest).await.unwrap();
        }
        let answer = client.response().await.unwrap();
        assert_eq!((answer.status, &*answer.interim), (413, &[][..]));
        if !at_once {
            let _ = client.send_raw(&rest).await;
        }
        // The connection ends, or goes on behind the body.
        let more = statuses(&answers(&mut client).await);
        assert!(matches!(more[..], [] | [200]), "{more:?}");
        eventually(PATIENCE, async || peer.open_connections() == 0).await;
        assert_eq!(heads.lock().unwrap().len(), number + 1);
    }
    assert!(canary.got().await.iter().all(|request| request.target == "/next"));
    canary.is_well("unwanted bodies").await;
}
