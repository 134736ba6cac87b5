//! A peer that refuses our certificate: in TLS 1.2 inside the handshake, in TLS 1.3 after it.

use std::future::poll_fn;

use bytes::BytesMut;
use rustls::{
    AlertDescription as A,
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trueroute_identity::{AcceptRefusal, Acceptor, ExpectedName, Refusal, Secured, accept::Mode};

use crate::support::*;

/// Sends a request of `size` bytes and reads until the stream fails or ends.
async fn exchange(secured: &mut Secured, size: usize) -> bool {
    let body = vec![b'x'; 64 * 1024];
    let mut left = size;
    while left > 0 {
        match poll_fn(|cx| secured.poll_write(cx, &body[..left.min(body.len())])).await {
            Ok(count) => left -= count,
            Err(_) => return false,
        }
    }
    let mut text = BytesMut::new();
    poll_fn(|cx| secured.poll_flush(cx)).await.is_ok()
        && poll_fn(|cx| secured.poll_read_buf(cx, &mut text)).await.is_ok()
}

#[tokio::test]
async fn in_tls_1_2_the_handshake_tells() {
    let (ca, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let issued = ca.issue(Leaf::of(INSTANCE));
    let name = ExpectedName::new(INSTANCE);

    let server = TlsServer::demanding(&issued, &TLS12, &routers).start().await;
    let met = dialer(trust_in(&ca)).secure(server.connect().await, &name).await;
    assert!(matches!(met, Err(Refusal::OurCertificateRefused(A::CertificateRequired))), "{met:?}");

    let foreign = dialer_showing(trust_in(&ca), &ca.issue(Leaf::of("router")));
    let server = TlsServer::demanding(&issued, &TLS12, &routers).start().await;
    let met = foreign.secure(server.connect().await, &name).await;
    assert!(matches!(met, Err(Refusal::OurCertificateRefused(A::UnknownCA))), "{met:?}");
}

#[tokio::test]
async fn in_tls_1_3_the_first_exchange_tells() {
    let (ca, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let issued = ca.issue(Leaf::of(INSTANCE));
    let name = ExpectedName::new(INSTANCE);
    for (dialer, alert) in [
        (dialer(trust_in(&ca)), A::CertificateRequired),
        (dialer_showing(trust_in(&ca), &ca.issue(Leaf::of("router"))), A::UnknownCA),
    ] {
        let server = TlsServer::demanding(&issued, &TLS13, &routers).start().await;
        let mut secured = dialer.secure(server.connect().await, &name).await.unwrap();
        assert!(secured.facts().client_certificate_requested);
        assert!(secured.late_refusal().is_none());
        assert!(!exchange(&mut secured, 100).await);
        let refusal = secured.late_refusal();
        assert!(matches!(refusal, Some(Refusal::OurCertificateRefused(found)) if found == alert), "{refusal:?}");
    }
}

#[tokio::test]
async fn whoever_asks_and_is_content_gets_the_request() {
    let (ca, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let issued = ca.issue(Leaf::of(INSTANCE));
    let dialer = dialer_showing(trust_in(&ca), &routers.issue(Leaf::of("router")));
    for version in [&TLS12, &TLS13] {
        let server = TlsServer::demanding(&issued, version, &routers).start().await;
        let mut secured = dialer.secure(server.connect().await, &ExpectedName::new(INSTANCE)).await.unwrap();
        secured.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        secured.shutdown().await.unwrap();
        assert_eq!(server.outcome().await.unwrap(), b"GET / HTTP/1.1\r\n\r\n");
        assert!(secured.facts().client_certificate_requested);
    }
}

/// The case that loses alerts: a body so large that the refusal comes while it is written. With a peer
/// that lingers, as our sidecar does, none is lost.
#[tokio::test]
async fn a_large_upload_hears_the_refusal_too() {
    let (ca, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let mode = Mode::Strict { trust: trust_in(&routers), allowed: Vec::new() };
    let acceptor = std::sync::Arc::new(Acceptor::new(credentials(&ca.issue(Leaf::of(INSTANCE))), mode).unwrap());
    let dialer = dialer(trust_in(&ca));
    for size in [1, 64 * 1024, 1024 * 1024, 3 * 1024 * 1024].repeat(5) {
        let acceptor = acceptor.clone();
        let sidecar = Peer::start(async move |io| Ok(acceptor.start(io).await.unwrap().finish().await)).await;
        let mut secured = dialer.secure(sidecar.connect().await, &ExpectedName::new(INSTANCE)).await.unwrap();
        assert!(!exchange(&mut secured, size).await);
        let refusal = secured.late_refusal();
        assert!(
            matches!(refusal, Some(Refusal::OurCertificateRefused(A::CertificateRequired))),
            "{size} bytes: {refusal:?}, {:?}",
            secured.facts()
        );
        drop(secured);
        assert!(matches!(sidecar.outcome().await.unwrap(), Err(AcceptRefusal::NoCertificate)));
    }
}

/// The peer has spoken and gone before we write: the write fails, and what it said is still there to hear.
#[tokio::test]
async fn a_failed_write_hears_what_was_said_before() {
    let (ca, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let server = TlsServer::demanding(&ca.issue(Leaf::of(INSTANCE)), &TLS13, &routers).start().await;
    let mut secured = dialer(trust_in(&ca)).secure(server.connect().await, &ExpectedName::new(INSTANCE)).await.unwrap();
    poll_fn(|cx| secured.poll_flush(cx)).await.unwrap();
    assert!(server.outcome().await.is_err());
    let mut writes = 0;
    while poll_fn(|cx| secured.poll_write(cx, &[b'x'; 1024])).await.is_ok() {
        writes += 1;
        assert!(writes < 10_000, "a closed connection takes everything");
    }
    let refusal = secured.late_refusal();
    assert!(matches!(refusal, Some(Refusal::OurCertificateRefused(A::CertificateRequired))), "{refusal:?}");
}

#[tokio::test]
async fn an_alert_after_a_response_is_no_refusal() {
    let ca = Ca::new("instance-ca");
    let server = TlsServer::new(&ca.issue(Leaf::of(INSTANCE)))
        .serve(async |mut tls| {
            tls.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            tls.flush().await.unwrap();
            // Not ours to decrypt: the other end answers with an alert, which is not its verdict on us.
            let (mut io, _) = tls.into_inner();
            let _ =
                io.write_all(&[0x17, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
            let _ = io.read_to_end(&mut Vec::new()).await;
        })
        .await;
    let mut secured = dialer(trust_in(&ca)).secure(server.connect().await, &ExpectedName::new(INSTANCE)).await.unwrap();
    let mut text = Vec::new();
    assert!(secured.read_to_end(&mut text).await.is_err());
    assert_eq!(text, b"HTTP/1.1 200 OK\r\n");
    assert!(secured.late_refusal().is_none());
}
