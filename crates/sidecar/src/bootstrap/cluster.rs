//! Clusters: where an app is, and how long it may take to answer.

use std::{net::IpAddr, time::Duration};

use super::{
    fields::{Fields, Node, Notes},
    upstream,
};
use crate::settings::{AppAddress, Breakers, Limits, ProxyProtocol};

/// Envoy's own, where a document names none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The target of listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where the app is. Several only where no listener uses the cluster.
    pub endpoints: Vec<AppAddress>,
    /// From `connect` to the app's answer.
    pub connect_timeout: Duration,
    /// What the document allows of the cluster.
    pub breakers: Breakers,
    /// Whether the app is told first who calls.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// How the addresses of a cluster are found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Static,
    Dns,
}

/// Reads a `Cluster`.
pub(super) fn cluster(node: &Node<'_>, notes: &mut Notes) -> Option<Cluster> {
    node.fields(notes, |fields, notes| {
        // One endpoint is balanced by any policy. The others change only how names are looked up, or what is counted.
        fields.pass_over(&[
            "@type",
            "lb_policy",
            "alt_stat_name",
            "metadata",
            "dns_lookup_family",
            "dns_refresh_rate",
            "dns_failure_refresh_rate",
            "dns_jitter",
            "respect_dns_ttl",
            "cleanup_interval",
            "track_cluster_stats",
            "per_connection_buffer_limit_bytes",
            "common_lb_config",
        ]);
        let name = fields.take("name");
        let called = name.text(notes).or_else(|| name.missing("listeners refer to it", notes));
        let kind = kind(fields, notes);
        let connect_timeout = fields.take("connect_timeout").duration(notes).filter(|limit| !limit.is_zero());
        let endpoints = endpoints(fields, kind.unwrap_or(Kind::Static), notes);
        let breakers = breakers(&fields.take("circuit_breakers"), notes);
        let proxy_protocol = upstream::transport_socket(&fields.take("transport_socket"), notes);
        kind?;
        Some(Cluster {
            name: called?.to_owned(),
            endpoints,
            connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            breakers,
            proxy_protocol,
        })
    })
}

fn kind(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Kind> {
    let kind = fields.take("type");
    match kind.text(notes) {
        None | Some("STATIC") => Some(Kind::Static),
        Some("STRICT_DNS" | "LOGICAL_DNS") => Some(Kind::Dns),
        Some(_) => kind.unsupported(notes),
    }
}

fn endpoints(fields: &mut Fields<'_>, kind: Kind, notes: &mut Notes) -> Vec<AppAddress> {
    let mut found = Vec::new();
    // The layout of version 2.
    for host in fields.take("hosts").list(notes) {
        found.extend(address(&host, kind, notes));
    }
    fields.take("load_assignment").fields(notes, |fields, notes| {
        fields.pass_over(&["cluster_name"]);
        for locality in fields.take("endpoints").list(notes) {
            locality.fields(notes, |fields, notes| {
                fields.pass_over(&["locality", "load_balancing_weight"]);
                for endpoint in fields.take("lb_endpoints").list(notes) {
                    endpoint.fields(notes, |fields, notes| {
                        fields.pass_over(&["load_balancing_weight", "metadata"]);
                        fields.take("endpoint").fields(notes, |fields, notes| {
                            found.extend(address(&fields.take("address"), kind, notes));
                        });
                    });
                }
            });
        }
    });
    found
}

fn address(node: &Node<'_>, kind: Kind, notes: &mut Notes) -> Option<AppAddress> {
    let (host, port) = socket_address(node, notes)?;
    let port = if port == 0 { return node.wrong("a port that can be dialled", notes) } else { port };
    match host.parse::<IpAddr>() {
        Ok(ip) => Some(AppAddress::Fixed((ip, port).into())),
        Err(_) if kind == Kind::Static => node.wrong("an IP address in a STATIC cluster", notes),
        Err(_) => format!("{host}:{port}").parse().ok().or_else(|| node.wrong("a host name", notes)),
    }
}

/// Reads an `Address` that is a `SocketAddress`: its host and port.
pub(super) fn socket_address(node: &Node<'_>, notes: &mut Notes) -> Option<(String, u16)> {
    node.fields(notes, |fields, notes| {
        let socket = fields.take("socket_address");
        if socket.is_empty() {
            return socket.missing("an IP address and a port", notes);
        }
        socket.fields(notes, |fields, notes| {
            // With IPv6 off in one and on in the other layout, both mean what the address says.
            fields.pass_over(&["ipv4_compat"]);
            let (address, port) = (fields.take("address"), fields.take("port_value"));
            let host = address.text(notes).or_else(|| address.missing("an IP address", notes));
            let number = port.number(notes).unwrap_or_default();
            let number = u16::try_from(number).ok().or_else(|| port.wrong("a port below 65536", notes));
            Some((host?.to_owned(), number?))
        })
    })
}

/// The first entry for a priority counts and the others do not, as Envoy has it.
fn breakers(node: &Node<'_>, notes: &mut Notes) -> Breakers {
    let (mut default, mut high) = (None, None);
    node.fields(notes, |fields, notes| {
        for threshold in fields.take("thresholds").list(notes) {
            threshold.fields(notes, |fields, notes| {
                let priority = fields.take("priority");
                let limits = limits(fields, notes);
                match priority.text(notes) {
                    None | Some("DEFAULT") => drop(default.get_or_insert(limits)),
                    Some("HIGH") => drop(high.get_or_insert(limits)),
                    Some(_) => drop(priority.wrong::<()>("DEFAULT or HIGH", notes)),
                }
            });
        }
    });
    Breakers { default: default.unwrap_or_default(), high: high.unwrap_or_default() }
}

fn limits(fields: &mut Fields<'_>, notes: &mut Notes) -> Limits {
    fields.pass_over(&["track_remaining"]);
    let usual = Limits::default();
    let connections = fields.take("max_connections").number(notes);
    let mut limit = |key, otherwise| fields.take(key).number(notes).unwrap_or(otherwise);
    Limits {
        connections: connections.unwrap_or(usual.connections),
        pending: limit("max_pending_requests", usual.pending),
        requests: limit("max_requests", usual.requests),
        retries: limit("max_retries", usual.retries),
        limits_connections: connections.is_some_and(|most| most < u64::from(u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::document;

    fn read(yaml: &str) -> Result<Cluster, String> {
        let (document, mut notes) = (document::parse(yaml).unwrap(), Notes::default());
        let read = cluster(&Node::root("c", &document), &mut notes);
        match (read, notes.problems.as_slice()) {
            (Some(cluster), []) => Ok(cluster),
            (_, problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        }
    }

    const ENDPOINT: &str = "load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.9, port_value: 8080}}}}]}]}";

    #[test]
    fn the_app_is_found_in_every_layout() {
        for yaml in [
            format!("{{name: a, type: STATIC, connect_timeout: 0.25s, {ENDPOINT}}}"),
            "{name: a, connect_timeout: 0.25s, hosts: [{socket_address: {address: 10.0.0.9, port_value: 8080}}]}"
                .into(),
        ] {
            let cluster = read(&yaml).unwrap();
            assert_eq!(cluster.endpoints, ["10.0.0.9:8080".parse().unwrap()]);
            assert_eq!((cluster.name.as_str(), cluster.connect_timeout), ("a", Duration::from_millis(250)));
        }
        let named =
            read("{name: a, type: STRICT_DNS, hosts: [{socket_address: {address: app, port_value: 80}}]}").unwrap();
        assert_eq!((named.endpoints, named.connect_timeout), (vec!["app:80".parse().unwrap()], Duration::from_secs(5)));
    }

    #[test]
    fn the_first_threshold_counts_as_with_envoy() {
        let thresholds =
            "circuit_breakers: {thresholds: [{max_connections: 4294967295}, {max_pending_requests: 4294967295}]}";
        let limits = read(&format!("{{name: a, {thresholds}, {ENDPOINT}}}")).unwrap().breakers.default;
        assert_eq!((limits.connections, limits.pending, limits.limits_connections), (4_294_967_295, 1024, false));
        let limits =
            read(&format!("{{name: a, circuit_breakers: {{thresholds: [{{max_connections: 9}}]}}, {ENDPOINT}}}"));
        assert_eq!(
            limits
                .map(|cluster| cluster.breakers.default)
                .map(|limits| (limits.connections, limits.limits_connections)),
            Ok((9, true))
        );
    }

    #[test]
    fn each_priority_has_its_own_limits() {
        let (one, other) =
            ("priority: HIGH, max_connections: 1, max_retries: 7", "priority: DEFAULT, max_connections: 100");
        for thresholds in [format!("{{{one}}}, {{{other}}}"), format!("{{{other}}}, {{{one}}}, {{{one}2}}")] {
            let yaml = format!("{{name: a, circuit_breakers: {{thresholds: [{thresholds}]}}, {ENDPOINT}}}");
            let Breakers { default, high } = read(&yaml).unwrap().breakers;
            assert_eq!((default.connections, default.retries, default.limits_connections), (100, 3, true));
            assert_eq!((high.connections, high.retries), (1, 7));
        }
        let high = format!("{{name: a, circuit_breakers: {{thresholds: [{{{one}}}]}}, {ENDPOINT}}}");
        assert_eq!(read(&high).unwrap().breakers.default, Limits::default());
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        for (more, expected) in [
            ("type: EDS", "c.type: \"EDS\""),
            ("transport_socket: {name: tls}", "c.transport_socket"),
            ("health_checks: [{timeout: 1s}]", "c.health_checks"),
            ("outlier_detection: {consecutive_5xx: 1}", "c.outlier_detection"),
            ("hosts: [{pipe: {path: /x}}]", "c.hosts[0].pipe"),
            ("hosts: [{socket_address: {address: app, port_value: 80}}]", "an IP address in a STATIC cluster"),
            (
                "hosts: [{socket_address: {address: 10.0.0.1, port_value: 65536}}]",
                "c.hosts[0].socket_address.port_value",
            ),
            ("hosts: [{socket_address: {address: 10.0.0.1, port_value: 0}}]", "a port that can be dialled"),
            ("connect_timeout: fast", "c.connect_timeout"),
            ("circuit_breakers: {thresholds: [{priority: LOW}]}", "c.circuit_breakers.thresholds[0].priority"),
        ] {
            let error = read(&format!("{{name: a, {more}}}")).expect_err(more);
            assert!(error.contains(expected), "{more}: {error}");
        }
        assert!(read("{}").unwrap_err().contains("c.name: missing"));
    }
}
