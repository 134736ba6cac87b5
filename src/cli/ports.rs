//! Ports that one configuration gives to two listeners.

use crate::config::Config;

/// Every key whose port another key has already, told in words: the second of the two would not open.
#[must_use]
pub fn taken_twice(config: &Config) -> Vec<String> {
    let listeners = listeners(config);
    let earlier = |at: usize, port: u16| listeners[..at].iter().find(|(_, other)| *other == port);
    let twice = listeners.iter().enumerate().filter_map(|(at, (key, port))| {
        let (first, _) = earlier(at, *port)?;
        Some(format!("{key}: {port} is the port of {first} already"))
    });
    twice.collect()
}

/// The ports that the router opens, in the order in which it does. Zero is another one each time. All stand in each
/// other's way: one on 127.0.0.1 and one on all addresses, too.
fn listeners(config: &Config) -> Vec<(&'static str, u16)> {
    let status = &config.status;
    let debug = config.debug_addr.rsplit_once(':').and_then(|(host, port)| {
        let here = matches!(host, "" | "0.0.0.0" | "127.0.0.1" | "localhost" | "[::]");
        port.parse().ok().filter(|_| here)
    });
    let plain_status = status.enable_nontls_health_checks || status.enable_deprecated_varz_healthz_endpoints;
    let all = [
        ("status.routes.port", Some(status.routes.port)),
        ("status.port", plain_status.then_some(status.port)),
        ("status.tls.port", status.tls.as_ref().map(|tls| tls.port)),
        ("prometheus.port", config.prometheus.enabled.then_some(config.prometheus.port)),
        ("debug_addr", debug),
        ("port", config.http_port()),
        ("ssl_port", config.front_tls.as_ref().map(|front| front.port)),
    ];
    all.into_iter().filter_map(|(key, port)| Some((key, port.filter(|port| *port != 0)?))).collect()
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
        ] {
            assert_eq!(taken_twice(&config::parse(text).unwrap().config), said, "{text}");
        }
    }
}
