//! How long exchanges took lately, from the buckets of a histogram that only grows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rates::fading;
use crate::observe::metrics::Histogram;

/// What is older counts for little.
const SPAN: Duration = Duration::from_secs(5 * 60);

/// The percentiles that are shown.
const PERCENTILES: [u8; 5] = [50, 75, 90, 95, 99];

/// The recent part of one histogram: its counts, fading.
#[derive(Clone, Debug)]
pub struct Latency {
    buckets: Vec<f64>,
    sum: f64,
    seen: Histogram,
    at: Instant,
}

impl Latency {
    /// Of a histogram that holds nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { buckets: Vec::new(), sum: 0., seen: Histogram::default(), at: now }
    }

    /// The histogram stands like this now.
    pub fn look(&mut self, histogram: Histogram, now: Instant) {
        let left = fading(now.saturating_duration_since(self.at), SPAN);
        self.buckets.resize(histogram.buckets.len(), 0.);
        let before = self.seen.buckets.iter().copied().chain(std::iter::repeat(0));
        for ((bucket, count), before) in self.buckets.iter_mut().zip(&histogram.buckets).zip(before) {
            *bucket = *bucket * left + super::float(count.saturating_sub(before));
        }
        self.sum = self.sum * left + (histogram.sum - self.seen.sum).max(0.);
        (self.seen, self.at) = (histogram, now);
    }

    /// The bound of the bucket in which `percent` of the exchanges are reached, in the histogram's unit: none took
    /// longer, but for those above the last bound. 0 where there was none.
    #[must_use]
    pub fn percentile(&self, percent: u8, bounds: &[f64]) -> f64 {
        let wanted = self.weight() * f64::from(percent) / 100.;
        if wanted <= 0. {
            return 0.;
        }
        let mut reached = 0.;
        let within = self.buckets.iter().zip(bounds).find(|(bucket, _)| {
            reached += **bucket;
            reached >= wanted
        });
        within.map(|(_, bound)| bound).or(bounds.last()).copied().unwrap_or_default()
    }

    fn weight(&self) -> f64 {
        self.buckets.iter().sum()
    }

    /// Percentiles and mean (`value`) in seconds of what is measured in milliseconds, and how many there were since the
    /// start.
    #[must_use]
    pub fn shown(&self, bounds: &[f64]) -> Value {
        let mean = if self.weight() > 0. { self.sum / self.weight() } else { 0. };
        let mut shown = json!({"value": mean / 1e3, "samples": self.seen.buckets.iter().sum::<u64>()});
        for percent in PERCENTILES {
            shown[percent.to_string()] = (self.percentile(percent, bounds) / 1e3).into();
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 3] = [1., 10., 100.];

    fn histogram(buckets: [u64; 4], sum: f64) -> Histogram {
        Histogram { buckets: buckets.into(), sum }
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let now = Instant::now();
        for (buckets, percent, wanted) in [
            ([0, 0, 0, 0], 50, 0.),
            ([1, 0, 0, 0], 99, 1.),
            ([50, 50, 0, 0], 50, 1.),
            ([49, 51, 0, 0], 50, 10.),
            ([0, 90, 10, 0], 90, 10.),
            ([0, 90, 10, 0], 95, 100.),
            ([0, 0, 0, 5], 50, 100.),
        ] {
            let mut latency = Latency::new(now);
            latency.look(histogram(buckets, 0.), now);
            assert!((latency.percentile(percent, &BOUNDS) - wanted).abs() < 1e-9, "{buckets:?} {percent}");
        }
    }

    #[test]
    fn what_was_long_ago_fades_and_stays_in_the_number_of_samples() {
        let start = Instant::now();
        let mut latency = Latency::new(start);
        latency.look(histogram([0, 0, 10, 0], 500.), start);
        assert_eq!(latency.shown(&BOUNDS)["50"], 0.1);
        assert_eq!(latency.shown(&BOUNDS)["value"], 0.05);
        latency.look(histogram([5, 0, 10, 0], 505.), start + 4 * SPAN);
        let shown = latency.shown(&BOUNDS);
        assert_eq!((&shown["50"], &shown["99"], &shown["samples"]), (&json!(0.001), &json!(0.1), &json!(15)));
        latency.look(histogram([5, 0, 10, 0], 505.), start + 4 * SPAN);
        assert_eq!(latency.shown(&BOUNDS), shown, "a look changes nothing by itself");
    }

    #[test]
    fn without_a_request_all_is_zero() {
        let shown = Latency::new(Instant::now()).shown(&BOUNDS);
        assert_eq!(shown, json!({"50": 0., "75": 0., "90": 0., "95": 0., "99": 0., "value": 0., "samples": 0}));
    }
}
