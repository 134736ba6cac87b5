//! The log lines about registrations, with the nested values that operators search for.
//!
//! Source: gorouter.md section 3 (`validation-error`) and section 4 (logs). The JSON is built only when a
//! line is written: debug lines come with every heartbeat.

use std::fmt;

use serde::Serialize;

use crate::{
    observe::log::Json,
    route::endpoint::Endpoint,
    table::{Change, Pruned},
};

/// Longest piece of a payload or of a URI that a log line repeats, in bytes.
const MAX_QUOTE: usize = 1024;

/// One endpoint of one route.
#[derive(Serialize)]
struct Line<'a> {
    uri: &'a str,
    route_service_url: &'a str,
    backend: &'a str,
    application_id: &'a str,
    instance_id: &'a str,
    server_cert_domain_san: &'a str,
    protocol: &'a str,
    modification_tag: Tag<'a>,
    isolation_segment: &'a str,
    #[serde(rename = "isTLS")]
    is_tls: bool,
}

/// Empty for what came over NATS.
#[derive(Default, Serialize)]
struct Tag<'a> {
    guid: &'a str,
    index: u32,
}

fn line<'a>(uri: &'a str, endpoint: &'a Endpoint) -> Line<'a> {
    Line {
        uri,
        route_service_url: endpoint.route_service_url(),
        backend: endpoint.peer.address(),
        application_id: endpoint.app_id(),
        instance_id: endpoint.instance_id(),
        server_cert_domain_san: endpoint.server_cert_domain_san(),
        protocol: endpoint.protocol().as_str(),
        modification_tag: endpoint
            .modification_tag()
            .map_or_else(Tag::default, |tag| Tag { guid: &tag.guid, index: tag.index }),
        isolation_segment: segment(endpoint.isolation_segment()),
        is_tls: endpoint.peer.is_tls(),
    }
}

/// The segment as log lines show it.
fn segment(name: &str) -> &str {
    if name.is_empty() { "-" } else { name }
}

/// The first endpoint of a route came.
pub(crate) fn route_registered(uri: &str, endpoint: &Endpoint) {
    tracing::info!(target: "registry", data = %Json(&line(uri, endpoint)), "route-registered");
}

/// The last endpoint of a route left.
pub(crate) fn route_unregistered(uri: &str, endpoint: &Endpoint) {
    tracing::info!(target: "registry", data = %Json(&line(uri, endpoint)), "route-unregistered");
}

/// A plain endpoint joined a route whose other endpoints prove who they are: whoever may write to the
/// bus could take over traffic that way.
pub(crate) fn downgraded(uri: &str, endpoint: &Endpoint) {
    tracing::warn!(target: "registry", data = %Json(&line(uri, endpoint)), "plain-endpoint-joined-tls-route");
}

/// The route's options ask for an algorithm that there is not.
pub(crate) fn unknown_algorithm(uri: &str, endpoint: &Endpoint, asked: &str) {
    let line = serde_json::json!({ "uri": uri, "backend": endpoint.peer.address(), "loadbalancing": asked });
    tracing::error!(
        target: "registry",
        data = %line,
        "invalid-endpoint-load-balancing-algorithm-provided-keeping-pool-lb-algo"
    );
}

/// A registration did `change` to the route `uri`.
pub(crate) fn registered(uri: &str, endpoint: &Endpoint, change: Change) {
    match change {
        Change::Added => tracing::info!(target: "registry", data = %Json(&line(uri, endpoint)), "endpoint-registered"),
        Change::Replaced | Change::Renewed => {
            tracing::debug!(target: "registry", data = %Json(&line(uri, endpoint)), "endpoint-registered");
        }
        Change::Outdated | Change::Ignored => {
            tracing::debug!(target: "registry", data = %Json(&line(uri, endpoint)), "endpoint-not-registered");
        }
    }
}

/// An unregistration took the endpoint off the route `uri`, or found nothing to take.
pub(crate) fn unregistered(uri: &str, endpoint: &Endpoint, found: bool) {
    if found {
        tracing::info!(target: "registry", data = %Json(&line(uri, endpoint)), "endpoint-unregistered");
    } else {
        tracing::info!(target: "registry", data = %Json(&line(uri, endpoint)), "endpoint-not-unregistered");
    }
}

/// A prune took endpoints off a route.
pub(crate) fn pruned(route: &Pruned) {
    let endpoints = || route.endpoints.iter().map(|endpoint| endpoint.peer.address()).collect::<Vec<_>>();
    tracing::info!(
        target: "registry",
        data = %serde_json::json!({
            "uri": &*route.key,
            "endpoints": endpoints(),
            "isolation_segment": segment(&route.isolation_segment),
        }),
        "pruned-route"
    );
}

/// A message, or one URI of it, is not what section 3 demands.
pub(crate) fn invalid(error: &dyn fmt::Display, payload: &[u8], subject: &str) {
    let line = serde_json::json!({ "error": error.to_string(), "payload": quote(payload), "subject": subject });
    tracing::error!(target: "subscriber", data = %line, "validation-error");
}

/// A policy of this router refuses what a message registers.
pub(crate) fn refused(error: &dyn fmt::Display, payload: &[u8], subject: &str) {
    let line = serde_json::json!({ "error": error.to_string(), "payload": quote(payload), "subject": subject });
    tracing::warn!(target: "subscriber", data = %line, "registration-refused");
}

/// The beginning of `payload` as text; bytes that are no UTF-8 show as U+FFFD.
fn quote(payload: &[u8]) -> String {
    if payload.len() <= MAX_QUOTE {
        return String::from_utf8_lossy(payload).into_owned();
    }
    let mut text = String::from_utf8_lossy(&payload[..MAX_QUOTE]).into_owned();
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{
        endpoint::{Facts, Protocol},
        peer::{Identity, Peer},
    };

    #[test]
    fn a_line_has_every_field_of_the_reference() {
        let facts = Facts {
            app_id: "app-1".into(),
            instance_id: "inst-1".into(),
            protocol: Protocol::Http2,
            ..Facts::default()
        };
        let endpoint = Endpoint::new(Peer::new("10.0.0.1", 8080, Identity::Plain), facts);
        let expected = concat!(
            r#"{"uri":"a.example/x","route_service_url":"","backend":"10.0.0.1:8080","application_id":"app-1","#,
            r#""instance_id":"inst-1","server_cert_domain_san":"","protocol":"http2","#,
            r#""modification_tag":{"guid":"","index":0},"isolation_segment":"-","isTLS":false}"#
        );
        assert_eq!(Json(&line("a.example/x", &endpoint)).to_string(), expected);
    }

    #[test]
    fn a_quote_is_bounded_and_always_text() {
        assert_eq!(quote(b"{\xff}"), "{\u{fffd}}");
        let long = quote(&[b'a'; 4 * MAX_QUOTE]);
        assert_eq!(long.chars().count(), MAX_QUOTE + 1);
        let noise = quote(&[0xff; 4 * MAX_QUOTE]);
        assert!(noise.len() <= 3 * MAX_QUOTE + 3);
    }
}
