//! The numbers of gorouter.md §11 (Prometheus column), and our own under `trueroute_`.
//!
//! [`Metrics`] owns them all. A worker counts through its [`Shard`]: plain stores into memory that no other
//! thread writes, a few nanoseconds each, no lock and no label look-up; [`Metrics::render`] sums the shards. What the
//! control plane counts is rare, and is written by [`Metrics`]' own methods from any thread.
//!
//! A series with a `component` label appears with its first count; every other series is there from the start, at 0.
//! What is not counted but simply so is asked for at each scrape ([`Live`]).

mod bounds;
mod cells;
mod counted;
mod encode;
mod exposition;
mod folded;
mod layout;
mod live;
mod own;
mod shard;
mod words;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

pub use bounds::{Bounds, Buckets, NotIncreasing};
pub use counted::{Counted, Histogram, OfComponent, STATUS_GROUPS};
pub use live::{Live, Snapshot};
pub use shard::Shard;
pub use words::{ClientHandshake, EndpointHandshake, Prevented, Pruned, RegistryAction, Retry, RoutingApiError, Tally};

use self::cells::Cells;
use self::layout::Layout;
use crate::observe::dropsonde::Registrations;
use crate::observe::spool::DropCount;
use crate::route::component::{Component, MAX_COMPONENTS};
use crate::route::source::Sources;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the configuration asks of the metrics.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The buckets of every histogram.
    pub buckets: Buckets,
    /// Whether `latency`, `gorouter_time` and `route_lookup_time` are measured (`per_request_metrics_reporting`).
    pub per_request: bool,
    /// The applications that `http_latency_seconds` tells apart (`per_app_prometheus_http_metrics_reporting`).
    pub sources: Option<Arc<Sources>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { buckets: Buckets::default(), per_request: true, sources: None }
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    layout: Arc<Layout>,
    shards: Box<[Shard]>,
    sources: Option<Arc<Sources>>,
    control: Control,
}

/// What the control plane counts, shared between threads.
#[derive(Debug)]
struct Control {
    /// By component, then by action.
    registered: Box<[[AtomicU64; RegistryAction::ALL.len()]]>,
    unregistered: Box<[AtomicU64]>,
    /// One writer at a time holds the lock; the cells make it one more histogram of the layout's shape.
    registration_latency: Mutex<Cells>,
    registrations_rejected: Mutex<BTreeMap<&'static str, u64>>,
    routes_deleted: AtomicU64,
    pruned: [AtomicU64; Pruned::ALL.len()],
    total_routes: AtomicU64,
    ms_since_last_registry_update: AtomicU64,
    buffered_messages: AtomicU64,
    total_dropped_messages: AtomicU64,
    file_descriptors: AtomicU64,
    /// That succeeded, and that failed.
    reloads: [AtomicU64; 2],
    panics: AtomicU64,
    routing_api_errors: [AtomicU64; RoutingApiError::ALL.len()],
    encoding_errors: AtomicU64,
    log_lines_dropped: OnceLock<DropCount>,
    access_log_dropped: OnceLock<Vec<DropCount>>,
    certificates: Mutex<Vec<(String, SystemTime)>>,
    live: OnceLock<Asked>,
    envelopes_dropped: OnceLock<Vec<DropCount>>,
    registrations_told: OnceLock<Registrations>,
}

/// Whom the page asks for what is not counted.
struct Asked(live::Ask);

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asked")
    }
}

impl Metrics {
    /// Metrics for `workers` workers, all zero, that measure everything and tell no applications apart.
    #[must_use]
    pub fn new(workers: usize, buckets: Buckets) -> Arc<Self> {
        Self::with(workers, Settings { buckets, ..Settings::default() })
    }

    /// Metrics for `workers` workers, all zero.
    #[must_use]
    pub fn with(workers: usize, settings: Settings) -> Arc<Self> {
        let Settings { buckets, per_request, sources } = settings;
        let layout = Arc::new(Layout::new(buckets, per_request, sources.is_some()));
        let shards = (0..workers).map(|_| Shard::new(&layout)).collect();
        let control = Control {
            registered: (0..MAX_COMPONENTS).map(|_| Default::default()).collect(),
            unregistered: (0..MAX_COMPONENTS).map(|_| AtomicU64::default()).collect(),
            registration_latency: Mutex::new(Cells::new(layout.registration_latency.width())),
            registrations_rejected: Mutex::default(),
            routes_deleted: AtomicU64::default(),
            pruned: Default::default(),
            total_routes: AtomicU64::default(),
            ms_since_last_registry_update: AtomicU64::default(),
            buffered_messages: AtomicU64::default(),
            total_dropped_messages: AtomicU64::default(),
            file_descriptors: AtomicU64::default(),
            reloads: Default::default(),
            panics: AtomicU64::default(),
            routing_api_errors: Default::default(),
            encoding_errors: AtomicU64::default(),
            log_lines_dropped: OnceLock::new(),
            access_log_dropped: OnceLock::new(),
            certificates: Mutex::default(),
            live: OnceLock::new(),
            envelopes_dropped: OnceLock::new(),
            registrations_told: OnceLock::new(),
        };
        Arc::new(Self { layout, shards, sources, control })
    }

    /// Worker `index`'s own shard. Only that worker's thread may count on it: two writers lose counts.
    ///
    /// # Panics
    ///
    /// If `index` is not below the number of workers given at birth.
    #[must_use]
    pub fn shard(&self, index: usize) -> Shard {
        self.shards[index].clone()
    }

    /// A registration was applied.
    pub fn registered(&self, component: Component, action: RegistryAction) {
        self.control.registered[component.index()][action as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// An unregistration was applied.
    pub fn unregistered(&self, component: Component) {
        self.control.unregistered[component.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// How long a registration took from the endpoint's change to the table, in milliseconds. Negative when
    /// the sender's clock is ahead.
    pub fn registration_latency_ms(&self, ms: f64) {
        let cells = self.control.registration_latency.lock().unwrap_or_else(PoisonError::into_inner);
        self.layout.registration_latency.observe(&cells, 0, ms);
        if let Some(told) = self.control.registrations_told.get() {
            told.took(ms, Instant::now(), SystemTime::now());
        }
    }

    /// A message on the bus was refused. `reason` is a short snake_case word from a fixed set, never wire text.
    pub fn registration_rejected(&self, reason: &'static str) {
        let mut rejected = self.control.registrations_rejected.lock().unwrap_or_else(PoisonError::into_inner);
        *rejected.entry(reason).or_default() += 1;
    }

    /// `count` endpoints left their routes by unregistration.
    pub fn routes_deleted(&self, count: u64) {
        self.control.routes_deleted.fetch_add(count, Ordering::Relaxed);
    }

    /// `count` endpoints left their routes otherwise.
    pub fn pruned(&self, why: Pruned, count: u64) {
        self.control.pruned[why as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Sets the number of routes in the table.
    pub fn set_total_routes(&self, count: u64) {
        self.control.total_routes.store(count, Ordering::Relaxed);
    }

    /// Sets the age of the table's last change, in milliseconds.
    pub fn set_ms_since_last_registry_update(&self, ms: u64) {
        self.control.ms_since_last_registry_update.store(ms, Ordering::Relaxed);
    }

    /// Sets how many bus messages wait to be read.
    pub fn set_buffered_messages(&self, count: u64) {
        self.control.buffered_messages.store(count, Ordering::Relaxed);
    }

    /// Sets how many bus messages were lost because the queue was full.
    pub fn set_total_dropped_messages(&self, count: u64) {
        self.control.total_dropped_messages.store(count, Ordering::Relaxed);
    }

    /// How often that failed.
    fn routing_api_failures(&self, what: RoutingApiError) -> u64 {
        self.control.routing_api_errors[what as usize].load(Ordering::Relaxed)
    }

    /// Counts a failure of the Routing API.
    pub fn routing_api_failed(&self, what: RoutingApiError) {
        self.control.routing_api_errors[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Sets how many file descriptors the process has open.
    pub fn set_file_descriptors(&self, count: u64) {
        self.control.file_descriptors.store(count, Ordering::Relaxed);
    }

    /// Certificates and authorities were read again, or could not be.
    pub fn reloaded(&self, successfully: bool) {
        self.control.reloads[usize::from(!successfully)].fetch_add(1, Ordering::Relaxed);
    }

    /// A panic was caught outside of the workers.
    pub fn panicked(&self) {
        self.control.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows the log's dropped lines; the first call counts.
    pub fn follow_log(&self, dropped: DropCount) {
        _ = self.control.log_lines_dropped.set(dropped);
    }

    /// Shows the access log's dropped lines; the first call counts.
    pub fn follow_access_log(&self, dropped: impl Iterator<Item = DropCount>) {
        _ = self.control.access_log_dropped.set(dropped.collect());
    }

    /// Shows when these certificates end, each under the key of the configuration that names it. Called again after
    /// they were replaced.
    pub fn set_certificates(&self, ends: Vec<(String, SystemTime)>) {
        *self.control.certificates.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    /// Asks `ask` for what is not counted, at each scrape and from its thread; the first call counts.
    pub fn follow_router(&self, ask: impl Fn() -> Live + Send + Sync + 'static) {
        _ = self.control.live.set(Asked(Box::new(ask)));
    }

    /// Forgets applications that left a while ago.
    pub fn sweep(&self, now: Instant) {
        if let Some(sources) = &self.sources {
            let clear = |shard: &Shard, source| self.layout.http_latency.clear(shard.cells(), source);
            sources.sweep(now, |source| self.shards.iter().for_each(|shard| clear(shard, source)));
        }
    }

    /// Shows the envelopes that did not reach metron, and tells it of registrations if `told` is there; the first call
    /// counts.
    pub fn follow_metron(&self, dropped: impl Iterator<Item = DropCount>, told: Option<Registrations>) {
        _ = self.control.envelopes_dropped.set(dropped.collect());
        if let Some(told) = told {
            _ = self.control.registrations_told.set(told);
        }
    }

    /// Exchanges that are open at this moment, over all workers; what a drain still waits for.
    #[must_use]
    pub fn open_exchanges(&self) -> u64 {
        self.shards.iter().map(|shard| self.layout.exchanges.open(shard.cells())).sum()
    }

    /// The whole page in Prometheus' text format, with [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        exposition::render(self)
    }

    /// Endpoints that left a route because nothing was heard of them (`routes_pruned`).
    fn pruned_for_age(&self) -> u64 {
        [Pruned::Stale, Pruned::Unconfirmed]
            .iter()
            .map(|&why| self.control.pruned[why as usize].load(Ordering::Relaxed))
            .sum()
    }

    fn sum(&self, at: usize) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.cells().read(at)))
    }

    fn sum_f64(&self, at: usize) -> f64 {
        self.shards.iter().map(|shard| shard.cells().read_f64(at)).sum()
    }
}

#[cfg(test)]
mod tests;
