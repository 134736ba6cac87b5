//! Settings that stand in no document, as the bootstrap that would say the same.

use serde_json::{Value, json};

use super::{
    dump::add_names,
    house::{Flat, House},
};
use crate::settings::{AppAddress, ClientCa, IdentitySource, Mode, Pem};

const V3: &str = "type.googleapis.com/envoy.extensions";

/// The bootstrap. It holds files and no texts, so it holds no key.
pub(super) fn of(house: &House) -> Value {
    let clusters: Vec<Value> = house.targets().iter().map(|target| cluster(target.name, target.flats[0])).collect();
    let listeners: Vec<Value> = house.flats.iter().map(listener).collect();
    json!({"static_resources": {"clusters": clusters, "listeners": listeners}})
}

fn cluster(name: &str, flat: &Flat) -> Value {
    let (kind, address) = match &flat.app {
        AppAddress::Fixed(address) => ("STATIC", address_of(&address.ip().to_string(), address.port())),
        AppAddress::Named(host, port) => ("STRICT_DNS", address_of(host, *port)),
    };
    let mut cluster = json!({
        "name": name,
        "type": kind,
        "connect_timeout": format!("{}s", flat.connect_timeout.as_secs_f64()),
        "load_assignment": {"cluster_name": name,
                            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    });
    if let Some(version) = flat.proxy_protocol {
        cluster["transport_socket"] = json!({
            "name": "envoy.transport_sockets.upstream_proxy_protocol",
            "typed_config": {
                "@type": format!("{V3}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"),
                "config": {"version": version.name()},
                "transport_socket": {"name": "envoy.transport_sockets.raw_buffer"}}});
    }
    cluster
}

fn listener(flat: &Flat) -> Value {
    let mut common = json!({"tls_certificates": [identity(&flat.identity)]});
    if let Mode::Strict { client_ca, names } = &flat.mode {
        common["validation_context"] = json!({});
        add_names(&mut common["validation_context"], names);
        if let ClientCa::Given(Pem::File(path)) = client_ca {
            common["validation_context"]["trusted_ca"] = json!({"filename": path});
        }
    }
    let protocols: Vec<_> = flat.protocols.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    if !protocols.is_empty() {
        common["alpn_protocols"] = protocols.into();
    }
    let strict = matches!(flat.mode, Mode::Strict { .. });
    json!({
        "name": flat.name,
        "address": address_of(&flat.address.ip().to_string(), flat.address.port()),
        "filter_chains": [{
            "filters": [{"name": "envoy.tcp_proxy", "typed_config": {
                "@type": format!("{V3}.filters.network.tcp_proxy.v3.TcpProxy"),
                "stat_prefix": flat.stat_prefix, "cluster": flat.cluster}}],
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": format!("{V3}.transport_sockets.tls.v3.DownstreamTlsContext"),
                "require_client_certificate": strict, "common_tls_context": common}}}],
    })
}

fn identity(source: &IdentitySource) -> Value {
    let file = |pem: &Pem| match pem {
        Pem::File(path) => json!({"filename": path}),
        Pem::Text(_) => json!({"inline_string": "[redacted]"}),
    };
    match source {
        IdentitySource::Given(pair) => json!({"certificate_chain": file(&pair.chain), "private_key": file(&pair.key)}),
        IdentitySource::Secret(_) | IdentitySource::Listeners(_) => json!({}),
    }
}

fn address_of(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}
