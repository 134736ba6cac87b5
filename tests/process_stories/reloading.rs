//! Certificates and authorities that change while the router runs.

use serde_json::{Value, json};
use trueroute_testkit::{
    App, Bus, Client, Nats, Tempdir,
    client::Request,
    pki::{Authority, Leaf},
    routing_api::{CLIENT, RoutingApi},
    tls::ClientTls,
};

use super::support::{PATIENCE, RouterBuilder, RouterProcess, Scene};

const HOST: &str = "app.example.com";
const SUITES: &str = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256";

fn settings() -> RouterBuilder {
    Scene::over(Bus::Small(Nats::start())).router()
}

/// An entry of `tls_pem` from this authority.
fn shown(authority: &Authority) -> Value {
    let leaf = authority.server(&[HOST]).issue();
    json!([{"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem}])
}

/// With a TLS door.
fn with_door(authority: &Authority) -> RouterBuilder {
    let router = settings().set("enable_ssl", true).set("ssl_port", 0).set("cipher_suites", SUITES);
    router.set("client_cert_validation", "none").set("tls_pem", shown(authority))
}

async fn over_tls(router: &RouterProcess, authority: &Authority) -> std::io::Result<Client> {
    Ok(Client::connect_tls(router.https(), &ClientTls::new(authority, HOST)).await?.patience(PATIENCE))
}

fn pair(leaf: &Leaf) -> [(&'static str, Value); 2] {
    [("backends.cert_chain", leaf.chain_pem.clone().into()), ("backends.private_key", leaf.key_pem.clone().into())]
}

#[tokio::test]
async fn a_hang_up_brings_new_certificates_and_connections_stay() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let router = with_door(&old).spawn().await;
    let app = router.instance("app").plain().uri(HOST).register().await;
    let mut kept = over_tls(&router, &old).await.unwrap();
    assert_eq!(kept.get(HOST, "/").await.unwrap().status, 200);
    kept.send_raw(format!("GET /delay HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    trueroute_testkit::eventually(PATIENCE, async || app.requests() == 2).await;

    router.rewrite(&[("tls_pem", shown(&new))]);
    router.signal("HUP");
    let said = router.line("configuration-reloaded").await;
    assert_eq!((said.field("why"), said.field("keys")), (&json!("SIGHUP"), &json!("tls_pem")));
    assert!(over_tls(&router, &old).await.is_err(), "the former certificate is gone");
    assert_eq!(over_tls(&router, &new).await.unwrap().get(HOST, "/").await.unwrap().status, 200);

    app.release();
    assert_eq!(kept.response().await.unwrap().status, 200, "what was under way is finished");
    assert_eq!(kept.get(HOST, "/").await.unwrap().status, 200, "and the connection goes on");
}

#[tokio::test]
async fn a_reload_is_asked_for_by_post_and_by_whoever_knows_the_password() {
    let router = settings().spawn().await;
    let ask = async |method: &str, login: &str| {
        let mut client = Client::connect(router.routes_port()).await.unwrap();
        let request = Request::new(method, "/reload").host("status").header("Content-Length", "0");
        let request = if login.is_empty() { request } else { request.header("Authorization", login) };
        client.request(request).await.unwrap()
    };
    let login = "Basic c3RhdHVzOnNlY3JldA==";
    for (method, login, status) in [("POST", "", 401), ("POST", "Basic eDp5", 401), ("GET", login, 405)] {
        assert_eq!(ask(method, login).await.status, status, "{method} {login}");
    }
    assert_eq!(ask("GET", login).await.header("allow"), Some("POST"));
    assert_eq!(router.metric("trueroute_reloads_total").await, 0.);
    let answer = ask("POST", login).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"reloaded": [], "need_restart": []})));
    assert_eq!(router.metric("trueroute_reloads_total{result=\"succeeded\"}").await, 1.);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_everything_stays_as_it_was() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let router = with_door(&old).spawn().await;
    let _app = router.instance("app").uri(HOST).register().await;
    let (one, other) = (new.server(&[HOST]).issue(), new.server(&[HOST]).issue());
    let mixed = json!([{"cert_chain": one.chain_pem, "private_key": other.key_pem}]);
    let broken = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let mut failures = 0.;
    for (changes, named) in [
        // What comes before it in the file is good, and must not be taken over alone.
        (vec![("ca_certs", json!([new.pem()])), ("tls_pem", mixed)], "tls_pem[0]: "),
        (vec![("tls_pem", shown(&new)), ("ca_certs", json!([broken]))], "ca_certs[0]: "),
        (vec![("tls_pem", shown(&new)), ("ca_certs", json!(["nonsense"]))], "ca_certs"),
        (
            vec![("ca_certs", json!([])), ("backends.cert_chain", one.chain_pem.clone().into())],
            "backends.cert_chain, backends.private_key: ",
        ),
        (vec![("drain_wait", json!("soon"))], "drain_wait"),
    ] {
        let before = std::fs::read_to_string(router.configuration()).unwrap();
        router.rewrite(&changes);
        let answer = router.reload().await;
        assert_eq!(answer.status, 422, "{named}");
        assert!(answer.text().starts_with(named), "{named}: {}", answer.text());
        failures += 1.;
        assert_eq!(router.metric("trueroute_reloads_total{result=\"failed\"}").await, failures);
        let answer = over_tls(&router, &old).await.unwrap().get(HOST, "/").await.unwrap();
        assert_eq!(answer.status, 200, "{named}");
        router.replace_configuration(&before);
    }
    let said = router.nth_line("configuration-not-reloaded", 1).await;
    assert_eq!(said.0["log_level"], 3);
    assert!(said.field("error").as_str().unwrap().starts_with("tls_pem[0]: "), "{said:?}");
    assert_eq!(router.metric("trueroute_reloads_total{result=\"succeeded\"}").await, 0.);
}

#[tokio::test]
async fn endpoints_prove_themselves_to_the_authorities_of_the_moment() {
    let router = settings().set("backends.max_attempts", 1).set("go_max_procs", 1).spawn().await;
    let app = router.instance("app").uri(HOST).register().await;
    let http2 = router.instance("h2").http2().uri("h2.example.com").register().await;
    let hosts = [HOST, "h2.example.com"];
    for host in hosts {
        assert_eq!(router.get(host, "/").await.status, 200);
    }
    assert_eq!((app.connections(), http2.connections()), (1, 1));
    // Nothing has changed, so what was proven still counts.
    assert_eq!(router.reload().await.status, 200);
    for host in hosts {
        assert_eq!(router.get(host, "/").await.status, 200);
    }
    assert_eq!((app.connections(), http2.connections()), (1, 1));

    let instances = router.scene.pki.instances.pem();
    router.rewrite(&[("ca_certs", json!([Authority::new("other").pem()]))]);
    assert_eq!(router.reload().await.json()["reloaded"], json!(["ca_certs"]));
    for host in hosts {
        assert_eq!(router.get(host, "/").await.status, 526, "an open connection is no proof");
    }
    router.rewrite(&[("ca_certs", json!([instances]))]);
    assert_eq!(router.reload().await.status, 200);
    for (host, instance) in hosts.into_iter().zip([&app, &http2]) {
        instance.register().await;
        assert_eq!(router.get(host, "/").await.status, 200);
    }
}

#[tokio::test]
async fn endpoints_are_shown_the_certificate_of_the_moment() {
    let router = settings().set("backends.max_attempts", 1).spawn().await;
    let app = router.instance("app").uri(HOST).register().await;
    assert_eq!(router.get(HOST, "/").await.status, 200);
    let stranger = Authority::new("strangers").router_client("gorouter").issue();
    router.rewrite(&pair(&stranger));
    assert_eq!(router.reload().await.json()["reloaded"], json!(["backends.cert_chain"]));
    assert_eq!(router.get(HOST, "/").await.status, 496);
    router.rewrite(&pair(&router.scene.pki.router));
    assert_eq!(router.reload().await.status, 200);
    app.register().await;
    assert_eq!(router.get(HOST, "/").await.status, 200);
}

#[tokio::test]
async fn clients_are_held_to_the_authorities_of_the_moment() {
    let (servers, old, new) = (Authority::new("servers"), Authority::new("old"), Authority::new("new"));
    let domain = |authority: &Authority| json!([{"domain": "own.example.com", "ca_certs": authority.pem()}]);
    let router = with_door(&servers).set("client_cert_validation", "require").set("client_ca_certs", old.pem());
    let leaf = servers.server(&[HOST, "own.example.com"]).issue();
    let router = router.set("tls_pem", json!([{"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem}]));
    let router = router.set("only_trust_client_ca_certs", true).set("domains", domain(&old)).spawn().await;
    let _app = router.instance("app").plain().uri(HOST).uri("own.example.com").register().await;
    let served = async |authority: &Authority, host: &str| {
        let tls = ClientTls::new(&servers, host).identity(&authority.router_client("client").issue());
        let Ok(mut client) = Client::connect_tls(router.https(), &tls).await else { return false };
        client.get(host, "/").await.is_ok_and(|answer| answer.status == 200)
    };
    for host in [HOST, "own.example.com"] {
        assert_eq!((served(&old, host).await, served(&new, host).await), (true, false), "{host}");
    }
    router.rewrite(&[("client_ca_certs", new.pem().into()), ("domains", domain(&new))]);
    assert_eq!(router.reload().await.json()["reloaded"], json!(["client_ca_certs", "domains"]));
    for host in [HOST, "own.example.com"] {
        assert_eq!((served(&old, host).await, served(&new, host).await), (false, true), "{host}");
    }
}

#[tokio::test]
async fn a_file_that_changes_is_noticed() {
    let (dir, authority) = (Tempdir::new().unwrap(), Authority::new("scrapers"));
    let of = |authority: &Authority| authority.server(&["metrics"]).issue();
    let files = of(&authority).write_to(dir.path(), "metrics");
    let ca = dir.path().join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    let paths = json!({"enabled": true, "port": 0, "cert_path": files.cert, "key_path": files.key, "ca_path": ca});
    let router = settings().set("prometheus", paths).spawn().await;
    let scraped = async |trusted: &Authority| {
        let tls = ClientTls::new(trusted, "metrics").identity(&authority.router_client("scraper").issue());
        let Ok(mut client) = Client::connect_tls(router.metrics_port(), &tls).await else { return false };
        client.get("metrics", "/metrics").await.is_ok_and(|answer| answer.status == 200)
    };
    assert!(scraped(&authority).await);
    let new = Authority::new("new");
    of(&new).write_to(dir.path(), "metrics");
    let said = router.line("configuration-reloaded").await;
    assert_eq!(said.field("why"), "a file has changed");
    assert!(scraped(&new).await && !scraped(&authority).await);

    router.rewrite(&[("drain_wait", json!("7s"))]);
    assert_eq!(router.nth_line("configuration-reloaded", 2).await.field("why"), "a file has changed");
}

#[tokio::test]
async fn the_routing_api_and_uaa_are_held_to_the_authorities_of_the_moment() {
    let (servers, clients, dir) = (Authority::new("api"), Authority::new("api-clients"), Tempdir::new().unwrap());
    let api = RoutingApi::start(&servers.server(&["localhost"]).ip([127, 0, 0, 1]).issue(), &clients);
    let (own, strangers, uaa_ca) = (clients.router_client("router").issue(), Authority::new("strangers"), "uaa.pem");
    let uaa_ca = dir.path().join(uaa_ca);
    std::fs::write(&uaa_ca, servers.pem()).unwrap();
    let app = App::start("app");
    let lists = |host: &str| {
        api.list(&[json!({ "route": host, "ip": "127.0.0.1", "port": app.addr().port(), "ttl": 60,
            "modification_tag": { "guid": host, "index": 1 } })]);
    };
    lists("first.example.com");
    let router = settings()
        .set(
            "routing_api",
            json!({"uri": "https://127.0.0.1", "port": api.addr().port(), "ca_certs": servers.pem(),
            "cert_chain": own.chain_pem, "private_key": own.key_pem}),
        )
        .set(
            "oauth",
            json!({"token_endpoint": "127.0.0.1", "port": api.uaa_addr().port(), "client_name": CLIENT.0,
            "client_secret": CLIENT.1, "ca_certs": uaa_ca}),
        )
        .set("token_fetcher_retry_interval", "50ms")
        .set("prune_stale_droplets_interval", "400ms")
        .spawn()
        .await;
    let serves = async |host: &str| {
        trueroute_testkit::eventually(PATIENCE, async || router.get(host, "/").await.status == 200).await;
    };
    serves("first.example.com").await;

    router.rewrite(&[("routing_api.ca_certs", strangers.pem().into())]);
    assert_eq!(router.reload().await.json()["reloaded"], json!(["routing_api.ca_certs"]));
    let failed = router.line("failed-to-fetch-routes").await;
    assert!(failed.field("error").as_str().unwrap().contains("UnknownIssuer"), "{failed:?}");
    lists("second.example.com");
    router.rewrite(&[("routing_api.ca_certs", servers.pem().into())]);
    assert_eq!(router.reload().await.status, 200);
    serves("second.example.com").await;

    // A file that the configuration names is read again when it changes.
    std::fs::write(&uaa_ca, strangers.pem()).unwrap();
    assert_eq!(router.nth_line("configuration-reloaded", 3).await.field("why"), "a file has changed");
    api.revoke();
    let failed = router.line("unable-to-fetch-token").await;
    assert!(failed.field("error").as_str().unwrap().contains("UnknownIssuer"), "{failed:?}");
    lists("third.example.com");
    std::fs::write(&uaa_ca, servers.pem()).unwrap();
    serves("third.example.com").await;
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named_and_not_acted_on() {
    let router = settings().spawn().await;
    router.rewrite(&[("drain_wait", json!("7s")), ("status.pass", json!("another"))]);
    let answer = router.reload().await;
    assert_eq!(answer.json(), json!({"reloaded": [], "need_restart": ["drain_wait", "status.pass"]}));
    let said = router.line("configuration-changes-need-a-restart").await;
    assert_eq!((&said.0["log_level"], said.field("keys")), (&json!(2), &json!("drain_wait, status.pass")));
    assert_eq!(router.reload().await.status, 200, "the former password still holds");
}

#[tokio::test]
async fn a_reload_brings_another_level_of_the_log() {
    let router = settings().set("logging", json!({"level": "info"})).spawn().await;
    let told = || {
        let lines = router.lines();
        let registered = lines.iter().filter(|line| line.message() == "endpoint-registered");
        registered.map(|line| line.field("uri").as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for level in ["info", "error", "debug"] {
        router.rewrite(&[("logging.level", json!(level))]);
        assert_eq!(router.reload().await.status, 200);
        let _app = router.instance("app").plain().uri(&format!("{level}.example.com")).register().await;
    }
    trueroute_testkit::eventually(PATIENCE, async || told().iter().any(|uri| uri == "debug.example.com")).await;
    assert_eq!(told(), ["info.example.com", "debug.example.com"]);
    // At the level that it came with, the first of the two changes could not be told.
    let said = router.nth_line("configuration-reloaded", 2).await;
    assert_eq!(said.field("keys"), &json!("logging.level"));
}
