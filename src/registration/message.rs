//! An endpoint as the message that would register it: the way back from a table to the bus' own words.

use std::time::Duration;

use serde::Serialize;

use crate::route::endpoint::{Endpoint, Tags};

/// A message for `router.register`, as components send it. Serialises to its JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Message<'a> {
    host: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    tls_port: u16,
    uris: &'a [&'a str],
    app: &'a str,
    private_instance_id: &'a str,
    private_instance_index: &'a str,
    protocol: &'a str,
    server_cert_domain_san: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    route_service_url: &'a str,
    tags: Option<Tags<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    stale_threshold_in_seconds: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    isolation_segment: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    availability_zone: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    endpoint_updated_at_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Options<'a>>,
}

#[derive(Clone, Debug, Serialize)]
struct Options<'a> {
    loadbalancing: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hash_header: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    hash_balance: f64,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl<'a> Message<'a> {
    /// The message that registers `endpoint` for the routes `uris`, table keys or longer spellings of them.
    #[must_use]
    pub fn of(endpoint: &'a Endpoint, uris: &'a [&'a str]) -> Self {
        let peer = &endpoint.peer;
        let (port, tls_port) = if peer.is_tls() { (0, peer.port()) } else { (peer.port(), 0) };
        Self {
            host: peer.host(),
            port,
            tls_port,
            uris,
            app: endpoint.app_id(),
            private_instance_id: endpoint.instance_id(),
            private_instance_index: endpoint.instance_index(),
            protocol: endpoint.protocol().as_str(),
            server_cert_domain_san: endpoint.server_cert_domain_san(),
            route_service_url: endpoint.route_service_url(),
            tags: endpoint.tags(),
            stale_threshold_in_seconds: Duration::as_secs(&endpoint.stale_threshold()),
            isolation_segment: endpoint.isolation_segment(),
            availability_zone: endpoint.availability_zone(),
            endpoint_updated_at_ns: endpoint.updated_at_ns(),
            options: endpoint.options().map(|options| Options {
                loadbalancing: &options.loadbalancing,
                hash_header: &options.hash_header,
                hash_balance: options.hash_balance,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registration::parse;

    fn again(endpoint: &Endpoint, uris: &[&str]) -> (Endpoint, Vec<String>) {
        let json = serde_json::to_vec(&Message::of(endpoint, uris)).unwrap();
        let registration = parse(&json).unwrap();
        let keys = registration.uris().map(|uri| uri.unwrap().as_str().to_owned()).collect();
        (registration.endpoint(None, true).unwrap(), keys)
    }

    #[test]
    fn every_fact_survives() {
        let json = br#"{"host":"10.0.0.1","port":8080,"tls_port":61001,"uris":["A.example/x/"],"app":"app",
            "private_instance_id":"id","private_instance_index":"3","protocol":"http2","server_cert_domain_san":"san",
            "route_service_url":"https://rs.example","tags":{"component":"c","space_id":"s"},
            "stale_threshold_in_seconds":60,"isolation_segment":"is1","availability_zone":"z1",
            "endpoint_updated_at_ns":1234567890123456789,
            "options":{"loadbalancing":"hash","hash_header":"X-User","hash_balance":"1.25"}}"#;
        let endpoint = parse(json).unwrap().endpoint(None, true).unwrap();
        let (back, keys) = again(&endpoint, &["a.example/x"]);
        assert!(back.same_as(&endpoint), "{back:?}\n{endpoint:?}");
        assert_eq!((back.facts(), keys), (endpoint.facts(), vec!["a.example/x".to_owned()]));
    }

    proptest! {
        #[test]
        fn whatever_was_registered_can_be_written_and_read(
            host in "10\\.0\\.0\\.[1-9]|\\[::1\\]|app\\.internal",
            port in 1_u16..,
            tls: bool,
            texts in prop::collection::vec("[ -~é]{0,12}", 5),
            tags in prop::option::of(prop::collection::btree_map("[a-z_]{1,8}", "[ -~]{0,8}", 0..4)),
            stale in 0_u32..,
            updated: i64,
        ) {
            let json = serde_json::json!({
                "host": host, if tls { "tls_port" } else { "port" }: port, "uris": ["a.example"],
                "app": texts[0], "private_instance_id": texts[1], "server_cert_domain_san": texts[2],
                "availability_zone": texts[3], "options": {"loadbalancing": texts[4]}, "tags": tags,
                "stale_threshold_in_seconds": stale, "endpoint_updated_at_ns": updated,
            });
            let endpoint = parse(json.to_string().as_bytes()).unwrap().endpoint(None, true).unwrap();
            let (back, _) = again(&endpoint, &["a.example"]);
            prop_assert_eq!(&back.peer, &endpoint.peer);
            prop_assert_eq!(back.facts(), endpoint.facts());
        }
    }
}
