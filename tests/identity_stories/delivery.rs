//! What may be sent again, what may not, and what a connection's end says about an endpoint (gorouter.md section 6).

use std::{collections::HashMap, sync::Mutex, time::Duration};

use trueroute::route::moment::Moment;
use trueroute_testkit::{
    Registration,
    app::{Received, Reply},
    client::Request,
    eventually,
    peers::{self, Door, Peer},
    pki::InstanceId,
};

use crate::support::{Instance, PATIENCE, RouterUnderTest};

const HOST: &str = "delivery.example";

fn get() -> Request {
    Request::new("GET", "/").host(HOST)
}

fn post() -> Request {
    Request::new("POST", "/").host(HOST).body("x")
}

/// A good instance and a peer with a vice behind one host, both over TLS or both in plain.
struct Pool {
    router: RouterUnderTest,
    good: Instance,
    bad: Peer,
}

impl Pool {
    async fn with(tls: bool, attempts: u32, vice: impl Fn(Door) -> Peer) -> Self {
        let router = RouterUnderTest::builder().set("backends.max_attempts", attempts).start().await;
        let id = InstanceId::of_app("a");
        let (door, good) = match tls {
            true => (router.scene.pki.door(&id).into(), router.instance("a")),
            false => (Door::Plain, router.instance("a").plain()),
        };
        let bad = vice(door);
        let registration = match tls {
            true => Registration::tls(bad.addr(), &id.instance),
            false => Registration::plain(bad.addr()),
        };
        let good = good.uri(HOST).register().await;
        router.register(&registration.uri(HOST).app("a")).await;
        Self { router, good, bad }
    }

    /// Asks until the bad one got `times` requests; gives the answers to those that reached it first.
    async fn met(&self, times: u64, request: fn() -> Request) -> Vec<(u16, Option<String>)> {
        let mut outcomes = Vec::new();
        for _ in 0..200 {
            let (before, served) = (self.bad.requests(), self.good.requests());
            let answer = self.router.ask(request()).await;
            if self.bad.requests() > before {
                let error = answer.header("x-cf-routererror").map(str::to_owned);
                outcomes.push((answer.status, error));
                assert_eq!(self.bad.requests(), before + 1);
                assert_eq!(self.good.requests(), served + u64::from(answer.status == 200));
            }
            if outcomes.len() as u64 == times {
                return outcomes;
            }
        }
        panic!("the bad endpoint is hardly tried: {outcomes:?}");
    }

    fn bad_is_marked(&self) -> bool {
        let pool = self.router.table().lookup(HOST, "/").unwrap();
        let (_, lease) = pool.at(&self.bad.addr().to_string()).expect("it is never pruned");
        lease.is_resting(Moment::from_ms(0), Duration::MAX)
    }
}

#[tokio::test]
async fn a_reset_is_not_repeated_and_marks_the_endpoint() {
    for tls in [true, false] {
        for (request, body) in [(get as fn() -> Request, false), (post, true)] {
            let pool = Pool::with(tls, 3, peers::resets_after_headers).await;
            let outcomes = pool.met(1, request).await;
            let (status, error) = &outcomes[0];
            let error = error.as_deref().unwrap_or_default();
            let to = format!("->{}: ", pool.bad.addr());
            let told = |end| error.starts_with("endpoint_failure (") && error.ends_with(&format!("{to}{end})"));
            // A body that was still being written may be what met the reset.
            let met = told("read: connection reset by peer")
                || (body && (told("write: broken pipe") || told("write: connection reset by peer")));
            assert!(*status == 502 && met, "TLS {tls}: {error}");
            assert!(pool.bad_is_marked());
            assert_eq!(pool.router.endpoints(HOST).await.len(), 2, "marked is not pruned");
            // While it rests, nobody asks it.
            let (bad, good) = (pool.bad.requests(), pool.good.requests());
            for _ in 0..10 {
                assert_eq!(pool.router.ask(request()).await.status, 200);
            }
            assert_eq!((pool.bad.requests(), pool.good.requests()), (bad, good + 10));
        }
    }
}

#[tokio::test]
async fn an_end_without_an_answer_is_repeated_where_that_does_no_harm() {
    fn keyed_post() -> Request {
        Request::new("POST", "/").host(HOST).header("Idempotency-Key", "1")
    }
    fn keyed_post_with_body() -> Request {
        keyed_post().body("x")
    }
    fn options() -> Request {
        Request::new("OPTIONS", "/").host(HOST)
    }
    fn delete() -> Request {
        Request::new("DELETE", "/").host(HOST)
    }
    fn get_with_body() -> Request {
        get().body("x")
    }
    for tls in [true, false] {
        let pool = Pool::with(tls, 3, peers::closes_after_request).await;
        for request in [get, options, keyed_post] {
            assert!(pool.met(3, request).await.iter().all(|outcome| *outcome == (200, None)), "TLS {tls}");
        }
        for request in [post, delete, keyed_post_with_body, get_with_body] {
            let eof = (502, Some("endpoint_failure (EOF)".to_owned()));
            assert!(pool.met(3, request).await.iter().all(|outcome| *outcome == eof), "TLS {tls}");
        }
        assert!(!pool.bad_is_marked());
    }
}

#[tokio::test]
async fn an_attempt_that_may_have_been_delivered_counts() {
    let pool = Pool::with(true, 1, peers::closes_after_request).await;
    let eof = (502, Some("endpoint_failure (EOF)".to_owned()));
    assert!(pool.met(3, get).await.iter().all(|outcome| *outcome == eof));
}

#[tokio::test]
async fn a_post_does_not_fall_into_a_connection_that_its_endpoint_has_closed() {
    for tls in [true, false] {
        let router = RouterUnderTest::builder().one_attempt().start().await;
        let app = router.instance("a").uri(HOST);
        let app = if tls { app } else { app.plain() }.register().await;
        let mut client = router.client().await;
        for round in 1..=20 {
            assert_eq!(client.request(post()).await.unwrap().status, 200);
            // Another request on the connection that is now idle; after that the app closes it.
            assert_eq!(client.request(post()).await.unwrap().status, 200);
            assert_eq!(app.connections(), round, "the second request reuses the connection of the first");
            app.hang_up();
            eventually(PATIENCE, async || app.open_connections() == 0).await;
        }
        assert_eq!(app.requests(), 40);
    }
}

#[tokio::test]
async fn a_connection_that_dies_under_its_second_request_is_replaced_for_what_may_be_repeated() {
    for tls in [true, false] {
        for reply in [Reply::Close, Reply::Reset] {
            let router = RouterUnderTest::builder().one_attempt().start().await;
            let app = router.instance("a").uri(HOST);
            let app = if tls { app } else { app.plain() }.rule(first_only(reply.clone())).register().await;
            let mut client = router.client().await;
            for round in 0..10 {
                // The first is answered; the second finds a connection that takes it and dies.
                assert_eq!(client.request(get()).await.unwrap().status, 200);
                assert_eq!(app.requests(), round * 2 + 1);
            }
            let before = app.requests();
            let answer = client.request(post()).await.unwrap();
            assert_eq!(answer.status, 502, "it may have been delivered");
            assert_eq!(app.requests(), before + 1, "{reply:?}: a POST goes out once");
        }
    }
}

/// Answers the first request of each connection, and ends it with `end` at the second.
fn first_only(end: Reply) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    let seen: Mutex<HashMap<u64, u32>> = Mutex::default();
    move |request| {
        let mut seen = seen.lock().unwrap();
        let count = seen.entry(request.connection).or_default();
        *count += 1;
        if *count == 1 { Reply::text("ok") } else { end.clone() }
    }
}
