//! The registration as routers read it (gorouter.md §3, sidecar.md §4.2).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::settings::{Mode, Registration};

/// The tag that names who registers.
const COMPONENT: (&str, &str) = ("component", "trueroute-sidecar");

/// One message, encoded once: every register and unregister of a process is the same bytes, since a router finds what
/// to remove by comparing.
#[derive(Clone, Debug)]
pub(crate) struct Payload(Bytes);

#[derive(Serialize)]
struct Message<'a> {
    host: &'a str,
    port: u16,
    tls_port: u16,
    uris: &'a [String],
    app: &'a str,
    private_instance_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_instance_index: Option<String>,
    server_cert_domain_san: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation_segment: Option<&'a str>,
    tags: BTreeMap<&'a str, &'a str>,
}

impl Payload {
    /// The message of an instance whose first listener is bound to port `bound`.
    pub(crate) fn new(registration: &Registration, bound: u16, mode: &Mode) -> Result<Self, serde_json::Error> {
        let tags = registration.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let message = Message {
            host: &registration.host,
            // Strict must not offer a way around itself.
            port: if matches!(mode, Mode::Strict { .. }) { 0 } else { registration.plain_port },
            tls_port: registration.tls_port.unwrap_or(bound),
            uris: &registration.uris,
            app: &registration.app_id,
            private_instance_id: &registration.instance_id,
            private_instance_index: registration.instance_index.map(|index| index.to_string()),
            server_cert_domain_san: &registration.instance_id,
            isolation_segment: registration.isolation_segment.as_deref(),
            tags: std::iter::once(COMPONENT).chain(tags).collect(),
        };
        serde_json::to_vec(&message).map(|json| Self(json.into()))
    }

    /// The JSON.
    pub(crate) fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Farewell;

    fn registration() -> Registration {
        Registration {
            servers: vec!["nats://n".parse().unwrap()],
            uris: vec!["a.example.com".into(), "b.example.com/path".into()],
            app_id: "app-guid".into(),
            instance_id: "instance-guid".into(),
            instance_index: Some(3),
            host: "10.0.0.7".into(),
            tls_port: None,
            plain_port: 8080,
            isolation_segment: Some("blue".into()),
            tags: vec![("process_id".into(), "p".into())],
            farewell: Farewell::default(),
        }
    }

    fn json(registration: &Registration, mode: &Mode) -> serde_json::Value {
        serde_json::from_slice(&Payload::new(registration, 61001, mode).unwrap().bytes()).unwrap()
    }

    #[test]
    fn a_tls_registration_names_both_ports_and_the_name_to_verify() {
        let expected = serde_json::json!({
            "host": "10.0.0.7", "port": 8080, "tls_port": 61001,
            "uris": ["a.example.com", "b.example.com/path"],
            "app": "app-guid", "private_instance_id": "instance-guid", "private_instance_index": "3",
            "server_cert_domain_san": "instance-guid", "isolation_segment": "blue",
            "tags": {"component": "trueroute-sidecar", "process_id": "p"},
        });
        assert_eq!(json(&registration(), &Mode::Tls), expected);
    }

    #[test]
    fn strict_offers_no_plain_port() {
        let strict = Mode::strict("ca.pem", vec![]);
        assert_eq!(json(&registration(), &strict)["port"], 0);
    }

    #[test]
    fn an_advertised_port_wins_over_the_bound_one_and_a_tag_over_ours() {
        let registration = Registration {
            tls_port: Some(443),
            instance_index: None,
            isolation_segment: None,
            tags: vec![("component".into(), "mine".into())],
            ..registration()
        };
        let json = json(&registration, &Mode::Tls);
        assert_eq!((&json["tls_port"], &json["tags"]["component"]), (&443.into(), &"mine".into()));
        assert!(json.get("private_instance_index").is_none() && json.get("isolation_segment").is_none());
    }
}
