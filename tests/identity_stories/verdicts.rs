//! Every way in which a sidecar turns the router away, in both versions of TLS and under bodies of every size: how the
//! router takes it, whether the request goes elsewhere, and what becomes of the endpoint (sidecar.md section 3.4,
//! gorouter.md section 6). Each cell is told many times over, for a refusal that is understood only nearly always is
//! one that leaves a dead endpoint in the table now and then.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use trueroute_identity::accept::{Offer, Suite};
use trueroute_sidecar::{
    Settings, Sidecar, Stats,
    settings::{IdentityFiles, Listener, Mode, OnRefused},
    stats::Event,
};
use trueroute_testkit::{
    App, ReservedPort, Tempdir,
    client::Request,
    eventually,
    peers::{self, Peer},
    pki::{Authority, InstanceId, LeafBuilder, Purpose},
    tls::Version,
};

use crate::support::{PATIENCE, Pki, ROUTER_NAME, RouterUnderTest, Scene};

/// How often each cell is told.
const REPEATS: u64 = 20;
/// What of a body is kept for another endpoint once it is under way.
const KEPT: usize = 64 << 10;
/// No body, and bodies below, at and far beyond what is kept.
const ASKED: [(&str, usize); 5] = [("GET", 0), ("POST", 1), ("POST", 16 << 10), ("POST", KEPT), ("POST", 1 << 20)];
const BOTH: &[Version] = &[Version::Tls12, Version::Tls13];

/// What becomes of an endpoint that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It leaves the table.
    Pruned,
    /// It rests.
    Rested,
    /// Nothing.
    Kept,
}

/// What stands at the end of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    App,
    Nothing(OnRefused),
    /// Accepts no connection.
    Overloaded,
    /// An app, behind a sidecar that has no certificate yet.
    NoCertificate,
    /// An app, behind a sidecar whose certificate is the one that says that the instance is going.
    Leaving,
    /// An app, behind a sidecar that speaks only suites which its certificate does not fit.
    NoCommonSuite,
}

/// One class of refusals.
struct Class {
    name: &'static str,
    /// What the router shows; `None` for a router without a certificate.
    shown: fn(&Authority) -> Option<LeafBuilder>,
    end: End,
    versions: &'static [Version],
    /// What the sidecar counts; `None` where the router turns the sidecar away.
    counted: Option<Event>,
    status: u16,
    /// Part of `X-Cf-RouterError`.
    error: &'static str,
    metric: Option<&'static str>,
    fate: Fate,
}

impl Class {
    /// Whether it comes in TLS 1.3 when the router takes the handshake for done.
    fn is_of_our_certificate(&self) -> bool {
        self.status == 496
    }
}

fn ordinary(routers: &Authority) -> Option<LeafBuilder> {
    Some(routers.router_client(ROUTER_NAME))
}

/// Defaults of a class that refuses the certificate which the router shows.
fn refuses(name: &'static str, shown: fn(&Authority) -> Option<LeafBuilder>, counted: Event) -> Class {
    let error = "remote error: tls: bad certificate)";
    let (end, versions, counted, metric, fate) = (End::App, BOTH, Some(counted), None, Fate::Pruned);
    Class { name, shown, end, versions, counted, status: 496, error, metric, fate }
}

/// Defaults of a class in which no app is to be had.
fn no_app(name: &'static str, end: End, counted: Event, error: &'static str, fate: Fate) -> Class {
    let (versions, counted, metric) = (BOTH, Some(counted), Some("bad_gateways"));
    Class { name, shown: ordinary, end, versions, counted, status: 502, error, metric, fate }
}

/// A sidecar that refuses.
struct Refusing {
    address: SocketAddr,
    stats: Arc<Stats>,
    stop: CancellationToken,
    app: App,
    _held: (Tempdir, ReservedPort, Peer),
}

impl Refusing {
    async fn start(class: &Class, version: Version, pki: &Pki, id: &InstanceId) -> Self {
        let (files, nobody, full) = (Tempdir::new().unwrap(), ReservedPort::new(), peers::never_accepts());
        let authorities = files.path().join("client-ca.crt");
        std::fs::write(&authorities, pki.routers.pem()).unwrap();
        let leaf = if class.end == End::Leaving { pki.instances.drain() } else { pki.instances.instance(id) };
        if class.end != End::NoCertificate {
            leaf.issue().write_to(files.path(), "instance");
        }
        let file = |name: &str| files.path().join(name);
        let identity = IdentityFiles { certificate: file("instance.crt"), key: file("instance.key") };
        let app = App::builder("refusing").instance(&id.instance).start();
        let behind = match class.end {
            End::Nothing(_) => nobody.addr(),
            End::Overloaded => full.addr(),
            _ => app.addr(),
        };
        let mode = Mode::strict(authorities, vec![ROUTER_NAME.into()]);
        let mut listener = Listener::new(([127, 0, 0, 1], 0).into(), behind.into(), identity, mode);
        let suites = (class.end == End::NoCommonSuite).then(|| Suite::named("ECDHE-RSA-AES128-GCM-SHA256").unwrap());
        listener.offer = Offer {
            tls12: version == Version::Tls12,
            tls13: version == Version::Tls13,
            suites: suites.into_iter().collect(),
            ..Offer::default()
        };
        if let End::Nothing(choice) = class.end {
            listener.on_refused = choice;
        }
        listener.timeouts.dial = Duration::from_millis(if class.end == End::Overloaded { 5 } else { 5000 });
        let stop = CancellationToken::new();
        let (address, stats) = serve(Settings::new(vec![listener]), stop.clone()).await;
        Self { address, stats, stop, app, _held: (files, nobody, full) }
    }

    fn met(&self, class: &Class) -> u64 {
        match class.counted {
            Some(event) => self.stats.of(event),
            None => self.stats.of(Event::HandshakeFailed),
        }
    }
}

/// Runs a sidecar until `stop` on a thread of its own, as it runs in a container: what it does falls anywhere between
/// what the router does.
async fn serve(settings: Settings, stop: CancellationToken) -> (SocketAddr, Arc<Stats>) {
    let (tell, bound) = oneshot::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bound = Sidecar::bind(settings).await.unwrap();
            tell.send((bound.local_addr(), bound.stats())).unwrap();
            // What is open then is of no interest.
            tokio::select! {
                () = bound.run(CancellationToken::new()) => {}
                () = stop.cancelled() => {}
            }
        });
    });
    bound.await.unwrap()
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A router that shows what the class says, and a sidecar that refuses it.
struct Stage<'a> {
    class: &'a Class,
    version: Version,
    router: RouterUnderTest,
    id: InstanceId,
    refusing: Refusing,
}

impl<'a> Stage<'a> {
    async fn set(class: &'a Class, version: Version) -> Self {
        let mut scene = Scene::new();
        let shown = (class.shown)(&scene.pki.routers);
        let bare = shown.is_none();
        scene.pki.router = shown.unwrap_or_else(|| scene.pki.routers.router_client(ROUTER_NAME)).issue();
        // An instance that failed rests for a quarter of the threshold: this one is tried again all the time.
        let builder = scene.router().set("droplet_stale_threshold", "4ms");
        let builder =
            if bare { builder.without("backends.cert_chain").without("backends.private_key") } else { builder };
        let (router, id) = (builder.start().await, InstanceId::of_app("a"));
        let refusing = Refusing::start(class, version, &scene.pki, &id).await;
        Self { class, version, router, id, refusing }
    }

    fn cell(&self, method: &str, size: usize) -> String {
        format!("{}, {:?}, {method} of {size} bytes", self.class.name, self.version)
    }

    /// Its only endpoint refuses: the client is told the class.
    async fn alone(&self, method: &str, size: usize) {
        let (class, cell) = (self.class, self.cell(method, size));
        let host = format!("alone-{size}.verdicts");
        let (met, moved) = (self.refusing.met(class), self.counter().await);
        for _ in 0..REPEATS {
            self.router.register_stale(&host, self.refusing.address, &self.id.instance).await;
            let answer = self.router.ask(Request::new(method, "/").host(&host).body(vec![b'x'; size])).await;
            let error = answer.header("x-cf-routererror").unwrap_or_default();
            assert_eq!(answer.status, class.status, "{cell}: {error}");
            assert!(error.starts_with("endpoint_failure (") && error.contains(class.error), "{cell}: {error}");
            let left = self.router.endpoints(&host).await.len();
            assert_eq!(left, usize::from(class.fate != Fate::Pruned), "{cell}");
        }
        eventually(PATIENCE, async || self.refusing.met(class) - met >= REPEATS).await;
        assert_eq!(self.refusing.met(class) - met, REPEATS, "{cell}: one try for each request, and each was refused");
        assert_eq!(self.counter().await - moved, class.metric.map_or(0.0, |_| REPEATS as f64), "{cell}");
    }

    async fn counter(&self) -> f64 {
        match self.class.metric {
            Some(name) => self.router.metric(name).await,
            None => 0.0,
        }
    }

    /// Another instance is there: it gets the request, once. Only what is gone beyond what is kept of a body, before
    /// the refusal of our certificate came, is lost; the client hears why.
    async fn beside_another(&self, method: &str, size: usize) {
        let (class, cell) = (self.class, self.cell(method, size));
        let host = format!("beside-{size}.verdicts");
        let leaf = self.router.scene.pki.instances.instance(&self.id).issue();
        let other = self.router.instance("a").id(&self.id).uri(&host).door(&leaf).register().await;
        let late = self.version == Version::Tls13 && class.is_of_our_certificate() && size > KEPT;
        let (met, retried) = (self.refusing.met(class), self.router.metric("trueroute_retries_total").await);
        let (mut asked, mut told) = (0, 0);
        while self.refusing.met(class) - met < REPEATS {
            self.router.register_stale(&host, self.refusing.address, &self.id.instance).await;
            asked += 1;
            let request = Request::new(method, "/").host(&host).header("X-Number", &asked.to_string());
            let answer = self.router.ask(request.body(vec![b'x'; size])).await;
            let delivered =
                other.received().iter().filter(|got| got.header("x-number") == Some(&asked.to_string())).count();
            match (answer.status, delivered) {
                (200, 1) => {}
                (status, 0) if late && status == class.status => told += 1,
                outcome => panic!("{cell}: {outcome:?}, {:?}", answer.header("x-cf-routererror")),
            }
            assert!(asked < 50 * REPEATS, "{cell}: the refusing instance is hardly tried");
        }
        assert!(other.received().iter().all(|got| got.complete && got.body_bytes as usize == size), "{cell}");
        // The sidecar counts a refusal when it is over with it, which may be after the answer.
        let retried = self.router.metric("trueroute_retries_total").await - retried;
        let refused = retried + f64::from(told);
        eventually(PATIENCE, async || (self.refusing.met(class) - met) as f64 >= refused).await;
        assert_eq!((self.refusing.met(class) - met) as f64, refused, "{cell}");
        let rested =
            !self.router.logged("endpoint-marked-as-ineligible", &self.refusing.address.to_string()).is_empty();
        assert_eq!(rested, class.fate == Fate::Rested, "{cell}");
        println!("{cell}: {refused} refusals beside another instance, {retried} went to it, {told} were told");
    }
}

async fn holds(class: Class) {
    for version in class.versions {
        let stage = Stage::set(&class, *version).await;
        for (method, size) in ASKED {
            stage.alone(method, size).await;
            stage.beside_another(method, size).await;
        }
        assert_eq!(stage.refusing.app.bytes_in(), 0, "{}: nothing of a refused request reaches the app", class.name);
    }
}

#[tokio::test]
async fn a_router_of_an_unknown_authority() {
    let shown = |_: &Authority| Some(Authority::new("others").router_client(ROUTER_NAME));
    let error = "remote error: tls: unknown certificate authority)";
    holds(Class { error, ..refuses("unknown authority", shown, Event::UnknownAuthority) }).await;
}

#[tokio::test]
async fn a_router_whose_certificate_has_expired() {
    let shown = |routers: &Authority| ordinary(routers).map(LeafBuilder::expired);
    holds(refuses("expired", shown, Event::OutsideValidity)).await;
}

#[tokio::test]
async fn a_router_without_a_certificate() {
    let error = "remote error: tls: certificate required)";
    holds(Class { error, ..refuses("no certificate", |_| None, Event::NoCertificate) }).await;
}

#[tokio::test]
async fn a_router_by_another_name() {
    let shown = |routers: &Authority| Some(routers.router_client("another.service.cf.internal"));
    holds(refuses("name not allowed", shown, Event::NameNotAllowed)).await;
}

#[tokio::test]
async fn a_router_whose_certificate_is_for_servers_only() {
    let shown = |routers: &Authority| ordinary(routers).map(|leaf| leaf.purposes(&[Purpose::ServerAuth]));
    holds(refuses("bad certificate", shown, Event::HandshakeFailed)).await;
}

#[tokio::test]
async fn an_app_that_does_not_listen_is_a_reset() {
    let (end, error) = (End::Nothing(OnRefused::Reset), "read: connection reset by peer)");
    holds(no_app("refused, reset", end, Event::AppRefused, error, Fate::Rested)).await;
}

#[tokio::test]
async fn an_app_that_does_not_listen_is_alert_40_by_choice() {
    let (end, error) = (End::Nothing(OnRefused::Alert), "remote error: tls: handshake failure)");
    let class = no_app("refused, alert 40", end, Event::AppRefused, error, Fate::Pruned);
    holds(Class { status: 525, metric: Some("backend_tls_handshake_failed"), ..class }).await;
}

#[tokio::test]
async fn an_app_that_does_not_listen_is_an_orderly_close_by_choice() {
    let end = End::Nothing(OnRefused::Close);
    holds(no_app("refused, close", end, Event::AppRefused, "(EOF)", Fate::Kept)).await;
}

#[tokio::test]
async fn an_overloaded_app_is_an_orderly_close() {
    holds(no_app("overloaded", End::Overloaded, Event::AppTimedOut, "(EOF)", Fate::Kept)).await;
}

#[tokio::test]
async fn a_sidecar_without_a_certificate_resets() {
    let error = "read: connection reset by peer)";
    holds(no_app("no certificate yet", End::NoCertificate, Event::NoIdentity, error, Fate::Rested)).await;
}

#[tokio::test]
async fn a_sidecar_that_has_no_suite_in_common() {
    let error = "remote error: tls: handshake failure)";
    let class = no_app("no common suite", End::NoCommonSuite, Event::HandshakeFailed, error, Fate::Pruned);
    // The suites of 1.3 are nobody's choice.
    let versions = &[Version::Tls12];
    holds(Class { versions, status: 525, metric: Some("backend_tls_handshake_failed"), ..class }).await;
}

#[tokio::test]
async fn an_instance_that_is_going() {
    let error = "x509: certificate is not valid for any names, but wanted to match ";
    let class = no_app("leaving", End::Leaving, Event::HandshakeFailed, error, Fate::Pruned);
    holds(Class { counted: None, status: 503, metric: Some("backend_invalid_id"), ..class }).await;
}
