//! Every number under its name, as a page: here those of Gorouter (gorouter.md §11), in [`super::own`] the others.
//!
//! The families are built from the cells at each scrape and handed to the `prometheus` crate's encoder.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::TextEncoder;
use prometheus::proto::{Metric, MetricFamily};

use super::{
    Live, Metrics, RegistryAction, Tally,
    encode::{counter, counters, gauge, histogram, histogram_family, labelled},
    layout::{STATUS_GROUPS, Series},
    own,
};
use crate::route::component::Component;

/// The `source_id` of `http_latency_seconds` when applications are not told apart.
const SOURCE_ID: &str = "gorouter";
/// The same of applications beyond the bound.
const OTHER_SOURCES: &str = "other";

pub(super) fn render(metrics: &Metrics) -> String {
    let mut families = Vec::new();
    let live = metrics.control.live.get().map(|ask| (ask.0)());
    workers(metrics, &mut families);
    histograms(metrics, &mut families);
    control(metrics, live.as_ref(), &mut families);
    own::families(metrics, &live.unwrap_or_default(), &mut families);
    // The encoder fails on a family without a series; Prometheus' own client leaves it out of the page too.
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|one, other| one.name().cmp(other.name()));
    let mut page = String::new();
    if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut page) {
        metrics.control.encoding_errors.fetch_add(1, Ordering::Relaxed);
        tracing::error!(target: "metricsreporter", error = %error, "metrics-not-encoded");
    }
    page
}

fn workers(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let layout = &metrics.layout;
    for &tally in Tally::ALL {
        if let Some(help) = help(tally) {
            families.push(counters(
                tally.name(),
                help,
                vec![counter(&[], metrics.sum(layout.tallies + tally as usize))],
            ));
        }
    }
    families.push(counters(
        "total_requests",
        "Attempts to send a request to an endpoint, by the endpoint's component.",
        by_component(|component| metrics.sum(layout.total_requests + component.index())),
    ));
    families.push(counters(
        "responses",
        "Responses to requests for which an endpoint was chosen, by the group of their status.",
        labelled("status_group", STATUS_GROUPS.into_iter().enumerate(), |at| metrics.sum(layout.responses + at)),
    ));
    families.push(counters(
        "responses_route_services",
        "Responses of route services, by the group of their status. Gorouter never counts any either.",
        labelled("status_group", STATUS_GROUPS.into_iter().enumerate(), |_| 0),
    ));
}

fn histograms(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
    let layout = &metrics.layout;
    let summed = |series: &Series, nth: usize, labels: &[(&str, &str)]| {
        histogram(series, nth, labels, |at| metrics.sum(at), |at| metrics.sum_f64(at))
    };
    families.push(histogram_family(
        "latency",
        "Milliseconds from a request's receipt to the end of its response, by the endpoint's component.",
        components()
            .map(|(component, name)| summed(&layout.latency, component.index(), &[("component", &name)]))
            .filter(|metric| metric.get_histogram().get_sample_count() > 0)
            .collect(),
    ));
    for (name, help, series) in [
        ("gorouter_time", "Seconds of an exchange spent in the router itself.", &layout.gorouter_time),
        ("route_lookup_time", "Nanoseconds of one look-up in the table.", &layout.route_lookup_time),
    ] {
        families.push(histogram_family(name, help, vec![summed(series, 0, &[])]));
    }
    let sources = match &metrics.sources {
        Some(sources) => sources.all(SOURCE_ID, OTHER_SOURCES),
        None => vec![(0, SOURCE_ID.into())],
    };
    families.push(histogram_family(
        "http_latency_seconds",
        "Seconds from a request's receipt to the end of its response, by the endpoint's tag source_id if that is asked for.",
        sources.iter().map(|(at, name)| summed(&layout.http_latency, *at, &[("source_id", name)])).collect(),
    ));
    let cells = metrics.control.registration_latency.lock().unwrap_or_else(PoisonError::into_inner);
    families.push(histogram_family(
        "route_registration_latency",
        "Milliseconds from an endpoint's change to its place in the table.",
        vec![histogram(&layout.registration_latency, 0, &[], |at| cells.read(at), |at| cells.read_f64(at))],
    ));
}

fn control(metrics: &Metrics, live: Option<&Live>, families: &mut Vec<MetricFamily>) {
    let control = &metrics.control;
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let registered = components().flat_map(|(component, name)| {
        RegistryAction::ALL.iter().filter_map(move |&action| {
            let value = read(&control.registered[component.index()][action as usize]);
            (value > 0).then(|| counter(&[("action", action.name()), ("component", &name)], value))
        })
    });
    families.push(counters(
        "registry_message",
        "Registrations applied, by component and by what they did to the table.",
        registered.collect(),
    ));
    families.push(counters(
        "unregistry_message",
        "Unregistrations applied, by component.",
        by_component(|component| read(&control.unregistered[component.index()])),
    ));
    let of_action = |action: RegistryAction| -> u64 {
        control.registered.iter().map(|actions| read(&actions[action as usize])).sum()
    };
    for (name, help, value) in [
        ("routes_added", "Endpoints that registrations put into a route.", of_action(RegistryAction::Added)),
        ("routes_deleted", "Endpoints that unregistrations took from a route.", read(&control.routes_deleted)),
        ("routes_pruned", "Endpoints that left a route because nothing was heard of them.", metrics.pruned_for_age()),
    ] {
        families.push(counters(name, help, vec![counter(&[], value)]));
    }
    families.push(counters(
        "promhttp_metric_handler_errors_total",
        "Internal errors while this page was made.",
        vec![counter(&[("cause", "encoding")], read(&control.encoding_errors)), counter(&[("cause", "gathering")], 0)],
    ));
    for (name, help, value) in [
        ("total_routes", "Routes in the table.", live.map_or_else(|| read(&control.total_routes), |live| live.routes)),
        (
            "ms_since_last_registry_update",
            "Milliseconds since the table last changed.",
            live.map_or_else(|| read(&control.ms_since_last_registry_update), |live| live.quiet_ms),
        ),
        ("buffered_messages", "Messages from the bus waiting to be read.", read(&control.buffered_messages)),
        (
            "total_dropped_messages",
            "Messages from the bus lost because the queue was full.",
            read(&control.total_dropped_messages),
        ),
        ("file_descriptors", "Open file descriptors of the process.", read(&control.file_descriptors)),
    ] {
        families.push(gauge(name, help, value));
    }
}

fn help(tally: Tally) -> Option<&'static str> {
    Some(match tally {
        Tally::BadGateway => "Failures answered with the general 502.",
        Tally::RejectedRequest => "Requests refused before an endpoint was chosen.",
        Tally::BackendExhausted => "Requests for which every endpoint was at its connection limit.",
        Tally::BackendInvalidId => "Endpoints that showed a certificate of another name.",
        Tally::BackendInvalidTlsCert => "Endpoints whose certificate could not be verified.",
        Tally::BackendTlsHandshakeFailed => "Endpoints with which the TLS handshake failed.",
        Tally::EmptyContentLengthHeader => "Requests with an empty Content-Length.",
        Tally::WebsocketUpgrade => "Requests that became a WebSocket tunnel.",
        Tally::WebsocketFailure => "WebSocket requests that did not become a tunnel.",
        Tally::UpstreamOpened => "Connections to endpoints that were established.",
        Tally::UpstreamReused => "Requests sent on a connection that had served another one.",
        Tally::GateRefused => "Requests refused for their form before routing.",
        // Counted by others as well.
        Tally::Panic => return None,
    })
}

/// Components in the order of their names, so that the page does not depend on who came first.
fn components() -> impl Iterator<Item = (Component, Box<str>)> {
    let mut all: Vec<_> = Component::all().into_iter().map(|name| (Component::named(&name), name)).collect();
    all.sort_by(|(_, one), (_, other)| one.cmp(other));
    all.into_iter()
}

fn by_component(value: impl Fn(Component) -> u64) -> Vec<Metric> {
    components()
        .map(|(component, name)| (name, value(component)))
        .filter(|(_, value)| *value > 0)
        .map(|(name, value)| counter(&[("component", &name)], value))
        .collect()
}
