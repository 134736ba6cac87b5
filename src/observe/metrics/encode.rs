//! The families of the page, as the `prometheus` crate's encoder takes them. Labels stand in alphabetical order.

use std::time::Duration;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::layout::Series;

pub(super) fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> impl Iterator<Item = (usize, &'static str)> {
    all.iter().map(move |&one| name(one)).enumerate()
}

pub(super) fn labelled<'a>(
    label: &str,
    values: impl Iterator<Item = (usize, &'a str)>,
    count: impl Fn(usize) -> u64,
) -> Vec<Metric> {
    values.map(|(at, value)| counter(&[(label, value)], count(at))).collect()
}

pub(super) fn histogram(
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
pub(super) fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut number = Counter::default();
    number.set_value(value as f64);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_counter(number);
    metric
}

#[expect(clippy::cast_precision_loss, reason = "the text format's numbers are floats; sizes stay exact up to 2^53")]
pub(super) fn gauge(name: &str, help: &str, value: u64) -> MetricFamily {
    gauges(name, help, vec![measure(&[], value as f64)])
}

/// One series of a gauge.
pub(super) fn measure(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut number = Gauge::default();
    number.set_value(value);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_gauge(number);
    metric
}

/// One series of a counter of seconds.
pub(super) fn seconds(labels: &[(&str, &str)], value: Duration) -> Metric {
    let mut number = Counter::default();
    number.set_value(value.as_secs_f64());
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_counter(number);
    metric
}

pub(super) fn gauges(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(MetricType::GAUGE, name, help, metrics)
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

pub(super) fn counters(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(MetricType::COUNTER, name, help, metrics)
}

pub(super) fn histogram_family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
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
