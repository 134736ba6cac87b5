//! Every number under its name, as a page.
//!
//! The families are built from the cells at each scrape and handed to the `prometheus` crate's encoder.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::layout::{STATUS_GROUPS, Series};
use super::{Metrics, Prevented, RegistryAction, Retry, RoutingApiError, Tally};
use crate::observe::spool::DropCount;
use crate::route::component::Component;

/// The `source_id` of `http_latency_seconds` when applications are not told apart.
const SOURCE_ID: &str = "gorouter";

pub(super) fn render(metrics: &Metrics) -> String {
    let mut families = Vec::new();
    workers(metrics, &mut families);
    histograms(metrics, &mut families);
    control(metrics, &mut families);
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
        let extra = if tally == Tally::Panic { metrics.control.panics.load(Ordering::Relaxed) } else { 0 };
        let value = metrics.sum(layout.tallies + tally as usize) + extra;
        families.push(counters(tally.name(), help(tally), vec![counter(&[], value)]));
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
        "trueroute_retries_total",
        "Attempts that failed and were followed by another one, by the reason of the failure.",
        labelled("reason", names(Retry::ALL, Retry::name), |at| metrics.sum(layout.retries + at)),
    ));
    families.push(counters(
        "trueroute_misroutes_prevented_total",
        "Peers that did not prove to be the instance the table named and got no byte of the request, by the reason.",
        labelled("reason", names(Prevented::ALL, Prevented::name), |at| metrics.sum(layout.prevented + at)),
    ));
    families.push(gauge("trueroute_open_exchanges", "Exchanges open at this moment.", metrics.open_exchanges()));
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
    for (name, help, series, labels) in [
        ("gorouter_time", "Seconds of an exchange spent in the router itself.", &layout.gorouter_time, &[][..]),
        ("route_lookup_time", "Nanoseconds of one look-up in the table.", &layout.route_lookup_time, &[]),
        (
            "http_latency_seconds",
            "Seconds from a request's receipt to the end of its response.",
            &layout.http_latency,
            &[("source_id", SOURCE_ID)],
        ),
    ] {
        families.push(histogram_family(name, help, vec![summed(series, 0, labels)]));
    }
    let cells = metrics.control.registration_latency.lock().unwrap_or_else(PoisonError::into_inner);
    families.push(histogram_family(
        "route_registration_latency",
        "Milliseconds from an endpoint's change to its place in the table.",
        vec![histogram(&layout.registration_latency, 0, &[], |at| cells.read(at), |at| cells.read_f64(at))],
    ));
}

fn control(metrics: &Metrics, families: &mut Vec<MetricFamily>) {
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
    let failed = RoutingApiError::ALL.iter().map(|&what| (what, read(&control.routing_api_errors[what as usize])));
    let failed = failed.filter(|(_, value)| *value > 0);
    families.push(counters(
        "trueroute_routing_api_errors_total",
        "Failures of the Routing API and of UAA, by what was asked for.",
        failed.map(|(what, value)| counter(&[("what", what.name())], value)).collect(),
    ));
    let rejected = control.registrations_rejected.lock().unwrap_or_else(PoisonError::into_inner);
    families.push(counters(
        "trueroute_registrations_rejected_total",
        "Messages on the bus that were refused, by the reason.",
        rejected.iter().map(|(reason, &value)| counter(&[("reason", reason)], value)).collect(),
    ));
    drop(rejected);
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
    ] {
        families.push(counters(name, help, vec![counter(&[], value)]));
    }
    let [succeeded, failed] = &control.reloads;
    families.push(counters(
        "trueroute_reloads_total",
        "Times that certificates and authorities were read again, by the result.",
        [("succeeded", succeeded), ("failed", failed)]
            .map(|(result, count)| counter(&[("result", result)], read(count)))
            .to_vec(),
    ));
    families.push(counters(
        "routes_pruned",
        "Endpoints that left the table by age or by failure.",
        vec![counter(&[], read(&control.routes_pruned))],
    ));
    families.push(counters(
        "promhttp_metric_handler_errors_total",
        "Internal errors while this page was made.",
        vec![counter(&[("cause", "encoding")], read(&control.encoding_errors)), counter(&[("cause", "gathering")], 0)],
    ));
    for (name, help, value) in [
        ("total_routes", "Routes in the table.", read(&control.total_routes)),
        (
            "ms_since_last_registry_update",
            "Milliseconds since the table last changed.",
            read(&control.ms_since_last_registry_update),
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

fn help(tally: Tally) -> &'static str {
    match tally {
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
        Tally::Panic => "Panics that cost one exchange or one task.",
    }
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

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> impl Iterator<Item = (usize, &'static str)> {
    all.iter().map(move |&one| name(one)).enumerate()
}

fn labelled<'a>(
    label: &str,
    values: impl Iterator<Item = (usize, &'a str)>,
    count: impl Fn(usize) -> u64,
) -> Vec<Metric> {
    values.map(|(at, value)| counter(&[(label, value)], count(at))).collect()
}

fn histogram(
    series: &Series,
    nth: usize,
    labels: &[(&str, &str)],
    count: impl Fn(usize) -> u64,
    sum: impl Fn(usize) -> f64,
) -> Metric {
    let mut seen = 0;
    let mut buckets = Vec::with_capacity(series.width());
    let bounds = series.bounds.as_slice().iter().copied().chain([f64::INFINITY]);
    for (cell, bound) in series.buckets(nth).zip(bounds) {
        seen += count(cell);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(seen);
        buckets.push(bucket);
    }
    // The unbounded bucket is the sample count; the encoder writes it from that.
    buckets.pop();
    let mut value = Histogram::default();
    value.set_bucket(buckets);
    value.set_sample_count(seen);
    value.set_sample_sum(sum(series.sum(nth)));
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_histogram(value);
    metric
}

#[expect(clippy::cast_precision_loss, reason = "the text format's numbers are floats; counts stay exact up to 2^53")]
fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut number = Counter::default();
    number.set_value(value as f64);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_counter(number);
    metric
}

#[expect(clippy::cast_precision_loss, reason = "the text format's numbers are floats; sizes stay exact up to 2^53")]
fn gauge(name: &str, help: &str, value: u64) -> MetricFamily {
    let mut number = Gauge::default();
    number.set_value(value as f64);
    family(MetricType::GAUGE, name, help, vec![Metric::from_gauge(number)])
}

fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value.into());
        pair
    };
    labels.iter().map(pair).collect()
}

fn counters(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(MetricType::COUNTER, name, help, metrics)
}

fn histogram_family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(MetricType::HISTOGRAM, name, help, metrics)
}

fn family(kind: MetricType, name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_field_type(kind);
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_metric(metrics);
    family
}
