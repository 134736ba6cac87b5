//! Where each number lies in a shard's cells.

use super::cells::Cells;
use super::{Bounds, Buckets, ClientHandshake, EndpointHandshake, Prevented, Pruned, Retry, Tally};
use crate::route::{component::MAX_COMPONENTS, source::MAX_SOURCES};

/// Labels of `responses`, in the order of their cells.
pub const STATUS_GROUPS: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "xxx"];

/// The place of `status` in [`STATUS_GROUPS`].
#[inline]
pub(super) const fn status_group(status: u16) -> usize {
    match status {
        200..=299 => 0,
        300..=399 => 1,
        400..=499 => 2,
        500..=599 => 3,
        _ => 4,
    }
}

/// Histograms of equal bounds, one after the other: per histogram the buckets (each counts what fell between its
/// bound and the one below), the bucket above the last bound, and the sum.
#[derive(Debug)]
pub(super) struct Series {
    first: usize,
    pub(super) bounds: Bounds,
}

impl Series {
    /// Cells of one histogram.
    pub(super) fn width(&self) -> usize {
        self.bounds.as_slice().len() + 2
    }

    #[inline]
    pub(super) fn observe(&self, cells: &Cells, nth: usize, value: f64) {
        let bounds = self.bounds.as_slice();
        let bucket = bounds.iter().take_while(|bound| value > **bound).count();
        let first = self.first + nth * (bounds.len() + 2);
        cells.add(first + bucket, 1);
        cells.add_f64(first + bounds.len() + 1, value);
    }

    /// The cells of the `nth` histogram's buckets, lowest bound first, the unbounded one last.
    pub(super) fn buckets(&self, nth: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.first + nth * self.width();
        first..=first + self.bounds.as_slice().len()
    }

    /// Empties the `nth` histogram, on which nobody counts meanwhile.
    pub(super) fn clear(&self, cells: &Cells, nth: usize) {
        self.buckets(nth).chain([self.sum(nth)]).for_each(|at| cells.clear(at));
    }

    /// The cell of the `nth` histogram's sum.
    pub(super) fn sum(&self, nth: usize) -> usize {
        self.first + (nth + 1) * self.width() - 1
    }
}

/// What begins and ends on one worker. Two cells that only grow, because both are of interest.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) opened: usize,
    pub(super) closed: usize,
}

impl Span {
    /// What has begun and not ended.
    pub(super) fn open(&self, cells: &Cells) -> u64 {
        // The end is read first; what begins meanwhile may show, but nothing is missing.
        let closed = cells.read(self.closed);
        cells.read(self.opened).saturating_sub(closed)
    }
}

/// The first cell of every group of numbers, and how many cells they need together.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) tallies: usize,
    pub(super) exchanges: Span,
    pub(super) connections: Span,
    pub(super) responses: usize,
    pub(super) retries: usize,
    pub(super) prevented: usize,
    pub(super) pruned: usize,
    pub(super) endpoint_handshakes: usize,
    pub(super) client_handshakes: usize,
    pub(super) total_requests: usize,
    pub(super) gorouter_time: Series,
    pub(super) route_lookup_time: Series,
    /// One histogram per application, or one for all.
    pub(super) http_latency: Series,
    /// Whether the first two, and `latency`, are measured.
    pub(super) per_request: bool,
    /// One histogram per component.
    pub(super) latency: Series,
    pub(super) len: usize,
    /// Not in the shards: the control plane has cells of its own for it.
    pub(super) registration_latency: Series,
}

impl Layout {
    pub(super) fn new(buckets: Buckets, per_request: bool, per_app: bool) -> Self {
        let mut len = 0;
        let mut place = |cells: usize| {
            let first = len;
            len += cells;
            first
        };
        let tallies = place(Tally::ALL.len());
        let exchanges = Span { opened: place(1), closed: place(1) };
        let connections = Span { opened: place(1), closed: place(1) };
        let responses = place(STATUS_GROUPS.len());
        let retries = place(Retry::ALL.len());
        let prevented = place(Prevented::ALL.len());
        let pruned = place(Pruned::ALL.len());
        let endpoint_handshakes = place(EndpointHandshake::ALL.len());
        let client_handshakes = place(ClientHandshake::ALL.len());
        let mut series = |bounds: Bounds, histograms: usize| {
            let mut series = Series { first: 0, bounds };
            series.first = place(series.width() * histograms);
            series
        };
        let gorouter_time = series(buckets.gorouter_time, 1);
        let route_lookup_time = series(buckets.route_lookup_time, 1);
        let http_latency = series(buckets.http_latency, if per_app { MAX_SOURCES } else { 1 });
        let latency = series(buckets.routing_response_latency, MAX_COMPONENTS);
        let total_requests = place(MAX_COMPONENTS);
        let registration_latency = Series { first: 0, bounds: buckets.route_registration_latency };
        Self {
            tallies,
            exchanges,
            connections,
            responses,
            retries,
            prevented,
            pruned,
            endpoint_handshakes,
            client_handshakes,
            total_requests,
            gorouter_time,
            route_lookup_time,
            http_latency,
            per_request,
            latency,
            len,
            registration_latency,
        }
    }
}
