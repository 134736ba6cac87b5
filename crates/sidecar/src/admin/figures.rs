//! `/stats`, `/stats/prometheus` and `/memory`.
//!
//! Empty where the document rejects all figures, as Diego's does to spare Envoy's memory. Names are Envoy's where Envoy
//! has the figure, and in their manner where it has none.

use std::fmt::Write as _;

use regex_lite::Regex;
use serde_json::{Value, json};

use super::{
    certs,
    house::{Flat, House, Target},
    http::{Answer, Request},
};
use crate::{
    settings::{ClientCa, IdentitySource, Mode},
    stats::Event,
};

/// One figure.
struct Figure {
    /// What it is of, as Envoy's names begin: `listener`, `0.0.0.0_61001`. The second is a label for Prometheus.
    of: (&'static str, String),
    label: &'static str,
    /// The rest of the name.
    name: String,
    gauge: bool,
    value: u64,
}

impl Figure {
    fn dotted(&self) -> String {
        match self.of.1.as_str() {
            "" => format!("{}.{}", self.of.0, self.name),
            which => format!("{}.{which}.{}", self.of.0, self.name),
        }
    }

    fn family(&self) -> String {
        let name = format!("envoy_{}_{}", self.of.0, self.name);
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    }
}

/// `/stats` in the format that is asked for.
pub(super) fn page(house: &House, request: &Request) -> Answer {
    match request.asks("format") {
        Some("prometheus") => return prometheus(house, request),
        None | Some("text" | "json") => {}
        Some(_) => return Answer::text(400, "usage: /stats?format=(json|prometheus|text)\n"),
    }
    let figures = match asked_for(house, request) {
        Ok(figures) => figures,
        Err(refusal) => return refusal,
    };
    if request.wants_json() {
        let all = figures.iter().map(|figure| json!({"name": figure.dotted(), "value": figure.value}));
        return Answer::json(&json!({"stats": all.collect::<Vec<_>>()}));
    }
    let mut lines: Vec<String> =
        figures.iter().map(|figure| format!("{}: {}\n", figure.dotted(), figure.value)).collect();
    lines.sort();
    Answer::text(200, lines.concat())
}

/// `/stats/prometheus`: each family once, with its kind before its figures.
pub(super) fn prometheus(house: &House, request: &Request) -> Answer {
    let mut figures = match asked_for(house, request) {
        Ok(figures) => figures,
        Err(refusal) => return refusal,
    };
    figures.sort_by_key(Figure::family);
    let (mut page, mut last) = (String::new(), String::new());
    for figure in figures {
        let family = figure.family();
        // Writing to a string does not fail.
        if family != last {
            let _ = writeln!(page, "# TYPE {family} {}", if figure.gauge { "gauge" } else { "counter" });
        }
        let _ = match figure.label {
            "" => writeln!(page, "{family}{{}} {}", figure.value),
            label => writeln!(page, "{family}{{{label}=\"{}\"}} {}", escaped(&figure.of.1), figure.value),
        };
        last = family;
    }
    Answer::text(200, page)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn asked_for(house: &House, request: &Request) -> Result<Vec<Figure>, Answer> {
    if house.subject.stats_rejected {
        return Ok(Vec::new());
    }
    let mut figures = all(house);
    if let Some(pattern) = request.asks("filter") {
        let pattern = Regex::new(pattern);
        let pattern = pattern.map_err(|_| Answer::text(400, "Invalid regex\n"))?;
        figures.retain(|figure| pattern.is_match(&figure.dotted()));
    }
    if request.asks("usedonly").is_some() {
        figures.retain(|figure| figure.value > 0);
    }
    Ok(figures)
}

fn all(house: &House) -> Vec<Figure> {
    let mut figures = Vec::new();
    house.flats.iter().for_each(|flat| of_listener(flat, &mut figures));
    house.targets().iter().for_each(|target| of_cluster(target, &mut figures));
    of_secrets(house, &mut figures);
    let mut server = |name: &str, gauge, value| {
        figures.push(Figure { of: ("server", String::new()), label: "", name: name.to_owned(), gauge, value });
    };
    server("uptime", true, house.started.since.elapsed().as_secs());
    server("live", true, u64::from(house.state() == "LIVE"));
    if let Some(days) = certs::days_left(house) {
        server("days_until_first_cert_expiring", true, days);
    }
    server("memory_physical_size", true, status("VmRSS:"));
    figures
}

fn of_listener(flat: &Flat, figures: &mut Vec<Figure>) {
    let address = format!("{}_{}", flat.address.ip(), flat.address.port());
    let mut add = |name: &str, gauge, value| {
        let of = ("listener", address.clone());
        figures.push(Figure { of, label: "envoy_listener_address", name: name.to_owned(), gauge, value });
    };
    let count = |event| flat.stats.of(event);
    let strict = matches!(flat.mode, Mode::Strict { .. });
    add("downstream_cx_active", true, flat.stats.active());
    let counters = [
        ("downstream_cx_total", count(Event::Accepted)),
        ("downstream_cx_gave_way", count(Event::GaveWay)),
        ("downstream_cx_probe", count(Event::HelloAbandoned)),
        ("downstream_listener_filter_remote_close", count(Event::HelloAbandoned)),
        ("downstream_cx_transport_socket_connect_timeout", count(Event::HandshakeTimedOut)),
        ("downstream_global_cx_overflow", count(Event::RoomFull)),
        ("accept_failed", count(Event::AcceptFailed)),
        ("panicked", count(Event::Panicked)),
        ("ssl.handshake", count(Event::HandshakeDone)),
        ("ssl.connection_error", count(Event::HandshakeFailed) + count(Event::NotTls)),
        ("ssl.no_certificate", if strict { 0 } else { count(Event::HandshakeDone) }),
        ("ssl.fail_verify_no_cert", count(Event::NoCertificate)),
        ("ssl.fail_verify_san", count(Event::NameNotAllowed)),
        ("ssl.fail_verify_error", count(Event::UnknownAuthority) + count(Event::OutsideValidity)),
        ("ssl.fail_verify_expired", count(Event::OutsideValidity)),
        ("ssl.not_tls", count(Event::NotTls)),
        ("ssl.no_identity", count(Event::NoIdentity)),
        ("ssl.versions.TLSv1.2", count(Event::SpokeTls12)),
        ("ssl.versions.TLSv1.3", count(Event::SpokeTls13)),
    ];
    for (name, value) in counters {
        add(name, false, value);
    }
    for (name, value) in flat.stats.suites() {
        add(&format!("ssl.ciphers.{name}"), false, value);
    }
    let (from_routers, from_app) = flat.stats.bytes();
    for (name, value) in [
        ("downstream_cx_total", count(Event::HandshakeDone)),
        ("downstream_cx_rx_bytes_total", from_routers),
        ("downstream_cx_tx_bytes_total", from_app),
        ("idle_timeout", count(Event::RelayIdle)),
        ("drained", count(Event::RelayDrained)),
        ("reset", count(Event::RelayReset)),
    ] {
        // Listeners may share a prefix, and then their figures: a name that stood there twice could not be read.
        let of = ("tcp", flat.stat_prefix.clone());
        match figures.iter_mut().find(|figure| figure.of == of && figure.name == name) {
            Some(figure) => figure.value += value,
            None => figures.push(Figure { of, label: "envoy_tcp_prefix", name: name.to_owned(), gauge: false, value }),
        }
    }
}

fn of_cluster(target: &Target<'_>, figures: &mut Vec<Figure>) {
    let mut add = |name: &str, gauge, value| {
        let of = ("cluster", target.name.to_owned());
        figures.push(Figure { of, label: "envoy_cluster_name", name: name.to_owned(), gauge, value });
    };
    let failed = [Event::AppRefused, Event::AppTimedOut, Event::AppDialFailed];
    let (to_app, from_app) = target.bytes();
    add("upstream_cx_active", true, target.active());
    add("upstream_cx_total", false, target.count(Event::AppDialled));
    add("upstream_cx_connect_fail", false, failed.into_iter().map(|event| target.count(event)).sum());
    add("upstream_cx_connect_timeout", false, target.count(Event::AppTimedOut));
    add("upstream_cx_connect_refused", false, target.count(Event::AppRefused));
    add("upstream_cx_overflow", false, 0);
    add("upstream_cx_tx_bytes_total", false, to_app);
    add("upstream_cx_rx_bytes_total", false, from_app);
}

/// Listeners that read one secret read it at the same time, so the first one's count is that of all.
fn of_secrets(house: &House, figures: &mut Vec<Figure>) {
    let mut seen: Vec<&str> = Vec::new();
    for flat in &house.flats {
        let identity = match &flat.identity {
            IdentitySource::Secret(file) => Some(file.name.as_str()),
            IdentitySource::Given(_) | IdentitySource::Listeners(_) => None,
        };
        let validation = match &flat.mode {
            Mode::Strict { client_ca: ClientCa::Secret(file), .. } => Some(file.name.as_str()),
            _ => None,
        };
        for name in identity.into_iter().chain(validation) {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            for (what, event) in
                [("update_success", Event::CertificateTaken), ("update_rejected", Event::CertificateRefused)]
            {
                let (of, value) = (("sds", name.to_owned()), flat.stats.of(event));
                figures.push(Figure { of, label: "envoy_sds_name", name: what.to_owned(), gauge: false, value });
            }
        }
    }
}

/// `/memory`: our own numbers under Envoy's names, as texts, which is how proto JSON writes large numbers.
pub(super) fn memory() -> Value {
    json!({
        "allocated": status("RssAnon:").to_string(),
        "heap_size": status("VmData:").to_string(),
        "pageheap_unmapped": "0",
        "pageheap_free": "0",
        "total_thread_cache": "0",
        "total_physical_bytes": status("VmRSS:").to_string(),
    })
}

/// A line of `/proc/self/status` in bytes; 0 where there is none.
fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}
