//! There and back.

use trueroute_testkit::{
    App, Registration, ReservedPort,
    app::Reply,
    client::Request,
    peers::{Door, Line, Peer},
    pki::Authority,
    tls::ServerTls,
};

use crate::scene::{APP, BOUND, FIELDS, Scene, with_services};

#[tokio::test]
async fn a_request_goes_to_the_service_first_and_with_its_signature_to_the_app() {
    let scene = Scene::new().await;
    let instance = format!("{APP}:0");
    let request =
        Request::new("POST", "/a%2Fb?c=d").header("X-Own", "kept").header("X-CF-App-Instance", &instance).body("hello");
    let (at_service, answer) = scene.first_leg(request).await;
    assert_eq!((answer.status, scene.app.requests()), (200, 0));
    assert_eq!((at_service.method.as_str(), at_service.target.as_str()), ("POST", "/check?by=router"));
    assert_eq!(at_service.header("Host"), Some(format!("localhost:{}", scene.service.port()).as_str()));
    assert_eq!(at_service.body, b"hello");
    assert_eq!(at_service.header("X-Own"), Some("kept"));
    assert_eq!(at_service.header("X-CF-App-Instance"), Some(instance.as_str()));
    assert_eq!(at_service.header(FIELDS[0]), Some(format!("http://{BOUND}/a%2Fb?c=d").as_str()));
    assert_eq!(at_service.header("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(at_service.header("X-Forwarded-Proto"), Some("http"));
    assert!(at_service.header("X-Vcap-Request-Id").is_some());
    for of_the_app in ["X-CF-ApplicationID", "X-CF-InstanceID", "X-CF-InstanceIndex"] {
        assert_eq!(at_service.header(of_the_app), None, "{of_the_app}");
    }

    let answer = scene.router.ask(Scene::onward(&at_service)).await;
    assert_eq!((answer.status, scene.app.requests(), scene.service.requests()), (200, 1, 1));
    let at_app = scene.app.last().unwrap();
    assert_eq!((at_app.method.as_str(), at_app.target.as_str()), ("POST", "/a%2Fb?c=d"));
    assert_eq!((at_app.header("Host"), at_app.body.as_slice()), (Some(BOUND), &b"hello"[..]));
    assert_eq!(at_app.header("X-CF-ApplicationID"), Some(APP));
    assert_eq!(at_app.header("X-Forwarded-For"), Some("127.0.0.1, 127.0.0.1"));
    for field in FIELDS {
        assert_eq!(at_app.header(field), None, "{field}");
    }
}

#[tokio::test]
async fn the_services_answer_is_the_clients() {
    let scene = Scene::new().await;
    for status in [200, 302, 401, 503] {
        let door = ServerTls::new(&scene.router.scene.pki.instances.localhost().issue());
        let rule =
            move |_: &_| Reply::status(status).header("Location", "/login").header("X-CF-Proxy-Signature", "own");
        let service = App::builder("service").door(door).rule(rule).start();
        scene.bind(&format!("https://localhost:{}/", service.port())).await;
        let answer = scene.router.get(BOUND, "/").await;
        assert_eq!((answer.status, answer.header("Location")), (status, Some("/login")));
        assert_eq!(answer.header("X-CF-Proxy-Signature"), None);
    }
    assert_eq!(scene.app.requests(), 0);
    let line = scene.router.access_log_line("\" 302 ").await;
    assert!(line.starts_with(BOUND) && line.contains(r#" "-" x_forwarded_for"#), "{line}");
}

#[tokio::test]
async fn https_is_recommended_where_the_operator_wants_that() {
    let scene = Scene::with(with_services().set("route_services_recommend_https", true)).await;
    let (at_service, _) = scene.first_leg(Request::new("GET", "/x")).await;
    assert_eq!(at_service.header(FIELDS[0]), Some(format!("https://{BOUND}/x").as_str()));
}

#[tokio::test]
async fn what_the_client_made_up_does_not_travel() {
    let scene = Scene::new().await;
    let request = Request::new("GET", "/").header(FIELDS[0], "http://elsewhere.example/").header(FIELDS[2], "made up");
    let (at_service, _) = scene.first_leg(request).await;
    for field in FIELDS {
        assert_eq!(at_service.headers_named(field).len(), 1, "{field}");
    }
    assert_eq!(at_service.header(FIELDS[0]), Some(format!("http://{BOUND}/").as_str()));
}

#[tokio::test]
async fn the_scheme_that_was_stated_first_stands_on_the_way_back() {
    let scene = Scene::with(with_services().set("sanitize_forwarded_proto", true)).await;
    let (at_service, _) = scene.first_leg(Request::new("GET", "/").header("X-Forwarded-Proto", "https")).await;
    assert_eq!(at_service.header("X-Forwarded-Proto"), Some("http"), "the client's own word is not believed");
    let back = Scene::onward(&at_service);
    assert_eq!(scene.router.ask(back).await.status, 200);
    assert_eq!(scene.app.last().unwrap().header("X-Forwarded-Proto"), Some("http"));
    // A service that came in over https with this field would be believed; the field decides, not its connection.
    let spoken = Scene::onward(&at_service).bytes();
    let spoken =
        String::from_utf8(spoken).unwrap().replace("X-Forwarded-Proto: http\r\n", "X-Forwarded-Proto: https\r\n");
    let mut client = scene.router.client().await;
    client.send_raw(&spoken).await.unwrap();
    assert_eq!(client.reader.response("GET").await.unwrap().status, 200);
    assert_eq!(scene.app.last().unwrap().header("X-Forwarded-Proto"), Some("https"));
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_a_failure_with_a_name() {
    let scene = Scene::new().await;
    let stranger = Authority::new("strangers");
    let unknown = App::builder("x").door(ServerTls::new(&stranger.localhost().issue())).start();
    let named_otherwise = scene.router.scene.pki.instances.server(&["other.example"]).issue();
    let other = App::builder("x").door(ServerTls::new(&named_otherwise)).start();
    let plain = Peer::scripted(Door::Plain, |mut line: Line| async move {
        let _ = line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        line.drain().await;
    });
    for (port, status, error) in [
        (ReservedPort::new().port(), 502, "connection refused"),
        (unknown.port(), 526, "x509: certificate signed by unknown authority"),
        (other.port(), 503, "other.example"),
        (plain.port(), 525, "first record does not look like a TLS handshake"),
    ] {
        scene.bind(&format!("https://localhost:{port}/")).await;
        let answer = scene.router.get(BOUND, "/").await;
        assert_eq!(answer.status, status, "{answer:?}");
        let told = answer.header("X-Cf-RouterError").unwrap();
        assert!(told.starts_with("endpoint_failure (") && told.contains(error), "{told}");
    }
    assert_eq!((unknown.requests(), other.requests(), plain.requests(), scene.app.requests()), (0, 0, 0, 0));
    assert_eq!(scene.router.endpoints(BOUND).await.len(), 1, "the app is not to blame");
}

#[tokio::test]
async fn anyone_is_believed_only_where_the_operator_asks_for_that() {
    let scene = Scene::with(with_services().set("skip_ssl_validation", true)).await;
    let stranger = Authority::new("strangers");
    let unknown = App::builder("x").door(ServerTls::new(&stranger.server(&["who.example"]).issue())).start();
    scene.bind(&format!("https://localhost:{}/", unknown.port())).await;
    assert_eq!(scene.router.get(BOUND, "/").await.status, 200);
    assert_eq!(unknown.requests(), 1);
    // Endpoints prove themselves all the same.
    let door = ServerTls::new(&stranger.server(&["instance"]).issue());
    let endpoint = App::builder("endpoint").door(door).start();
    scene.router.register(&Registration::tls(endpoint.addr(), "instance").uri("strict.example.com")).await;
    assert_eq!(scene.router.get("strict.example.com", "/").await.status, 526);
}

#[tokio::test]
async fn a_service_sees_the_certificate_that_is_meant_for_it() {
    let authority = Authority::new("for services");
    let own = authority.router_client("router-at-services").issue();
    let router = with_services()
        .set("route_services.cert_chain", own.chain_pem.as_str())
        .set("route_services.private_key", own.key_pem.as_str());
    let scene = Scene::with(router).await;
    let door = ServerTls::new(&scene.router.scene.pki.instances.localhost().issue()).require_client(&authority);
    let service = App::builder("service").door(door).start();
    scene.bind(&format!("https://localhost:{}/", service.port())).await;
    assert_eq!(scene.router.get(BOUND, "/").await.status, 200);
    assert_eq!(service.last().unwrap().client_certificate.as_deref(), Some(own.chain()[0].as_ref()));
}

#[tokio::test]
async fn attempts_are_counted_and_none_may_be_allowed() {
    let scene = Scene::with(with_services().set("route_services.max_attempts", 0)).await;
    let answer = scene.router.get(BOUND, "/").await;
    assert_eq!((answer.status, answer.header("X-Cf-RouterError")), (502, Some("unknown_failure")));
    assert_eq!(scene.service.requests(), 0);

    let scene = Scene::new().await;
    let refused = ReservedPort::new();
    scene.bind(&format!("https://localhost:{}/", refused.port())).await;
    assert_eq!(scene.router.get(BOUND, "/").await.status, 502);
    let lines = scene.router.logged("route-service-connection-failed", &format!(":{}/", refused.port()));
    let attempts: Vec<_> = lines.iter().map(|line| line.field("attempt").as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 2, 3]);
}

#[tokio::test]
async fn a_tunnel_is_opened_through_a_service_only_where_that_is_on() {
    let ask = || {
        let request =
            Request::new("GET", "/").host(BOUND).header("Connection", "Upgrade").header("Upgrade", "websocket");
        request.header("Sec-WebSocket-Version", "13")
    };
    let scene = Scene::new().await;
    let answer = scene.router.ask(ask()).await;
    assert_eq!((answer.status, answer.header("X-Cf-RouterError")), (503, Some("route_service_unsupported")));
    assert_eq!(
        answer.text(),
        "503 Service Unavailable: Websocket requests are not supported for routes bound to Route Services.\n"
    );
    assert_eq!(scene.service.requests(), 0);

    let scene = Scene::with(with_services().set("route_services.enable_websockets", true)).await;
    let answer = scene.router.ask(ask()).await;
    assert_eq!((answer.status, scene.service.requests()), (101, 1));
    let at_service = scene.service.last().unwrap();
    assert_eq!((at_service.header("Upgrade"), at_service.header("Connection")), (Some("websocket"), Some("Upgrade")));
}

#[tokio::test]
async fn no_service_is_dialled_in_a_network_that_is_barred() {
    let scene =
        Scene::with(with_services().set("route_services.egress_blocklist", ["127.0.0.0/8", "::1/128"].as_slice()))
            .await;
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        scene.bind(&format!("https://{host}:{}/", scene.service.port())).await;
        let answer = scene.router.get(BOUND, "/").await;
        let error = answer.header("X-Cf-RouterError").unwrap_or_default().to_owned();
        assert!(answer.status == 502 && error.ends_with("connection to IP not allowed)"), "{host}: {answer:?}");
    }
    assert_eq!((scene.service.connections(), scene.app.requests()), (0, 0));
    // Instances are where they are.
    scene.router.register(&Registration::plain(scene.app.addr()).uri("free.example.com")).await;
    assert_eq!(scene.router.get("free.example.com", "/").await.status, 200);
}
