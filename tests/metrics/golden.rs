//! The whole page of a router after a few exchanges of every kind, held against `page.txt`.
//!
//! What depends on the time, the machine or the build is a `*` there. Whoever changes a name, a type, a text, a bucket
//! or a label on purpose replaces the file by what the failure prints.

use serde_json::json;
use trueroute_testkit::{
    App, Bus, Client, Nats, Registration, ReservedPort, eventually,
    pki::{Authority, InstanceId},
    tls::ClientTls,
};

use crate::{
    exposition::Page,
    support::{PATIENCE, RouterUnderTest, Scene},
};

pub(crate) const GOLDEN: &str = include_str!("page.txt");

const SUITES: &str = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256";

/// A router with everything in its configuration that shows on the page.
async fn router(servers: &Authority) -> RouterUnderTest {
    let pair = servers.server(&["tls.example"]).issue();
    let shown = json!([{"cert_chain": pair.chain_pem, "private_key": pair.key_pem}]);
    let router = Scene::over(Bus::Small(Nats::start())).router();
    let router = router.set("enable_ssl", true).set("ssl_port", 0).set("tls_pem", shown);
    let router = router.set("cipher_suites", SUITES).set("client_cert_validation", "none");
    router.set("per_app_prometheus_http_metrics_reporting", true).start().await
}

/// One exchange of every kind that counts, one after the other: the workers take connections in turn.
async fn exchanges(router: &RouterUnderTest, servers: &Authority) {
    let plain = App::start("plain");
    let registration = Registration::plain(plain.addr()).uri("plain.example").tag("component", "route-emitter");
    let registration = registration.tag("source_id", "4bd0d5bf-0000-4000-8000-000000000001");
    router.register(&registration).await;
    let proven = router.instance("proven").uri("proven.example").register().await;
    let other = InstanceId::of_app("other");
    router.register_stale("stale.example", proven.addr(), &other.instance).await;
    let nobody = ReservedPort::new();
    router.register(&Registration::plain(nobody.addr()).uri("gone.example")).await;

    let mut client = router.client().await;
    for (host, status) in [
        ("plain.example", 200),
        ("plain.example", 200),
        ("proven.example", 200),
        ("stale.example", 503),
        ("unknown.example", 404),
        ("gone.example", 502),
    ] {
        assert_eq!(client.get(host, "/").await.unwrap().status, status, "{host}");
    }
    drop(client);
    let mut client = Client::connect_tls(router.https(), &ClientTls::new(servers, "tls.example")).await.unwrap();
    assert_eq!(client.get("plain.example", "/").await.unwrap().status, 200);
    drop(client);
    let mut client = Client::connect(router.https()).await.unwrap();
    assert_eq!(client.get("plain.example", "/").await.unwrap().status, 400);
    drop(client);
    router.unregister(&Registration::plain(nobody.addr()).uri("gone.example")).await;
    let told = |page: &str| page.contains("trueroute_registrations_rejected_total{reason=\"invalid\"} 1\n");
    router.publish(&Registration::plain(nobody.addr()).field("uris", 7)).await;
    eventually(PATIENCE, async || told(&router.metrics().await)).await;
}

/// The page with a `*` for what is not the same at every run.
pub(crate) fn timeless(page: &str) -> String {
    let varies = |series: &str| {
        let name = series.split('{').next().unwrap_or_default();
        let of_time = ["latency", "gorouter_time", "route_lookup_time", "http_latency_seconds"];
        let of_time = of_time
            .into_iter()
            .chain(["route_registration_latency"])
            .any(|family| name.strip_prefix(family).is_some_and(|part| part == "_sum" || part == "_bucket"));
        let bounded = series.contains("le=\"+Inf\"");
        (of_time && !bounded)
            || name.starts_with("process_")
            || [
                "file_descriptors",
                "ms_since_last_registry_update",
                "trueroute_certificate_expiry_seconds",
                "trueroute_worker_busy_seconds_total",
            ]
            .contains(&name)
    };
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') && varies(series) => format!("{series} *\n"),
        Some((series, one)) if series.starts_with("trueroute_build_info{") => {
            format!("trueroute_build_info{{commit=\"*\",version=\"*\"}} {one}\n")
        }
        _ => format!("{line}\n"),
    };
    page.lines().map(line).collect()
}

#[tokio::test]
async fn the_page_after_a_few_exchanges_is_the_recorded_one() {
    let servers = Authority::new("servers");
    let router = router(&servers).await;
    exchanges(&router, &servers).await;
    eventually(PATIENCE, async || {
        router.metric("trueroute_open_exchanges").await + router.metric("trueroute_worker_connections").await == 0.
    })
    .await;
    let page = router.metrics().await;
    let read = Page::read(&page).unwrap_or_else(|wrong| panic!("{wrong} of\n{page}"));
    for (name, family) in read.families {
        assert!(family.help.ends_with('.') && family.help.contains(' '), "{name} explains nothing: {}", family.help);
    }
    let page = timeless(&page);
    assert!(page == GOLDEN, "the page differs from tests/metrics/page.txt:\n{page}");
}
