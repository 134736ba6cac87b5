//! Tickets at the sidecar's end: whoever would be refused without one is refused with one, by the same alert.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    AlertDescription as A, HandshakeKind,
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trueroute_identity::{AcceptRefusal, Acceptor, accept::Mode};

use crate::support::*;

struct World {
    instances: Ca,
    routers: Ca,
    acceptor: Arc<Acceptor>,
}

impl World {
    fn new() -> Self {
        let (instances, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
        let shown = credentials(&instances.issue(Leaf::of(INSTANCE)));
        let acceptor = Arc::new(Acceptor::new(shown, strict(&routers, "router")).unwrap());
        Self { instances, routers, acceptor }
    }

    fn swap(&self, mode: Mode) {
        self.acceptor.swap(credentials(&self.instances.issue(Leaf::of(INSTANCE))), mode).unwrap();
    }

    /// Calls, and tells how the handshake went or which alert came, and what the acceptor made of it.
    async fn meet(&self, client: &RustlsClient) -> (Result<HandshakeKind, A>, Result<(), AcceptRefusal>) {
        let acceptor = self.acceptor.clone();
        let sidecar = Peer::start(async move |io| {
            let mut accepted = match acceptor.start(io).await.unwrap().finish().await {
                Ok(accepted) => accepted,
                Err(refusal) => return Ok(Err(refusal)),
            };
            accepted.write_all(b"hello").await?;
            accepted.shutdown().await?;
            accepted.read_to_end(&mut Vec::new()).await?;
            Ok(Ok(()))
        })
        .await;
        let heard = match client.connect(sidecar.connect().await, INSTANCE).await {
            Ok(mut tls) => {
                let read = tls.read_to_end(&mut Vec::new()).await;
                let _ = tls.shutdown().await;
                read.map(|_| tls.get_ref().1.handshake_kind().unwrap())
            }
            Err(error) => Err(error),
        };
        (heard.map_err(|error| alert(&error)), sidecar.outcome().await.unwrap())
    }
}

fn strict(ca: &Ca, name: &str) -> Mode {
    Mode::Strict { trust: trust_in(ca), allowed: vec![name.into()] }
}

fn alert(error: &io::Error) -> A {
    match error.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert, but {error:?}"),
    }
}

/// The certificate of the ticket has run out, and an orderly close is no verdict on it.
#[tokio::test]
async fn a_ticket_does_not_outlive_the_callers_certificate() {
    let world = World::new();
    for version in [&TLS12, &TLS13] {
        let mut leaf = Leaf::of("router");
        leaf.params.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(4);
        let client = RustlsClient::new(&world.instances, Some(&world.routers.issue(leaf)), version);
        assert_eq!(world.meet(&client).await.0, Ok(HandshakeKind::Full));
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut resumed = 0;
        let (heard, refusal) = loop {
            assert!(Instant::now() < deadline, "{version:?}: an expired caller is let in");
            match world.meet(&client).await {
                (heard, Ok(())) => assert_eq!(heard, Ok(HandshakeKind::Resumed), "{version:?}"),
                (heard, Err(refusal)) => break (heard, refusal),
            }
            resumed += 1;
        };
        assert!(resumed > 0, "{version:?}");
        assert_eq!(heard, Err(A::BadCertificate), "{version:?}");
        assert!(matches!(refusal, AcceptRefusal::Expired { .. }), "{version:?}: {refusal:?}");
    }
}

#[tokio::test]
async fn a_ticket_opens_nothing_under_other_authorities_or_names() {
    let world = World::new();
    let others = Ca::new("router-ca");
    for version in [&TLS12, &TLS13] {
        let changes: [(Mode, A); 2] =
            [(strict(&others, "router"), A::UnknownCA), (strict(&world.routers, "another"), A::BadCertificate)];
        for (changed, told) in changes {
            let client = RustlsClient::new(&world.instances, Some(&world.routers.issue(Leaf::of("router"))), version);
            assert_eq!(world.meet(&client).await.0, Ok(HandshakeKind::Full));
            assert_eq!(world.meet(&client).await.0, Ok(HandshakeKind::Resumed));
            world.swap(changed);
            let (heard, outcome) = world.meet(&client).await;
            assert_eq!(heard, Err(told), "{version:?}");
            assert!(outcome.is_err(), "{version:?}");
            world.swap(strict(&world.routers, "router"));
        }
    }
}
