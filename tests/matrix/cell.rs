//! The ways in and out, and the scene of one pair of them.

use std::{future::Future, time::Duration};

use serde_json::json;
use trueroute::route::moment::Moment;
use trueroute_testkit::{
    App, Bus, Nats, Registration,
    app::Reply,
    eventually,
    peers::Door,
    pki::{Authority, InstanceId},
    tls::{ClientTls, ServerTls},
};

use super::{
    asker::Asker,
    support::{self, PATIENCE, RouterUnderTest},
};

/// How clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// HTTP/1.1.
    Http1,
    /// HTTP/1.1 over TLS.
    Http1Tls,
    /// HTTP/2 over TLS.
    Http2,
}

/// How endpoints are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// HTTP/1.1.
    Http1,
    /// HTTP/1.1 over TLS that lets anybody in.
    Http1Tls,
    /// HTTP/1.1 over TLS that lets routers in.
    Http1Mutual,
    /// HTTP/2 over TLS that lets anybody in.
    Http2Tls,
    /// HTTP/2 over TLS that lets routers in.
    Http2Mutual,
}

/// Every way in.
pub(crate) const FRONTS: [Front; 3] = [Front::Http1, Front::Http1Tls, Front::Http2];
/// Every way out.
pub(crate) const BEHINDS: [Behind; 5] =
    [Behind::Http1, Behind::Http1Tls, Behind::Http1Mutual, Behind::Http2Tls, Behind::Http2Mutual];

/// One way in and one way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) front: Front,
    pub(crate) behind: Behind,
}

impl Front {
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::Http1Tls | Self::Http2 => "https",
        }
    }

    /// Whether a client can ask for another protocol.
    pub(crate) fn switches(self) -> bool {
        self != Self::Http2
    }
}

impl Behind {
    pub(crate) fn is_tls(self) -> bool {
        self != Self::Http1
    }

    /// Whether the endpoint wants to know who asks.
    pub(crate) fn is_mutual(self) -> bool {
        matches!(self, Self::Http1Mutual | Self::Http2Mutual)
    }

    /// The version in which an app gets its requests.
    pub(crate) fn version(self) -> &'static str {
        if self.is_http2() { "HTTP/2.0" } else { "HTTP/1.1" }
    }

    /// Whether requests share a connection.
    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Self::Http2Tls | Self::Http2Mutual)
    }
}

/// Runs a story in every cell at the same time, each in a scene of its own.
pub(crate) async fn everywhere<F: Future<Output = ()>>(story: impl Fn(Cell) -> F) {
    let cells = FRONTS.into_iter().flat_map(|front| BEHINDS.map(|behind| Cell { front, behind }));
    futures_util::future::join_all(cells.map(story)).await;
}

/// A router, an app behind it, and the means to come in.
pub(crate) struct Scene {
    pub(crate) cell: Cell,
    pub(crate) router: RouterUnderTest,
    pub(crate) app: App,
    pub(crate) id: InstanceId,
    tls: ClientTls,
}

/// The app's host.
pub(crate) const HOST: &str = "matrix.example";

impl Scene {
    /// An app that decides by the path, see [`Reply::by_path`].
    pub(crate) async fn new(cell: Cell) -> Self {
        let authority = Authority::new("front");
        let leaf = authority.localhost().issue();
        let router = support::Scene::over(Bus::Small(Nats::start())).router();
        let router = router
            .set("go_max_procs", 1)
            .set("endpoint_timeout", "20s")
            .set("enable_ssl", true)
            .set("ssl_port", 0)
            .set("cipher_suites", "ECDHE-ECDSA-AES128-GCM-SHA256")
            .set("client_cert_validation", "none")
            .set("tls_pem", json!([{"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem}]));
        let router = router.start().await;
        let id = InstanceId::of_app("matrix");
        let app = App::builder("matrix").instance(&id.instance).door(door(cell.behind, &router, &id));
        let app = app.rule(Reply::by_path).start();
        let tls = ClientTls::new(&authority, "localhost");
        let scene = Self { cell, router, app, id, tls };
        scene.lead(HOST, scene.app.addr()).await;
        scene
    }

    /// Registers an endpoint at this address, whose identity is the scene's.
    pub(crate) async fn lead(&self, host: &str, address: std::net::SocketAddr) {
        self.router.register(&self.registration(host, address)).await;
    }

    /// What such an endpoint says about itself.
    pub(crate) fn registration(&self, host: &str, address: std::net::SocketAddr) -> Registration {
        let registration = match self.cell.behind.is_tls() {
            false => Registration::plain(address).instance(&self.id.instance),
            true => Registration::tls(address, &self.id.instance),
        };
        let registration = if self.cell.behind.is_http2() { registration.protocol("http2") } else { registration };
        registration.uri(host).app("matrix")
    }

    /// The door of further peers with the scene's identity.
    pub(crate) fn door(&self) -> Door {
        door(self.cell.behind, &self.router, &self.id)
    }

    /// A new connection.
    pub(crate) async fn asker(&self) -> Asker {
        match self.cell.front {
            Front::Http1 => Asker::http1(self.router.http(), None).await,
            Front::Http1Tls => Asker::http1(self.router.https(), Some(&self.tls)).await,
            Front::Http2 => Asker::http2(self.router.https(), &self.tls).await,
        }
    }

    /// Requests that wait for an endpoint's answer.
    pub(crate) fn in_flight(&self, host: &str) -> u32 {
        let pool = self.router.table().lookup(host, "/").expect("the route is there");
        pool.leases().iter().map(|lease| lease.endpoint().in_flight()).sum()
    }

    /// Nothing is under way any more, and the endpoint is where it was.
    pub(crate) async fn is_at_rest(&self, host: &str, case: &str) {
        let (cell, named) = (self.cell, format!("{:?}, {case}", self.cell));
        eventually(PATIENCE, async || self.router.metric("trueroute_open_exchanges").await == 0.0).await;
        let pool = self.router.table().lookup(host, "/").expect("the route is there");
        assert_eq!(pool.leases().len(), 1, "{named}: the endpoint was pruned");
        let lease = &pool.leases()[0];
        assert!(!lease.is_resting(Moment::from_ms(0), Duration::MAX), "{named}: the endpoint is marked");
        assert_eq!(lease.endpoint().in_flight(), 0, "{named}");
        assert_eq!(self.router.metric("trueroute_panics_total").await, 0.0, "{cell:?}");
    }

    /// Ends the router in order: nobody is left in it who would have to be waited for, and no connection stays.
    pub(crate) async fn ends(self) {
        let drained = tokio::time::timeout(PATIENCE, self.router.drain()).await;
        assert_eq!(drained, Ok(Ok(true)), "{:?}: somebody is left", self.cell);
        self.router.stop();
        eventually(PATIENCE, async || self.app.open_connections() == 0).await;
    }
}

fn door(behind: Behind, router: &RouterUnderTest, id: &InstanceId) -> Door {
    let pki = &router.scene.pki;
    let for_anybody = || ServerTls::new(&pki.instances.instance(id).issue());
    const HTTP2: &[&str] = &["h2", "http/1.1"];
    match behind {
        Behind::Http1 => Door::Plain,
        Behind::Http1Tls => for_anybody().into(),
        Behind::Http1Mutual => pki.door(id).into(),
        Behind::Http2Tls => for_anybody().alpn(HTTP2).into(),
        Behind::Http2Mutual => pki.door(id).alpn(HTTP2).into(),
    }
}
