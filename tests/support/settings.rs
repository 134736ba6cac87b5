//! The `gorouter.yml` of a story, key by key.

use serde_json::{Value, json};
use trueroute_testkit::{ReservedPort, Tempdir};

use super::{process::RouterProcess, router::RouterUnderTest, scene::Scene};

/// A router about to start: every port 0, no preload delay, the scene's bus, trust and router certificate, kept
/// connections to endpoints, three attempts, two workers, an access log, status ports and metrics.
#[must_use = "call start() or spawn()"]
pub(crate) struct RouterBuilder {
    pub(super) scene: Scene,
    pub(super) dir: Tempdir,
    pub(super) environment: Vec<(&'static str, String)>,
    settings: Value,
}

impl RouterBuilder {
    pub(super) fn new(scene: Scene) -> Self {
        let dir = Tempdir::new().expect("a temporary directory can be made");
        let (host, port, router) = (scene.bus.host(), scene.bus.port(), &scene.pki.router);
        let settings = json!({
            "port": 0,
            "status": {"port": 0, "user": USER, "pass": PASS, "routes": {"port": 0}},
            "prometheus": {"enabled": true, "port": 0},
            "nats": {"hosts": [{"hostname": host, "port": port}]},
            "start_response_delay_interval": "0s",
            "go_max_procs": 2,
            "ca_certs": [scene.pki.instances.pem()],
            "backends": {"max_attempts": 3, "cert_chain": router.chain_pem, "private_key": router.key_pem},
            "disable_keep_alives": false,
            "max_idle_conns": 100,
            "max_idle_conns_per_host": 100,
            "access_log": {"file": dir.path().join("access.log")},
        });
        Self { scene, dir, environment: Vec::new(), settings }
    }

    /// Sets a key, named with dots: `.set("backends.max_attempts", 1)`, `.set("endpoint_timeout", "1s")`.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let place = key.split('.').fold(&mut self.settings, |section, name| &mut section[name]);
        *place = value.into();
        self
    }

    /// Sets a variable of the process that [`RouterBuilder::spawn`] starts.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Leaves a key out, so that the router's default holds.
    pub(crate) fn without(mut self, key: &str) -> Self {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let names = section.split('.').filter(|name| !name.is_empty());
        let section = names.fold(&mut self.settings, |section, name| &mut section[name]);
        section.as_object_mut().expect("a section of settings").remove(name);
        self
    }

    /// The only attempt must do.
    pub(crate) fn one_attempt(self) -> Self {
        self.set("backends.max_attempts", 1)
    }

    /// The text of the file. JSON is YAML too.
    pub(crate) fn yml(&self) -> String {
        serde_json::to_string_pretty(&self.settings).expect("JSON can be written")
    }

    /// Starts it in this process and waits until it takes traffic.
    pub(crate) async fn start(self) -> RouterUnderTest {
        RouterUnderTest::open(self).await
    }

    /// Starts the binary and waits until it takes traffic. Status ports that were left at 0 get one of their own,
    /// since nothing that the process prints tells them.
    pub(crate) async fn spawn(self) -> RouterProcess {
        let process = self.launch();
        process.started().await;
        process
    }

    /// Starts the binary and waits for nothing.
    pub(crate) fn launch(mut self) -> RouterProcess {
        let mut ports = Vec::new();
        for key in ["status.port", "status.routes.port", "prometheus.port", "port", "ssl_port"] {
            let place = key.split('.').fold(&mut self.settings, |section, name| &mut section[name]);
            if *place == json!(0) {
                let port = ReservedPort::new();
                *place = port.port().into();
                ports.push(port);
            }
        }
        RouterProcess::launch(self, ports)
    }

    /// A port that the settings name.
    pub(super) fn port(&self, key: &str) -> Option<u16> {
        let value = key.split('.').fold(&self.settings, |section, name| &section[name]);
        value.as_u64().and_then(|port| u16::try_from(port).ok())
    }
}

pub(super) const USER: &str = "status";
pub(super) const PASS: &str = "secret";
/// User and password as `Authorization` wants them.
pub(super) const LOGIN: &str = "Basic c3RhdHVzOnNlY3JldA==";
