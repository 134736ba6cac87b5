//! What of a configuration can be taken over by a running router, and which keys cannot.
//!
//! Certificates, their keys and authorities can, and the level of the log; everything else waits for a restart.

use super::Config;

impl Config {
    /// This configuration with what a running router takes over from `fresh`: `logging.level`, and the certificates,
    /// private keys and authorities of `tls_pem`, `client_ca_certs` with the rules about its subjects,
    /// `domains[].ca_certs`, `ca_certs`, `backends`, `route_services`, `status.tls`, `prometheus`, `nats`, `routing_api`
    /// and `oauth`.
    ///
    /// What is there in one of the two only (a port that only one of them has, say) stays as it is here.
    #[must_use]
    pub fn renewed_by(&self, fresh: &Self) -> Self {
        let mut renewed = self.clone();
        renewed.logging.level = fresh.logging.level;
        renewed.ca_certs.clone_from(&fresh.ca_certs);
        renewed.backends.key_pair.clone_from(&fresh.backends.key_pair);
        renewed.route_services.key_pair.clone_from(&fresh.route_services.key_pair);
        if let (Some(ours), Some(fresh)) = (&mut renewed.front_tls, &fresh.front_tls) {
            ours.certificates.clone_from(&fresh.certificates);
            ours.client_ca_certs.clone_from(&fresh.client_ca_certs);
            ours.client_metadata_rules.clone_from(&fresh.client_metadata_rules);
        }
        // Requests know a domain by its place in the list, so the list itself must stay.
        let named = |config: &Self| config.domains.iter().map(|domain| domain.domain.clone()).collect::<Vec<_>>();
        if named(self) == named(fresh) {
            for (ours, fresh) in renewed.domains.iter_mut().zip(&fresh.domains) {
                ours.ca_certs.clone_from(&fresh.ca_certs);
            }
        }
        if let (Some(ours), Some(fresh)) = (&mut renewed.status.tls, &fresh.status.tls) {
            ours.key_pair.clone_from(&fresh.key_pair);
        }
        if let (Some(ours), Some(fresh)) = (&mut renewed.prometheus.tls, &fresh.prometheus.tls) {
            ours.clone_from(fresh);
        }
        if let (Some(ours), Some(fresh)) = (&mut renewed.nats.tls, &fresh.nats.tls) {
            ours.clone_from(fresh);
        }
        renewed.oauth.ca_certs.clone_from(&fresh.oauth.ca_certs);
        if let (Some(ours), Some(fresh)) = (&mut renewed.routing_api, &fresh.routing_api) {
            ours.ca_certs.clone_from(&fresh.ca_certs);
            ours.key_pair.clone_from(&fresh.key_pair);
        }
        renewed
    }

    /// The keys by which the two differ, in the order of gorouter.md section 2; what is secret is compared as well.
    #[must_use]
    pub fn keys_that_differ(&self, other: &Self) -> Vec<&'static str> {
        let shown = self.effective().into_iter().zip(other.effective());
        let shown = shown.filter(|(ours, theirs)| ours.value != theirs.value).map(|(ours, _)| ours.key);
        let mut keys: Vec<&'static str> = shown.collect();
        for (key, differs) in self.unshown(other) {
            if differs && !keys.contains(&key) {
                keys.push(key);
            }
        }
        if keys.is_empty() && self != other {
            keys.push("(a part of a key)");
        }
        keys
    }

    /// Whether they differ by what [`Config::effective`] does not show in full.
    fn unshown(&self, other: &Self) -> [(&'static str, bool); 18] {
        let (ours, theirs) = (self.front_tls.as_ref(), other.front_tls.as_ref());
        let (api, their_api) = (self.routing_api.as_ref(), other.routing_api.as_ref());
        let (route_services, their_services) = (&self.route_services, &other.route_services);
        [
            ("status.pass", self.status.pass != other.status.pass),
            ("status.tls.certificate", self.status.tls != other.status.tls),
            ("nats.pass", self.nats.pass != other.nats.pass),
            ("nats.tls_enabled", self.nats.tls != other.nats.tls),
            ("tls_pem", ours.map(|front| &front.certificates) != theirs.map(|front| &front.certificates)),
            ("client_ca_certs", ours.map(|front| &front.client_ca_certs) != theirs.map(|front| &front.client_ca_certs)),
            (
                "verify_client_certificate_metadata",
                ours.map(|front| &front.client_metadata_rules) != theirs.map(|front| &front.client_metadata_rules),
            ),
            ("domains", self.domains != other.domains),
            ("ca_certs", self.ca_certs != other.ca_certs),
            ("trace_key", self.trace_key != other.trace_key),
            ("backends.cert_chain", self.backends.key_pair != other.backends.key_pair),
            ("route_services_secret", route_services.secret != their_services.secret),
            (
                "route_services_secret_decrypt_only",
                route_services.secret_decrypt_only != their_services.secret_decrypt_only,
            ),
            ("route_services.cert_chain", route_services.key_pair != their_services.key_pair),
            ("oauth.client_secret", self.oauth.client_secret != other.oauth.client_secret),
            ("routing_api.uri", api.is_some() != their_api.is_some()),
            ("routing_api.ca_certs", api.map(|api| &api.ca_certs) != their_api.map(|api| &api.ca_certs)),
            ("routing_api.cert_chain", api.map(|api| &api.key_pair) != their_api.map(|api| &api.key_pair)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::pki::Authority;

    use super::*;

    fn config(yml: serde_json::Value) -> Config {
        super::super::parse(&yml.to_string()).unwrap().config
    }

    /// Every certificate that can be given inline, from one authority, and a password.
    fn with(authority: &Authority, domain: &str, pass: &str) -> Config {
        let leaf = authority.router_client("router").issue();
        config(serde_json::json!({
            "enable_ssl": true, "ssl_port": 1, "client_cert_validation": "request",
            "cipher_suites": "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256",
            "tls_pem": [{"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem}],
            "client_ca_certs": authority.pem(),
            "domains": [{"domain": domain, "ca_certs": authority.pem()}],
            "ca_certs": [authority.pem()],
            "backends": {"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem},
            "status": {"pass": pass, "tls": {"port": 2, "certificate": leaf.chain_pem, "key": leaf.key_pem}},
            "nats": {"hosts": [{"hostname": "nats", "port": 3}], "tls_enabled": true, "ca_certs": authority.pem(),
                     "cert_chain": leaf.chain_pem, "private_key": leaf.key_pem},
            "routing_api": {"uri": "https://api", "port": 4, "ca_certs": authority.pem(),
                            "cert_chain": leaf.chain_pem, "private_key": leaf.key_pem},
            "oauth": {"token_endpoint": "uaa", "port": 5, "ca_certs": format!("/{domain}.pem")},
        }))
    }

    #[test]
    fn certificates_and_the_level_of_the_log_are_taken_over_and_nothing_else() {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let (running, mut fresh) = (with(&old, "a.example", "one"), with(&new, "a.example", "one"));
        fresh.logging.level = super::super::LogLevel::Error;
        assert_eq!(
            running.keys_that_differ(&fresh),
            [
                "logging.level",
                "status.tls.certificate",
                "nats.tls_enabled",
                "tls_pem",
                "client_ca_certs",
                "domains",
                "ca_certs",
                "backends.cert_chain",
                "routing_api.ca_certs",
                "routing_api.cert_chain"
            ]
        );
        let renewed = running.renewed_by(&fresh);
        assert_eq!(renewed, fresh);
        assert_eq!(renewed.keys_that_differ(&fresh), [""; 0]);
    }

    #[test]
    fn what_needs_a_restart_is_named_and_left() {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let (running, fresh) = (with(&old, "a.example", "one"), with(&new, "b.example", "two"));
        let fresh = Config { port: 4321, ..fresh };
        let renewed = running.renewed_by(&fresh);
        assert_eq!((renewed.port, &renewed.domains), (running.port, &running.domains));
        assert_eq!(renewed.keys_that_differ(&fresh), ["port", "domains", "status.pass"]);
        let plain = config(serde_json::json!({}));
        assert!(running.renewed_by(&plain).front_tls.is_some());
        assert!(running.renewed_by(&plain).keys_that_differ(&plain).contains(&"enable_ssl"));
    }

    #[test]
    fn a_part_that_no_key_shows_is_not_passed_over() {
        let authority = Authority::new("one");
        let running = with(&authority, "a.example", "one");
        let mut fresh = running.clone();
        fresh.logging.format = super::super::LogFormat { timestamp: super::super::TimestampFormat::Rfc3339 };
        assert_eq!(running.keys_that_differ(&fresh), ["logging.format.timestamp"]);
    }
}
