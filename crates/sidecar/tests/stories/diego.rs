//! A container as Diego's executor sets one up: bootstrap and secrets in files, renewed by rename.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use trueroute_testkit::{
    Tempdir,
    pki::{Authority, InstanceId, Leaf},
    tls::ClientTls,
};

use super::scene::ROUTER;

const V3: &str = "type.googleapis.com/envoy.extensions";

/// One container and its files.
pub(crate) struct Container {
    pub(crate) instances: Authority,
    pub(crate) routers: Authority,
    pub(crate) id: InstanceId,
    dir: Tempdir,
}

/// One listener of a container.
pub(crate) struct Door {
    pub(crate) app: SocketAddr,
    /// The port that is accepted on; 0 takes a free one.
    pub(crate) port: u16,
    /// `id` or `c2c`.
    pub(crate) secret: &'static str,
    pub(crate) strict: bool,
    /// As the executor writes it, comma and all.
    pub(crate) protocols: Option<&'static str>,
    /// What is seen of it beyond the port: `listener-<name>`.
    pub(crate) name: String,
}

impl Door {
    /// The way to the app that routers take in strict.
    pub(crate) fn app(app: SocketAddr) -> Self {
        let name = format!("{}-61001", app.port());
        Self { app, port: 0, secret: "id", strict: true, protocols: Some("h2,http/1.1"), name }
    }

    /// The way that other apps take.
    pub(crate) fn c2c(app: SocketAddr) -> Self {
        let name = format!("{}-61443", app.port());
        Self { app, port: 0, secret: "c2c", strict: false, protocols: None, name }
    }
}

impl Container {
    /// Certificates as they are when a container starts.
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// The same, with its files in a new folder of `parent`.
    pub(crate) fn within(parent: &Path) -> Self {
        let container = Self {
            instances: Authority::new("instances"),
            routers: Authority::new("routers"),
            id: InstanceId::random(),
            dir: Tempdir::new_in(parent).unwrap(),
        };
        container.put("id", &container.instances.instance(&container.id).issue());
        container.put("c2c", &container.instances.instance(&container.id).dns("app.apps.internal").issue());
        container.believe(container.routers.pem(), &[ROUTER, "ssh-proxy.service.cf.internal"]);
        container
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a certificate in force as the executor does: all at once.
    pub(crate) fn put(&self, which: &str, leaf: &Leaf) {
        let secret = json!({"name": format!("{which}-cert-and-key"), "tls_certificate": {
            "certificate_chain": {"inline_string": leaf.chain_pem},
            "private_key": {"inline_string": leaf.key_pem}}});
        self.replace(&format!("sds-{which}-cert-and-key.yaml"), &secret);
    }

    /// Names the authorities and the names that strict listeners believe.
    pub(crate) fn believe(&self, authorities: &str, names: &[&str]) {
        let names: Vec<Value> = names.iter().map(|name| json!({"exact": name})).collect();
        let secret = json!({"name": "id-validation-context", "validation_context": {
            "trusted_ca": {"inline_string": authorities}, "match_subject_alt_names": names}});
        self.replace("sds-id-validation-context.yaml", &secret);
    }

    fn replace(&self, name: &str, secret: &Value) {
        let mut secret = secret.clone();
        secret["@type"] = format!("{V3}.transport_sockets.tls.v3.Secret").into();
        let response = json!({"version_info": "0", "resources": [secret]});
        let fresh = self.file(&format!("{name}.tmp"));
        fs::write(&fresh, response.to_string()).unwrap();
        fs::rename(fresh, self.file(name)).unwrap();
    }

    /// Writes `envoy.yaml` with these doors, and an admin port if one is given.
    pub(crate) fn write(&self, doors: &[Door], admin: Option<SocketAddr>) -> PathBuf {
        let listeners: Vec<Value> = doors.iter().map(|door| self.listener(door)).collect();
        let mut clusters: Vec<Value> = Vec::new();
        for door in doors {
            let cluster = cluster(door.app);
            if !clusters.contains(&cluster) {
                clusters.push(cluster);
            }
        }
        let admin = admin.map(|address| json!({"address": address_of(address)}));
        let bootstrap = json!({
            "admin": admin,
            "node": {"id": format!("sidecar~127.0.0.1~{}~x", self.id.instance), "cluster": "proxy-cluster"},
            "static_resources": {"listeners": listeners, "clusters": clusters, "secrets": []},
            "stats_config": {"stats_matcher": {"reject_all": true}},
            "dynamic_resources": null, "overload_manager": null,
        });
        let path = self.file("envoy.yaml");
        fs::write(&path, serde_json::to_string_pretty(&bootstrap).unwrap()).unwrap();
        path
    }

    fn secret(&self, name: &str) -> Value {
        json!({"name": name, "sds_config": {"resource_api_version": "V3", "path_config_source": {
            "path": self.file(&format!("sds-{name}.yaml")), "watched_directory": {"path": self.dir.path()}}}})
    }

    fn listener(&self, door: &Door) -> Value {
        let name = format!("listener-{}", door.name);
        let validation = door.strict.then(|| self.secret("id-validation-context"));
        json!({
            "name": name,
            "address": address_of(([127, 0, 0, 1], door.port).into()),
            "traffic_direction": "UNSPECIFIED",
            "filter_chains": [{
                "filters": [{"name": "envoy.tcp_proxy", "typed_config": {
                    "@type": format!("{V3}.filters.network.tcp_proxy.v3.TcpProxy"),
                    "stat_prefix": format!("stats-{}", door.name),
                    "cluster": format!("service-cluster-{}", door.app.port())}}],
                "transport_socket": {"name": name, "typed_config": {
                    "@type": format!("{V3}.transport_sockets.tls.v3.DownstreamTlsContext"),
                    "require_client_certificate": door.strict,
                    "common_tls_context": {
                        "alpn_protocols": door.protocols.iter().collect::<Vec<_>>(),
                        "tls_params": {"cipher_suites": suites()},
                        "tls_certificate_sds_secret_configs": [self.secret(&format!("{}-cert-and-key", door.secret))],
                        "validation_context_sds_secret_config": validation}}}}]})
    }

    /// A router that verifies this instance and shows no certificate.
    pub(crate) fn caller(&self) -> ClientTls {
        ClientTls::new(&self.instances, &self.id.instance)
    }

    /// A router that verifies this instance and proves who it is.
    pub(crate) fn router(&self) -> ClientTls {
        self.caller().identity(&self.routers.router_client(ROUTER).issue())
    }
}

/// With ECDSA beside Diego's own, since the certificates of these stories are made with it.
fn suites() -> [&'static str; 3] {
    ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]
}

fn cluster(app: SocketAddr) -> Value {
    let name = format!("service-cluster-{}", app.port());
    json!({"name": name, "type": "STATIC", "connect_timeout": "0.25s",
           "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
               {"endpoint": {"address": address_of(app)}}]}]},
           "circuit_breakers": {"thresholds": [{"max_connections": u32::MAX}, {"max_pending_requests": u32::MAX},
                                               {"max_requests": u32::MAX}]}})
}

fn address_of(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
