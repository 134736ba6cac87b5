//! Any number of stale endpoints and one good one: the client sees the good one's answer, and the table learns.

use trueroute_testkit::{
    App, Registration, eventually,
    peers::{self, Ending, Peer},
    pki::InstanceId,
    tls::Version,
};

use crate::support::{PATIENCE, RouterUnderTest};

/// Whatever must stay alive at a stale address.
#[expect(dead_code, reason = "held, not read")]
enum Squatter {
    App(App),
    Peer(Peer),
}

#[tokio::test]
async fn one_good_endpoint_among_eight_stale_ones_is_enough() {
    let router = RouterUnderTest::builder().one_attempt().set("tls_handshake_timeout", "300ms").start().await;
    let pki = &router.scene.pki;
    let id = InstanceId::of_app("a");
    let leaf = pki.instances.instance(&id).issue();
    let apps = [
        ("wrong_identity", peers::certificate_of_another_instance(&pki.instances)),
        ("untrusted", peers::unknown_ca(&id)),
        ("untrusted", peers::expired(&pki.instances, &id)),
    ];
    let refuses = |version| peers::refuses_our_certificate(&leaf, version, Ending::Lingering);
    let peers = [
        ("dial", peers::refuses_connections()),
        ("not_tls", peers::plain_where_tls_is_expected()),
        ("certificate_refused", refuses(Version::Tls12)),
        ("certificate_refused_late", refuses(Version::Tls13)),
        ("handshake_timeout", peers::never_handshakes()),
    ];
    let apps = apps.map(|(reason, app)| (reason, app.addr(), Squatter::App(app)));
    let peers = peers.map(|(reason, peer)| (reason, peer.addr(), Squatter::Peer(peer)));
    let stale: Vec<_> = apps.into_iter().chain(peers).collect();
    for (_, address, _) in &stale {
        router.register_stale("many.stale", *address, &id.instance).await;
    }
    let good = router.instance("a").uri("many.stale").register().await;
    assert_eq!(router.endpoints("many.stale").await.len(), 9);

    let mut asked = 0;
    while router.endpoints("many.stale").await.len() > 1 {
        let answer = router.get("many.stale", "/").await;
        assert_eq!((answer.status, answer.header("x-app")), (200, Some("a")));
        asked += 1;
        assert!(asked < 1000, "{:?} are never tried", router.addresses("many.stale").await);
    }
    assert_eq!(router.addresses("many.stale").await, [good.addr().to_string()]);
    assert_eq!(good.requests(), asked);
    for (reason, address, squatter) in &stale {
        let address = address.to_string();
        let lines = eventually_logged(&router, &address).await;
        assert_eq!(lines, [*reason], "{address}");
        if let Squatter::App(app) = squatter {
            assert_eq!(app.bytes_in(), 0, "no byte of a request reached {reason}");
        }
    }
    let prevented = |reason: &str| format!("trueroute_misroutes_prevented_total{{reason=\"{reason}\"}}");
    for (reason, count) in [("wrong_identity", 1.0), ("untrusted", 2.0), ("not_tls", 1.0)] {
        assert_eq!(router.metric(&prevented(reason)).await, count, "{reason}");
    }
}

/// The reasons for which `address` was pruned, once there is one.
async fn eventually_logged(router: &RouterUnderTest, address: &str) -> Vec<String> {
    router.log_line("prune-failed-endpoint", address).await;
    let lines = router.logged("prune-failed-endpoint", address);
    lines.iter().map(|line| line.field("reason").as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_post_finds_the_good_endpoint_too_and_only_once() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let pki = &router.scene.pki;
    let id = InstanceId::of_app("a");
    let strangers: Vec<_> = (0..4).map(|_| peers::certificate_of_another_instance(&pki.instances)).collect();
    let good = router.instance("a").uri("post.stale").register().await;
    let mut asked = 0;
    while strangers.iter().any(|stranger| stranger.connections() == 0) {
        for stranger in &strangers {
            router.register_stale("post.stale", stranger.addr(), &id.instance).await;
        }
        let body = vec![b'x'; 300_000];
        let request = trueroute_testkit::client::Request::new("POST", "/").host("post.stale").body(body);
        assert_eq!(router.ask(request).await.header("x-app"), Some("a"));
        asked += 1;
        assert_eq!(good.requests(), asked);
        assert_eq!(good.last().unwrap().body_bytes, 300_000);
        assert!(asked < 1000, "a stranger is never tried");
    }
    assert!(strangers.iter().all(|stranger| stranger.bytes_in() == 0));
}

#[tokio::test]
async fn a_pruned_endpoint_comes_back_with_its_next_registration() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("back.stale").register().await;
    app.die();
    assert_eq!(router.get("back.stale", "/").await.status, 502);
    assert_eq!(router.endpoints("back.stale").await.len(), 0);
    app.revive();
    app.register().await;
    assert_eq!(router.get("back.stale", "/").await.status, 200);
}

#[tokio::test]
async fn an_emptied_pool_is_404_or_503() {
    for (as_503, status, error) in [(false, 404, "unknown_route"), (true, 503, "no_endpoints")] {
        let builder = RouterUnderTest::builder().set("empty_pool_response_code_503", as_503);
        let router = builder.set("empty_pool_timeout", "60s").start().await;
        let dead = peers::refuses_connections();
        router.register_stale("empty.stale", dead.addr(), "gone").await;
        assert_eq!(router.get("empty.stale", "/").await.status, 502);
        let answer = router.get("empty.stale", "/").await;
        let (caching, body) = match status {
            404 => ("no-cache, no-store", "404 Not Found: Requested route ('empty.stale') does not exist.\n"),
            _ => (
                "public,max-age=2",
                "503 Service Unavailable: Requested route ('empty.stale') has no available endpoints.\n",
            ),
        };
        assert_eq!((answer.status, answer.header("x-cf-routererror")), (status, Some(error)));
        assert_eq!((answer.header("cache-control"), answer.text()), (Some(caching), body));
    }
}

#[tokio::test]
async fn a_plain_endpoint_that_refuses_is_marked_and_stays() {
    let router = RouterUnderTest::start().await;
    let dead = peers::refuses_connections();
    let good = router.instance("a").uri("plain.stale").plain().register().await;
    router.register(&Registration::plain(dead.addr()).uri("plain.stale").app("a")).await;
    eventually(PATIENCE, async || {
        assert_eq!(router.get("plain.stale", "/").await.header("x-app"), Some("a"));
        !router.logged("endpoint-marked-as-ineligible", &dead.addr().to_string()).is_empty()
    })
    .await;
    assert_eq!(router.endpoints("plain.stale").await.len(), 2);
    // It rests for a quarter of droplet_stale_threshold, 30 s here: nobody asks it meanwhile.
    for _ in 0..10 {
        assert_eq!(router.get("plain.stale", "/").await.status, 200);
    }
    let failures = router.logged("backend-endpoint-failed", &dead.addr().to_string());
    assert_eq!(failures.len(), 1);
    assert!(good.requests() > 10);
}
