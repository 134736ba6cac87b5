//! The promises about identity on shared connections (ARCHITECTURE.md, the three invariants).

use trueroute_testkit::{App, Registration, eventually, pki::InstanceId};

use crate::support::{PATIENCE, RouterUnderTest};

#[tokio::test]
async fn a_new_instance_at_a_known_address_needs_a_proof_of_its_own() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let old = router.instance("a").uri("renamed.h2").http2().register().await;
    for _ in 0..5 {
        assert_eq!(router.get("renamed.h2", "/").await.status, 200);
    }
    let requests = old.requests();
    let new = InstanceId::of_app("a");
    let renamed = Registration::tls(old.addr(), &new.instance).uri("renamed.h2").app("a").protocol("http2");
    router.publish(&renamed).await;
    eventually(PATIENCE, async || {
        let rows = router.endpoints("renamed.h2").await;
        rows.len() == 1 && rows[0]["private_instance_id"] == new.instance.as_str()
    })
    .await;
    let answer = router.get("renamed.h2", "/").await;
    assert_eq!(answer.status, 503);
    let error = answer.header("x-cf-routererror").unwrap();
    assert!(
        error.contains(&format!("x509: certificate is valid for {}, not {}", old.id.instance, new.instance)),
        "{error}"
    );
    assert_eq!(old.requests(), requests, "no request went to the old instance");
}

#[tokio::test]
async fn an_address_that_another_app_took_over_gets_no_request_of_the_one_before() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let pki = &router.scene.pki;
    let old = router.instance("a").uri("old.h2").http2().register().await;
    assert_eq!(router.get("old.h2", "/").await.status, 200);
    let port = old.port();
    old.die();
    let id = InstanceId::of_app("b");
    drop(old);
    let new = App::builder("b").instance(&id.instance).port(port).door(pki.door(&id).alpn(&["h2", "http/1.1"])).start();
    router.register(&Registration::tls(new.addr(), &id.instance).uri("new.h2").app("b").protocol("http2")).await;
    assert_eq!(router.get("old.h2", "/").await.status, 503);
    assert_eq!(new.bytes_in(), 0, "nothing was said to it before it proved to be somebody else");
    let answer = router.get("new.h2", "/").await;
    assert_eq!((answer.status, answer.header("x-app")), (200, Some("b")));
    assert_eq!(new.requests(), 1);
}

#[tokio::test]
async fn stale_endpoints_of_every_kind_cost_a_retry_only() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let pki = &router.scene.pki;
    let good = router.instance("a").uri("stale.h2").http2().register().await;
    let stranger = InstanceId::of_app("b");
    let other = App::builder("b").door(pki.door(&stranger).alpn(&["h2"])).start();
    let dead = trueroute_testkit::ReservedPort::new();
    let plain = trueroute_testkit::peers::plain_where_tls_is_expected();
    for _ in 0..10 {
        for address in [other.addr(), dead.addr(), plain.addr()] {
            let stale = Registration::tls(address, &InstanceId::of_app("a").instance).uri("stale.h2").protocol("http2");
            router.register(&stale).await;
        }
        let post = trueroute_testkit::client::Request::new("POST", "/").host("stale.h2").body("x");
        assert_eq!(router.ask(post).await.status, 200);
    }
    assert_eq!((good.requests(), other.bytes_in(), plain.requests()), (10, 0, 0));
    assert!(other.connections() > 0);
}
