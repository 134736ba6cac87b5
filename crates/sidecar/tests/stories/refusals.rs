//! Who is turned away, and what it is told: alerts are part of the routing protocol (sidecar.md §3.4).

use std::io;

use rustls::AlertDescription;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use trueroute_sidecar::{
    settings::{Mode, OnRefused},
    stats::Event,
};
use trueroute_testkit::{
    ReservedPort,
    peers::never_accepts,
    pki::{Authority, Purpose},
    tls::{ClientTls, Version},
};

use super::scene::{PATIENCE, ROUTER, Running, World, alert, echo, echoing, rest};

const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

/// What a router that sends `bytes` at once learns about its certificate.
async fn verdict(sidecar: &Running, tls: &ClientTls, bytes: usize) -> Option<AlertDescription> {
    let told = async {
        let mut router = sidecar.call(tls).await?;
        // Sending may fail first; the reason is still there to be read.
        let _ = router.write_all(&vec![0; bytes]).await;
        router.read(&mut [0; 1]).await.map(|_| ())
    };
    match timeout(PATIENCE, told).await.expect("a verdict in time") {
        Ok(()) => None,
        Err(error) => Some(alert(&error).unwrap_or_else(|| panic!("no alert but {error:?}"))),
    }
}

#[tokio::test]
async fn every_wrong_router_certificate_is_answered_with_an_alert_that_routers_know() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    let (routers, caller) = (&world.routers, world.caller());
    let others = Authority::new("others");
    let showing = |leaf: trueroute_testkit::pki::LeafBuilder| world.caller().identity(&leaf.issue());
    let table = [
        ("none", caller, AlertDescription::CertificateRequired, Event::NoCertificate),
        ("another CA", showing(others.router_client(ROUTER)), AlertDescription::UnknownCA, Event::UnknownAuthority),
        (
            "expired",
            showing(routers.router_client(ROUTER).expired()),
            AlertDescription::BadCertificate,
            Event::OutsideValidity,
        ),
        (
            "another name",
            showing(routers.router_client("gorouter")),
            AlertDescription::BadCertificate,
            Event::NameNotAllowed,
        ),
        (
            "the name as common name only",
            showing(routers.router_client(ROUTER).no_san()),
            AlertDescription::BadCertificate,
            Event::NameNotAllowed,
        ),
        (
            "for servers only",
            showing(routers.router_client(ROUTER).purposes(&[Purpose::ServerAuth])),
            AlertDescription::BadCertificate,
            Event::HandshakeFailed,
        ),
    ];
    for (what, tls, expected, event) in table {
        for version in VERSIONS {
            for bytes in [0, 1, 1 << 20] {
                let before = sidecar.stats.of(event);
                let told = verdict(&sidecar, &tls.clone().only(version), bytes).await;
                assert_eq!(told, Some(expected), "{what}, {version:?}, {bytes} bytes");
                sidecar.sees(event, before + 1).await;
            }
        }
    }
    assert_eq!(sidecar.stats.of(Event::HandshakeDone), 0);
}

#[tokio::test]
async fn any_certificate_of_the_ca_will_do_where_no_name_is_demanded() {
    let world = World::new();
    let mode = Mode::strict(world.file("client-ca.crt"), vec![]);
    let sidecar = Running::start(world.settings(echoing().await, mode)).await;
    let anyone = world.caller().identity(&world.routers.router_client("anyone").issue());
    echo(&mut sidecar.call(&anyone).await.unwrap(), "hello").await;
    assert_eq!(verdict(&sidecar, &world.caller(), 1).await, Some(AlertDescription::CertificateRequired));
}

#[tokio::test]
async fn without_strict_no_certificate_is_asked_for() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, Mode::Tls)).await;
    echo(&mut sidecar.call(&world.caller()).await.unwrap(), "hello").await;
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_never_reaches_the_app() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    let mut peer = TcpStream::connect(sidecar.addr).await.unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let _ = rest(&mut peer).await;
    sidecar.sees(Event::NotTls, 1).await;
    assert_eq!(sidecar.stats.of(Event::AppDialled), 0);
}

#[tokio::test]
async fn twenty_bare_probes_cost_the_app_nothing() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    for _ in 0..20 {
        drop(TcpStream::connect(sidecar.addr).await.unwrap());
    }
    sidecar.sees(Event::HelloAbandoned, 20).await;
    assert_eq!((sidecar.stats.of(Event::AppDialled), sidecar.stats.active()), (0, 0));
}

#[tokio::test]
async fn an_app_that_refuses_is_a_reset_before_any_server_hello() {
    let (world, nobody) = (World::new(), ReservedPort::new());
    let sidecar = Running::start(world.settings(nobody.addr(), world.strict())).await;
    for version in VERSIONS {
        let error = sidecar.call(&world.router().only(version)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{version:?}");
    }
    assert_eq!(sidecar.stats.of(Event::AppRefused), 2);
}

#[tokio::test]
async fn what_a_refusing_app_looks_like_is_a_setting() {
    let (world, nobody) = (World::new(), ReservedPort::new());
    for (choice, is_so) in [
        (
            OnRefused::Alert,
            (|error| alert(error) == Some(AlertDescription::HandshakeFailure)) as fn(&io::Error) -> bool,
        ),
        (OnRefused::Close, |error| error.kind() == io::ErrorKind::UnexpectedEof),
    ] {
        let mut settings = world.settings(nobody.addr(), world.strict());
        settings.listeners[0].on_refused = choice;
        let sidecar = Running::start(settings).await;
        for version in VERSIONS {
            let error = sidecar.call(&world.router().only(version)).await.unwrap_err();
            assert!(is_so(&error), "{choice:?} {version:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn an_app_that_does_not_answer_is_an_orderly_close() {
    let (world, full) = (World::new(), never_accepts());
    let sidecar = Running::start(world.settings(full.addr(), world.strict())).await;
    let error = sidecar.call(&world.router()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(sidecar.stats.of(Event::AppTimedOut), 1);
}

#[tokio::test]
async fn a_refused_router_leaves_no_connection_to_the_app() {
    let world = World::new();
    let app = trueroute_testkit::App::start("a");
    let sidecar = Running::start(world.settings(app.addr(), world.strict())).await;
    for version in VERSIONS {
        assert!(verdict(&sidecar, &world.caller().only(version), 1).await.is_some());
    }
    trueroute_testkit::eventually(PATIENCE, async || app.open_connections() == 0 && sidecar.stats.active() == 0).await;
    assert_eq!(app.bytes_in(), 0);
}
