//! A caller whose chain was found good once is not verified again, and nothing else of the proof is spared.

use std::sync::Arc;

use rustls::{
    crypto::aws_lc_rs,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trueroute_identity::{AcceptRefusal, Acceptor, accept::Mode};

use crate::support::*;

fn strict(ca: &Ca) -> Mode {
    Mode::Strict { trust: trust_in(ca), allowed: vec!["router".into()] }
}

/// Calls with `client` and tells what the acceptor made of it.
async fn meet(acceptor: &Arc<Acceptor>, client: &RustlsClient) -> Result<(), AcceptRefusal> {
    let acceptor = acceptor.clone();
    let sidecar = Peer::start(async move |io| {
        let mut accepted = match acceptor.start(io).await.unwrap().finish().await {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        accepted.write_all(b"hello").await?;
        accepted.shutdown().await?;
        Ok(Ok(()))
    })
    .await;
    if let Ok(mut tls) = client.connect(sidecar.connect().await, INSTANCE).await {
        let _ = tls.read_to_end(&mut Vec::new()).await;
        let _ = tls.shutdown().await;
    }
    sidecar.outcome().await.unwrap()
}

/// The certificate of a router is public: whoever shows it must still prove that it holds the key.
#[tokio::test]
async fn a_known_chain_lets_nobody_in_who_does_not_hold_its_key() {
    let (instances, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let (router, thief) = (routers.issue(Leaf::of("router")), routers.issue(Leaf::of("thief")));
    let acceptor = Acceptor::new(credentials(&instances.issue(Leaf::of(INSTANCE))), strict(&routers)).unwrap();
    let acceptor = Arc::new(acceptor);
    for version in [&TLS12, &TLS13] {
        meet(&acceptor, &RustlsClient::new(&instances, Some(&router), version)).await.unwrap();
        let key = aws_lc_rs::sign::any_supported_type(&thief.key()).unwrap();
        let stolen = Arc::new(SingleCertAndKey::from(CertifiedKey::new(router.chain.clone(), key)));
        let refusal = meet(&acceptor, &RustlsClient::showing(&instances, stolen, version)).await.unwrap_err();
        assert!(matches!(refusal, AcceptRefusal::Certificate(_)), "{version:?}: {refusal:?}");
        meet(&acceptor, &RustlsClient::new(&instances, Some(&router), version)).await.unwrap();
    }
}

#[tokio::test]
async fn a_known_chain_is_judged_anew_when_the_authorities_or_the_names_change() {
    let (instances, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let router = routers.issue(Leaf::of("router"));
    let shown = || credentials(&instances.issue(Leaf::of(INSTANCE)));
    let acceptor = Arc::new(Acceptor::new(shown(), strict(&routers)).unwrap());
    // Each call by a client of its own, which has no ticket.
    let client = || RustlsClient::new(&instances, Some(&router), &TLS13);
    meet(&acceptor, &client()).await.unwrap();

    acceptor.swap(shown(), strict(&Ca::new("router-ca"))).unwrap();
    let refusal = meet(&acceptor, &client()).await.unwrap_err();
    assert!(matches!(refusal, AcceptRefusal::UnknownAuthority), "{refusal:?}");

    acceptor.swap(shown(), Mode::Strict { trust: trust_in(&routers), allowed: vec!["other".into()] }).unwrap();
    let refusal = meet(&acceptor, &client()).await.unwrap_err();
    assert!(matches!(refusal, AcceptRefusal::WrongName { .. }), "{refusal:?}");

    acceptor.swap(shown(), strict(&routers)).unwrap();
    meet(&acceptor, &client()).await.unwrap();
}

#[tokio::test]
async fn a_known_chain_is_not_known_by_its_leaf_alone() {
    let (instances, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let between = routers.intermediate("between");
    let acceptor = Acceptor::new(credentials(&instances.issue(Leaf::of(INSTANCE))), strict(&routers)).unwrap();
    let acceptor = Arc::new(acceptor);
    let router = between.issue(Leaf::of("router")).with(&between);
    let showing = |count: usize| {
        let key = aws_lc_rs::sign::any_supported_type(&router.key()).unwrap();
        let shown = CertifiedKey::new(router.chain[..count].to_vec(), key);
        RustlsClient::showing(&instances, Arc::new(SingleCertAndKey::from(shown)), &TLS13)
    };
    meet(&acceptor, &showing(2)).await.unwrap();
    let refusal = meet(&acceptor, &showing(1)).await.unwrap_err();
    assert!(matches!(refusal, AcceptRefusal::UnknownAuthority), "{refusal:?}");
}

/// No ticket is taken here, so each call is a whole handshake with a chain that is known from the first on.
#[tokio::test]
async fn a_known_caller_is_turned_away_once_its_certificate_has_run_out() {
    let (instances, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let acceptor = Acceptor::new(credentials(&instances.issue(Leaf::of(INSTANCE))), strict(&routers)).unwrap();
    let acceptor = Arc::new(acceptor);
    let mut leaf = Leaf::of("router");
    leaf.params.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(2);
    let router = routers.issue(leaf);
    meet(&acceptor, &RustlsClient::new(&instances, Some(&router), &TLS13)).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let refusal = loop {
        assert!(std::time::Instant::now() < deadline, "an expired caller is let in");
        if let Err(refusal) = meet(&acceptor, &RustlsClient::new(&instances, Some(&router), &TLS13)).await {
            break refusal;
        }
    };
    assert!(matches!(refusal, AcceptRefusal::Expired { .. }), "{refusal:?}");
}

/// OpenSSL's clients ask for AES-256 first.
#[tokio::test]
async fn the_cheapest_common_suite_is_chosen_whatever_the_caller_asks_for_first() {
    let instances = Ca::new("instance-ca");
    let shown = credentials(&instances.issue(Leaf::of(INSTANCE)));
    let acceptor = Arc::new(Acceptor::new(shown, Mode::Tls).unwrap());
    // rustls' own order begins with AES-256 too.
    let client = RustlsClient::new(&instances, None, &TLS13);
    let serving = acceptor.clone();
    let sidecar = Peer::start(async move |io| {
        let mut accepted = serving.start(io).await.unwrap().finish().await.unwrap();
        accepted.shutdown().await
    })
    .await;
    let tls = client.connect(sidecar.connect().await, INSTANCE).await.unwrap();
    let agreed = tls.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(agreed, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
}
