//! A service that is itself an app of the router.

use trueroute_testkit::{
    App, Client, Registration, ReservedPort, app::Reply, client::Request, eventually, pki::Authority, tls::ClientTls,
};

use crate::{
    scene::{APP, BOUND, FIELDS, Scene, with_services},
    support::{PATIENCE, RouterBuilder},
};

const SERVICE: &str = "service.example.com";

fn hairpinning() -> RouterBuilder {
    with_services().set("route_services_hairpinning", true).set("route_services_internal_server_port", 0)
}

/// A scene whose service is an app of the router, under a name that no resolver knows.
async fn scene(router: RouterBuilder) -> (Scene, App) {
    let scene = Scene::with(router).await;
    let own = App::builder("own service").rule(|_| Reply::text("from the own app")).start();
    scene.router.register(&Registration::plain(own.addr()).app("service-app").uri(SERVICE)).await;
    scene.bind(&format!("https://{SERVICE}/check?x")).await;
    (scene, own)
}

#[tokio::test]
async fn a_service_among_the_own_apps_is_reached_through_the_own_table() {
    let (scene, own) = scene(hairpinning()).await;
    let request = Request::new("POST", "/path").host(BOUND).header("X-Forwarded-Client-Cert", "said").body("hello");
    let answer = scene.router.ask(request).await;
    assert_eq!((answer.status, answer.text()), (200, "from the own app"));
    let got = own.last().unwrap();
    assert_eq!(
        (got.target.as_str(), got.header("Host"), got.body.as_slice()),
        ("/check?x", Some(SERVICE), &b"hello"[..])
    );
    assert_eq!(got.header(FIELDS[0]), Some(format!("http://{BOUND}/path").as_str()));
    assert_eq!(got.header("X-Forwarded-For"), Some("127.0.0.1, 127.0.0.1"));
    assert_eq!(got.header("X-Forwarded-Proto"), Some("http"));
    assert_eq!(got.header("X-CF-ApplicationID"), Some("service-app"));
    assert_eq!(got.header("X-Forwarded-Client-Cert"), Some("said"));
    let onward = scene.router.ask(Scene::onward(&got)).await;
    assert_eq!((onward.status, scene.app.requests()), (200, 1));
    // The passage is two requests to the log, and the app's a third.
    eventually(PATIENCE, async || scene.router.access_log().len() == 3).await;
    let mut lines = scene.router.access_log();
    lines.sort();
    for (line, [host, app]) in lines.iter().zip([[BOUND, "-"], [BOUND, APP], [SERVICE, "service-app"]]) {
        assert!(line.starts_with(host) && line.contains(&format!("app_id:\"{app}\"")), "{line}");
    }
}

#[tokio::test]
async fn a_service_among_the_own_apps_is_no_stray_where_signatures_are_checked_everywhere() {
    let (scene, own) = scene(hairpinning().set("route_services.strict_signature_validation", true)).await;
    assert_eq!((scene.router.get(BOUND, "/").await.status, own.requests()), (200, 1));
}

#[tokio::test]
async fn a_service_among_the_own_apps_is_told_the_clients_scheme_and_not_the_inner_doors() {
    let (scene, own) = scene(hairpinning().set("sanitize_forwarded_proto", true)).await;
    let answer = scene.router.ask(Request::new("GET", "/").host(BOUND).header("X-Forwarded-Proto", "https")).await;
    assert_eq!((answer.status, own.last().unwrap().header("X-Forwarded-Proto")), (200, Some("http")));
}

#[tokio::test]
async fn only_names_that_the_operator_lists_are_looked_for_in_the_own_table() {
    for (names, own_table) in [
        (&[][..], true),
        (&["service.example.com"], true),
        (&["*.example.com"], true),
        (&["*.service.example.com", "other.example.com"], false),
    ] {
        let router = hairpinning().set("route_services_hairpinning_allowlist", names);
        let (scene, own) = scene(router).await;
        let answer = scene.router.get(BOUND, "/").await;
        assert_eq!((answer.status == 200, own.requests() == 1), (own_table, own_table), "{names:?} {answer:?}");
    }
}

#[tokio::test]
async fn without_hairpinning_the_own_table_is_not_asked() {
    let (scene, own) = scene(with_services()).await;
    assert_eq!((scene.router.get(BOUND, "/").await.status, own.requests()), (502, 0));
}

#[tokio::test]
async fn services_elsewhere_are_reached_over_the_network_all_the_same() {
    let (scene, own) = scene(hairpinning()).await;
    scene.bind(&scene.service_url("/")).await;
    assert_eq!(scene.router.get(BOUND, "/").await.status, 200);
    assert_eq!((scene.service.requests(), own.requests()), (1, 0));
}

#[tokio::test]
async fn nobody_but_the_router_comes_in_by_the_inner_door() {
    let port = ReservedPort::new();
    let router = hairpinning().set("route_services_internal_server_port", port.port());
    let (scene, own) = scene(router).await;
    let door = std::net::SocketAddr::from(([127, 0, 0, 1], port.port()));
    let request = format!("GET / HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n");
    let mut plain = Client::connect(door).await.unwrap();
    plain.send_raw(&request).await.unwrap();
    assert!(plain.reader.response("GET").await.is_err());
    let stranger = Authority::new("strangers").router_client("x").issue();
    let anyone = || ClientTls::trusting_anyone("inner.gorouter.invalid");
    for tls in [anyone(), anyone().identity(&stranger)] {
        let come_in = async {
            let mut client = Client::connect_tls(door, &tls).await?;
            client.send_raw(&request).await?;
            client.reader.response("GET").await
        };
        assert!(come_in.await.is_err());
    }
    assert_eq!(own.requests(), 0);
    assert_eq!(scene.router.get(BOUND, "/").await.status, 200);
}

#[tokio::test]
async fn a_service_bound_to_a_service_does_not_go_round_for_ever() {
    let (scene, own) = scene(hairpinning()).await;
    let bound =
        Registration::plain(own.addr()).app("service-app").uri(SERVICE).route_service(&format!("https://{BOUND}/"));
    scene.router.register(&bound).await;
    let answer = scene.router.get(BOUND, "/").await;
    assert_eq!((answer.status, own.requests(), scene.app.requests()), (502, 0, 0), "{answer:?}");
}

#[tokio::test]
async fn whoever_is_in_when_a_drain_begins_is_still_let_through() {
    let (scene, own) = scene(hairpinning().set("drain_wait", "0s").set("drain_timeout", "60s")).await;
    let mut client = scene.router.client().await;
    let drained = scene.router.drain();
    eventually(PATIENCE, async || Client::connect(scene.router.http()).await.is_err()).await;
    let answer = client.get(BOUND, "/").await.unwrap();
    assert_eq!((answer.status, own.requests()), (200, 1), "{answer:?}");
    assert!(drained.await.unwrap());
}

#[tokio::test]
async fn a_drain_waits_for_the_passage_and_for_nothing_else() {
    let (scene, own) = scene(hairpinning()).await;
    assert_eq!(scene.router.get(BOUND, "/").await.status, 200);
    assert_eq!(own.requests(), 1);
    assert!(scene.router.drain().await.unwrap(), "kept connections to itself keep the router from leaving");
}
