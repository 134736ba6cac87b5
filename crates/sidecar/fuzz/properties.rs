//! What must hold for any bytes, for the fuzzer and for the plain test that runs its seeds.
#![allow(dead_code, reason = "each target uses one of these")]

use std::path::Path;

use trueroute_identity::{PeerIdentity, accept::Description};
use trueroute_sidecar::{
    bootstrap::{self, secret},
    settings::Mode,
};

/// A bootstrap is refused with a reason, or leads from every listener to one app and shows no key.
pub(crate) fn bootstrap(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Whatever file it names holds what it is itself: a document of every kind.
    match bootstrap::parse(Path::new("fuzz"), text, &|_| Ok(text.to_owned())) {
        Ok(read) => {
            assert!(!read.listeners.is_empty());
            let shown = std::iter::once(&read.shown.bootstrap).chain(&read.shown.dynamic_listeners);
            let demands = shown.clone().any(holds_a_demand);
            for listener in &read.listeners {
                let cluster = read.clusters.iter().find(|cluster| cluster.name == listener.cluster);
                assert_eq!(cluster.map(|cluster| cluster.endpoints.len()), Some(1));
                // Only who says so asks for nothing of callers.
                if !demands {
                    assert_eq!(listener.mode, Mode::Tls);
                }
            }
            shown.for_each(no_key);
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "a reason takes one line: {error}"),
    }
}

/// Whether callers are asked for a certificate anywhere in `value`. Keys are compared as they were read: a text has many
/// ways to write one.
fn holds_a_demand(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(map) => map
            .iter()
            .any(|(key, value)| (key == "require_client_certificate" && *value == true) || holds_a_demand(value)),
        serde_json::Value::Array(items) => items.iter().any(holds_a_demand),
        _ => false,
    }
}

fn no_key(value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| {
            let shown = value.get("inline_string").and_then(|text| text.as_str());
            assert!(key != "private_key" || shown.is_none_or(|text| text == "[redacted]"), "{value}");
            no_key(value);
        }),
        serde_json::Value::Array(items) => items.iter().for_each(no_key),
        _ => {}
    }
}

/// A file of secrets gives what was asked for, or says why not.
pub(crate) fn secret(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for name in ["id-cert-and-key", "id-validation-context", ""] {
        let certificate = secret::certificate(text, name);
        let validation = secret::validation(text, name);
        // One secret is never both.
        assert!(certificate.is_err() || validation.is_err() || text.matches("name").count() != 1);
        if let Err(error) = certificate {
            assert!(!error.to_string().is_empty());
        }
    }
}

/// An identity is read from a certificate and from nothing else, and carries its own names and no others.
pub(crate) fn certificate(bytes: &[u8]) {
    let (identity, description) = (PeerIdentity::from_der(bytes), Description::of_der(bytes));
    let Ok(identity) = identity else { return };
    assert!(description.is_some(), "what has an identity can be described");
    for name in &identity.dns_names {
        assert!(identity.carries(name) && identity.carries(&name.to_ascii_uppercase()));
    }
    assert!(!identity.carries("a name that no certificate carries"));
    if let Some(id) = identity.instance_id() {
        assert!(!id.is_empty());
    }
    for told in identity.presented() {
        assert!(told.chars().all(|c| (' '..='~').contains(&c)), "{told:?}");
    }
}
