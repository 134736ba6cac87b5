//! What a router says about itself: its health, its table, its figures.

use serde_json::{Value, json};
use trueroute::{app::Router, config};
use trueroute_testkit::{
    Client, Registration, ReservedPort, Tempdir, app::Reply, client::Request, eventually, peers, pki::Authority,
    tls::ClientTls,
};

use super::{
    message::{Message, ask},
    scene::{APP_ID, INSTANCE_ID, Scene, plain, raw, recorded, whole},
    support::PATIENCE,
};

/// What `path` at `addr` answers, without the fields that change.
pub(crate) async fn page(addr: std::net::SocketAddr, path: &str, login: Option<&str>) -> Message {
    let mut request = Request::new("GET", path).host("status");
    if let Some(login) = login {
        request = request.header("Authorization", login);
    }
    let response = Client::connect(addr).await.unwrap().request(request).await.unwrap();
    let mut message = whole(&response);
    message.fields.retain(|field| field != "Date: <date>" && !field.starts_with("Content-Length: "));
    message
}

#[tokio::test]
async fn the_health_port_says_ok_and_keeps_its_connections() {
    let scene = Scene::new().await;
    let mut client = Client::connect(scene.health_port()).await.unwrap();
    for _ in 0..2 {
        let got = client.get("status", "/health").await.unwrap();
        assert_eq!((got.status, got.text()), (200, "ok\n"));
        assert_eq!(got.header("cache-control"), Some("private, max-age=0"));
        assert_eq!(got.header("expires"), Some("0"));
        let got = client.get("status", "/is-process-alive-do-not-use-for-loadbalancing").await.unwrap();
        assert_eq!((got.status, got.text()), (200, "ok\n"));
    }
    assert_eq!(client.get("status", "/other").await.unwrap().status, 404);
}

#[tokio::test]
async fn health_is_503_and_traffic_refused_until_the_table_had_time_to_fill() {
    // A port that is known before the router listens on it.
    let port = ReservedPort::new();
    let router = recorded().set("port", port.port()).set("start_response_delay_interval", "2s");
    let bound = Router::bind(config::parse(&router.yml()).unwrap().config).await.unwrap();
    let (health, routes) = (bound.addresses().health.unwrap().port(), bound.addresses().routes.unwrap().port());
    let local = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let opening = tokio::spawn(bound.open());
    let got = page(local(health), "/health", None).await;
    assert_eq!((&*got.start, &*got.body), ("HTTP/1.1 503 Service Unavailable", ""));
    assert_eq!(got.fields, ["Cache-Control: private, max-age=0", "Expires: 0"]);
    let alive = page(local(health), "/is-process-alive-do-not-use-for-loadbalancing", None).await;
    assert_eq!(alive.start, "HTTP/1.1 200 OK");
    assert!(page(local(routes), "/routes", Some("Basic c3RhdHVzOnNlY3JldA==")).await.start.ends_with("200 OK"));
    assert_eq!(Client::connect(local(port.port())).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(!opening.is_finished(), "the delay is not over");
    let router = opening.await.unwrap().unwrap();
    assert_eq!(page(local(health), "/health", None).await.start, "HTTP/1.1 200 OK");
    Client::connect(local(port.port())).await.unwrap();
    router.stop().await;
}

#[tokio::test]
async fn the_table_is_shown_to_whoever_knows_the_password() {
    let scene = Scene::new().await;
    let tls = Registration::tls(([127, 0, 0, 1], 4443).into(), "san").uri("tls.example.com");
    scene.register(&tls.stale_threshold(30).isolation_segment("iso").field("availability_zone", "z1")).await;
    let addr = scene.app.addr().to_string();
    let row = json!([{
        "address": addr, "availability_zone": "", "protocol": "http1", "tls": false, "ttl": 120,
        "tags": {"component": "route-emitter", "process_id": "0a1b2c3d-0000-4000-8000-000000000009"},
        "private_instance_id": INSTANCE_ID,
    }]);
    let expected = json!({
        "app.example.com": row, "*.wild.example.com": row, "path.example.com/ctx": row,
        "tls.example.com": [{
            "address": "127.0.0.1:4443", "availability_zone": "z1", "protocol": "http1", "tls": true, "ttl": 30,
            "tags": null, "isolation_segment": "iso", "private_instance_id": "san", "server_cert_domain_san": "san",
        }],
    });
    assert_eq!(scene.routes_json().await, expected);
    let got = page(scene.routes_port(), "/routes", Some("Basic c3RhdHVzOnNlY3JldA==")).await;
    assert_eq!(got.start, "HTTP/1.1 200 OK");
    assert_eq!(serde_json::from_str::<Value>(&got.body).unwrap(), expected);

    for login in
        [None, Some("Basic c3RhdHVzOndyb25n"), Some("basic c3RhdHVzOnNlY3JldA=="), Some("Bearer x"), Some("Basic ?")]
    {
        for path in ["/routes", "/other"] {
            let got = page(scene.routes_port(), path, login).await;
            assert_eq!((&*got.start, &*got.body), ("HTTP/1.1 401 Unauthorized", "401 Unauthorized\n"), "{login:?}");
            assert!(got.fields.iter().any(|field| field.eq_ignore_ascii_case("www-authenticate: Basic")), "{got:?}");
        }
    }
    assert!(page(scene.routes_port(), "/other", Some("Basic c3RhdHVzOnNlY3JldA==")).await.start.contains(" 404 "));
    assert!(!got.body.contains(APP_ID), "the app is not shown");
}

#[tokio::test]
async fn the_figures_move_with_what_happens() {
    let scene = Scene::with(recorded().set("backends.max_attempts", 1)).await;
    let names = [
        "total_requests{component=\"route-emitter\"}",
        "responses{status_group=\"2xx\"}",
        "responses{status_group=\"4xx\"}",
        "responses{status_group=\"5xx\"}",
        "latency_count{component=\"route-emitter\"}",
        "gorouter_time_count",
        "route_lookup_time_count",
        "bad_gateways",
        "rejected_requests",
        "trueroute_gate_refused_total",
    ];
    let figures = async || {
        let mut figures = Vec::new();
        for name in names {
            figures.push(scene.metric(name).await);
        }
        figures
    };
    for (name, request, says, moved) in [
        ("served", ask("GET / HTTP/1.1", &[], ""), raw(super::message::HELLO), [1, 1, 0, 0, 1, 1, 1, 0, 0, 0]),
        ("the app's own 404", ask("GET / HTTP/1.1", &[], ""), Reply::status(404), [1, 0, 1, 0, 1, 1, 1, 0, 0, 0]),
        ("the app's own 500", ask("GET / HTTP/1.1", &[], ""), Reply::status(500), [1, 0, 0, 1, 1, 1, 1, 0, 0, 0]),
        ("broken", ask("GET / HTTP/1.1", &[], ""), Reply::Close, [1, 0, 0, 1, 1, 1, 1, 1, 0, 0]),
        (
            "unknown",
            ask("GET / HTTP/1.1", &["Host: nowhere.example.com"], ""),
            Reply::Close,
            [0, 0, 0, 0, 0, 0, 1, 0, 1, 0],
        ),
        ("refused", ask("GET / HTTP/1.1", &["Host: a", "Host: b"], ""), Reply::Close, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ] {
        scene.app_says(says);
        let before = figures().await;
        scene.send(&request, "GET").await.unwrap();
        let expected: Vec<f64> = before.iter().zip(moved).map(|(before, moved)| before + f64::from(moved)).collect();
        // The record of an exchange follows its answer.
        eventually(PATIENCE, async || {
            figures().await == expected || panic!("{name}: {:?}, not {expected:?}", figures().await)
        })
        .await;
    }
}

#[tokio::test]
async fn routes_are_counted() {
    let scene = Scene::with(recorded().set("prune_stale_droplets_interval", "50ms")).await;
    let dead = peers::refuses_connections();
    assert_eq!(scene.metric("registry_message{action=\"added\",component=\"route-emitter\"}").await, 3.0);
    let message = plain(dead.addr()).uri("x.example.com");
    scene.register(&message).await;
    eventually(PATIENCE, async || scene.metric("total_routes").await == 4.0).await;
    scene.unregister(&message).await;
    eventually(PATIENCE, async || scene.metric("total_routes").await == 3.0).await;
    assert_eq!(scene.metric("unregistry_message{component=\"route-emitter\"}").await, 1.0);
}

#[tokio::test]
async fn health_and_metrics_are_to_be_had_over_tls() {
    let (servers, scrapers) = (Authority::new("servers"), Authority::new("scrapers"));
    let dir = Tempdir::new().unwrap();
    let files = servers.localhost().issue().write_to(dir.path(), "status");
    let ca = dir.path().join("scrapers.pem");
    std::fs::write(&ca, scrapers.pem()).unwrap();
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let router = recorded()
        .set("status.enable_nontls_health_checks", false)
        .set("status.tls", json!({"port": 0, "certificate": read(&files.cert), "key": read(&files.key)}))
        .set(
            "prometheus",
            json!({"enabled": true, "port": 1, "cert_path": files.cert, "key_path": files.key, "ca_path": ca}),
        );
    let refused = config::parse(&router.yml()).unwrap_err().to_string();
    assert!(refused.starts_with("status.tls.port: is required"), "{refused}");
    let (health, metrics) = (ReservedPort::new(), ReservedPort::new());
    let router = router.set("status.tls.port", health.port()).set("prometheus.port", metrics.port());
    let bound = Router::bind(config::parse(&router.yml()).unwrap().config).await.unwrap();
    assert_eq!(bound.addresses().health, None);

    let anyone = ClientTls::new(&servers, "localhost");
    let mut client = Client::connect_tls(health.addr(), &anyone).await.unwrap();
    assert_eq!(client.get("status", "/health").await.unwrap().status, 503);
    let known = anyone.clone().identity(&scrapers.router_client("scraper").issue());
    let mut client = Client::connect_tls(metrics.addr(), &known).await.unwrap();
    assert!(client.get("status", "/metrics").await.unwrap().text().contains("total_routes"));
    for stranger in [anyone.clone(), anyone.identity(&servers.router_client("stranger").issue())] {
        let got = async { Client::connect_tls(metrics.addr(), &stranger).await?.get("status", "/metrics").await };
        assert!(got.await.is_err(), "metrics for strangers");
    }
    bound.open().await.unwrap().stop().await;
}
