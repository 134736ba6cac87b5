//! What a failure on a shared connection means for a request: whether it goes elsewhere, and what becomes of the endpoint.

use trueroute_testkit::{
    Registration,
    client::Request,
    peers::{
        self, Ending, Peer,
        http2::{Http2, code, http2_door, kind, speaks_http2},
    },
    pki::InstanceId,
    tls::Version,
};

use crate::support::{Instance, RouterUnderTest};

/// A rude endpoint and a good one behind one route.
struct Pair {
    router: RouterUnderTest,
    good: Instance,
    rude: Peer,
    stale: Registration,
    host: &'static str,
}

impl Pair {
    async fn set<S, F>(host: &'static str, script: S) -> Self
    where
        S: Fn(Http2) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let router = RouterUnderTest::builder().one_attempt().start().await;
        let id = InstanceId::of_app("a");
        let door = http2_door(&router.scene.pki.instances.instance(&id).issue());
        let rude = speaks_http2(door.require_client(&router.scene.pki.routers), script);
        Self::of(router, host, id, rude).await
    }

    async fn of(router: RouterUnderTest, host: &'static str, id: InstanceId, rude: Peer) -> Self {
        let good = router.instance("a").uri(host).http2().register().await;
        let stale = Registration::tls(rude.addr(), &id.instance).uri(host).app("a").protocol("http2");
        router.register(&stale).await;
        Self { router, good, rude, stale, host }
    }

    /// Posts until the rude endpoint was met `times` times; gives each status with how often the good one got it.
    async fn posts(&self, times: u64, body: usize) -> Vec<(u16, usize)> {
        let mut outcomes = Vec::new();
        let met = self.rude.connections() + self.rude.requests();
        let mut number = 0;
        while self.rude.connections() + self.rude.requests() < met + times {
            // Anew, or a mark that it got would keep it out of turn.
            self.router.unregister(&self.stale).await;
            self.router.register(&self.stale).await;
            number += 1;
            assert!(number < 100, "the rude endpoint is hardly tried: {outcomes:?}");
            let id = format!("{number}-{body}");
            let post = Request::new("POST", "/").host(self.host).header("X-Post", &id).body(vec![b'x'; body]).chunked();
            let status = self.router.ask(post).await.status;
            let got = self.good.received();
            outcomes.push((status, got.iter().filter(|got| got.header("x-post") == Some(&id)).count()));
        }
        assert!(self.good.received().iter().all(|got| got.complete));
        outcomes
    }

    async fn left(&self) -> usize {
        self.router.endpoints(self.host).await.len()
    }
}

async fn refuse_streams(talk: Http2) {
    let mut talk = talk;
    talk.send(kind::SETTINGS, 0, 0, []).await;
    while let Some(stream) = talk.request().await {
        talk.reset(stream, code::REFUSED_STREAM).await;
    }
}

async fn go_away_at_once(talk: Http2) {
    let mut talk = talk;
    talk.send(kind::SETTINGS, 0, 0, []).await;
    if talk.request().await.is_some() {
        talk.go_away(0, code::NO_ERROR).await;
        talk.drain().await;
    }
}

#[tokio::test]
async fn what_an_endpoint_says_it_did_not_look_at_goes_elsewhere_whatever_the_method() {
    let refused = Pair::set("refused.h2", refuse_streams).await;
    let gone = Pair::set("goaway.h2", go_away_at_once).await;
    for pair in [refused, gone] {
        for body in [0, 1000, 40_000] {
            let outcomes = pair.posts(6, body).await;
            assert!(outcomes.iter().all(|outcome| *outcome == (200, 1)), "{} {body}: {outcomes:?}", pair.host);
        }
        assert_eq!(pair.left().await, 2, "{}: it stays", pair.host);
    }
}

#[tokio::test]
async fn a_reset_before_the_answer_is_the_answer_for_any_method() {
    let pair = Pair::set("reset.h2", async |mut talk: Http2| {
        talk.send(kind::SETTINGS, 0, 0, []).await;
        while let Some(stream) = talk.request().await {
            talk.reset(stream, code::INTERNAL_ERROR).await;
        }
    })
    .await;
    pair.good.unregister().await;
    for method in ["GET", "POST"] {
        let answer = pair.router.ask(Request::new(method, "/").host(pair.host)).await;
        assert_eq!(answer.status, 502);
        let error = answer.header("x-cf-routererror").unwrap();
        assert!(
            error.contains("stream error: stream ID ") && error.contains("INTERNAL_ERROR; received from peer"),
            "{error}"
        );
    }
    assert_eq!((pair.rude.requests(), pair.left().await), (2, 1), "neither tried again nor taken out");
}

#[tokio::test]
async fn a_connection_that_ends_before_its_answer_lets_only_harmless_requests_go_on() {
    for (host, reset) in [("eof.h2", false), ("rst.h2", true)] {
        let pair = Pair::set(host, move |mut talk: Http2| async move {
            talk.send(kind::SETTINGS, 0, 0, []).await;
            talk.request().await;
            if reset { talk.reset_connection() } else { talk.hang_up().await }
        })
        .await;
        for outcome in pair.posts(4, 10).await {
            assert!(matches!(outcome, (200, 1) | (502, 0)), "{host} {outcome:?}");
        }
        pair.good.unregister().await;
        pair.router.register(&pair.stale).await;
        let answer = pair.router.ask(Request::new("POST", "/").host(host).body("x")).await;
        let error = answer.header("x-cf-routererror").unwrap().to_owned();
        let words = if reset { "connection reset by peer" } else { "(EOF)" };
        assert!(answer.status == 502 && error.contains(words), "{error}");
        assert_eq!(pair.left().await, 1);
    }
}

#[tokio::test]
async fn an_endpoint_that_agrees_on_http2_and_does_not_speak_it_gets_no_request() {
    let nonsense = Pair::set("nonsense.h2", async |mut talk: Http2| {
        talk.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        talk.drain().await;
    })
    .await;
    let closing = Pair::set("closing.h2", async |talk: Http2| talk.hang_up().await).await;
    let bad_frame_size = Pair::set("framesize.h2", async |mut talk: Http2| {
        // SETTINGS_MAX_FRAME_SIZE of 0 (CVE-2026-33814).
        talk.send(kind::SETTINGS, 0, 0, [0, 5, 0, 0, 0, 0]).await;
        talk.drain().await;
    })
    .await;
    for pair in [nonsense, closing, bad_frame_size] {
        let outcomes = pair.posts(4, 1000).await;
        assert!(outcomes.iter().all(|outcome| *outcome == (200, 1)), "{} {outcomes:?}", pair.host);
        assert_eq!(pair.rude.requests(), 0, "{}", pair.host);
    }
}

#[tokio::test]
async fn a_refusal_of_our_certificate_is_met_before_anything_is_sent() {
    for version in [Version::Tls12, Version::Tls13] {
        for ending in [Ending::Lingering, Ending::Blunt] {
            let router = RouterUnderTest::builder().one_attempt().start().await;
            let id = InstanceId::of_app("a");
            let leaf = router.scene.pki.instances.instance(&id).issue();
            let rude = peers::refuses_at(&http2_door(&leaf).only(version), ending);
            let pair = Pair::of(router, "late.h2", id, rude).await;
            // No body is too large for another endpoint, and no alert that a reset destroyed costs a request.
            for body in [0, 1000, 1024 * 1024] {
                let outcomes = pair.posts(5, body).await;
                assert!(
                    outcomes.iter().all(|outcome| *outcome == (200, 1)),
                    "{version:?} {ending:?} {body} {outcomes:?}"
                );
            }
            if ending == Ending::Lingering {
                pair.good.unregister().await;
                pair.router.register(&pair.stale).await;
                let answer = pair.router.ask(Request::new("POST", "/").host(pair.host).body("x")).await;
                assert_eq!((answer.status, answer.text()), (496, "496 SSL Certificate Required\n"), "{version:?}");
                assert_eq!(pair.left().await, 0, "{version:?}");
            }
        }
    }
}
