//! What goes before an app's bytes: nothing, or the PROXY protocol. Apps are reached in the clear.

use super::{
    fields::{Node, Notes},
    listener::kind_of,
};
use crate::settings::ProxyProtocol;

/// Reads the `TransportSocket` of a cluster.
pub(super) fn transport_socket(node: &Node<'_>, notes: &mut Notes) -> Option<ProxyProtocol> {
    if node.is_empty() {
        return None;
    }
    node.fields(notes, |fields, notes| {
        let (name, config) = (fields.take("name"), fields.take("typed_config"));
        let kind = if config.is_empty() { String::new() } else { kind_of(&config, notes) };
        match (kind.rsplit('.').next(), name.one_text()) {
            (Some("ProxyProtocolUpstreamTransport"), _) => config.fields(notes, |fields, notes| {
                fields.pass_over(&["@type"]);
                let version = version(&fields.take("config"), notes);
                within(&fields.take("transport_socket"), notes);
                version
            }),
            (Some("RawBuffer"), _) => None,
            (Some(""), Some("envoy.transport_sockets.raw_buffer" | "raw_buffer")) => None,
            _ => node.unsupported(notes),
        }
    })
}

/// Reads a `ProxyProtocolConfig`, of which version 1 is the default.
fn version(node: &Node<'_>, notes: &mut Notes) -> Option<ProxyProtocol> {
    node.fields(notes, |fields, notes| {
        let version = fields.take("version");
        match version.text(notes) {
            None | Some("V1") => Some(ProxyProtocol::V1),
            Some("V2") => Some(ProxyProtocol::V2),
            Some(_) => version.unsupported(notes),
        }
    })
}

/// The socket below, which Envoy demands and which must be a plain one.
fn within(node: &Node<'_>, notes: &mut Notes) {
    if node.is_empty() {
        node.missing::<()>("raw_buffer, the plain socket below", notes);
    } else if transport_socket(node, notes).is_some() {
        node.unsupported::<()>(notes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::document;

    const KIND: &str = "type.googleapis.com/envoy.extensions.transport_sockets";

    fn read(yaml: &str) -> Result<Option<ProxyProtocol>, String> {
        let (document, mut notes) = (document::parse(yaml).unwrap(), Notes::default());
        let read = transport_socket(&Node::root("s", &document), &mut notes);
        let problems: Vec<String> = notes.problems.iter().map(ToString::to_string).collect();
        if problems.is_empty() { Ok(read) } else { Err(problems.join("; ")) }
    }

    fn proxy(config: &str, below: &str) -> String {
        format!(
            "{{name: envoy.transport_sockets.upstream_proxy_protocol, typed_config: {{\
             '@type': {KIND}.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {config}, \
             transport_socket: {below}}}}}"
        )
    }

    #[test]
    fn the_version_is_what_envoy_reads() {
        let raw = format!(
            "{{name: envoy.transport_sockets.raw_buffer, typed_config: {{'@type': {KIND}.raw_buffer.v3.RawBuffer}}}}"
        );
        let bare = "{name: envoy.transport_sockets.raw_buffer}";
        assert_eq!(read("{}"), Ok(None));
        for below in [raw.as_str(), bare] {
            assert_eq!(read(below), Ok(None), "a plain socket is what there is anyway");
            assert_eq!(read(&proxy("{version: V1}", below)), Ok(Some(ProxyProtocol::V1)));
            assert_eq!(read(&proxy("{version: V2, pass_through_tlvs: null}", below)), Ok(Some(ProxyProtocol::V2)));
            assert_eq!(read(&proxy("{}", below)), Ok(Some(ProxyProtocol::V1)));
        }
        for (yaml, expected) in [
            (proxy("{version: V3}", bare), "s.typed_config.config.version: \"V3\""),
            (proxy("{pass_through_tlvs: {match_type: INCLUDE_ALL}}", bare), "config.pass_through_tlvs"),
            (proxy("{}", "null"), "s.typed_config.transport_socket: missing"),
            (proxy("{}", "{name: tls}"), "s.typed_config.transport_socket"),
            (proxy("{}", &proxy("{}", bare)), "s.typed_config.transport_socket"),
            ("{name: tls}".to_owned(), "s: "),
            (format!("{{name: x, typed_config: {{'@type': {KIND}.tls.v3.UpstreamTlsContext}}}}"), "s: "),
        ] {
            let problems = read(&yaml).expect_err(&yaml);
            assert!(problems.contains(expected), "{yaml}: {problems}");
        }
    }
}
