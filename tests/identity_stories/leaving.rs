//! A client that leaves, or misbehaves, never costs an endpoint its place (invariant 3).

use std::time::Duration;

use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;
use trueroute::route::moment::Moment;
use trueroute_testkit::{Client, Registration, eventually, peers, pki::InstanceId};

use crate::support::{PATIENCE, RouterUnderTest};

const HOST: &str = "leaving.example";
const GET: &str = "GET / HTTP/1.1\r\nHost: leaving.example\r\n\r\n";
const STREAM: &str = "GET /chunked/100000000 HTTP/1.1\r\nHost: leaving.example\r\n\r\n";
const UPLOAD: &str = "POST / HTTP/1.1\r\nHost: leaving.example\r\nContent-Length: 1000000\r\n\r\nbegun";
const BAD_CHUNK: &str =
    "POST / HTTP/1.1\r\nHost: leaving.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\nno chunk\r\n";

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Exit {
    Closes,
    Resets,
    /// Goes on waiting: what it sent was wrong enough.
    Stays,
}

/// A router with one endpoint.
struct Scene {
    router: RouterUnderTest,
}

impl Scene {
    async fn with(registration: Registration) -> Self {
        let router = RouterUnderTest::start().await;
        let scene = Self { router };
        scene.lead_to(registration).await;
        scene
    }

    async fn lead_to(&self, registration: Registration) {
        self.router.register(&registration.uri(HOST).app("a")).await;
    }

    /// Requests that wait for the endpoint's answer.
    fn in_flight(&self) -> u32 {
        let pool = self.router.table().lookup(HOST, "/").unwrap();
        pool.leases().iter().map(|lease| lease.endpoint().in_flight()).sum()
    }

    /// A client sends `request`, stays until `reached` holds, and goes. The endpoint must be where it was.
    async fn client_leaves(&self, request: &str, exit: Exit, reached: impl Fn() -> bool) {
        let stays = self.ask_and_leave(request, exit, reached).await;
        eventually(PATIENCE, async || self.router.metric("trueroute_open_exchanges").await == 0.0).await;
        drop(stays);
        self.endpoint_is_in_place(&format!("{exit:?} after {request:?}"));
    }

    async fn ask_and_leave(&self, request: &str, exit: Exit, reached: impl Fn() -> bool) -> Option<Client> {
        let mut client = self.router.client().await;
        client.send_raw(request).await.unwrap();
        eventually(PATIENCE, async || reached()).await;
        match exit {
            Exit::Closes => drop(client),
            Exit::Resets => client.reset(),
            Exit::Stays => return Some(client),
        }
        None
    }

    fn endpoint_is_in_place(&self, after: &str) {
        let pool = self.router.table().lookup(HOST, "/").unwrap();
        assert_eq!(pool.leases().len(), 1, "{after}");
        let lease = &pool.leases()[0];
        assert!(!lease.is_resting(Moment::from_ms(0), Duration::MAX), "{after}: it is marked");
        let address = lease.endpoint().peer.address();
        // Other stories of this process may have had an endpoint at the same address before.
        let logged = |message| self.router.logged(message, address).iter().any(|line| line.mentions(HOST));
        assert!(!logged("prune-failed-endpoint"), "{after}");
        assert!(!logged("endpoint-marked-as-ineligible"), "{after}");
    }
}

#[tokio::test]
async fn while_the_router_dials() {
    let peer = peers::never_accepts();
    let scene = Scene::with(Registration::tls(peer.addr(), "somebody")).await;
    for exit in [Exit::Closes, Exit::Resets] {
        scene.client_leaves(GET, exit, || scene.in_flight() == 1).await;
    }
    assert!(scene.router.access_log_line(HOST).await.contains("\"GET / HTTP/1.1\" 499 "));
}

#[tokio::test]
async fn while_the_endpoint_shakes_hands() {
    let peer = peers::never_handshakes();
    let scene = Scene::with(Registration::tls(peer.addr(), "somebody")).await;
    for exit in [Exit::Closes, Exit::Resets] {
        scene.client_leaves(GET, exit, || peer.open_connections() == 1 && scene.in_flight() == 1).await;
        eventually(PATIENCE, async || peer.open_connections() == 0).await;
    }
}

/// The router reads no body while it connects, so it sees the client's end only later; the endpoint is not to blame.
#[tokio::test]
async fn with_an_upload_while_the_router_connects() {
    for exit in [Exit::Closes, Exit::Resets] {
        let router = RouterUnderTest::start().await;
        let id = InstanceId::of_app("a");
        let acceptor = TlsAcceptor::from(router.scene.pki.door(&id).config());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scene = Scene { router };
        scene.lead_to(Registration::tls(listener.local_addr().unwrap(), &id.instance)).await;
        scene.ask_and_leave(UPLOAD, exit, || scene.in_flight() == 1).await;
        // Only now, with the client gone, does the endpoint answer the ClientHello that waits in its queue.
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = acceptor.accept(tcp).await.unwrap();
        let mut got = Vec::new();
        let _ = tls.read_to_end(&mut got).await;
        assert!(got.len() < UPLOAD.len() + 1000, "{exit:?}: it got {} bytes", got.len());
        eventually(PATIENCE, async || scene.router.metric("trueroute_open_exchanges").await == 0.0).await;
        scene.endpoint_is_in_place(&format!("{exit:?} during an upload"));
    }
}

#[tokio::test]
async fn while_the_endpoint_thinks() {
    for tls in [true, false] {
        let router = RouterUnderTest::start().await;
        let app = router.instance("a");
        let app = if tls { app } else { app.plain() };
        let app = app.rule(|_| trueroute_testkit::app::Reply::Echo.after_release()).start().await;
        let scene = Scene { router };
        scene.lead_to(app.registration.clone()).await;
        for (count, exit) in (1..).zip([Exit::Closes, Exit::Resets]) {
            scene.client_leaves(GET, exit, || app.requests() == count).await;
            eventually(PATIENCE, async || app.open_connections() == 0).await;
        }
    }
}

#[tokio::test]
async fn while_its_own_body_is_on_the_way() {
    for tls in [true, false] {
        let router = RouterUnderTest::start().await;
        let app = router.instance("a");
        let app = if tls { app } else { app.plain() }.start().await;
        let scene = Scene { router };
        scene.lead_to(app.registration.clone()).await;
        for (count, (request, exit)) in (1..).zip([
            (UPLOAD, Exit::Closes),
            (UPLOAD, Exit::Resets),
            (BAD_CHUNK, Exit::Closes),
            (BAD_CHUNK, Exit::Stays),
        ]) {
            scene.client_leaves(request, exit, || app.requests() == count).await;
            eventually(PATIENCE, async || app.open_connections() == 0).await;
            assert!(app.received().iter().all(|request| !request.complete));
        }
        assert_eq!(scene.router.get(HOST, "/").await.status, 200);
    }
}

#[tokio::test]
async fn while_the_answer_is_on_the_way() {
    for tls in [true, false] {
        let router = RouterUnderTest::start().await;
        let app = router.instance("a");
        let app = if tls { app } else { app.plain() }.start().await;
        let scene = Scene { router };
        scene.lead_to(app.registration.clone()).await;
        for exit in [Exit::Closes, Exit::Resets] {
            let sent = app.bytes_out();
            scene.client_leaves(STREAM, exit, || app.bytes_out() > sent + 1_000_000).await;
            eventually(PATIENCE, async || app.open_connections() == 0).await;
        }
        assert_eq!(scene.router.get(HOST, "/").await.status, 200);
    }
}
