//! The invariants of the crate, by name.

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trueroute_identity::{ExpectedName, Refusal};

use crate::support::*;

#[tokio::test]
async fn no_byte_goes_to_an_endpoint_that_did_not_prove_its_name() {
    let (ca, stranger) = (Ca::new("instance-ca"), Ca::new("other-ca"));
    let dialer = dialer(trust_in(&ca));
    let name = ExpectedName::new(INSTANCE);
    for version in [&TLS12, &TLS13] {
        for (vice, issued) in [
            ("another instance", ca.issue(Leaf::of("9a1c2d3e"))),
            ("unknown CA", stranger.issue(Leaf::of(INSTANCE))),
            ("expired", ca.issue(Leaf::of(INSTANCE).valid(-9, -1))),
            ("no name", ca.issue(Leaf::bare(INSTANCE))),
        ] {
            let server = TlsServer::speaking(&issued, version).start().await;
            let met = dialer.secure(server.connect().await, &name).await;
            assert!(met.is_err(), "{vice} was accepted");
            drop(met);
            // The server's own handshake never ended, so nothing of ours can have been read by it.
            let seen = server.outcome().await;
            assert!(seen.is_err(), "{vice} read {seen:?}");
        }
    }
}

/// A server that shows another instance's certificate and its key's signature is fine, but the certificate
/// of the expected instance without its key is not: the chain alone proves nothing.
#[tokio::test]
async fn a_certificate_without_its_key_proves_nothing() {
    let ca = Ca::new("instance-ca");
    let good = ca.issue(Leaf::of(INSTANCE));
    let dialer = dialer(trust_in(&ca));
    // Verified once, so that the chain is remembered.
    assert!(dial(&dialer, &good, INSTANCE).await.is_ok());
    for version in [&TLS12, &TLS13] {
        let thief = ca.issue(Leaf::of("thief"));
        let server = TlsServer::lying(&good, &thief, version).start().await;
        let met = dialer.secure(server.connect().await, &ExpectedName::new(INSTANCE)).await;
        assert!(matches!(met, Err(Refusal::Other(_) | Refusal::Untrusted(_))), "{met:?}");
        assert!(server.outcome().await.is_err());
    }
}

#[tokio::test]
async fn what_was_verified_for_one_name_or_trust_counts_for_no_other() {
    let (ca, other) = (Ca::new("instance-ca"), Ca::new("other-ca"));
    let issued = ca.issue(Leaf::of("a").dns("b"));
    let dialer_before = dialer(trust_in(&ca));
    for _ in 0..2 {
        assert!(dial(&dialer_before, &issued, "a").await.is_ok());
        assert!(matches!(dial(&dialer_before, &issued, "c").await, Err(Refusal::WrongIdentity { .. })));
    }
    let dialer_after = dialer(trust_in(&other));
    assert!(matches!(dial(&dialer_after, &issued, "a").await, Err(Refusal::Untrusted(_))));
    assert_ne!(dialer_before.trust().generation(), dialer_after.trust().generation());
}

#[tokio::test]
async fn no_session_is_resumed() {
    let ca = Ca::new("instance-ca");
    let issued = ca.issue(Leaf::of(INSTANCE));
    let dialer = dialer(trust_in(&ca));
    for version in [&TLS12, &TLS13, &TLS12, &TLS13] {
        let server = TlsServer::speaking(&issued, version)
            .serve(async |mut tls| {
                tls.write_all(b"x").await.unwrap();
                tls.flush().await.unwrap();
                let _ = tls.read_to_end(&mut Vec::new()).await;
                tls.get_ref().1.handshake_kind()
            })
            .await;
        let name = ExpectedName::new(INSTANCE);
        let mut secured = dialer.secure(server.connect().await, &name).await.unwrap();
        let mut byte = [0];
        secured.read_exact(&mut byte).await.unwrap(); // with it came the tickets
        assert!(secured.facts().full_handshake);
        assert_eq!(secured.facts().version, Some(version.version));
        assert_eq!(secured.peer_certificate(), issued.chain.first());
        secured.shutdown().await.unwrap();
        assert_eq!(server.outcome().await.unwrap(), Some(rustls::HandshakeKind::Full));
    }
}

/// Workers move these between tasks: a type that stops being `Send` stops the router from compiling, here first.
#[test]
fn what_is_handed_round_can_be_handed_round() {
    fn send<T: Send + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    send::<trueroute_identity::Secured>();
    send::<trueroute_identity::Accepted>();
    send::<trueroute_identity::Pending>();
    shared::<Refusal>();
    shared::<trueroute_identity::Dialer>();
    shared::<trueroute_identity::Acceptor>();
    shared::<trueroute_identity::Credentials>();
    shared::<trueroute_identity::Trust>();
}
