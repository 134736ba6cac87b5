//! What the client is told when nothing else is left: status, `X-Cf-RouterError` and body of each class, to the letter
//! of gorouter.md section 6.

use std::net::SocketAddr;

use trueroute_testkit::{
    Registration,
    client::{Request, Response},
    peers::{self, Ending},
    pki::{Authority, InstanceId},
    tls::Version,
};

use crate::support::RouterUnderTest;

/// What one class looks like: status, reason phrase, text of the error, body, and the metric it moves.
struct Class<'a> {
    status: u16,
    reason: &'a str,
    error: &'a str,
    body: &'a str,
    metric: Option<&'a str>,
}

const BAD_GATEWAY: Class<'static> = Class {
    status: 502,
    reason: "Bad Gateway",
    error: "",
    body: "502 Bad Gateway: Registered endpoint failed to handle the request.\n",
    metric: Some("bad_gateways"),
};
const NOT_OURS: Class<'static> = Class {
    status: 503,
    reason: "Service Unavailable",
    error: "",
    body: "503 Service Unavailable\n",
    metric: Some("backend_invalid_id"),
};
const NO_TLS: Class<'static> = Class {
    status: 525,
    reason: "status code 525",
    error: "",
    body: "525 SSL Handshake Failed\n",
    metric: Some("backend_tls_handshake_failed"),
};
const INVALID: Class<'static> = Class {
    status: 526,
    reason: "status code 526",
    error: "",
    body: "526 Invalid SSL Certificate\n",
    metric: Some("backend_invalid_tls_cert"),
};
const REFUSED: Class<'static> =
    Class { status: 496, reason: "status code 496", error: "", body: "496 SSL Certificate Required\n", metric: None };

/// A router, and the one endpoint that its clients are led to.
struct Scene {
    router: RouterUnderTest,
    id: InstanceId,
}

impl Scene {
    async fn set() -> Self {
        let router = RouterUnderTest::builder().set("tls_handshake_timeout", "300ms");
        let router = router.set("endpoint_dial_timeout", "300ms").set("endpoint_timeout", "3s").start().await;
        Self { router, id: InstanceId::of_app("a") }
    }

    /// Leads the host to a TLS endpoint at `address` alone, asks once, and expects `class` with `error`.
    async fn tls(&self, host: &str, address: SocketAddr, class: &Class<'_>, error: &str) {
        self.router.register_stale(host, address, &self.id.instance).await;
        self.expect(Request::new("GET", "/").host(host), &Class { error, ..*class }).await;
    }

    /// The same with a plain endpoint.
    async fn plain(&self, request: Request, host: &str, address: SocketAddr, class: &Class<'_>, error: &str) {
        self.router.register(&Registration::plain(address).uri(host).app("a")).await;
        self.expect(request, &Class { error, ..*class }).await;
    }

    async fn expect(&self, request: Request, class: &Class<'_>) -> Response {
        let before = match class.metric {
            Some(metric) => self.router.metric(metric).await,
            None => 0.0,
        };
        let answer = self.router.ask(request).await;
        let error = format!("endpoint_failure ({})", class.error);
        assert_eq!((answer.status, answer.header("x-cf-routererror")), (class.status, Some(&*error)));
        assert_eq!((&*answer.reason, answer.text()), (class.reason, class.body));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("connection"), None);
        assert_eq!(answer.header("cache-control"), None);
        if let Some(metric) = class.metric {
            assert_eq!(self.router.metric(metric).await, before + 1.0, "{metric}");
        }
        answer
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached() {
    let scene = Scene::set().await;
    let dead = peers::refuses_connections();
    let text = format!("dial tcp {}: connect: connection refused", dead.addr());
    scene.tls("dead-tls.answers", dead.addr(), &BAD_GATEWAY, &text).await;
    let get = |host| Request::new("GET", "/").host(host);
    scene.plain(get("dead.answers"), "dead.answers", dead.addr(), &BAD_GATEWAY, &text).await;
    let full = peers::never_accepts();
    let text = format!("dial tcp {}: i/o timeout", full.addr());
    scene.tls("full.answers", full.addr(), &BAD_GATEWAY, &text).await;
}

#[tokio::test]
async fn an_endpoint_that_is_somebody_else() {
    let scene = Scene::set().await;
    let pki = &scene.router.scene.pki;
    let other = InstanceId::random();
    let stranger = scene.router.instance("stranger").id(&other).start().await;
    let text =
        |names: &str| format!("tls: failed to verify certificate: x509: certificate is {names} {}", scene.id.instance);
    let valid_for_another = text(&format!("valid for {}, not", other.instance));
    scene.tls("other.answers", stranger.addr(), &NOT_OURS, &valid_for_another).await;
    let drained = peers::drained(&pki.instances);
    let valid_for_nobody = text("not valid for any names, but wanted to match");
    scene.tls("drained.answers", drained.addr(), &NOT_OURS, &valid_for_nobody).await;
    // The name comes before the trust.
    let both = Authority::new("nobody's").instance(&other).issue();
    let both = scene.router.instance("stranger").showing(&both).start().await;
    scene.tls("both.answers", both.addr(), &NOT_OURS, &valid_for_another).await;
    for app in [&stranger.app, &drained, &both.app] {
        assert_eq!((app.bytes_in(), app.connections()), (0, 1));
    }
}

#[tokio::test]
async fn an_endpoint_that_proves_nothing() {
    let scene = Scene::set().await;
    let pki = &scene.router.scene.pki;
    let unknown = peers::unknown_ca(&scene.id);
    let text = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    scene.tls("unknown.answers", unknown.addr(), &INVALID, text).await;
    for (host, app) in [
        ("expired.answers", peers::expired(&pki.instances, &scene.id)),
        ("early.answers", peers::not_yet_valid(&pki.instances, &scene.id)),
    ] {
        scene.router.register_stale(host, app.addr(), &scene.id.instance).await;
        let answer = scene.router.get(host, "/").await;
        assert_eq!((answer.status, answer.text()), (INVALID.status, INVALID.body));
        let error = answer.header("x-cf-routererror").unwrap();
        let head = "endpoint_failure (tls: failed to verify certificate: x509: certificate has expired or is not yet \
                    valid: current time ";
        assert!(error.starts_with(head), "{error}");
        assert_eq!(app.bytes_in(), 0);
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_us() {
    let scene = Scene::set().await;
    let leaf = scene.router.scene.pki.instances.instance(&scene.id).issue();
    for (host, version) in [("refuses-12.answers", Version::Tls12), ("refuses-13.answers", Version::Tls13)] {
        let peer = peers::refuses_our_certificate(&leaf, version, Ending::Lingering);
        scene.tls(host, peer.addr(), &REFUSED, "remote error: tls: unknown certificate authority").await;
    }
    for (host, alert, class, text) in [
        ("alert-42.answers", 42, &REFUSED, "remote error: tls: bad certificate"),
        ("alert-48.answers", 48, &REFUSED, "remote error: tls: unknown certificate authority"),
        ("alert-116.answers", 116, &REFUSED, "remote error: tls: certificate required"),
        ("alert-40.answers", 40, &NO_TLS, "remote error: tls: handshake failure"),
        ("alert-70.answers", 70, &BAD_GATEWAY, "remote error: tls: protocol version not supported"),
        ("alert-80.answers", 80, &BAD_GATEWAY, "remote error: tls: internal error"),
    ] {
        let peer = peers::sends_alert(alert);
        scene.tls(host, peer.addr(), class, text).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_shakes_no_hands() {
    let scene = Scene::set().await;
    let plain = peers::plain_where_tls_is_expected();
    scene.tls("plain.answers", plain.addr(), &NO_TLS, "tls: first record does not look like a TLS handshake").await;
    let silent = peers::never_handshakes();
    scene.tls("silent.answers", silent.addr(), &BAD_GATEWAY, "net/http: TLS handshake timeout").await;
    let closing = peers::closes_during_handshake();
    scene.tls("closing.answers", closing.addr(), &BAD_GATEWAY, "EOF").await;
    let resetting = peers::resets_during_handshake();
    scene.router.register_stale("resetting.answers", resetting.addr(), &scene.id.instance).await;
    let answer = scene.router.get("resetting.answers", "/").await;
    assert_eq!((answer.status, answer.text()), (502, BAD_GATEWAY.body));
    let error = answer.header("x-cf-routererror").unwrap();
    assert!(error.contains("read: connection reset by peer"), "{error}");
    // Neither end of a connection says who is there: the endpoint stays.
    for host in ["closing.answers", "resetting.answers"] {
        assert_eq!(scene.router.endpoints(host).await.len(), 1, "{host}");
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_the_request() {
    let scene = Scene::set().await;
    let post = |host| Request::new("POST", "/").host(host).body("x");
    let door = peers::Door::Plain;
    let closes = peers::closes_after_request(door.clone());
    scene.plain(post("eof.answers"), "eof.answers", closes.addr(), &BAD_GATEWAY, "EOF").await;
    let silent = peers::never_answers(door.clone());
    let late = "context deadline exceeded";
    scene.plain(post("late.answers"), "late.answers", silent.addr(), &BAD_GATEWAY, late).await;
    let switches = peers::unsolicited_101(door.clone());
    scene.router.register(&Registration::plain(switches.addr()).uri("101.answers")).await;
    let answer = scene.router.get("101.answers", "/").await;
    assert_eq!((answer.status, answer.header("x-cf-routererror"), answer.text()), (502, None, ""));
    let garbage = peers::answers_garbage(door);
    scene.router.register(&Registration::plain(garbage.addr()).uri("garbage.answers")).await;
    let answer = scene.router.get("garbage.answers", "/").await;
    let error = answer.header("x-cf-routererror").unwrap();
    let head = "endpoint_failure (net/http: HTTP/1.x transport connection broken: malformed HTTP response ";
    assert!(answer.status == 502 && error.starts_with(head), "{error}");
}
