//! A POST is delivered once or not at all, whatever becomes of the endpoints that are tried.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use trueroute_testkit::{
    Registration, ReservedPort,
    peers::{Line, Peer, certificate_of_another_instance},
};

use super::{
    asker::{Ask, Body},
    cell::{Cell, Scene, everywhere},
};

const HOST: &str = "once.example";

/// Whose requests arrived how often.
type Deliveries = Arc<Mutex<HashMap<String, u32>>>;

/// How an endpoint fails the requests that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vice {
    /// None: it answers.
    Good,
    /// Resets when it has the head.
    ResetsAtTheHead,
    /// Resets when it has all.
    ResetsAtTheEnd,
    /// Closes when it has all.
    ClosesAtTheEnd,
    /// Closes before it has anything.
    ClosesAtOnce,
    /// Answers what is no answer.
    Garbage,
    /// Answers, and closes at the next request on the connection.
    ServesOnce,
}

const VICES: [Vice; 6] = [
    Vice::ResetsAtTheHead,
    Vice::ResetsAtTheEnd,
    Vice::ClosesAtTheEnd,
    Vice::ClosesAtOnce,
    Vice::Garbage,
    Vice::ServesOnce,
];

async fn fail(mut line: Line, vice: Vice, deliveries: Deliveries) {
    let note = |head: String| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        *deliveries.lock().unwrap().entry(path).or_default() += 1;
    };
    if vice == Vice::ClosesAtOnce {
        return line.hang_up().await;
    }
    for turn in 0.. {
        let head = match vice {
            Vice::ResetsAtTheHead => line.head().await,
            _ => line.request().await,
        };
        let Some(head) = head else { return };
        note(head);
        match vice {
            Vice::ResetsAtTheHead | Vice::ResetsAtTheEnd => return line.reset(),
            Vice::ClosesAtTheEnd => return line.hang_up().await,
            Vice::Garbage => {
                let _ = line.send("no answer\r\n\r\n").await;
                return line.hang_up().await;
            }
            Vice::ServesOnce if turn > 0 => return line.hang_up().await,
            Vice::ServesOnce | Vice::Good | Vice::ClosesAtOnce => {
                let _ = line.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    }
}

#[tokio::test]
async fn a_post_is_never_delivered_twice() {
    everywhere(async |cell: Cell| {
        let scene = Scene::new(cell).await;
        let deliveries = Deliveries::default();
        let peer = |vice: Vice| {
            let noted = Arc::clone(&deliveries);
            Peer::scripted(scene.door(), move |line: Line| fail(line, vice, Arc::clone(&noted)))
        };
        let good = peer(Vice::Good);
        // Endpoints of which some fail before they have anything, so that there is a reason to go on, and a place to
        // go to.
        let (refuses, other) =
            (ReservedPort::new(), certificate_of_another_instance(&scene.router.scene.pki.instances));
        let mut number = 0;
        for vice in VICES {
            let bad = peer(vice);
            let mut registered = Vec::new();
            let mut places = vec![good.addr(), bad.addr(), refuses.addr()];
            if cell.behind.is_tls() {
                places.push(other.addr());
            }
            for address in places {
                let registration = match cell.behind.is_tls() {
                    false => Registration::plain(address),
                    true => Registration::tls(address, &scene.id.instance),
                };
                let registration = registration.uri(HOST).app("once");
                scene.router.register(&registration).await;
                registered.push(registration);
            }
            let mut asker = scene.asker().await;
            for body in [Body::Length(1), Body::Length(100_000), Body::Pieces(100_000, vec![]), Body::None] {
                for _ in 0..5 {
                    number += 1;
                    let path = format!("/{number}");
                    let answer = asker.ask(&Ask::new("POST", HOST, &path).body(body.clone())).await;
                    let times = deliveries.lock().unwrap().get(&path).copied().unwrap_or_default();
                    let named = format!("{cell:?}, {vice:?}, {body:?}: {}", answer.text());
                    match answer.status {
                        200 => assert_eq!(times, 1, "{named}"),
                        502 => assert!(times <= 1, "{times} times: {named}"),
                        status => panic!("{status}: {named}"),
                    }
                }
            }
            for registration in registered {
                scene.router.unregister(&registration).await;
            }
        }
        let twice: Vec<_> =
            deliveries.lock().unwrap().iter().filter(|(_, times)| **times > 1).map(|(path, _)| path.clone()).collect();
        assert!(twice.is_empty(), "{cell:?}: {twice:?}");
        assert!(good.requests() > 20, "{cell:?}: the good one is hardly asked");
        scene.ends().await;
    })
    .await;
}
