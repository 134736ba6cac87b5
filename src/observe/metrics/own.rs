//! The families under `trueroute_`, and those of the process.
//!
//! What a label may be is bounded: enums of this program, workers, keys of the configuration.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::proto::MetricFamily;

use super::{
    ClientHandshake, EndpointHandshake, Live, Metrics, Prevented, Pruned, Retry, RoutingApiError, Tally,
    encode::{counter, counters, gauge, gauges, labelled, measure, names, seconds},
};
use crate::observe::spool::DropCount;

pub(super) fn families(metrics: &Metrics, live: &Live, families: &mut Vec<MetricFamily>) {
    endpoints(metrics, families);
    handshakes(metrics, families);
    workers(metrics, families);
    losses(metrics, families);
    reloads(metrics, families);
    router(live, families);
    snapshot(live, families);
    certificates(metrics, families);
    process(families);
    families.push(gauges(
        "trueroute_build_info",
        "Always 1; the labels say what runs.",
        vec![measure(&[("commit", commit()), ("version", env!("CARGO_PKG_VERSION"))], 1.)],
    ));
}

/// The commit in the version text; empty where the build knew none.
fn commit() -> &'static str {
    let text = env!("TRUEROUTE_VERSION");
    text.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'))
}

fn endpoints(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let layout = &metrics.layout;
    families.push(counters(
        "trueroute_retries_total",
        "Attempts that failed and were followed by another one, by the reason of the failure.",
        labelled("reason", names(Retry::ALL, Retry::name), |at| metrics.sum(layout.retries + at)),
    ));
    families.push(counters(
        "trueroute_misroutes_prevented_total",
        "Peers that did not prove to be the instance the table named and got no byte of the request, by the reason.",
        labelled("reason", names(Prevented::ALL, Prevented::name), |at| metrics.sum(layout.prevented + at)),
    ));
    families.push(counters(
        "trueroute_endpoints_pruned_total",
        "Endpoints that left a route without an unregistration, by the reason.",
        labelled("reason", names(Pruned::ALL, Pruned::name), |at| {
            metrics.sum(layout.pruned + at) + metrics.control.pruned[at].load(Ordering::Relaxed)
        }),
    ));
    families.push(gauge("trueroute_open_exchanges", "Exchanges open at this moment.", metrics.open_exchanges()));
    if let Some(sources) = &metrics.sources {
        families.push(counters(
            "trueroute_sources_overflowed_total",
            "Endpoints whose application got no http_latency_seconds of its own, because there were too many.",
            vec![counter(&[], sources.overflowed())],
        ));
    }
}

fn handshakes(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let layout = &metrics.layout;
    let with_endpoints = names(EndpointHandshake::ALL, EndpointHandshake::name)
        .map(|(at, outcome)| ("endpoint", outcome, metrics.sum(layout.endpoint_handshakes + at)));
    let with_clients = names(ClientHandshake::ALL, ClientHandshake::name)
        .map(|(at, outcome)| ("client", outcome, metrics.sum(layout.client_handshakes + at)));
    families.push(counters(
        "trueroute_tls_handshakes_total",
        "TLS handshakes by who is at the other end and how they ended.",
        with_clients
            .chain(with_endpoints)
            .map(|(peer, outcome, count)| counter(&[("outcome", outcome), ("peer", peer)], count))
            .collect(),
    ));
}

fn workers(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let numbered = || metrics.shards.iter().enumerate().map(|(index, shard)| (index.to_string(), shard));
    let read = |at| numbered().map(|(name, shard)| counter(&[("worker", &name)], shard.cells().read(at))).collect();
    families.push(counters(
        "trueroute_worker_connections_accepted_total",
        "Clients' connections that the worker has taken on.",
        read(metrics.layout.connections.opened),
    ));
    families.push(counters(
        "trueroute_worker_requests_total",
        "Requests that the worker has begun.",
        read(metrics.layout.exchanges.opened),
    ));
    families.push(gauges(
        "trueroute_worker_connections",
        "Clients' connections that the worker has now.",
        numbered()
            .map(|(name, shard)| measure(&[("worker", &name)], float(metrics.layout.connections.open(shard.cells()))))
            .collect(),
    ));
    families.push(counters(
        "trueroute_worker_busy_seconds_total",
        "Time in which the worker had something to do; its rate is the share of the time.",
        numbered().map(|(name, shard)| seconds(&[("worker", &name)], shard.busy())).collect(),
    ));
}

fn losses(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let control = &metrics.control;
    let rejected = control.registrations_rejected.lock().unwrap_or_else(PoisonError::into_inner);
    families.push(counters(
        "trueroute_registrations_rejected_total",
        "Messages on the bus that were refused, by the reason.",
        rejected.iter().map(|(reason, &value)| counter(&[("reason", reason)], value)).collect(),
    ));
    drop(rejected);
    let failed = RoutingApiError::ALL.iter().map(|&what| (what, metrics.routing_api_failures(what)));
    let failed = failed.filter(|(_, count)| *count > 0);
    families.push(counters(
        "trueroute_routing_api_errors_total",
        "Failures of the Routing API and of UAA, by what was asked for.",
        failed.map(|(what, count)| counter(&[("what", what.name())], count)).collect(),
    ));
    for (name, help, value) in [
        (
            "trueroute_log_lines_dropped_total",
            "Log lines lost because the queue was full.",
            control.log_lines_dropped.get().map_or(0, DropCount::lines),
        ),
        (
            "trueroute_access_log_dropped_total",
            "Access-log lines lost because the queue was full or the file refused them.",
            control.access_log_dropped.get().map_or(0, |places| places.iter().map(DropCount::lines).sum()),
        ),
        (
            "trueroute_envelopes_dropped_total",
            "Envelopes for metron lost because the queue was full or nobody took them.",
            control.envelopes_dropped.get().map_or(0, |places| places.iter().map(DropCount::lines).sum()),
        ),
        (
            Tally::Panic.name(),
            "Panics that cost one exchange or one task.",
            metrics.sum(metrics.layout.tallies + Tally::Panic as usize) + control.panics.load(Ordering::Relaxed),
        ),
    ] {
        families.push(counters(name, help, vec![counter(&[], value)]));
    }
}

fn reloads(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let control = &metrics.control;
    let [succeeded, failed] = &control.reloads;
    families.push(counters(
        "trueroute_reloads_total",
        "Times that certificates and authorities were read again, by the result.",
        [("succeeded", succeeded), ("failed", failed)]
            .map(|(result, count)| counter(&[("result", result)], count.load(Ordering::Relaxed)))
            .to_vec(),
    ));
}

fn router(live: &Live, families: &mut Vec<MetricFamily>) {
    for (name, help, value) in [
        ("trueroute_endpoints", "Endpoints in the table, each once per route.", live.endpoints),
        ("trueroute_nats_connected", "1 while the connection to NATS stands, else 0.", live.bus_connected.into()),
        (
            "trueroute_pruning_suspended",
            "1 while no endpoint is pruned for its age because NATS is lost, else 0.",
            live.pruning_suspended.into(),
        ),
        ("trueroute_healthy", "1 while the health port says that traffic is welcome, else 0.", live.healthy.into()),
        ("trueroute_draining", "1 while clients are asked to go elsewhere, else 0.", live.draining.into()),
    ] {
        families.push(gauge(name, help, value));
    }
    families.push(counters(
        "trueroute_nats_reconnects_total",
        "How often the connection to NATS came back after a loss.",
        vec![counter(&[], live.bus_reconnects)],
    ));
}

fn snapshot(live: &Live, families: &mut Vec<MetricFamily>) {
    let written =
        live.snapshot.written.map_or(0., |at| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    families.push(gauges(
        "trueroute_snapshot_written_timestamp_seconds",
        "When the snapshot of the table was last written, in seconds since 1970; 0 before the first time.",
        vec![measure(&[], written)],
    ));
    families.push(gauge(
        "trueroute_snapshot_bytes",
        "Size of the snapshot when it was last written.",
        live.snapshot.bytes,
    ));
    families.push(counters(
        "trueroute_snapshot_failures_total",
        "How often the snapshot could not be written.",
        vec![counter(&[], live.snapshot.failures)],
    ));
}

fn certificates(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let ends = metrics.control.certificates.lock().unwrap_or_else(PoisonError::into_inner);
    let now = SystemTime::now();
    let left = |end: &SystemTime| match end.duration_since(now) {
        Ok(left) => left.as_secs_f64(),
        Err(over) => -over.duration().as_secs_f64(),
    };
    families.push(gauges(
        "trueroute_certificate_expiry_seconds",
        "Seconds until the first of the certificates under this key of the configuration ends; negative when it has.",
        ends.iter().map(|(key, end)| measure(&[("key", key)], left(end).trunc())).collect(),
    ));
}

/// What the system says about this process, under the names that every exporter uses.
#[cfg(target_os = "linux")]
fn process(families: &mut Vec<MetricFamily>) {
    use prometheus::{core::Collector, process_collector::ProcessCollector};
    families.extend(ProcessCollector::for_self().collect());
}

#[cfg(not(target_os = "linux"))]
fn process(_: &mut Vec<MetricFamily>) {}

#[expect(clippy::cast_precision_loss, reason = "the text format's numbers are floats; counts stay exact up to 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
