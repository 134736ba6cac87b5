//! A POST is delivered once or not at all, whatever becomes of the endpoints that are tried.

use std::collections::HashMap;

use trueroute_testkit::{
    App, ReservedPort,
    app::Reply,
    peers::{
        Line, Peer, certificate_of_another_instance,
        http2::{Http2, code, kind, speaks_http2},
    },
};

use super::{
    asker::{Ask, Body},
    cell::{Cell, Scene, everywhere},
};

const HOST: &str = "once.example";

/// How an endpoint fails the requests that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vice {
    /// Resets the connection when it has the head.
    ResetsAtTheHead,
    /// Resets the connection when it has all.
    ResetsAtTheEnd,
    /// Closes when it has all.
    ClosesAtTheEnd,
    /// Closes before it has anything.
    ClosesAtOnce,
    /// Answers what is no answer.
    Garbage,
    /// Answers, and closes at the next request on the connection.
    ServesOnce,
    /// Resets the stream when it has the head.
    ResetsTheStream,
    /// Says that it has not looked at the stream.
    RefusesTheStream,
    /// Says that it looks at no further stream, this one included.
    GoesAway,
    /// The same, but it has looked at this one, and closes.
    GoesAwayWithIt,
}
use Vice::*;

impl Vice {
    const HTTP1: &[Self] = &[ResetsAtTheHead, ResetsAtTheEnd, ClosesAtTheEnd, ClosesAtOnce, Garbage, ServesOnce];
    const HTTP2: &[Self] = &[
        ResetsAtTheHead,
        ClosesAtTheEnd,
        ClosesAtOnce,
        Garbage,
        ServesOnce,
        ResetsTheStream,
        RefusesTheStream,
        GoesAway,
        GoesAwayWithIt,
    ];

    /// Whether the endpoint says, or shows, that no app had the request.
    fn is_proof(self) -> bool {
        matches!(self, ClosesAtOnce | RefusesTheStream | GoesAway)
    }

    fn peer(self, scene: &Scene) -> Peer {
        match scene.cell.behind.is_http2() {
            false => Peer::scripted(scene.door(), move |line| fail(line, self)),
            true => speaks_http2(scene.door(), move |talk| fail_http2(talk, self)),
        }
    }
}

async fn fail(mut line: Line, vice: Vice) {
    if vice == ClosesAtOnce {
        return line.hang_up().await;
    }
    for turn in 0.. {
        let request = match vice {
            ResetsAtTheHead => line.head().await,
            _ => line.request().await,
        };
        if request.is_none() {
            return;
        }
        match vice {
            ResetsAtTheHead | ResetsAtTheEnd => return line.reset(),
            Garbage => {
                let _ = line.send("no answer\r\n\r\n").await;
                return line.hang_up().await;
            }
            ServesOnce if turn == 0 => {
                let _ = line.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
            _ => return line.hang_up().await,
        }
    }
}

async fn fail_http2(mut talk: Http2, vice: Vice) {
    talk.send(kind::SETTINGS, 0, 0, []).await;
    if vice == ClosesAtOnce {
        return talk.hang_up().await;
    }
    for turn in 0.. {
        let Some(stream) = talk.request().await else { return };
        match vice {
            ResetsAtTheHead => return talk.reset_connection(),
            Garbage => talk.send(kind::HEADERS, 0xff, stream, *b"no answer").await,
            ServesOnce if turn == 0 => talk.ok(stream).await,
            ResetsTheStream => talk.reset(stream, code::INTERNAL_ERROR).await,
            RefusesTheStream => talk.reset(stream, code::REFUSED_STREAM).await,
            GoesAway => talk.go_away(0, code::NO_ERROR).await,
            GoesAwayWithIt => {
                talk.go_away(stream, code::INTERNAL_ERROR).await;
                return talk.hang_up().await;
            }
            _ => return talk.hang_up().await,
        }
    }
}

/// What became of a POST: status, times at the good endpoint, times at the bad one.
type Outcome = (u16, u64, u64);

/// Posts to a pool of a good endpoint, one with this vice, and some that are not there or somebody else.
async fn post(scene: &Scene, good: &App, vice: Vice) -> Vec<(String, Outcome)> {
    let bad = vice.peer(scene);
    let refuses = ReservedPort::new();
    let other = certificate_of_another_instance(&scene.router.scene.pki.instances);
    let mut places = vec![good.addr(), bad.addr(), refuses.addr()];
    if scene.cell.behind.is_tls() {
        places.push(other.addr());
    }
    let registrations: Vec<_> = places.into_iter().map(|place| scene.registration(HOST, place)).collect();
    let mut outcomes = Vec::new();
    let mut asker = scene.asker().await;
    for body in [Body::None, Body::Length(1), Body::Length(100_000), Body::Pieces(100_000, vec![])] {
        // Marked and pruned ones are tried again with each kind of body.
        for registration in &registrations {
            scene.router.unregister(registration).await;
            scene.router.register(registration).await;
        }
        for _ in 0..4 {
            let before = (good.requests(), bad.requests());
            let path = format!("/{vice:?}/{}", outcomes.len());
            let answer = asker.ask(&Ask::new("POST", HOST, &path).body(body.clone())).await;
            let outcome = (answer.status, good.requests() - before.0, bad.requests() - before.1);
            outcomes.push((format!("{vice:?}, {body:?}: {}", answer.text()), outcome));
        }
    }
    for registration in registrations {
        scene.router.unregister(&registration).await;
    }
    assert_eq!(other.requests(), 0, "{:?}: somebody else got a request", scene.cell);
    outcomes
}

#[tokio::test]
async fn a_post_is_never_delivered_twice() {
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        let good = App::builder("good").door(scene.door()).rule(|_| Reply::text("ok")).start();
        let vices = if cell.behind.is_http2() { Vice::HTTP2 } else { Vice::HTTP1 };
        for vice in vices {
            let outcomes = post(&scene, &good, *vice).await;
            for (case, (status, by_good, by_bad)) in &outcomes {
                let right = match (status, by_good, by_bad) {
                    (200, 1, 0) | (502, 0, 0 | 1) => true,
                    (200, 0, 1) => *vice == ServesOnce,
                    (200, 1, _) => vice.is_proof(),
                    (502, 0, _) => vice.is_proof(),
                    _ => false,
                };
                assert!(right, "{cell:?}, {case}: {status}, {by_good} and {by_bad} times");
            }
            assert!(outcomes.iter().any(|(_, (status, ..))| *status == 200), "{cell:?}, {vice:?}");
            if *vice != ClosesAtOnce {
                assert!(outcomes.iter().any(|(_, (.., by_bad))| *by_bad > 0), "{cell:?}, {vice:?} was never met");
            }
        }
        let mut times: HashMap<String, u32> = HashMap::new();
        for request in good.received() {
            *times.entry(request.target).or_default() += 1;
        }
        assert!(times.values().all(|times| *times == 1), "{cell:?}: {times:?}");
        scene.ends().await;
    })
    .await;
}
