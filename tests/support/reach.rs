//! What one can ask a running router from outside.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use trueroute_testkit::{
    Client, Registration,
    client::{Request, Response},
    eventually,
};

use super::{PATIENCE, instance::InstanceBuilder, scene::Scene, settings::LOGIN};

/// Where a router is, and the scene it belongs to. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) scene: Scene,
    pub(crate) http: Option<u16>,
    pub(super) https: Option<u16>,
    pub(super) health: Option<u16>,
    pub(super) routes: Option<u16>,
    pub(super) metrics: Option<u16>,
    pub(super) access_log: PathBuf,
}

impl Reach {
    /// Where it takes plain HTTP.
    pub(crate) fn http(&self) -> SocketAddr {
        local(self.http, "no plain HTTP port")
    }

    /// Where it takes HTTPS.
    pub(crate) fn https(&self) -> SocketAddr {
        local(self.https, "no HTTPS port")
    }

    /// Where the health port is.
    pub(crate) fn health_port(&self) -> SocketAddr {
        local(self.health, "no health port")
    }

    /// Where `/routes` is.
    pub(crate) fn routes_port(&self) -> SocketAddr {
        local(self.routes, "no port for /routes")
    }

    /// Where `/metrics` is.
    pub(crate) fn metrics_port(&self) -> SocketAddr {
        local(self.metrics, "no port for metrics")
    }

    /// A new connection to the router.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.http()).await.expect("the router takes connections").patience(PATIENCE)
    }

    /// A GET over a connection of its own.
    pub(crate) async fn get(&self, host: &str, path: &str) -> Response {
        self.client().await.get(host, path).await.expect("the router answers")
    }

    /// A request over a connection of its own.
    pub(crate) async fn ask(&self, request: Request) -> Response {
        self.client().await.request(request).await.expect("the router answers")
    }

    /// The status of `/health`.
    pub(crate) async fn health(&self) -> u16 {
        self.page(self.health_port(), "/health").await.status
    }

    /// `/routes`: host and path to a list of endpoints.
    pub(crate) async fn routes_json(&self) -> Value {
        self.page(self.routes_port(), "/routes").await.json()
    }

    /// The endpoints of one route, as `/routes` shows them; none for an unknown route.
    pub(crate) async fn endpoints(&self, uri: &str) -> Vec<Value> {
        self.routes_json().await[uri].as_array().cloned().unwrap_or_default()
    }

    /// The addresses of one route's endpoints.
    pub(crate) async fn addresses(&self, uri: &str) -> Vec<String> {
        let address = |row: &Value| row["address"].as_str().unwrap_or_default().to_owned();
        self.endpoints(uri).await.iter().map(address).collect()
    }

    /// Waits until the route has exactly so many endpoints.
    pub(crate) async fn wait_for_route(&self, uri: &str, endpoints: usize) {
        eventually(PATIENCE, async || self.endpoints(uri).await.len() == endpoints).await;
    }

    /// `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        self.page(self.metrics_port(), "/metrics").await.text().to_owned()
    }

    /// The value of one series, named as on its line (`x{status="2xx"}`), or the sum over all series of a name
    /// (`x`); 0 where there is none.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let named = series == name || series.strip_prefix(name).is_some_and(|labels| labels.starts_with('{'));
            named.then(|| value.parse::<f64>().expect("a metric's value is a number"))
        });
        values.sum()
    }

    /// The lines of the access log that are written by now; they come within a moment of the response.
    pub(crate) fn access_log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.access_log).unwrap_or_default();
        // The last line may be half written.
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Where the access log is.
    pub(crate) fn access_log_file(&self) -> &Path {
        &self.access_log
    }

    /// Waits for the first access-log line that holds `needle`.
    pub(crate) async fn access_log_line(&self, needle: &str) -> String {
        let find = || self.access_log().into_iter().find(|line| line.contains(needle));
        eventually(PATIENCE, async || find().is_some()).await;
        find().unwrap()
    }

    /// An instance of the app called `app`, to describe first.
    pub(crate) fn instance(&self, app: &str) -> InstanceBuilder {
        InstanceBuilder::new(self.clone(), app)
    }

    /// Publishes a registration and waits until the table shows its address under each of its URIs.
    pub(crate) async fn register(&self, registration: &Registration) {
        self.publish(registration).await;
        let (address, uris) = place(registration);
        for uri in uris {
            eventually(PATIENCE, async || self.addresses(&uri).await.contains(&address)).await;
        }
    }

    /// Publishes a registration and waits for nothing.
    pub(crate) async fn publish(&self, registration: &Registration) {
        registration.register(&self.scene.bus.url()).await.expect("the bus takes messages");
    }

    /// Takes a registration back and waits until the table shows its address no more.
    pub(crate) async fn unregister(&self, registration: &Registration) {
        registration.unregister(&self.scene.bus.url()).await.expect("the bus takes messages");
        let (address, uris) = place(registration);
        for uri in uris {
            eventually(PATIENCE, async || !self.addresses(&uri).await.contains(&address)).await;
        }
    }

    /// Registers what is not, or no longer, true: that `instance` answers with TLS at `address` under `uri`.
    pub(crate) async fn register_stale(&self, uri: &str, address: SocketAddr, instance: &str) {
        self.register(&Registration::tls(address, instance).uri(uri).app("stale")).await;
    }

    /// Asks for a reload, as an operator does.
    pub(crate) async fn reload(&self) -> Response {
        let mut client = Client::connect(self.routes_port()).await.expect("the status port takes connections");
        let request = Request::new("POST", "/reload").host("status").header("Authorization", LOGIN);
        client.request(request.header("Content-Length", "0")).await.expect("the status port answers")
    }

    async fn page(&self, address: SocketAddr, path: &str) -> Response {
        let mut client = Client::connect(address).await.expect("the status port takes connections");
        let request = Request::new("GET", path).host("status").header("Authorization", LOGIN);
        client.request(request.header("Connection", "close")).await.expect("the status port answers")
    }
}

/// `host:port` as the table shows it, and the URIs in lower case.
fn place(registration: &Registration) -> (String, Vec<String>) {
    let message: Value = serde_json::from_str(&registration.json()).expect("registrations are JSON");
    let port = message["tls_port"].as_u64().filter(|port| *port != 0).or_else(|| message["port"].as_u64());
    let host = message["host"].as_str().unwrap_or_default();
    let uris = message["uris"].as_array().into_iter().flatten();
    let uris = uris.filter_map(Value::as_str).map(|uri| uri.trim_end_matches('/').to_lowercase()).collect();
    (format!("{host}:{}", port.unwrap_or_default()), uris)
}

fn local(port: Option<u16>, none: &str) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port.expect(none)).into()
}
