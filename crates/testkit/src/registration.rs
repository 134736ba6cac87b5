//! `router.register` and `router.unregister` messages (gorouter.md section 3, sidecar.md section 4.2).

use std::io;
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::nats_wire::nats_publish;

/// A message being written; starts with host, port, an empty list of URIs and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration(Map<String, Value>);

impl Registration {
    /// An endpoint at `host` and `port`, nothing else said.
    pub fn new(host: &str, port: u16) -> Self {
        let Value::Object(fields) = json!({ "host": host, "port": port, "uris": [] }) else { unreachable!() };
        Self(fields)
    }

    /// A plain endpoint.
    pub fn plain(addr: SocketAddr) -> Self {
        Self::new(&addr.ip().to_string(), addr.port())
    }

    /// A TLS endpoint whose certificate must carry `san`, which is its instance id too; the plain port is 0.
    pub fn tls(addr: SocketAddr, san: &str) -> Self {
        Self::new(&addr.ip().to_string(), 0).tls_port(addr.port()).san(san).instance(san)
    }

    /// Adds a URI.
    pub fn uri(mut self, uri: &str) -> Self {
        if let Some(Value::Array(uris)) = self.0.get_mut("uris") {
            uris.push(uri.into());
        }
        self
    }

    /// `tls_port`.
    pub fn tls_port(self, port: u16) -> Self {
        self.field("tls_port", port)
    }

    /// `server_cert_domain_san`.
    pub fn san(self, name: &str) -> Self {
        self.field("server_cert_domain_san", name)
    }

    /// `app`.
    pub fn app(self, id: &str) -> Self {
        self.field("app", id)
    }

    /// `private_instance_id`.
    pub fn instance(self, id: &str) -> Self {
        self.field("private_instance_id", id)
    }

    /// `private_instance_index`, which travels as a string.
    pub fn index(self, index: u32) -> Self {
        self.field("private_instance_index", index.to_string())
    }

    /// `protocol`: `http1` or `http2`.
    pub fn protocol(self, name: &str) -> Self {
        self.field("protocol", name)
    }

    /// Adds one of the `tags`.
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.0.entry("tags").or_insert_with(|| json!({}))[name] = value.into();
        self
    }

    /// `stale_threshold_in_seconds`.
    pub fn stale_threshold(self, seconds: i64) -> Self {
        self.field("stale_threshold_in_seconds", seconds)
    }

    /// `isolation_segment`.
    pub fn isolation_segment(self, name: &str) -> Self {
        self.field("isolation_segment", name)
    }

    /// `route_service_url`.
    pub fn route_service(self, url: &str) -> Self {
        self.field("route_service_url", url)
    }

    /// Sets any field to any JSON.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a field out.
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// The message.
    pub fn json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// Publishes it as `router.register` on the server at `url`.
    pub async fn register(&self, url: &str) -> io::Result<()> {
        nats_publish(url, "router.register", self.json()).await
    }

    /// Publishes it as `router.unregister` on the server at `url`.
    pub async fn unregister(&self, url: &str) -> io::Result<()> {
        nats_publish(url, "router.unregister", self.json()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_the_fields_that_were_said() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 4443));
        let message =
            Registration::tls(addr, "guid").uri("a.example").uri("b.example/x").index(3).tag("component", "c");
        let value: Value = serde_json::from_str(&message.json()).unwrap();
        let expected = json!({
            "host": "127.0.0.1", "port": 0, "tls_port": 4443, "server_cert_domain_san": "guid",
            "private_instance_id": "guid", "private_instance_index": "3", "uris": ["a.example", "b.example/x"],
            "tags": {"component": "c"},
        });
        assert_eq!(value, expected);
        let value: Value = serde_json::from_str(&message.without("port").field("host", 7).json()).unwrap();
        assert_eq!((value.get("port"), &value["host"]), (None, &json!(7)));
    }
}
