//! One worker's counters.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::runtime::RuntimeMetrics;

use super::{
    cells::Cells,
    layout::{self, Layout},
    words::{ClientHandshake, EndpointHandshake, Prevented, Pruned, Retry, Tally},
};
use crate::route::component::Component;

/// One worker's counters. Clones count on the same memory; they must stay on that worker's thread.
#[derive(Clone, Debug)]
pub struct Shard(Arc<Slab>);

#[derive(Debug)]
struct Slab {
    layout: Arc<Layout>,
    cells: Cells,
    runtime: OnceLock<RuntimeMetrics>,
}

impl Shard {
    pub(super) fn new(layout: &Arc<Layout>) -> Self {
        let cells = Cells::new(layout.len);
        Self(Arc::new(Slab { layout: Arc::clone(layout), cells, runtime: OnceLock::new() }))
    }

    pub(super) fn cells(&self) -> &Cells {
        &self.0.cells
    }

    /// How long the worker had something to do so far.
    pub(super) fn busy(&self) -> Duration {
        self.0.runtime.get().map_or(Duration::ZERO, |runtime| runtime.worker_total_busy_duration(0))
    }

    /// The worker runs on this runtime of one thread; the first call counts.
    pub fn runs_on(&self, runtime: RuntimeMetrics) {
        _ = self.0.runtime.set(runtime);
    }

    #[inline]
    fn add(&self, at: usize) {
        self.0.cells.add(at, 1);
    }

    /// Counts one.
    #[inline]
    pub fn count(&self, tally: Tally) {
        self.add(self.0.layout.tallies + tally as usize);
    }

    /// An attempt at an endpoint of `component` begins (`total_requests`).
    #[inline]
    pub fn attempt(&self, component: Component) {
        self.add(self.0.layout.total_requests + component.index());
    }

    /// A response of `status` was given after an endpoint was chosen (`responses`); anything outside of
    /// 200..=599, and so 101 too, is of the group `xxx`.
    #[inline]
    pub fn response(&self, status: u16) {
        self.add(self.0.layout.responses + layout::status_group(status));
    }

    /// From receipt to the end of the response's body (`latency`, and `http_latency_seconds` of the application that
    /// has the number `source`).
    #[inline]
    pub fn latency(&self, component: Component, source: usize, took: Duration) {
        let Slab { layout, cells, .. } = &*self.0;
        if layout.per_request {
            layout.latency.observe(cells, component.index(), took.as_secs_f64() * 1e3);
        }
        layout.http_latency.observe(cells, source, took.as_secs_f64());
    }

    /// The router's own part of an exchange (`gorouter_time`).
    #[inline]
    pub fn gorouter_time(&self, took: Duration) {
        if self.0.layout.per_request {
            self.0.layout.gorouter_time.observe(&self.0.cells, 0, took.as_secs_f64());
        }
    }

    /// One look-up in the table (`route_lookup_time`).
    #[inline]
    pub fn route_lookup_time(&self, took: Duration) {
        if self.0.layout.per_request {
            self.0.layout.route_lookup_time.observe(&self.0.cells, 0, took.as_secs_f64() * 1e9);
        }
    }

    /// An attempt failed and another one follows.
    #[inline]
    pub fn retry(&self, why: Retry) {
        self.add(self.0.layout.retries + why as usize);
    }

    /// A peer did not prove to be the instance that the table named, and got no byte of the request.
    #[inline]
    pub fn misroute_prevented(&self, why: Prevented) {
        self.add(self.0.layout.prevented + why as usize);
    }

    /// A TLS handshake with an endpoint ended.
    pub fn endpoint_handshake(&self, how: EndpointHandshake) {
        self.add(self.0.layout.endpoint_handshakes + how as usize);
    }

    /// A TLS handshake with a client ended.
    pub fn client_handshake(&self, how: ClientHandshake) {
        self.add(self.0.layout.client_handshakes + how as usize);
    }

    /// An attempt took an endpoint out of the table.
    pub fn pruned(&self) {
        self.add(self.0.layout.pruned + Pruned::Failed as usize);
    }

    /// An exchange begins.
    #[inline]
    pub fn exchange_opened(&self) {
        self.add(self.0.layout.exchanges.opened);
    }

    /// An exchange that was counted as opened ends, on the same worker.
    #[inline]
    pub fn exchange_closed(&self) {
        self.add(self.0.layout.exchanges.closed);
    }

    /// A client's connection was taken on.
    pub fn connection_opened(&self) {
        self.add(self.0.layout.connections.opened);
    }

    /// A connection that was counted as opened ends, on the same worker.
    pub fn connection_closed(&self) {
        self.add(self.0.layout.connections.closed);
    }
}
