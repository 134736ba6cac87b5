//! Clients that leave before their exchange is over, at every stage and in every cell. Nothing of them stays, and no
//! endpoint pays for them.

use trueroute_testkit::{eventually, peers};

use super::{
    asker::{Ask, Body, Exit, UnderWay},
    cell::{Cell, HOST, Scene, everywhere},
    support::PATIENCE,
};

const EXITS: [Exit; 2] = [Exit::Closes, Exit::Resets];

/// How far an exchange gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    HalfAHead,
    Waiting,
    UploadByLength,
    UploadInPieces,
    Answer,
    Events,
    Tunnel,
}
use Stage::{Answer, Events, HalfAHead, Tunnel, UploadByLength, UploadInPieces, Waiting};

const STAGES: [Stage; 7] = [HalfAHead, Waiting, UploadByLength, UploadInPieces, Answer, Events, Tunnel];

/// Begins an exchange and waits until it is where the stage says.
async fn reach(scene: &Scene, stage: Stage) -> UnderWay {
    let asker = scene.asker().await;
    let (requests, bytes) = (scene.app.requests(), scene.app.bytes_out());
    let arrived = async || eventually(PATIENCE, async || scene.app.requests() == requests + 1).await;
    match stage {
        HalfAHead => asker.half_a_head().await,
        Waiting => {
            let under_way = asker.begin(&Ask::new("GET", HOST, "/delay"), 0).await;
            arrived().await;
            under_way
        }
        UploadByLength | UploadInPieces => {
            let body = match stage {
                UploadByLength => Body::Length(1_000_000),
                _ => Body::Pieces(1_000_000, vec![]),
            };
            let under_way = asker.begin(&Ask::new("POST", HOST, "/cut").body(body), 1000).await;
            arrived().await;
            under_way
        }
        Answer => {
            let under_way = asker.begin(&Ask::new("GET", HOST, "/chunked/100000000"), 0).await;
            eventually(PATIENCE, async || scene.app.bytes_out() > bytes + 60_000).await;
            under_way
        }
        Events => {
            let mut under_way = asker.begin(&Ask::new("GET", HOST, "/events/5"), 0).await;
            assert_eq!(under_way.status().await, 200);
            scene.app.release();
            under_way.until("data: 0\n\n").await;
            under_way
        }
        Tunnel => {
            let ask = Ask::new("GET", HOST, "/").field("connection", "Upgrade").field("upgrade", "x");
            let mut under_way = asker.begin(&ask, 0).await;
            assert_eq!(under_way.status().await, 101);
            under_way.send("hello").await;
            under_way.until("hello").await;
            under_way
        }
    }
}

#[tokio::test]
async fn clients_that_leave_cost_nobody_anything() {
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        for stage in STAGES.into_iter().filter(|stage| *stage != Tunnel || cell.front.switches()) {
            for exit in EXITS {
                let case = format!("{stage:?}, {exit:?}");
                reach(&scene, stage).await.leave(exit).await;
                scene.is_at_rest(HOST, &case).await;
                // What was cut short is closed; one connection may wait for the next request.
                eventually(PATIENCE, async || scene.app.open_connections() <= 1).await;
                let answer = scene.asker().await.ask(&Ask::new("GET", HOST, "/next")).await;
                assert_eq!(answer.status, 200, "{cell:?}, {case}");
            }
        }
        let cut = scene.app.received().into_iter().filter(|request| request.target == "/cut");
        assert!(cut.clone().all(|request| !request.complete), "{cell:?}: a part is no whole");
        assert_eq!(cut.count(), 4, "{cell:?}");
        assert_eq!(scene.router.metric("bad_gateways").await, 0.0, "{cell:?}");
        scene.ends().await;
    })
    .await;
}

/// No endpoint has the request yet.
#[tokio::test]
async fn clients_that_leave_while_the_router_connects_cost_nobody_anything() {
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        let (never_accepts, never_handshakes) = (peers::never_accepts(), peers::never_handshakes());
        let mut silent = vec![("dial.example", never_accepts.addr())];
        if cell.behind.is_tls() {
            silent.push(("handshake.example", never_handshakes.addr()));
        }
        for (host, address) in silent {
            scene.lead(host, address).await;
            for body in [Body::None, Body::Length(1000)] {
                for exit in EXITS {
                    let part = if matches!(body, Body::None) { 0 } else { 1000 };
                    let method = if part == 0 { "GET" } else { "POST" };
                    let ask = Ask::new(method, host, "/").body(body.clone());
                    let under_way = scene.asker().await.begin(&ask, part).await;
                    eventually(PATIENCE, async || scene.in_flight(host) == 1).await;
                    under_way.leave(exit).await;
                    scene.is_at_rest(host, &format!("{host}, {body:?}, {exit:?}")).await;
                }
            }
        }
        scene.ends().await;
    })
    .await;
}
