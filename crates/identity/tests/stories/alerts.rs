//! What a peer says instead of a handshake, and what we make of it.

use std::time::Duration;

use rustls::{AlertDescription as A, crypto::aws_lc_rs::cipher_suite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trueroute_identity::{Dialer, DialerSettings, ExpectedName, Refusal, Trust, dial::DialerError};

use crate::support::*;

async fn refused_by(peer: Peer<()>) -> Refusal {
    let dialer = dialer(Trust::new(&[], false).unwrap());
    dialer.secure(peer.connect().await, &ExpectedName::new(INSTANCE)).await.unwrap_err()
}

#[tokio::test]
async fn an_alert_is_told_in_gos_words_and_put_in_its_class() {
    let ours = |alert| Refusal::OurCertificateRefused(alert);
    let other = |alert| Refusal::OtherAlert(alert);
    for (code, class, text) in [
        (42, ours(A::BadCertificate), "bad certificate"),
        (43, ours(A::UnsupportedCertificate), "unsupported certificate"),
        (44, ours(A::CertificateRevoked), "revoked certificate"),
        (45, ours(A::CertificateExpired), "expired certificate"),
        (46, ours(A::CertificateUnknown), "unknown certificate"),
        (48, ours(A::UnknownCA), "unknown certificate authority"),
        (49, ours(A::AccessDenied), "access denied"),
        (51, ours(A::DecryptError), "error decrypting message"),
        (116, ours(A::CertificateRequired), "certificate required"),
        (40, Refusal::HandshakeFailure, "handshake failure"),
        (70, Refusal::ProtocolVersion, "protocol version not supported"),
        (80, other(A::InternalError), "internal error"),
        (112, other(A::UnrecognisedName), "unrecognized name"),
        (201, other(A::Unknown(201)), "alert(201)"),
    ] {
        let refusal = refused_by(answering(alert_record(code)).await).await;
        assert_eq!(std::mem::discriminant(&refusal), std::mem::discriminant(&class), "{code}: {refusal:?}");
        assert_eq!(refusal.to_string(), format!("remote error: tls: {text}"));
        assert_eq!(refusal.to_string(), class.to_string());
    }
}

#[tokio::test]
async fn a_plain_peer_is_known_by_its_first_bytes() {
    for answer in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"220 ready\r\n", b"H", &[0; 64]]
    {
        let refusal = refused_by(answering(answer.to_vec()).await).await;
        assert!(matches!(refusal, Refusal::NotTls), "{refusal:?}");
        assert_eq!(refusal.to_string(), "tls: first record does not look like a TLS handshake");
    }
}

#[tokio::test]
async fn a_close_a_reset_and_a_silence_are_told_apart() {
    assert_eq!(refused_by(answering(Vec::new()).await).await.to_string(), "EOF");
    assert!(matches!(refused_by(answering(vec![0x16, 3, 3, 0]).await).await, Refusal::Eof));
    let resetting = Peer::start(async |mut io| {
        read_hello(&mut io).await?;
        io.set_zero_linger()
    });
    assert!(matches!(refused_by(resetting.await).await, Refusal::Reset));

    let silent = Peer::start(async |mut io| tokio::io::copy(&mut io, &mut tokio::io::sink()).await.map(|_| ())).await;
    let settings = DialerSettings { handshake_timeout: Some(Duration::from_millis(20)), ..DialerSettings::default() };
    let dialer = Dialer::new(Trust::new(&[], false).unwrap(), None, settings).unwrap();
    let refusal = dialer.secure(silent.connect().await, &ExpectedName::new(INSTANCE)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::TimedOut), "{refusal:?}");
}

#[tokio::test]
async fn an_alert_is_heard_though_the_peer_then_resets() {
    let blunt = Peer::start(async |mut io| {
        // Reads a part and closes: the rest in the socket makes the kernel send a reset after the alert.
        io.read_exact(&mut [0; 16]).await?;
        io.write_all(&alert_record(40)).await
    });
    assert!(matches!(refused_by(blunt.await).await, Refusal::HandshakeFailure));
}

#[tokio::test]
async fn garbage_inside_tls_is_no_plain_peer() {
    let garbage = [&[0x16, 3, 3, 0, 4][..], &[99, 0, 0, 0]].concat();
    let refusal = refused_by(answering(garbage).await).await;
    assert!(matches!(refusal, Refusal::Other(_)), "{refusal:?}");
}

#[tokio::test]
async fn only_the_suites_of_the_settings_are_offered_in_tls_1_2() {
    let ca = Ca::new("instance-ca");
    let issued = ca.issue(Leaf::of(INSTANCE));
    let dialer = |suites| {
        let settings = DialerSettings { tls12_suites: Some(suites), ..DialerSettings::default() };
        Dialer::new(trust_in(&ca), None, settings)
    };
    let name = ExpectedName::new(INSTANCE);

    let rsa_only = dialer(vec![cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]).unwrap();
    let server = TlsServer::speaking(&issued, &rustls::version::TLS12).start().await;
    let refusal = rsa_only.secure(server.connect().await, &name).await.unwrap_err();
    assert!(matches!(refusal, Refusal::HandshakeFailure), "{refusal:?}");

    let fitting = dialer(vec![cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]).unwrap();
    let server = TlsServer::speaking(&issued, &rustls::version::TLS12).start().await;
    assert!(fitting.secure(server.connect().await, &name).await.is_ok());

    let modern = dialer(Vec::new()).unwrap();
    let server = TlsServer::speaking(&issued, &rustls::version::TLS12).start().await;
    let refusal = modern.secure(server.connect().await, &name).await.unwrap_err();
    assert!(matches!(refusal, Refusal::ProtocolVersion), "{refusal:?}");

    let wrong = dialer(vec![cipher_suite::TLS13_AES_128_GCM_SHA256]);
    assert!(matches!(wrong, Err(DialerError::NotTls12(_))));
}
