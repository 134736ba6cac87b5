//! `/clusters`: where the app is, and how it fares.

use serde_json::{Value, json};

use super::{
    house::{House, Target},
    http::{Answer, Request},
};
use crate::{
    settings::{AppAddress, Breakers, Limits},
    stats::Event,
};

/// The page in Envoy's text or JSON.
pub(super) fn page(house: &House, request: &Request) -> Answer {
    let targets = house.targets();
    if request.wants_json() {
        let statuses: Vec<Value> = targets.iter().map(json_of).collect();
        return Answer::json(&json!({"cluster_statuses": statuses}));
    }
    Answer::text(200, targets.iter().map(text_of).collect::<String>())
}

/// What is counted for a host, by Envoy's names.
struct Host {
    cx_active: u64,
    cx_connect_fail: u64,
    cx_total: u64,
}

impl Host {
    fn of(target: &Target<'_>) -> Self {
        let failed = [Event::AppRefused, Event::AppTimedOut, Event::AppDialFailed];
        Self {
            cx_active: target.active(),
            cx_connect_fail: failed.into_iter().map(|event| target.count(event)).sum(),
            cx_total: target.count(Event::AppDialled),
        }
    }

    /// Every figure that Envoy shows. Requests are not told apart on a path of bytes: each connection is one.
    fn figures(&self) -> [(&'static str, u64, &'static str); 9] {
        [
            ("cx_active", self.cx_active, "GAUGE"),
            ("cx_connect_fail", self.cx_connect_fail, "COUNTER"),
            ("cx_total", self.cx_total, "COUNTER"),
            ("rq_active", self.cx_active, "GAUGE"),
            ("rq_error", self.cx_connect_fail, "COUNTER"),
            ("rq_pending_active", 0, "GAUGE"),
            ("rq_success", self.cx_total.saturating_sub(self.cx_connect_fail), "COUNTER"),
            ("rq_timeout", 0, "COUNTER"),
            ("rq_total", self.cx_total, "COUNTER"),
        ]
    }
}

fn text_of(target: &Target<'_>) -> String {
    let (name, app) = (target.name, target.app);
    let limits = |priority: &str, limits: Limits| {
        format!(
            "{name}::{priority}_priority::max_connections::{}\n{name}::{priority}_priority::max_pending_requests::{}\n\
             {name}::{priority}_priority::max_requests::{}\n{name}::{priority}_priority::max_retries::{}\n",
            limits.connections, limits.pending, limits.requests, limits.retries
        )
    };
    let host = Host::of(target).figures();
    let figures: String = host.iter().map(|(key, value, _)| format!("{name}::{app}::{key}::{value}\n")).collect();
    let rest = [
        ("hostname", hostname(app)),
        ("health_flags", "healthy"),
        ("weight", "1"),
        ("region", ""),
        ("zone", ""),
        ("sub_zone", ""),
        ("canary", "false"),
        ("priority", "0"),
        ("success_rate", "-1"),
        ("local_origin_success_rate", "-1"),
    ];
    let rest: String = rest.iter().map(|(key, value)| format!("{name}::{app}::{key}::{value}\n")).collect();
    let (default, high) = (limits("default", target.breakers.default), limits("high", target.breakers.high));
    format!("{name}::observability_name::{name}\n{default}{high}{name}::added_via_api::false\n{figures}{rest}")
}

fn hostname(app: &AppAddress) -> &str {
    match app {
        AppAddress::Fixed(_) => "",
        AppAddress::Named(host, _) => host,
    }
}

fn json_of(target: &Target<'_>) -> Value {
    let stats = Host::of(target).figures().map(|(name, value, kind)| {
        let mut stat = json!({"name": name, "type": kind});
        // What has its default is left out; a counter is the default kind, and 0 the default value.
        if kind == "COUNTER" {
            stat = json!({"name": name});
        }
        if value > 0 {
            stat["value"] = value.to_string().into();
        }
        stat
    });
    let (address, port) = match target.app {
        AppAddress::Fixed(address) => (address.ip().to_string(), address.port()),
        AppAddress::Named(host, port) => (host.to_string(), *port),
    };
    let Breakers { default, high } = target.breakers;
    let thresholds = [("DEFAULT", default), ("HIGH", high)].map(|(priority, limits)| {
        let mut threshold = json!({
            "max_connections": limits.connections, "max_pending_requests": limits.pending,
            "max_requests": limits.requests, "max_retries": limits.retries});
        if priority != "DEFAULT" {
            threshold["priority"] = priority.into();
        }
        threshold
    });
    json!({
        "name": target.name,
        "host_statuses": [{
            "address": {"socket_address": {"address": address, "port_value": port}},
            "stats": stats,
            "health_status": {"eds_health_status": "HEALTHY"},
            "weight": 1,
            "locality": {},
        }],
        "circuit_breakers": {"thresholds": thresholds},
        "observability_name": target.name,
    })
}
