//! Route integrity: what each mode makes of a registration.

use trueroute_testkit::{Registration, app::Reply, eventually, peers};

use crate::support::{Instance, PATIENCE, RouterProcess, RouterUnderTest, Scene};

/// One app on two ports, plain and TLS.
struct Both {
    plain: Instance,
    tls: Instance,
    registration: Registration,
}

impl Both {
    async fn start(router: &RouterUnderTest, uri: &str) -> Self {
        let plain = router.instance("plain").plain().start().await;
        let tls = router.instance("tls").start().await;
        let registration = Registration::plain(plain.addr()).tls_port(tls.port()).san(&tls.id.instance);
        Self { plain, tls, registration: registration.uri(uri).app("both") }
    }
}

/// Publishes what the mode must refuse, three times; it is refused each time and said once.
async fn is_refused(router: &RouterUnderTest, registration: &Registration, uri: &str, reason: &str) {
    for _ in 0..3 {
        router.publish(registration).await;
    }
    let series = format!("trueroute_registrations_rejected_total{{reason=\"{reason}\"}}");
    eventually(PATIENCE, async || router.metric(&series).await == 3.0).await;
    router.log_line("registration-refused", uri).await;
    assert_eq!(router.logged("registration-refused", uri).len(), 1);
    assert_eq!(router.get(uri, "/").await.status, 404);
}

#[tokio::test]
async fn without_the_key_each_endpoint_is_what_its_registration_says() {
    let router = RouterUnderTest::start().await;
    let both = Both::start(&router, "both.unset").await;
    router.publish(&both.registration).await;
    router.wait_for_route("both.unset", 1).await;
    assert_eq!(router.get("both.unset", "/").await.header("x-app"), Some("tls"));
    let plain = router.instance("plain").plain().uri("plain.unset").register().await;
    assert_eq!(router.get("plain.unset", "/").await.header("x-app"), Some("plain"));
    // One route may have both kinds; joining one that proves itself without a proof is worth a warning.
    router.register(&plain.registration.clone().uri("both.unset")).await;
    router.log_line("plain-endpoint-joined-tls-route", "both.unset").await;
    let rows = router.endpoints("both.unset").await;
    assert_eq!(rows.iter().filter(|row| row["tls"] == true).count(), 1);
    assert_eq!(rows.len(), 2);
    assert_eq!(both.plain.connections(), 0);
    assert!(both.tls.requests() > 0);
}

#[tokio::test]
async fn off_dials_the_plain_port_and_misroutes() {
    let router = RouterUnderTest::builder().set("route_integrity", "off").start().await;
    let both = Both::start(&router, "both.off").await;
    router.publish(&both.registration).await;
    router.wait_for_route("both.off", 1).await;
    assert_eq!(router.get("both.off", "/").await.header("x-app"), Some("plain"));
    assert_eq!((router.endpoints("both.off").await[0]["tls"] == true, both.tls.connections()), (false, 0));

    let tls_only = router.instance("tls").uri("tls.off").start().await;
    is_refused(&router, &tls_only.registration, "tls.off", "tls_under_off").await;

    // Another app takes the port over while the registration is still there: this is what the other modes prevent.
    let port = both.plain.port();
    drop(both.plain);
    let stranger = router.instance("stranger").plain().port(port).rule(|_| Reply::text("not for you")).start().await;
    assert_eq!(router.get("both.off", "/").await.header("x-app"), Some("stranger"));
    assert_eq!(stranger.requests(), 1);
}

#[tokio::test]
async fn tls_and_strict_take_endpoints_that_prove_themselves_only() {
    for mode in ["tls", "strict"] {
        let router = RouterUnderTest::builder().set("route_integrity", mode).start().await;
        let [both_uri, plain_uri, gone_uri] = ["both", "plain", "gone"].map(|host| format!("{host}.{mode}"));
        let both = Both::start(&router, &both_uri).await;
        router.publish(&both.registration).await;
        router.wait_for_route(&both_uri, 1).await;
        assert_eq!(router.get(&both_uri, "/").await.header("x-app"), Some("tls"));
        assert_eq!(both.plain.connections(), 0);
        let plain = router.instance("plain").plain().uri(&plain_uri).start().await;
        is_refused(&router, &plain.registration, &plain_uri, "plain_under_tls").await;
        assert_eq!(plain.connections(), 0);
        // A port that another instance holds now is never believed.
        let stranger = peers::certificate_of_another_instance(&router.scene.pki.instances);
        router.register_stale(&gone_uri, stranger.addr(), "gone").await;
        assert_eq!(router.get(&gone_uri, "/").await.status, 503);
        assert_eq!(stranger.bytes_in(), 0);
    }
}

#[tokio::test]
async fn tls_does_without_a_certificate_of_the_router_and_strict_does_not() {
    let without = |mode| {
        let router = Scene::new().router().set("route_integrity", mode);
        router.without("backends.cert_chain").without("backends.private_key")
    };
    let router = without("tls").start().await;
    let id = trueroute_testkit::pki::InstanceId::of_app("a");
    let leaf = router.scene.pki.instances.instance(&id).issue();
    let _open = router.instance("open").id(&id).door(&leaf).uri("open.tls").register().await;
    assert_eq!(router.get("open.tls", "/").await.header("x-app"), Some("open"));
    let demanding = router.instance("demanding").uri("demanding.tls").register().await;
    let answer = router.get("demanding.tls", "/").await;
    assert_eq!((answer.status, demanding.bytes_in()), (496, 0));
    assert_eq!(answer.header("x-cf-routererror"), Some("endpoint_failure (remote error: tls: certificate required)"));

    let (code, lines) = RouterProcess::run_to_end(&without("strict").yml()).await;
    let line = lines.last().unwrap();
    assert_eq!((code, line.message()), (1, "Error loading config:"));
    assert!(line.mentions("route_integrity") && line.mentions("backends.cert_chain"), "{line:?}");
}
