//! What operators see and do through the admin pages.

use std::{net::SocketAddr, path::Path};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use trueroute_sidecar::{
    Settings,
    settings::{Admin, AdminAddress},
    stats::Event,
};
use trueroute_testkit::{ReservedPort, eventually};

use super::{
    diego::{Container, Door},
    envoy::settings,
    scene::{PATIENCE, ROUTER, Running, World, echo, echoing},
};

/// An admin door at a port that the system chooses.
fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A container with the usual doors, served.
pub(crate) struct Scene {
    container: Container,
    pub(crate) app: SocketAddr,
    pub(crate) sidecar: Running,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    pub(crate) async fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        let (container, app) = (Container::new(), echoing().await);
        let config = container.write(&[Door::app(app), Door::c2c(app)], Some(anywhere()));
        let sidecar = Running::start(change(settings(&config))).await;
        Self { container, app, sidecar }
    }

    pub(crate) async fn curl(&self, target: &str) -> String {
        let (status, body) = self.ask("GET", target).await;
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    pub(crate) async fn json(&self, target: &str) -> Value {
        serde_json::from_str(&self.curl(target).await).unwrap()
    }

    pub(crate) async fn ask(&self, method: &str, target: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.sidecar.admin.unwrap()).await.unwrap();
        ask(stream, method, target).await
    }

    /// A router's connection that has carried a request.
    pub(crate) async fn request(&self) -> TlsStream<TcpStream> {
        let mut router = self.sidecar.call(&self.container.router()).await.unwrap();
        echo(&mut router, "hello").await;
        router
    }
}

pub(crate) async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, method: &str, target: &str) -> (u16, String) {
    stream.write_all(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// The members of a list somewhere in a dump.
fn members<'v>(dump: &'v Value, section: &str, list: &str) -> Vec<&'v Value> {
    let configs = dump["configs"].as_array().unwrap();
    let section = configs.iter().find(|config| config["@type"].as_str().unwrap().ends_with(section)).unwrap();
    section[list].as_array().unwrap().iter().collect()
}

#[tokio::test]
async fn look_at_envoy_config() {
    // The ports of the container, as the stories before have recorded them. The system has chosen them here.
    let scene = Scene::new().await;
    let container_envoy_port = scene.sidecar.addr.port();
    let (overlay_ip, container_app_port) = (scene.app.ip().to_string(), scene.app.port());

    // 2. Hit the Envoy help endpoint. These are all of the endpoints you can hit.
    let help = scene.curl("/help").await;
    assert!(help.starts_with("admin commands are:"));
    for endpoint in ["/certs", "/clusters", "/config_dump", "/listeners", "/server_info"] {
        assert!(help.contains(&format!("\n  {endpoint}: ")), "{help}");
    }

    //    Try /clusters, what do you see?
    let clusters = scene.curl("/clusters").await;
    let app = format!("service-cluster-{container_app_port}::{overlay_ip}:{container_app_port}::");
    assert!(clusters.contains(&format!("{app}health_flags::healthy\n")), "{clusters}");

    // 3. Run curl localhost:61003/config_dump.
    let dump = scene.json("/config_dump").await;

    // 4. Search for the CONTAINER_ENVOY_PORT. Find a listener called listener-8080.
    let listeners = members(&dump, "ListenersConfigDump", "static_listeners");
    let name = format!("listener-{container_app_port}-61001");
    let listener = &listeners.iter().find(|entry| entry["listener"]["name"] == *name).unwrap()["listener"];
    let lines = scene.curl("/listeners").await;
    assert!(lines.contains(&format!("{name}::127.0.0.1:{container_envoy_port}\n")), "{lines}");
    //    This is the name of the cluster where Envoy will forward traffic.
    let chain = &listener["filter_chains"][0];
    let cluster_name = chain["filters"][0]["typed_config"]["cluster"].as_str().unwrap();
    //    This means Route Integrity is turned on.
    assert_eq!(chain["transport_socket"]["typed_config"]["require_client_certificate"], true);

    // 5. In the same config_dump output, find the cluster that is referenced above.
    let clusters = members(&dump, "ClustersConfigDump", "static_clusters");
    let cluster = &clusters.iter().find(|entry| entry["cluster"]["name"] == cluster_name).unwrap()["cluster"];
    //    This is the port that the app is listening on inside of the container.
    let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    assert_eq!(endpoint["address"]["socket_address"]["address"], *overlay_ip);
    assert_eq!(endpoint["address"]["socket_address"]["port_value"], container_app_port);

    // So the traffic gets sent to OVERLAY_IP:CONTAINER_ENVOY_PORT, and on to OVERLAY_IP:CONTAINER_APP_PORT.
    scene.request().await;
    let clusters = scene.curl("/clusters").await;
    assert!(clusters.contains(&format!("{app}cx_total::1\n")), "{clusters}");
}

#[tokio::test]
async fn clusters_tell_in_envoys_order_and_in_json() {
    let scene = Scene::new().await;
    let _router = scene.request().await;
    let (cluster, host) = (format!("service-cluster-{}", scene.app.port()), scene.app);
    let text = scene.curl("/clusters").await;
    let lines = text.lines().map(|line| line.replace(&cluster, "c").replace(&host.to_string(), "h"));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "c::observability_name::c",
            "c::default_priority::max_connections::4294967295",
            "c::default_priority::max_pending_requests::1024",
            "c::default_priority::max_requests::1024",
            "c::default_priority::max_retries::3",
            "c::high_priority::max_connections::1024",
            "c::high_priority::max_pending_requests::1024",
            "c::high_priority::max_requests::1024",
            "c::high_priority::max_retries::3",
            "c::added_via_api::false",
            "c::h::cx_active::1",
            "c::h::cx_connect_fail::0",
            "c::h::cx_total::1",
            "c::h::rq_active::1",
            "c::h::rq_error::0",
            "c::h::rq_pending_active::0",
            "c::h::rq_success::1",
            "c::h::rq_timeout::0",
            "c::h::rq_total::1",
            "c::h::hostname::",
            "c::h::health_flags::healthy",
            "c::h::weight::1",
            "c::h::region::",
            "c::h::zone::",
            "c::h::sub_zone::",
            "c::h::canary::false",
            "c::h::priority::0",
            "c::h::success_rate::-1",
            "c::h::local_origin_success_rate::-1",
        ]
    );
    let page = scene.json("/clusters?format=json").await;
    let status = &page["cluster_statuses"][0];
    assert_eq!(status["name"], *cluster);
    assert_eq!(status["circuit_breakers"]["thresholds"][0]["max_connections"], u32::MAX);
    let host = &status["host_statuses"][0];
    assert_eq!(host["address"]["socket_address"]["port_value"], scene.app.port());
    let stats = host["stats"].as_array().unwrap();
    let stat = |name: &str| stats.iter().find(|stat| stat["name"] == name).unwrap();
    assert_eq!(*stat("cx_total"), json!({"name": "cx_total", "value": "1"}));
    assert_eq!(*stat("rq_error"), json!({"name": "rq_error"}));
    assert_eq!(stat("cx_active")["type"], "GAUGE");
}

#[tokio::test]
async fn no_page_shows_a_key() {
    let scene = Scene::new().await;
    scene.request().await;
    let file = std::fs::read_to_string(scene.container.file("sds-id-cert-and-key.yaml")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let key = file["resources"][0]["tls_certificate"]["private_key"]["inline_string"].as_str().unwrap();
    let secret = key.lines().nth(1).unwrap();
    for line in scene.curl("/help").await.lines().skip(1) {
        let path = line.trim().split([':', ' ']).next().unwrap();
        let (_, body) = scene.ask("GET", path).await;
        assert!(!body.contains(secret) && !body.contains("PRIVATE KEY"), "{path}");
    }
    let dump = scene.json("/config_dump").await;
    let secrets = members(&dump, "SecretsConfigDump", "dynamic_active_secrets");
    let names: Vec<&str> = secrets.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["id-cert-and-key", "id-validation-context", "c2c-cert-and-key"]);
    let shown = &secrets[0]["secret"]["tls_certificate"];
    assert_eq!(shown["private_key"]["inline_string"], "[redacted]");
    assert!(shown["certificate_chain"]["inline_string"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert_eq!(secrets[0]["version_info"], "0");
    let matchers = &secrets[1]["secret"]["validation_context"]["match_subject_alt_names"];
    assert_eq!(matchers[0]["exact"], ROUTER);
}

#[tokio::test]
async fn a_dump_can_be_cut_down_to_what_is_asked_for() {
    let scene = Scene::new().await;
    let types = |dump: &Value| -> Vec<String> {
        let configs = dump["configs"].as_array().unwrap();
        configs.iter().map(|config| config["@type"].as_str().unwrap().rsplit('.').next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        types(&scene.json("/config_dump").await),
        ["BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "SecretsConfigDump"]
    );
    let listeners = scene.json("/config_dump?resource=static_listeners").await;
    assert_eq!(types(&listeners), ["StaticListener", "StaticListener"]);
    let one = scene.json("/config_dump?resource=static_listeners&name_regex=.*-61443").await;
    assert_eq!(types(&one), ["StaticListener"]);
    let masked = scene.json("/config_dump?resource=static_listeners&mask=listener.name").await;
    let name = format!("listener-{}-61001", scene.app.port());
    assert_eq!(masked["configs"][0]["listener"]["name"], *name);
    assert_eq!(masked["configs"][0]["listener"].get("filter_chains"), None);
    assert_eq!(scene.ask("GET", "/config_dump?resource=routes").await.0, 404);
    for target in ["?name_regex=%28", "?mask=nope", "?resource=static_listeners&mask=nope", "?resource=bootstrap"] {
        assert_eq!(scene.ask("GET", &format!("/config_dump{target}")).await.0, 400, "{target}");
    }
    assert_eq!(types(&scene.json("/config_dump?mask=dynamic_listeners").await), [""; 0]);
    let c2c = scene.json("/config_dump?resource=static_listeners&name_regex=.*-61443").await;
    let demands = c2c["configs"][0]["listener"]
        .pointer("/filter_chains/0/transport_socket/typed_config/require_client_certificate");
    assert_eq!(demands, Some(&json!(false)));
}

#[tokio::test]
async fn a_secret_that_is_waited_for_is_warming_and_the_sidecar_not_ready() {
    let container = Container::new();
    std::fs::remove_file(container.file("sds-id-cert-and-key.yaml")).unwrap();
    let app = echoing().await;
    let config = container.write(&[Door::app(app)], Some(anywhere()));
    let sidecar = Running::start(settings(&config)).await;
    let scene = Scene { container, app, sidecar };
    assert_eq!(scene.ask("GET", "/ready").await, (503, "INITIALIZING\n".to_owned()));
    let dump = scene.json("/config_dump").await;
    let warming = members(&dump, "SecretsConfigDump", "dynamic_warming_secrets");
    assert_eq!(warming[0]["name"], "id-cert-and-key");
    scene.container.put("id", &scene.container.instances.instance(&scene.container.id).issue());
    eventually(PATIENCE, async || scene.ask("GET", "/ready").await == (200, "LIVE\n".to_owned())).await;
}

#[tokio::test]
async fn certs_tell_what_is_live_and_whether_a_rotation_landed() {
    let scene = Scene::new().await;
    let certs = scene.json("/certs").await;
    let certificates = certs["certificates"].as_array().unwrap();
    assert_eq!(certificates.len(), 2);
    let leaf = &certificates[0]["cert_chain"][0];
    let names = leaf["subject_alt_names"].as_array().unwrap();
    assert!(names.contains(&json!({"dns": scene.container.id.instance})), "{leaf}");
    assert_eq!(leaf["path"], "<inline>");
    assert!(leaf["days_until_expiration"].as_str().unwrap().parse::<u32>().is_ok());
    assert!(leaf["expiration_time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(certificates[0]["cert_chain"].as_array().unwrap().len(), 1);
    assert_eq!(certificates[0]["ca_cert"].as_array().unwrap().len(), 1);
    assert_eq!(certificates[1]["ca_cert"].as_array().unwrap().len(), 0);
    let first = leaf["serial_number"].clone();

    let renewed = scene.container.instances.instance(&scene.container.id).issue();
    scene.container.put("id", &renewed);
    let serial = async || scene.json("/certs").await["certificates"][0]["cert_chain"][0]["serial_number"].clone();
    eventually(PATIENCE, async || serial().await != first).await;

    std::fs::write(scene.container.file("sds-id-cert-and-key.yaml"), "resources: [").unwrap();
    let problem = async || scene.json("/certs").await["certificates"][0]["last_error"].clone();
    eventually(PATIENCE, async || problem().await.as_str().is_some_and(|text| text.contains("not YAML"))).await;
    assert_ne!(serial().await, Value::Null);
}

#[tokio::test]
async fn the_server_says_who_it_is_and_how_it_goes() {
    let scene = Scene::new().await;
    let server = scene.json("/server_info").await;
    assert_eq!(server["version"].as_str().unwrap().split('/').count(), 5);
    assert_eq!((server["state"].as_str(), server["node"]["cluster"].as_str()), (Some("LIVE"), Some("proxy-cluster")));
    assert!(server["uptime_current_epoch"].as_str().unwrap().ends_with('s'));
    let options = &server["command_line_options"];
    assert_eq!((&options["drain_time"], &options["log_level"]), (&json!("900s"), &json!("critical")));
    assert_eq!((&options["concurrency"], &options["restart_epoch"]), (&json!(1), &json!(0)));
    assert_eq!((&options["mode"], &options["service_node"]), (&json!("Serve"), &json!("")));
    let memory = scene.json("/memory").await;
    assert!(memory["total_physical_bytes"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 20);
    let listeners = scene.json("/listeners?format=json").await;
    let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
    assert_eq!(address["port_value"], scene.sidecar.addr.port());
    assert!(scene.curl("/").await.contains("/config_dump"));
    let (status, body) = scene.ask("GET", "/nonsense").await;
    assert!(status == 404 && body.starts_with("invalid path. admin commands are:"), "{body}");
}

#[tokio::test]
async fn figures_are_empty_where_the_bootstrap_rejects_them() {
    let scene = Scene::new().await;
    scene.request().await;
    assert_eq!(scene.curl("/stats").await, "");
    assert_eq!(scene.curl("/stats/prometheus").await, "");
}

pub(crate) fn with_stats(settings: Settings) -> Settings {
    let mut admin = settings.admin.unwrap();
    admin.subject.stats_rejected = false;
    Settings { admin: Some(admin), ..settings }
}

#[tokio::test]
async fn figures_go_by_envoys_names() {
    let scene = Scene::with(with_stats).await;
    drop(scene.request().await);
    let _ = scene.sidecar.call(&scene.container.caller()).await;
    scene.sidecar.sees(Event::NoCertificate, 1).await;
    let (listener, app) = (format!("127.0.0.1_{}", scene.sidecar.addr.port()), scene.app.port());
    let stats = scene.curl("/stats").await;
    for expected in [
        format!("listener.{listener}.ssl.handshake: 1\n"),
        format!("listener.{listener}.ssl.fail_verify_no_cert: 1\n"),
        format!("listener.{listener}.ssl.versions.TLSv1.3: 1\n"),
        format!("listener.{listener}.ssl.ciphers.TLS_AES_"),
        format!("cluster.service-cluster-{app}.upstream_cx_total: 2\n"),
        format!("tcp.stats-{app}-61001.downstream_cx_rx_bytes_total: 5\n"),
        format!("tcp.stats-{app}-61001.downstream_cx_tx_bytes_total: 5\n"),
        "sds.id-cert-and-key.update_success: 1\n".to_owned(),
        "server.live: 1\n".to_owned(),
        "server.days_until_first_cert_expiring: ".to_owned(),
    ] {
        assert!(stats.contains(&expected), "{expected}{stats}");
    }
    let used = scene.curl("/stats?usedonly&filter=%5Elistener.*handshake").await;
    assert_eq!(used, format!("listener.{listener}.ssl.handshake: 1\n"));
    let page = scene.json("/stats?format=json&filter=server.live").await;
    assert_eq!(page["stats"][0], json!({"name": "server.live", "value": 1}));
    assert_eq!(scene.ask("GET", "/stats?filter=%28").await.0, 400);
    assert_eq!(scene.ask("GET", "/stats?format=bogus").await.0, 400);

    assert_eq!(scene.ask("POST", "/reset_counters").await, (200, "OK\n".to_owned()));
    let stats = scene.curl("/stats").await;
    assert!(stats.contains(&format!("listener.{listener}.ssl.handshake: 0\n")), "{stats}");
}

#[tokio::test]
async fn settings_without_a_document_are_dumped_as_the_bootstrap_that_says_the_same() {
    let world = World::new();
    let admin = Some(Admin::new(AdminAddress::Tcp(anywhere())));
    let app = echoing().await;
    let sidecar = Running::start(Settings { admin, ..world.settings(app, world.strict()) }).await;
    let stream = TcpStream::connect(sidecar.admin.unwrap()).await.unwrap();
    let (_, body) = ask(stream, "GET", "/config_dump").await;
    let dump: Value = serde_json::from_str(&body).unwrap();
    let bootstrap = dump["configs"][0]["bootstrap"].to_string();
    let read =
        trueroute_sidecar::bootstrap::parse(Path::new("dump"), &bootstrap, &|path| std::fs::read_to_string(path));
    let listener = read.unwrap().listeners.remove(0);
    assert_eq!((listener.address, listener.mode), (sidecar.addr, world.strict()));
}

#[tokio::test]
async fn an_app_that_refuses_shows_in_the_clusters() {
    let (container, nobody) = (Container::new(), ReservedPort::new());
    let config = container.write(&[Door::app(nobody.addr())], Some(anywhere()));
    let sidecar = Running::start(settings(&config)).await;
    let scene = Scene { container, app: nobody.addr(), sidecar };
    assert!(scene.sidecar.call(&scene.container.router()).await.is_err());
    let clusters = scene.curl("/clusters").await;
    assert!(clusters.contains(&format!("::{}::cx_connect_fail::1\n", scene.app)), "{clusters}");
}
