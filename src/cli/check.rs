//! `trueroute check`: everything that is wrong or odd about a configuration, before it is used.

use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::json;
use trueroute_identity::Credentials;

use super::{ports, read};
use crate::{
    app::{self, StartError},
    config::{self, Config, ConfigError, Faults, KeyPair},
};

/// Certificates that end sooner than this are warned of.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What there is to say about a file.
#[derive(Debug, Default)]
struct Findings {
    /// Each keeps the router from starting.
    problems: Vec<String>,
    /// Each is worth a look.
    warnings: Vec<String>,
}

/// Checks the file at `path` and prints what it finds; returns whether the router would start with it.
///
/// # Errors
/// What writing to `out` says.
pub fn run(path: &Path, as_json: bool, out: &mut impl Write) -> io::Result<bool> {
    let findings = match read(path) {
        Ok(text) => findings(&text, SystemTime::now()),
        Err(error) => Findings { problems: vec![error], warnings: Vec::new() },
    };
    let good = findings.problems.is_empty();
    if as_json {
        let Findings { problems, warnings } = &findings;
        let all = json!({ "file": path, "ok": good, "problems": problems, "warnings": warnings });
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
        return Ok(good);
    }
    for problem in &findings.problems {
        writeln!(out, "error: {problem}")?;
    }
    for warning in &findings.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let verdict = if good { "the router starts with it" } else { "the router does not start with it" };
    writeln!(out, "{}: {verdict}", path.display())?;
    Ok(good)
}

fn findings(text: &str, now: SystemTime) -> Findings {
    let (config, errors, warnings) = match config::survey(text) {
        Ok(parsed) => (parsed.config, Vec::new(), parsed.warnings),
        Err(Faults { errors, rest: Some(rest), warnings }) => (*rest, errors, warnings),
        Err(Faults { errors, rest: None, warnings }) => (Config::default(), errors, warnings),
    };
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let mut problems: Vec<String> = errors.iter().map(ConfigError::to_string).collect();
    // What would be said of a key that is wrong already would be said of its stand-in.
    let wrong: Vec<&str> = errors.iter().filter_map(ConfigError::key).collect();
    let is_news = |said: &String| !wrong.iter().any(|key| said.starts_with(key_of(key)));
    // Servers of NATS are told by their names, whatever is wrong with others.
    let (servers, parts): (Vec<_>, Vec<_>) =
        app::preflight(&config).into_iter().partition(|error| matches!(error, StartError::Nats(_)));
    problems.extend(parts.iter().map(ToString::to_string).filter(is_news));
    problems.extend(servers.iter().map(ToString::to_string));
    problems.extend(ports::taken_twice(&config, &wrong));
    warnings.extend(app::oddities(&config).into_iter().chain(app::later_oddities(&config)).filter(is_news));
    for (key, pair) in pairs(&config) {
        match Credentials::from_pem(pair.cert_chain(), pair.private_key()) {
            Ok(credentials) => warnings.extend(dates(&key, &credentials, now)),
            // Whoever uses the pair may have told it already.
            Err(_) if problems.iter().any(|problem| problem.starts_with(&*key)) => {}
            Err(error) => problems.push(format!("{key}: {error}")),
        }
    }
    let shown: Vec<String> = pairs(&config).into_iter().map(|(key, _)| key.replace(".cert_chain", "")).collect();
    for (key, ends) in app::certificate_ends(&config) {
        // Those of pairs have been looked at.
        if !shown.contains(&key.replace(".cert_chain", "")) {
            warnings.extend(end(&key, ends, now));
        }
    }
    Findings { problems, warnings }
}

/// The key of a list for an entry of it, whose number is not what the file says where those before it are left out; else the
/// key.
fn key_of(key: &str) -> &str {
    key.split('[').next().unwrap_or(key)
}

/// Every certificate that the router shows, under the key of its chain.
fn pairs(config: &Config) -> Vec<(String, &KeyPair)> {
    let front = config.front_tls.iter().flat_map(|front| &front.certificates);
    let front = front.enumerate().map(|(index, pair)| (format!("tls_pem[{index}]"), pair));
    let named = [
        ("backends.cert_chain", config.backends.key_pair.as_ref()),
        ("nats.cert_chain", config.nats.tls.as_ref().map(|tls| &tls.key_pair)),
        ("status.tls.certificate", config.status.tls.as_ref().map(|tls| &tls.key_pair)),
        ("route_services.cert_chain", config.route_services.key_pair.as_ref()),
        ("routing_api.cert_chain", config.routing_api.as_ref().map(|api| &api.key_pair)),
    ];
    let named = named.into_iter().filter_map(|(key, pair)| Some((key.to_owned(), pair?)));
    front.chain(named).collect()
}

fn dates(key: &str, credentials: &Credentials, now: SystemTime) -> Option<String> {
    if credentials.not_before() > now {
        return Some(format!("{key}: the certificate is not valid yet"));
    }
    end(key, credentials.not_after(), now)
}

/// What is worth a word about a certificate that ends at `ends`.
fn end(key: &str, ends: SystemTime, now: SystemTime) -> Option<String> {
    let days = |span: Duration| span.as_secs() / (24 * 60 * 60);
    match ends.duration_since(now) {
        Ok(left) if left > SOON => None,
        Ok(left) => Some(format!("{key}: the certificate ends in {} days", days(left))),
        Err(over) => Some(format!("{key}: the certificate ended {} days ago", days(over.duration()))),
    }
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::{Tempdir, pki::Authority};

    use super::*;

    fn pem(leaf: &trueroute_testkit::pki::Leaf) -> (String, String) {
        let dir = Tempdir::new().unwrap();
        let files = leaf.write_to(dir.path(), "leaf");
        let read = |path| std::fs::read_to_string(path).unwrap().replace('\n', "\\n");
        (read(files.cert), read(files.key))
    }

    #[test]
    fn every_problem_is_named_not_only_the_first() {
        let text =
            "port: many\nendpoint_timeout: 5\nnats: {hosts: [{hostname: a, port: 0}]}\nenable_ssl: true\nunknown: 1\n";
        let found = findings(text, SystemTime::now());
        let keys: Vec<&str> = found.problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        for key in
            ["port", "endpoint_timeout", "nats.hosts[0].port", "tls_pem", "cipher_suites", "client_cert_validation"]
        {
            assert!(keys.contains(&key), "{key} in {:#?}", found.problems);
        }
        assert_eq!(keys.len(), 6, "{:#?}", found.problems);
        assert_eq!(found.warnings, ["unknown key unknown (line 5)"]);
    }

    fn keys(said: &[String]) -> Vec<&str> {
        said.iter().filter_map(|said| said.split(':').next()).collect()
    }

    #[test]
    fn a_rule_that_is_broken_hides_neither_another_nor_an_unknown_key() {
        let text = "nats: {hosts: [{hostname: '', port: 0}, {hostname: b, port: 0}, 7], tls_enabled: true}\n\
            prometheus: {enabled: true, port: 1, cert_path: /c, meters: {http_latency_histogram_buckets: [2, 1]}}\n\
            status: {enable_nontls_health_checks: false}\n\
            snapshot: {interval: -1s}\n\
            logging: {syslog_network: foo, level: bad}\n\
            routing_api: {uri: u, port: 1}\n\
            load_balancer_healthy_threshold: -1s\n\
            domains: [{odd: 1}]\n\
            backends: {private_key: k}\n\
            route_services_hairpinning_allowlist: [X]\n\
            routing_table_sharding_mode: segments\n\
            route_integrity: strict\n\
            unknown: 1\n";
        let found = findings(text, SystemTime::now());
        let wanted = [
            "status.enable_nontls_health_checks",
            "nats.hosts[0].hostname",
            "nats.hosts[0].port",
            "nats.hosts[1].port",
            "nats.hosts[2]",
            "nats.ca_certs",
            "nats.cert_chain",
            "nats.private_key",
            "logging.syslog_network",
            "logging.level",
            "prometheus.key_path",
            "prometheus.ca_path",
            "prometheus.meters.http_latency_histogram_buckets",
            "routing_api.cert_chain",
            "routing_api.private_key",
            "routing_api.ca_certs",
            "route_services_hairpinning_allowlist",
            "backends.cert_chain",
            "domains[0].domain",
            "domains[0].ca_certs",
            "snapshot.interval",
            "load_balancer_healthy_threshold",
            // With a broken pair nobody knows what `strict` would find.
            "routing_table_sharding_mode",
            "prometheus.cert_path",
        ];
        assert_eq!(keys(&found.problems), wanted, "{:#?}", found.problems);
        assert_eq!(found.warnings, ["unknown key domains[0].odd (line 8)", "unknown key unknown (line 13)"]);
    }

    #[test]
    fn what_a_part_would_refuse_is_named_beside_what_cannot_be_read() {
        let text = "drain_wait: soon\nport: 8082\nstatus: {port: many}\n\
            nats: {hosts: [{hostname: user@host, port: 1}, {hostname: b, port: 0}]}\naccess_log: {file: /nowhere/a.log}\n";
        let found = findings(text, SystemTime::now());
        let wanted = ["drain_wait", "status.port", "nats.hosts[1].port", "access_log.file", "nats.hosts", "port"];
        let mut told = keys(&found.problems);
        told.sort_by_key(|key| wanted.iter().position(|wanted| wanted == key));
        assert_eq!(told, wanted, "{:#?}", found.problems);
    }

    #[test]
    fn what_starts_and_cannot_be_meant_is_warned_of() {
        for (text, key) in [
            ("hop_by_hop_headers_to_filter: [X-Good, 'a b']", "hop_by_hop_headers_to_filter"),
            ("http_rewrite: {responses: {remove_headers: [{name: 'a b'}]}}", "http_rewrite.responses.remove_headers"),
            (
                "http_rewrite: {responses: {add_headers_if_not_present: [{name: a, value: \"\\n\"}]}}",
                "http_rewrite.responses.add_headers_if_not_present",
            ),
            (
                "route_services_secret: s\nskip_ssl_validation: true\nroute_services: {max_attempts: 3}",
                "skip_ssl_validation",
            ),
            ("route_services_secret: s", "route_services.max_attempts"),
            ("status: {user: 'a:b', pass: c}", "status.user"),
            ("status: {user: a, pass: 'b:c'}", "status.pass"),
            ("debug_addr: 127.0.0.1", "debug_addr"),
            ("debug_addr: ':0'", "debug_addr"),
            ("route_integrity: off", "route_integrity"),
            (
                "status: {enable_deprecated_varz_healthz_endpoints: true}",
                "status.enable_deprecated_varz_healthz_endpoints",
            ),
            ("snapshot: {file: /nowhere/routes}", "snapshot.file"),
            ("prometheus: {enabled: true}", "prometheus.port"),
            ("keep_alive_100_continue_requests: true", "keep_alive_100_continue_requests has no effect (line 1)"),
        ] {
            let found = findings(text, SystemTime::now());
            assert!(found.problems.is_empty(), "{text}: {:#?}", found.problems);
            assert_eq!(keys(&found.warnings), [key], "{text}: {:#?}", found.warnings);
        }
        for text in [
            "skip_ssl_validation: true",
            "status: {user: a, pass: b}",
            "snapshot: {file: routes}",
            "debug_addr: localhost:0",
        ] {
            assert_eq!(findings(text, SystemTime::now()).warnings, [""; 0], "{text}");
        }
    }

    #[test]
    fn a_key_that_does_not_fit_its_certificate_is_a_problem() {
        let ca = Authority::new("ca");
        let (chain, _) = pem(&ca.router_client("router").issue());
        let (_, key) = pem(&ca.router_client("other").issue());
        for key_of in ["backends", "route_services"] {
            let text = format!("{key_of}: {{cert_chain: \"{chain}\", private_key: \"{key}\"}}\n");
            let found = findings(&text, SystemTime::now());
            assert_eq!(found.problems.len(), 1, "{:#?}", found.problems);
            assert!(found.problems[0].starts_with(key_of), "{:#?}", found.problems);
        }
    }

    #[test]
    fn authorities_that_end_and_keys_without_effect_are_warned_of() {
        let ca = Authority::new("ca");
        let text = format!(
            "ca_certs: [\"{}\"]\npid_file: /var/run/x\nhealthcheck_timeout: 0s\n",
            ca.pem().replace('\n', "\\n")
        );
        let (_, ends) = app::certificate_ends(&config::parse(&text).unwrap().config).remove(0);
        let found = findings(&text, ends - Duration::from_secs(36 * 60 * 60));
        assert!(found.problems.is_empty(), "{:#?}", found.problems);
        assert_eq!(found.warnings, ["pid_file has no effect (line 2)", "ca_certs[0]: the certificate ends in 1 days"]);
    }

    #[test]
    fn certificates_that_end_are_warned_of() {
        let day = Duration::from_secs(24 * 60 * 60);
        let begun = SystemTime::now() - day;
        let leaf = Authority::new("ca").router_client("router").not_before(begun).not_after(begun + 60 * day);
        let (chain, key) = pem(&leaf.issue());
        let text = format!("backends: {{cert_chain: \"{chain}\", private_key: \"{key}\"}}\n");
        let credentials = config::parse(&text).unwrap().config.backends.key_pair.unwrap();
        let ends = Credentials::from_pem(credentials.cert_chain(), credentials.private_key()).unwrap().not_after();
        for (now, said) in [
            (ends - 40 * day, None),
            (ends - 5 * day, Some("backends.cert_chain: the certificate ends in 5 days")),
            (begun - day, Some("backends.cert_chain: the certificate is not valid yet")),
            (ends + 3 * day, Some("backends.cert_chain: the certificate ended 3 days ago")),
        ] {
            let found = findings(&text, now);
            assert!(found.problems.is_empty(), "{:#?}", found.problems);
            assert_eq!(found.warnings.first().map(String::as_str), said);
        }
    }
}
