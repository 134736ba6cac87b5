//! The sidecar's end: who gets in, what the others hear, and what a rotation changes.

use std::{net::Ipv4Addr, sync::Arc};

use rcgen::SanType;
use rustls::{
    AlertDescription as A,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use trueroute_identity::{
    AcceptRefusal, Acceptor, ExpectedName, Refusal, Trust,
    accept::{AcceptorError, Mode},
};

use crate::support::*;

struct World {
    instances: Ca,
    routers: Ca,
}

impl World {
    fn new() -> Self {
        Self { instances: Ca::new("instance-ca"), routers: Ca::new("router-ca") }
    }

    fn strict(&self, allowed: &[&str]) -> Mode {
        Mode::Strict { trust: trust_in(&self.routers), allowed: allowed.iter().map(|name| (*name).into()).collect() }
    }

    fn acceptor(&self, mode: Mode) -> Arc<Acceptor> {
        Arc::new(Acceptor::new(credentials(&self.instances.issue(Leaf::of(INSTANCE))), mode).unwrap())
    }
}

/// Accepts one caller, answers "hello" and returns who it was.
async fn answer(acceptor: &Arc<Acceptor>) -> Peer<Result<Option<String>, AcceptRefusal>> {
    let acceptor = acceptor.clone();
    Peer::start(async move |io| {
        let pending = match acceptor.start(io).await {
            Ok(pending) => pending,
            Err(refusal) => return Ok(Err(refusal)),
        };
        assert_eq!(pending.server_name(), Some(INSTANCE));
        let mut accepted = match pending.finish().await {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        accepted.write_all(b"hello").await?;
        accepted.shutdown().await?;
        let caller = accepted.peer_identity().and_then(|caller| caller.instance_id()).map(str::to_owned);
        accepted.read_to_end(&mut Vec::new()).await?;
        Ok(Ok(caller))
    })
    .await
}

/// Calls as a router that shows `shown` and trusts `ca`; what it reads, or the alert that it hears.
async fn call(io: TcpStream, ca: &Ca, shown: Option<&Issued>) -> Result<String, A> {
    let dialer = match shown {
        Some(shown) => dialer_showing(trust_in(ca), shown),
        None => dialer(trust_in(ca)),
    };
    call_with(io, &dialer).await
}

async fn call_with(io: TcpStream, dialer: &trueroute_identity::Dialer) -> Result<String, A> {
    let mut secured = match dialer.secure(io, &ExpectedName::new(INSTANCE)).await {
        Ok(secured) => secured,
        Err(Refusal::OurCertificateRefused(alert)) => return Err(alert),
        Err(other) => panic!("{other:?}"),
    };
    let mut text = String::new();
    match secured.read_to_string(&mut text).await {
        Ok(_) => Ok(text),
        Err(_) => Err(secured.facts().alert.unwrap()),
    }
}

#[tokio::test]
async fn tls_asks_nobody_for_a_certificate() {
    let world = World::new();
    let acceptor = world.acceptor(Mode::Tls);
    for shown in [None, Some(world.routers.issue(Leaf::of("router")))] {
        let sidecar = answer(&acceptor).await;
        let heard = call(sidecar.connect().await, &world.instances, shown.as_ref()).await;
        assert_eq!(heard.unwrap(), "hello");
        assert_eq!(sidecar.outcome().await.unwrap().unwrap(), None);
    }
}

#[tokio::test]
async fn strict_lets_in_the_allowed_and_tells_the_others_why() {
    let world = World::new();
    let router = || Leaf::bare("gorouter").dns("gorouter.service.cf.internal");
    let uri = SanType::URI("spiffe://cf/router".try_into().unwrap());
    let issue = |leaf| world.routers.issue(leaf);
    type Case<'a> = (&'a str, &'a [&'a str], Option<Issued>, Option<A>);
    let cases: Vec<Case<'_>> = vec![
        ("any of the CA", &[], Some(issue(Leaf::of("x"))), None),
        ("by DNS name", &["other", "gorouter.service.cf.internal"], Some(issue(router())), None),
        ("in another case", &["GoRouter.service.cf.internal"], Some(issue(router())), None),
        ("by URI", &["spiffe://cf/router"], Some(issue(router().san(uri))), None),
        (
            "by address",
            &["10.0.1.2"],
            Some(issue(router().san(SanType::IpAddress(Ipv4Addr::new(10, 0, 1, 2).into())))),
            None,
        ),
        ("another name", &["other"], Some(issue(router())), Some(A::BadCertificate)),
        ("a part of the name", &["service.cf.internal"], Some(issue(router())), Some(A::BadCertificate)),
        ("a wildcard for it", &["a.cf.internal"], Some(issue(Leaf::of("*.cf.internal"))), None),
        ("a wildcard above it", &["a.b.cf.internal"], Some(issue(Leaf::of("*.cf.internal"))), Some(A::BadCertificate)),
        ("common name only", &["gorouter"], Some(issue(Leaf::bare("gorouter"))), Some(A::BadCertificate)),
        ("another CA", &[], Some(world.instances.issue(router())), Some(A::UnknownCA)),
        ("CA of the same name", &[], Some(Ca::new("router-ca").issue(router())), Some(A::UnknownCA)),
        ("self-signed", &[], Some(router().self_signed()), Some(A::UnknownCA)),
        ("expired", &[], Some(issue(router().valid(-9, -1))), Some(A::BadCertificate)),
        ("not yet valid", &[], Some(issue(router().valid(1, 9))), Some(A::BadCertificate)),
        (
            "server only",
            &[],
            Some(issue(router().usage(&[rcgen::ExtendedKeyUsagePurpose::ServerAuth]))),
            Some(A::BadCertificate),
        ),
        ("none", &[], None, Some(A::CertificateRequired)),
    ];
    for (case, allowed, shown, alert) in cases {
        let acceptor = world.acceptor(world.strict(allowed));
        let sidecar = answer(&acceptor).await;
        let heard = call(sidecar.connect().await, &world.instances, shown.as_ref()).await;
        assert_eq!(heard.as_ref().err(), alert.as_ref(), "{case}");
        let outcome = sidecar.outcome().await.unwrap();
        assert_eq!(outcome.is_ok(), alert.is_none(), "{case}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_was_wrong_with_the_caller() {
    let world = World::new();
    let acceptor = world.acceptor(world.strict(&["router"]));
    let refusal = async |shown: &Issued| {
        let sidecar = answer(&acceptor).await;
        let _ = call(sidecar.connect().await, &world.instances, Some(shown)).await;
        sidecar.outcome().await.unwrap().unwrap_err()
    };
    let stale = refusal(&world.routers.issue(Leaf::of("router").valid(-9, -1))).await;
    assert!(matches!(stale, AcceptRefusal::Expired { .. }), "{stale:?}");
    let stranger = refusal(&world.routers.issue(Leaf::of("stranger"))).await;
    assert!(matches!(&stranger, AcceptRefusal::WrongName { presented } if presented == &["stranger"]), "{stranger:?}");
    let unknown = refusal(&world.instances.issue(Leaf::of("router"))).await;
    assert!(matches!(unknown, AcceptRefusal::UnknownAuthority), "{unknown:?}");
}

#[tokio::test]
async fn strict_with_nobody_to_believe_fails_closed() {
    let world = World::new();
    let nobody = || Mode::Strict { trust: Trust::new(&[], false).unwrap(), allowed: Vec::new() };
    let shown = || credentials(&world.instances.issue(Leaf::of(INSTANCE)));
    assert!(matches!(Acceptor::new(shown(), nobody()), Err(AcceptorError::NoAuthority)));
    let acceptor = world.acceptor(world.strict(&[]));
    assert!(matches!(acceptor.swap(shown(), nobody()), Err(AcceptorError::NoAuthority)));
    let sidecar = answer(&acceptor).await;
    let heard = call(sidecar.connect().await, &world.instances, None).await;
    assert_eq!(heard, Err(A::CertificateRequired), "the swap that failed opened the door");
}

#[tokio::test]
async fn a_caller_is_known_by_its_certificate() {
    let world = World::new();
    for version in [&TLS12, &TLS13] {
        let acceptor = world.acceptor(world.strict(&[]));
        let sidecar = answer(&acceptor).await;
        let router = world.routers.issue(Leaf::of("router"));
        let client = RustlsClient::new(&world.instances, Some(&router), version);
        let mut tls = client.connect(sidecar.connect().await, INSTANCE).await.unwrap();
        let mut text = String::new();
        tls.read_to_string(&mut text).await.unwrap();
        tls.shutdown().await.unwrap();
        assert_eq!(sidecar.outcome().await.unwrap().unwrap().as_deref(), Some("router"));
    }
}

#[tokio::test]
async fn a_rotation_shows_the_new_certificate_and_keeps_what_runs() {
    let world = World::new();
    let acceptor = world.acceptor(Mode::Tls);
    let dialer = dialer(trust_in(&world.instances));
    let echoing = acceptor.clone();
    let running = Peer::start(async move |io| {
        let mut accepted = echoing.start(io).await.unwrap().finish().await.unwrap();
        let mut text = [0; 4];
        accepted.read_exact(&mut text).await?;
        accepted.write_all(&text).await?;
        accepted.shutdown().await
    })
    .await;
    let name = ExpectedName::new(INSTANCE);
    let mut before = dialer.secure(running.connect().await, &name).await.unwrap();

    let renewed = world.instances.issue(Leaf::of(INSTANCE));
    acceptor.swap(credentials(&renewed), Mode::Tls).unwrap();
    before.write_all(b"ping").await.unwrap();
    let mut text = String::new();
    before.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "ping");

    let sidecar = answer(&acceptor).await;
    let after = dialer.secure(sidecar.connect().await, &name).await.unwrap();
    assert_eq!(after.peer_certificate(), renewed.chain.first());
    assert_ne!(after.peer_certificate(), before.peer_certificate());
}

#[tokio::test]
async fn sessions_are_resumed_until_a_rotation_drops_the_tickets() {
    let world = World::new();
    let acceptor = world.acceptor(world.strict(&["router"]));
    let router = world.routers.issue(Leaf::of("router"));
    for version in [&TLS12, &TLS13] {
        let client = RustlsClient::new(&world.instances, Some(&router), version);
        let kind = async || {
            let sidecar = answer(&acceptor).await;
            let mut tls = client.connect(sidecar.connect().await, INSTANCE).await.unwrap();
            tls.read_to_string(&mut String::new()).await.unwrap();
            let kind = tls.get_ref().1.handshake_kind().unwrap();
            tls.shutdown().await.unwrap();
            (kind, sidecar.outcome().await.unwrap().unwrap())
        };
        assert_eq!(kind().await, (rustls::HandshakeKind::Full, Some("router".to_owned())));
        assert_eq!(kind().await, (rustls::HandshakeKind::Resumed, Some("router".to_owned())));
        acceptor.swap(credentials(&world.instances.issue(Leaf::of(INSTANCE))), world.strict(&["router"])).unwrap();
        assert_eq!(kind().await, (rustls::HandshakeKind::Full, Some("router".to_owned())));
    }
}

#[tokio::test]
async fn a_pending_connection_can_be_reset_or_told_alert_40() {
    let world = World::new();
    let acceptor = world.acceptor(Mode::Tls);
    let name = ExpectedName::new(INSTANCE);
    let dialer = dialer(trust_in(&world.instances));

    let resetting = acceptor.clone();
    let sidecar = Peer::start(async move |io| {
        resetting.start(io).await.unwrap().abandon_with_reset();
        Ok(())
    });
    let met = dialer.secure(sidecar.await.connect().await, &name).await;
    assert!(matches!(met, Err(Refusal::Reset)), "{met:?}");

    let alerting = acceptor.clone();
    let sidecar = Peer::start(async move |io| {
        alerting.start(io).await.unwrap().abandon_with_alert40().await;
        Ok(())
    });
    let met = dialer.secure(sidecar.await.connect().await, &name).await;
    assert!(matches!(met, Err(Refusal::HandshakeFailure)), "{met:?}");
}

#[tokio::test]
async fn nothing_is_sent_before_a_whole_client_hello() {
    let world = World::new();
    let acceptor = world.acceptor(Mode::Tls);
    type Judge = fn(&AcceptRefusal) -> bool;
    let cases: [(&[u8], Judge); 4] = [
        (b"", |refusal| matches!(refusal, AcceptRefusal::Silent)),
        (&[0x16, 3, 1, 2, 0, 1], |refusal| matches!(refusal, AcceptRefusal::Io(_))),
        (b"GET / HTTP/1.1\r\n\r\n", |refusal| matches!(refusal, AcceptRefusal::NotTls)),
        (&[0x16, 3, 1, 0, 4, 99, 0, 0, 0], |refusal| matches!(refusal, AcceptRefusal::Tls(_))),
    ];
    for (bytes, expected) in cases {
        let sidecar = answer(&acceptor).await;
        let mut io = sidecar.connect().await;
        io.write_all(bytes).await.unwrap();
        io.shutdown().await.unwrap();
        let mut heard = Vec::new();
        io.read_to_end(&mut heard).await.unwrap();
        assert!(heard.is_empty() || (heard.len() == 7 && heard[0] == 0x15), "{heard:?}");
        let refusal = sidecar.outcome().await.unwrap().unwrap_err();
        assert!(expected(&refusal), "{bytes:?}: {refusal:?}");
    }
}

/// Whoever is turned away in the middle of sending still reads why: no reset overtakes the alert.
#[tokio::test]
async fn a_close_lingers_until_the_alert_is_read() {
    let world = World::new();
    let acceptor = world.acceptor(Mode::Tls);
    let sidecar = answer(&acceptor).await;
    let mut io = sidecar.connect().await;
    io.write_all(&[b'G'; 300_000]).await.unwrap();
    let mut heard = Vec::new();
    io.read_to_end(&mut heard).await.unwrap();
    assert_eq!((heard.len(), heard.first()), (7, Some(&0x15)), "{heard:?}");
    drop(io);
    assert!(matches!(sidecar.outcome().await.unwrap(), Err(AcceptRefusal::NotTls)));
}
