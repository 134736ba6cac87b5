//! B2: many clients that ask, are answered early, and leave. Nothing of them stays, and no endpoint pays for them.

use futures_util::{StreamExt as _, stream};
use trueroute_testkit::{
    Registration, eventually,
    peers::{Door, Line, Peer},
};

use super::{
    canary::{Canary, HOST, settings},
    support::PATIENCE,
};

const COUNT: usize = 3000;
const AT_ONCE: usize = 50;

/// How a client of a storm goes.
#[derive(Clone, Copy, Debug)]
enum Goes {
    /// Once it has its answer, without the body it announced.
    Answered,
    /// At once, with a reset.
    AtOnce,
    /// With its answer unread and a part of its body sent.
    InTheBody,
}

async fn storm(canary: &Canary, host: &str) {
    let requests = stream::iter(0..COUNT).map(async |number| {
        let goes = [Goes::Answered, Goes::AtOnce, Goes::InTheBody][number % 3];
        let mut client = canary.client().await;
        let fields = format!("Host: {host}\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n");
        client.send_raw(format!("POST /storm{number} HTTP/1.1\r\n{fields}\r\n")).await.unwrap();
        match goes {
            Goes::Answered => assert_eq!(client.response().await.unwrap().status, 403),
            Goes::AtOnce => client.reset(),
            Goes::InTheBody => {
                let _ = client.send_raw(vec![b'x'; 1000]).await;
                client.reset();
            }
        }
    });
    requests.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// An app that refuses by the head alone, and closes or not.
fn refuses(closes: bool) -> Peer {
    Peer::scripted(Door::Plain, move |mut line: Line| async move {
        while line.head().await.is_some() {
            let end = if closes { "Connection: close\r\n" } else { "" };
            if line.send(format!("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n{end}\r\nno")).await.is_err() || closes
            {
                break;
            }
        }
    })
}

#[tokio::test]
async fn a_storm_of_expectations_leaves_nothing_behind() {
    for closes in [true, false] {
        let canary =
            Canary::with(settings().set("go_max_procs", 2), |_| trueroute_testkit::app::Reply::text("ok")).await;
        let app = refuses(closes);
        canary.register(&Registration::plain(app.addr()).uri("storm.example").app("storm")).await;
        storm(&canary, "storm.example").await;
        eventually(PATIENCE, async || canary.metric("trueroute_open_exchanges").await == 0.0).await;
        let pool = canary.router.table().lookup("storm.example", "/").unwrap();
        let lease = pool.leases().first().expect("the endpoint is in its place");
        eventually(PATIENCE, async || lease.endpoint().in_flight() == 0).await;
        let never = trueroute::route::moment::Moment::from_ms(0);
        assert!(!lease.is_resting(never, std::time::Duration::MAX), "the endpoint is marked");
        assert_eq!(canary.metric("bad_gateways").await, 0.0);
        // A request that was refused unread leaves its connection unfit for another, whatever the app says.
        eventually(PATIENCE, async || app.open_connections() == 0).await;
        assert!(app.requests() <= COUNT as u64, "{} requests for {COUNT}", app.requests());
        canary.is_well("the storm").await;
        // Every client is gone for the router too: a drain has nobody to wait for.
        let drained = tokio::time::timeout(PATIENCE, canary.router.drain()).await;
        assert_eq!(drained.expect("nobody is left"), Ok(true));
    }
}

/// The same with bodies that come in full while the answer is under way (CVE-2020-15586).
#[tokio::test]
async fn answers_that_cross_their_uploads_keep_everybody_in_step() {
    let canary =
        Canary::with(settings().set("go_max_procs", 2), |request| trueroute_testkit::app::Reply::text(&request.target))
            .await;
    let clients = stream::iter(0..20).map(async |client| {
        let (mut reader, mut writer) = canary.client().await.split();
        for turn in 0..10 {
            let target = format!("/turn{client}-{turn}");
            let body = "x".repeat(if turn % 2 == 0 { 200_000 } else { 3 });
            let head = format!("POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", body.len());
            let sending = async { writer.send(format!("{head}{body}")).await };
            let (answer, _) = tokio::join!(reader.response("POST"), sending);
            assert_eq!(answer.unwrap().text(), target);
        }
    });
    clients.buffer_unordered(20).collect::<Vec<()>>().await;
    assert_eq!(canary.got().await.len(), 200);
    canary.is_well("crossing answers").await;
}
