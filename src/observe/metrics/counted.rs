//! The sums of this moment as numbers, for those who follow them.

pub use super::layout::STATUS_GROUPS;
use super::{Metrics, Tally, layout::Series};
use crate::route::component::Component;

/// One histogram: what fell into each bucket and not into the one below, the unbounded one last, and the sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Counts by bucket.
    pub buckets: Vec<u64>,
    /// The sum of what was measured.
    pub sum: f64,
}

/// What was counted of one component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OfComponent {
    /// The component.
    pub name: Box<str>,
    /// Attempts at its endpoints.
    pub requests: u64,
    /// From receipt to the end of the answer, in milliseconds; empty where times are not measured.
    pub latency: Histogram,
}

/// What was counted so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// Attempts at endpoints.
    pub requests: u64,
    /// Answers by [`STATUS_GROUPS`].
    pub responses: [u64; STATUS_GROUPS.len()],
    /// Requests refused before an endpoint was chosen.
    pub bad_requests: u64,
    /// Failures answered with the general 502.
    pub bad_gateways: u64,
    /// As of components, over all of them.
    pub latency: Histogram,
    /// Every component that was asked at least once, but for endpoints that name none.
    pub components: Vec<OfComponent>,
}

impl Metrics {
    /// The sums over all workers.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let tally = |tally| self.sum(self.layout.tallies + tally as usize);
        let mut counted = Counted {
            bad_requests: tally(Tally::RejectedRequest),
            bad_gateways: tally(Tally::BadGateway),
            responses: std::array::from_fn(|group| self.sum(self.layout.responses + group)),
            ..Counted::default()
        };
        for (at, name) in Component::all().into_iter().enumerate() {
            let requests = self.sum(self.layout.total_requests + at);
            if requests == 0 {
                continue;
            }
            let latency = self.histogram(&self.layout.latency, at);
            counted.requests += requests;
            counted.latency.add(&latency);
            if !name.is_empty() {
                counted.components.push(OfComponent { name, requests, latency });
            }
        }
        counted
    }

    /// The upper bounds of the buckets of latencies, in milliseconds, without the unbounded one.
    #[must_use]
    pub fn latency_bounds(&self) -> &[f64] {
        self.layout.latency.bounds.as_slice()
    }

    fn histogram(&self, series: &Series, nth: usize) -> Histogram {
        Histogram { buckets: series.buckets(nth).map(|at| self.sum(at)).collect(), sum: self.sum_f64(series.sum(nth)) }
    }
}

impl Histogram {
    fn add(&mut self, other: &Self) {
        self.buckets.resize(other.buckets.len(), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }
}
