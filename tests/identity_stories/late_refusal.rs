//! A TLS 1.3 endpoint that refuses the router's certificate says so when a request is already on its way. It never
//! reaches the app there, and it is sent elsewhere once, never twice (engineering.md B4).

use trueroute_testkit::{
    Registration,
    client::Request,
    peers::{self, Ending, Peer},
    pki::InstanceId,
    tls::Version,
};

use crate::support::{Instance, RouterUnderTest};

const HOST: &str = "late.refusal";
/// Refusals that each story wants to see.
const REFUSALS: u64 = 10;

/// One instance that lets the router in, and an address of another one that does not.
struct Pair {
    router: RouterUnderTest,
    good: Instance,
    refusing: Peer,
    stale: Registration,
    posts: usize,
}

impl Pair {
    async fn set(version: Version, ending: Ending) -> Self {
        let router = RouterUnderTest::builder().one_attempt().start().await;
        let id = InstanceId::of_app("a");
        let leaf = router.scene.pki.instances.instance(&id).issue();
        let refusing = peers::refuses_our_certificate(&leaf, version, ending);
        let good = router.instance("a").uri(HOST).register().await;
        let stale = Registration::tls(refusing.addr(), &id.instance).uri(HOST).app("a");
        Self { router, good, refusing, stale, posts: 0 }
    }

    /// Posts until the refusing endpoint was met often enough; gives each status with how often the app got the
    /// request.
    async fn posts(&mut self, post: impl Fn(Request) -> Request) -> Vec<(u16, usize)> {
        let (mut outcomes, met) = (Vec::new(), self.refusing.failed_handshakes());
        while self.refusing.failed_handshakes() < met + REFUSALS {
            self.router.register(&self.stale).await;
            self.posts += 1;
            let number = self.posts.to_string();
            let request = Request::new("POST", "/").host(HOST).header("X-Post", &number);
            let status = self.router.ask(post(request)).await.status;
            let received = self.good.received();
            let delivered = received.iter().filter(|request| request.header("x-post") == Some(&number)).count();
            outcomes.push((status, delivered));
            assert!(outcomes.len() < 500, "the refusing endpoint is hardly tried");
        }
        assert_eq!(self.refusing.requests(), 0);
        assert!(self.good.received().iter().all(|request| request.complete));
        outcomes
    }
}

#[tokio::test]
async fn a_post_that_met_a_refusal_is_delivered_once() {
    for version in [Version::Tls12, Version::Tls13] {
        let mut pair = Pair::set(version, Ending::Lingering).await;
        for size in [1, 1000, 64 * 1024] {
            for chunked in [false, true] {
                let post = |request: Request| {
                    let request = request.body(vec![b'x'; size]);
                    if chunked { request.chunked() } else { request }
                };
                let outcomes = pair.posts(post).await;
                let all_well = outcomes.iter().all(|outcome| *outcome == (200, 1));
                assert!(all_well, "{version:?}, {size} bytes, chunked {chunked}: {outcomes:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_large_post_is_never_delivered_twice() {
    for (version, ending) in
        [(Version::Tls13, Ending::Lingering), (Version::Tls13, Ending::Blunt), (Version::Tls12, Ending::Blunt)]
    {
        let mut pair = Pair::set(version, ending).await;
        let outcomes = pair.posts(|request| request.body(vec![b'x'; 1024 * 1024]).chunked()).await;
        for (status, delivered) in &outcomes {
            assert!(matches!((status, delivered), (200, 1) | (496 | 502, 0)), "{version:?} {ending:?} {outcomes:?}");
        }
        // Inside the handshake nothing of the body is gone yet, so there nothing may be lost.
        assert!(version == Version::Tls13 || outcomes.iter().all(|outcome| *outcome == (200, 1)), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_refusal_lost_in_a_reset_costs_no_double_delivery() {
    let mut pair = Pair::set(Version::Tls13, Ending::Blunt).await;
    for size in [0, 1, 64 * 1024] {
        let outcomes = pair.posts(|request| request.body(vec![b'x'; size])).await;
        for outcome in &outcomes {
            assert!(matches!(outcome, (200, 1) | (502, 0)), "{outcomes:?}");
        }
    }
}

#[tokio::test]
async fn a_get_survives_even_a_lost_refusal() {
    let pair = Pair::set(Version::Tls13, Ending::Blunt).await;
    while pair.refusing.failed_handshakes() < 5 * REFUSALS {
        pair.router.register(&pair.stale).await;
        let answer = pair.router.get(HOST, "/").await;
        assert_eq!(answer.status, 200, "{:?} {}", answer.header("x-cf-routererror"), pair.refusing.failed_handshakes());
    }
}

#[tokio::test]
async fn alone_it_is_a_496() {
    let router = RouterUnderTest::start().await;
    let id = InstanceId::of_app("a");
    let leaf = router.scene.pki.instances.instance(&id).issue();
    for version in [Version::Tls12, Version::Tls13] {
        let peer = peers::refuses_our_certificate(&leaf, version, Ending::Lingering);
        router.register_stale("alone.refusal", peer.addr(), &id.instance).await;
        let answer = router.ask(Request::new("POST", "/").host("alone.refusal").body("x")).await;
        assert_eq!((answer.status, answer.text()), (496, "496 SSL Certificate Required\n"));
        assert_eq!(router.endpoints("alone.refusal").await.len(), 0);
    }
}

/// A reset that comes before an unproven connection's first byte may be a refusal whose alert was lost. One says
/// nothing; three within ten seconds are taken for it.
#[tokio::test]
async fn three_resets_of_unproven_connections_are_a_refusal() {
    let router = RouterUnderTest::start().await;
    let (id, pki) = (InstanceId::of_app("a"), &router.scene.pki);
    let leaf = pki.instances.instance(&id).issue();
    let demanding = peers::resets_after_headers(pki.door(&id));
    let open = peers::resets_after_headers(&leaf);
    router.register_stale("demanding.refusal", demanding.addr(), &id.instance).await;
    router.register_stale("open.refusal", open.addr(), &id.instance).await;
    for times in 1..=3 {
        assert_eq!(router.get("demanding.refusal", "/").await.status, 502);
        assert_eq!(router.get("open.refusal", "/").await.status, 502);
        assert_eq!(router.endpoints("demanding.refusal").await.len(), usize::from(times < 3));
    }
    // Who never asked for our certificate can't have refused it.
    assert_eq!(router.endpoints("open.refusal").await.len(), 1);
}
