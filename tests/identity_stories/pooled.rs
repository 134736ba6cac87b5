//! Connections that were verified for one instance are of no use for another, wherever it lives (invariant 2).

use std::sync::Arc;

use futures_util::future::join_all;
use trueroute_testkit::{App, Registration, ReservedPort, app::Reply, eventually, pki::InstanceId};

use crate::{
    support::{PATIENCE, Reach, RouterUnderTest},
    tenant::Tenant,
};

/// Idle connections to the instance that was there before.
const IDLE: usize = 50;

/// Makes the router keep [`IDLE`] idle connections to `app`: so many requests at a time, and one answer for all.
async fn fill_the_pool(router: &Reach, host: &str, app: &App) {
    let requests = join_all((0..IDLE).map(|_| router.get(host, "/delay")));
    let release = async {
        eventually(PATIENCE, async || app.requests() == IDLE as u64).await;
        app.release_all();
    };
    let (answers, ()) = tokio::join!(requests, release);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((app.connections(), app.open_connections()), (IDLE as u64, IDLE as u64));
}

#[tokio::test]
async fn a_new_instance_id_at_a_known_address_needs_a_proof_of_its_own() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let old = router.instance("a").uri("renamed.pooled").register().await;
    fill_the_pool(&router, "renamed.pooled", &old).await;

    // The address now belongs to another instance, says the bus; but the old process is still there.
    let new = InstanceId::of_app("a");
    router.publish(&Registration::tls(old.addr(), &new.instance).uri("renamed.pooled").app("a")).await;
    eventually(PATIENCE, async || {
        let rows = router.endpoints("renamed.pooled").await;
        rows.len() == 1 && rows[0]["private_instance_id"] == new.instance.as_str()
    })
    .await;
    let answer = router.get("renamed.pooled", "/").await;
    let expected = format!("x509: certificate is valid for {}, not {}", old.id.instance, new.instance);
    assert_eq!(answer.status, 503);
    assert!(answer.header("x-cf-routererror").unwrap().contains(&expected), "{answer:?}");
    assert_eq!(old.requests(), IDLE as u64, "no request went to the old instance");
    assert_eq!(old.connections(), IDLE as u64 + 1, "the router has asked who is there");
}

#[tokio::test]
async fn a_taken_over_address_is_reached_by_new_connections_only() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let (pki, port) = (&router.scene.pki, Arc::new(ReservedPort::new()));
    let old = Tenant::move_in(&port, pki, "a", &InstanceId::of_app("a"));
    router.register(&old.registration()).await;
    // Tenants answer at once, so how many connections are made is chance; ask until there are many.
    let mut clients = join_all((0..IDLE).map(|_| router.client())).await;
    for round in 0.. {
        let ask = clients.iter_mut().map(async |client| client.get("a.swap", "/").await.unwrap().status);
        assert!(join_all(ask).await.iter().all(|status| *status == 200));
        if old.connections() >= 20 {
            break;
        }
        assert!(round < 1000, "{} connections", old.connections());
    }
    let (served, connections) = (old.served(), old.connections());

    // Another app takes the port while the old process keeps the connections it has.
    old.shut_door().await;
    let new = Tenant::move_in(&port, pki, "b", &InstanceId::of_app("b"));
    router.register(&new.registration()).await;
    let ask = clients.iter_mut().map(async |client| client.get("b.swap", "/").await.unwrap());
    for answer in join_all(ask).await {
        assert_eq!((answer.status, answer.header("x-app")), (200, Some("b")));
    }
    assert_eq!((old.served(), old.connections(), old.misdirected()), (served, connections, 0));
    assert_eq!((new.served(), new.misdirected()), (IDLE as u64, 0));

    // What was proved stays proved: the old route still reaches the old process, never the new one.
    let answer = clients[0].get("a.swap", "/").await.unwrap();
    assert_eq!((answer.status, answer.header("x-app")), (200, Some("a")));
    assert_eq!((old.served(), new.misdirected()), (served + 1, 0));
}

#[tokio::test]
async fn what_was_pooled_is_used_again_for_the_same_instance() {
    let router = RouterUnderTest::start().await;
    let app = router.instance("a").uri("same.pooled").rule(|_| Reply::text("ok")).register().await;
    let mut client = router.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("same.pooled", "/").await.unwrap().status, 200);
        app.register().await;
    }
    assert_eq!((app.requests(), app.connections()), (20, 1));
}
