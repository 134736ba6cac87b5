//! Ports that one configuration gives to two listeners.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Config;

/// A port that the router opens.
struct Listener {
    /// The key that names the port.
    key: &'static str,
    address: IpAddr,
    port: u16,
}

/// Every key whose port another key has already, told in words: the second of the two would not open. Of the keys that
/// are `wrong` nothing is known.
#[must_use]
pub fn taken_twice(config: &Config, wrong: &[&str]) -> Vec<String> {
    let mut listeners = listeners(config);
    let is_below = |key: &str, wrong: &str| key.strip_prefix(wrong).is_some_and(|rest| rest.starts_with('.'));
    listeners.retain(|listener| !wrong.iter().any(|wrong| listener.key == *wrong || is_below(listener.key, wrong)));
    let twice = listeners.iter().enumerate().filter_map(|(at, Listener { key, address, port })| {
        let in_the_way = |other: &&Listener| other.port == *port && is_one_place(other.address, *address);
        let first = listeners[..at].iter().find(in_the_way)?.key;
        Some(format!("{key}: {port} is the port of {first} already"))
    });
    twice.collect()
}

/// The ports that the router opens, in the order in which it does. Zero is another one each time.
fn listeners(config: &Config) -> Vec<Listener> {
    const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    const ANY_V4: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    const ANY: Option<IpAddr> = Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let (status, services) = (&config.status, &config.route_services);
    let deprecated = status.enable_deprecated_varz_healthz_endpoints;
    let status_address = if deprecated { address(&status.host, Ipv4Addr::UNSPECIFIED.into()) } else { ANY_V4 };
    let debug = config.debug_addr.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let debug_address = debug.and_then(|(host, _)| address(host, Ipv6Addr::UNSPECIFIED.into()));
    let inner = services.hairpinning && !services.secret.is_empty();
    let all = [
        ("debug_addr", debug_address, debug.map(|(_, port)| port)),
        ("route_services_internal_server_port", HERE, inner.then_some(services.internal_server_port)),
        ("status.routes.port", HERE, Some(status.routes.port)),
        ("status.port", status_address, (deprecated || status.enable_nontls_health_checks).then_some(status.port)),
        ("status.tls.port", ANY_V4, status.tls.as_ref().map(|tls| tls.port)),
        ("prometheus.port", HERE, config.prometheus.enabled.then_some(config.prometheus.port)),
        ("port", ANY, config.http_port()),
        ("ssl_port", ANY, config.front_tls.as_ref().map(|front| front.port)),
    ];
    let open = |(key, address, port): (_, Option<IpAddr>, Option<u16>)| {
        Some(Listener { key, address: address?, port: port.filter(|port| *port != 0)? })
    };
    all.into_iter().filter_map(open).collect()
}

/// The address that a host is, `nothing` where it is empty; none for a name, whose address only the network knows.
fn address(host: &str, nothing: IpAddr) -> Option<IpAddr> {
    match host.trim_start_matches('[').trim_end_matches(']') {
        "" => Some(nothing),
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().ok(),
    }
}

/// Whether a port cannot be opened at both addresses.
fn is_one_place(one: IpAddr, other: IpAddr) -> bool {
    // The system hands all of IPv4 to a wildcard of IPv6, but not the other way round.
    let covers = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    one == other || covers(one, other) || covers(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_port_that_two_listeners_want_is_named() {
        for (text, said) in [
            ("port: 8081", &[][..]),
            ("port: 8080", &["port: 8080 is the port of status.port already"]),
            (
                "port: 8081\nstatus: {port: 8081, routes: {port: 8081}}",
                &[
                    "status.port: 8081 is the port of status.routes.port already",
                    "port: 8081 is the port of status.routes.port already",
                ],
            ),
            ("port: 0\nstatus: {port: 0, routes: {port: 0}}", &[]),
            (
                "port: 8080\nstatus: {enable_nontls_health_checks: false, enable_deprecated_varz_healthz_endpoints: true,
                tls: {port: 1, certificate: \"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\", key: \"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\"}}",
                &["port: 8080 is the port of status.port already"],
            ),
            (
                "prometheus: {enabled: true, port: 8082}",
                &["prometheus.port: 8082 is the port of status.routes.port already"],
            ),
            ("prometheus: {enabled: false, port: 8082}", &[]),
            ("status: {host: 10.1.2.3, port: 8082, enable_deprecated_varz_healthz_endpoints: true}", &[]),
            (
                "status: {host: 127.0.0.1, port: 8082, enable_deprecated_varz_healthz_endpoints: true}",
                &["status.port: 8082 is the port of status.routes.port already"],
            ),
            (
                "status: {host: \"\", port: 8082, enable_deprecated_varz_healthz_endpoints: true}",
                &["status.port: 8082 is the port of status.routes.port already"],
            ),
            (
                "port: 8088\nstatus: {host: 10.1.2.3, port: 8088, enable_deprecated_varz_healthz_endpoints: true}",
                &["port: 8088 is the port of status.port already"],
            ),
            ("status: {host: 10.1.2.3, port: 8082}", &["status.port: 8082 is the port of status.routes.port already"]),
            ("debug_addr: '[::1]:8082'", &[]),
            ("debug_addr: 127.0.0.1:8082", &["status.routes.port: 8082 is the port of debug_addr already"]),
            (
                "port: 7070\nroute_services_secret: s\nroute_services_hairpinning: true",
                &["port: 7070 is the port of route_services_internal_server_port already"],
            ),
            ("port: 7070\nroute_services_hairpinning: true", &[]),
        ] {
            assert_eq!(taken_twice(&config::parse(text).unwrap().config, &[]), said, "{text}");
        }
        let same = config::parse("port: 8080").unwrap().config;
        for (wrong, said) in [("status", 0), ("status.port", 0), ("port", 0), ("stat", 1), ("status.routes", 1)] {
            assert_eq!(taken_twice(&same, &[wrong]).len(), said, "{wrong}");
        }
    }
}
