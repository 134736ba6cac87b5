//! B3-10: clients that come in numbers and take their time, each in the phase of its choice. All of them are shown out
//! on time, and a client in no hurry to misbehave notices nothing.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use trueroute_testkit::{Client, app::Reply, tls::ClientTls};

use super::{
    canary::{Canary, HOST, settings},
    secure::with_tls,
    support::PATIENCE,
};

/// Clients per phase.
const CROWD: usize = 200;
/// The same where each holds megabytes in the system's buffers.
const SMALL_CROWD: usize = 40;
/// What a client may take to ask, as it is configured. The router looks once a second.
const LIMIT: Duration = Duration::from_secs(2);
/// What an exchange may take, as it is configured: long enough for a good one in a crowd.
const EXCHANGE: Duration = Duration::from_secs(5);
const PACE: Duration = Duration::from_millis(250);

/// Where a client dawdles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Connects, and says nothing.
    FirstByte,
    /// A byte of its head now and then.
    Head,
    /// Field after field, and never the end of the head.
    Fields,
    /// Nothing after an answer.
    Idle,
    /// The head of its second request now and then.
    SecondHead,
    /// A byte of its body now and then.
    Body,
    /// Takes nothing of its answer.
    Answer,
}
use Phase::{Answer, Body, Fields, FirstByte, Head, Idle, SecondHead};

impl Phase {
    fn crowd(self) -> usize {
        if self == Answer { SMALL_CROWD } else { CROWD }
    }

    fn limit(self) -> Duration {
        if matches!(self, Body | Answer) { EXCHANGE } else { LIMIT }
    }
}

const PHASES: [Phase; 7] = [FirstByte, Head, Fields, Idle, SecondHead, Body, Answer];

async fn canary() -> (Canary, ClientTls) {
    let settings = settings()
        .set("go_max_procs", 2)
        .set("frontend_idle_timeout", "2s")
        .set("read_header_timeout", "2s")
        .set("endpoint_timeout", "5s");
    let (settings, tls) = with_tls(settings);
    (Canary::with(settings, Reply::by_path).await, tls)
}

/// Dawdles until the router has enough of it.
async fn dawdle(mut client: Client, phase: Phase) {
    let get = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    if matches!(phase, Idle | SecondHead) {
        client.send_raw(&get).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 200);
    }
    let (begin, drip) = match phase {
        FirstByte | Idle => (String::new(), None),
        Head | SecondHead => ("GET /slow".into(), Some("x")),
        Fields => (format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\n"), Some("X-More: y\r\n")),
        Body => (format!("POST /slow HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n"), Some("x")),
        Answer => (format!("GET /stream/1000000000 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), None),
    };
    let _ = client.send_raw(begin).await;
    let (mut reader, mut writer) = client.split();
    let dripping = async {
        let Some(drip) = drip else { return std::future::pending().await };
        // Until the router no longer takes it.
        while writer.send(drip).await.is_ok() {
            tokio::time::sleep(PACE).await;
        }
    };
    let taking = async {
        if phase == Answer {
            // What lies in the buffers of the system comes all the same, once the router has closed.
            tokio::time::sleep(EXCHANGE).await;
        }
        while let Ok(piece) = reader.some().await {
            if piece.is_empty() {
                return;
            }
        }
    };
    tokio::select! {
        () = dripping => {}
        () = taking => {}
    }
}

/// Asks again and again until told to stop; gives the number of answers and the slowest.
async fn good_client(canary: &Canary, until: Instant) -> (u32, Duration) {
    let (mut answers, mut slowest) = (0, Duration::ZERO);
    while Instant::now() < until {
        let asked = Instant::now();
        assert_eq!(canary.get(HOST, "/good").await.status, 200);
        slowest = slowest.max(asked.elapsed());
        answers += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (answers, slowest)
}

#[tokio::test]
async fn slow_clients_are_shown_out_on_time() {
    let (canary, tls) = canary().await;
    let began = Instant::now();
    let crowds = PHASES.into_iter().flat_map(|phase| (0..phase.crowd()).map(move |number| (phase, number)));
    let crowds = crowds.map(async |(phase, number)| {
        // Some over TLS: the same deadlines hold there.
        let client = match number % 10 {
            0 => Client::connect_tls(canary.https(), &tls).await.unwrap().patience(PATIENCE),
            _ => canary.client().await,
        };
        let came = Instant::now();
        dawdle(client, phase).await;
        let took = came.elapsed();
        let limit = phase.limit();
        assert!(took > limit / 2, "{phase:?}: it was not given its time: {took:?}");
        // Twice where an answer comes first; the look is taken once a second; the machine may be busy.
        assert!(took < limit * 2 + Duration::from_secs(6), "{phase:?}: {took:?}");
    });
    let good = good_client(&canary, began + EXCHANGE);
    let (_, (answers, slowest)) = tokio::join!(join_all(crowds), good);
    assert!(answers > 20 && slowest < Duration::from_secs(4), "{answers} answers, the slowest in {slowest:?}");
    // None of what was not whole came to the canary as if it were.
    let got = canary.got().await;
    assert!(got.iter().all(|request| !request.target.starts_with("/slow") || !request.complete));
    canary.is_well("the crowd").await;
}

/// A handshake has a limit of its own, which no configuration changes.
#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_shown_out() {
    let (canary, _) = canary().await;
    let crowd = (0..CROWD).map(async |number| {
        let mut client = Client::connect(canary.https()).await.unwrap().patience(PATIENCE);
        if number % 2 == 0 {
            // The beginning of a ClientHello.
            client.send_raw([22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]).await.unwrap();
        }
        assert!(client.reader.closed().await);
    });
    let good = good_client(&canary, Instant::now() + LIMIT * 4);
    let (_, (answers, slowest)) = tokio::join!(join_all(crowd), good);
    assert!(answers > 20 && slowest < Duration::from_secs(4), "{answers} answers, the slowest in {slowest:?}");
    canary.is_well("the handshakes").await;
}
