//! Endpoints that die, or send their clients elsewhere, with requests under way. What was on its way to them is lost
//! or answered, and never answered by somebody else as well.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use trueroute_testkit::{App, app::Reply, eventually};

use super::{
    asker::{Ask, Body},
    cell::{Cell, Scene, everywhere},
    support::PATIENCE,
};

const HOST: &str = "dying.example";
const CLIENTS: usize = 12;
const POSTS: usize = 6;

/// How an endpoint ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Closes all its connections, and takes new ones.
    HangsUp,
    /// Tells its clients of HTTP/2 to go elsewhere, and finishes what it has begun.
    GoesAway,
    /// Closes everything.
    Dies,
}

fn app(scene: &Scene, name: &str) -> App {
    App::builder(name).door(scene.door()).rule(|_| Reply::text("ok").after_release()).start()
}

#[tokio::test]
async fn a_post_under_way_to_a_dying_endpoint_is_not_delivered_again() {
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        for end in [End::HangsUp, End::GoesAway, End::Dies] {
            let (one, other) = (app(&scene, "one"), app(&scene, "other"));
            let registrations = [scene.registration(HOST, one.addr()), scene.registration(HOST, other.addr())];
            for registration in &registrations {
                scene.router.register(registration).await;
            }
            let clients = (0..CLIENTS).map(async |client| {
                let mut asker = scene.asker().await;
                let mut answers = Vec::new();
                for turn in 0..POSTS {
                    let path = format!("/{client}/{turn}");
                    let body = if turn % 2 == 0 { Body::Length(10) } else { Body::Pieces(20_000, vec![]) };
                    let answer = asker.ask(&Ask::new("POST", HOST, &path).body(body)).await;
                    answers.push((path, answer.status));
                }
                answers
            });
            let ending = async {
                eventually(PATIENCE, async || one.requests() as usize > CLIENTS).await;
                match end {
                    End::HangsUp => one.hang_up(),
                    End::GoesAway => one.go_away(),
                    End::Dies => one.die(),
                }
            };
            // One answer at a time, so that there are always some under way.
            let answering = async {
                loop {
                    one.release();
                    other.release();
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let (answers, ()) = tokio::select! {
                done = async { tokio::join!(join_all(clients), ending) } => done,
                () = answering => unreachable!("it goes on"),
            };
            let mut times: HashMap<String, (u32, u32)> = HashMap::new();
            for request in one.received().into_iter().chain(other.received()) {
                let (began, whole) = times.entry(request.target).or_default();
                *began += 1;
                *whole += u32::from(request.complete);
            }
            for (path, status) in answers.concat() {
                let came = times.get(&path).copied().unwrap_or_default();
                let right = match status {
                    200 => came == (1, 1),
                    502 => came.0 <= 1,
                    _ => false,
                };
                assert!(right, "{cell:?}, {end:?}: {status}, and it came {came:?} times");
            }
            assert!(other.requests() > 0, "{cell:?}, {end:?}");
            for registration in &registrations {
                scene.router.unregister(registration).await;
            }
        }
        scene.ends().await;
    })
    .await;
}
