//! The numbers of gorouter.md §11 (Prometheus column), and our own under `trueroute_`.
//!
//! [`Metrics`] owns them all. A worker counts through its [`Shard`]: plain stores into memory that no other
//! thread writes, a few nanoseconds each, no lock and no label look-up; [`Metrics::render`] sums the shards. What the
//! control plane counts is rare, and is written by [`Metrics`]' own methods from any thread.
//!
//! A series with a `component` label appears with its first count; every other series is there from the start, at 0.

mod bounds;
mod cells;
mod exposition;
mod folded;
mod layout;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use bounds::{Bounds, Buckets, NotIncreasing};

use self::cells::Cells;
use self::layout::Layout;
use crate::observe::dropsonde::Registrations;
use crate::observe::spool::DropCount;
use crate::route::component::{Component, MAX_COMPONENTS};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Declares an enum whose variants are cells in a row, each with the name under which it is shown.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $shown:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in the metrics page.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $shown,)+ }
            }
        }
    };
}

numbered! {
    /// What a worker counts one by one, without a label.
    Tally {
        /// A failure answered with the general 502 (§6).
        BadGateway => "bad_gateways",
        /// A request refused with 400 or 404 before an endpoint was chosen (§7.3).
        RejectedRequest => "rejected_requests",
        /// Every endpoint of the pool was at its connection limit.
        BackendExhausted => "backend_exhausted_conns",
        /// An endpoint showed a certificate of another name.
        BackendInvalidId => "backend_invalid_id",
        /// An endpoint's certificate is untrusted, expired or otherwise unverifiable.
        BackendInvalidTlsCert => "backend_invalid_tls_cert",
        /// An endpoint does not speak TLS, or refused the handshake.
        BackendTlsHandshakeFailed => "backend_tls_handshake_failed",
        /// A request came with an empty Content-Length.
        EmptyContentLengthHeader => "empty_content_length_header",
        /// A request became a WebSocket tunnel.
        WebsocketUpgrade => "websocket_upgrades",
        /// A WebSocket request did not become a tunnel.
        WebsocketFailure => "websocket_failures",
        /// A connection to an endpoint was established, handshake included.
        UpstreamOpened => "trueroute_upstream_connections_opened_total",
        /// A request went out on a connection that had served another one.
        UpstreamReused => "trueroute_upstream_connections_reused_total",
        /// The gate refused a request that the parser let through.
        GateRefused => "trueroute_gate_refused_total",
        /// A panic was caught at the edge of one exchange.
        Panic => "trueroute_panics_total",
    }
}

numbered! {
    /// Why an attempt was followed by another one.
    Retry {
        /// The TCP connection was refused or failed.
        Dial => "dial",
        /// The TCP connection took too long.
        DialTimeout => "dial_timeout",
        /// The peer does not speak TLS.
        NotTls => "not_tls",
        /// The peer proved another name.
        WrongIdentity => "wrong_identity",
        /// The peer's certificate could not be verified.
        Untrusted => "untrusted",
        /// The peer refused our certificate.
        CertificateRefused => "certificate_refused",
        /// The handshake failed otherwise.
        Handshake => "handshake",
        /// The handshake took too long.
        HandshakeTimeout => "handshake_timeout",
        /// The connection ended before an answer to a request that may be repeated.
        Eof => "eof",
        /// The request had not been written.
        Unsent => "unsent",
    }
}

numbered! {
    /// Why a peer was not given the request although the table named it.
    Prevented {
        /// It proved another name: the address belongs to another instance now.
        WrongIdentity => "wrong_identity",
        /// It could not prove any name to our trust.
        Untrusted => "untrusted",
        /// It does not speak TLS where proof was due.
        NotTls => "not_tls",
    }
}

numbered! {
    /// What a registration did to the table (§4).
    RegistryAction {
        /// A new endpoint.
        Added => "added",
        /// A known address with other facts.
        Updated => "updated",
        /// The same facts again: only its age changed.
        Refreshed => "refreshed",
        /// Ignored: it is older than what the table holds.
        Unmodified => "unmodified",
    }
}

numbered! {
    /// What failed about the Routing API.
    RoutingApiError {
        /// A request for a token.
        Token => "token_fetch",
        /// A request for all routes.
        Fetch => "routes_fetch",
        /// A subscription to events, or the stream of them.
        Events => "subscribe_events",
        /// An entry that is none.
        Entry => "entry",
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    layout: Arc<Layout>,
    shards: Box<[Shard]>,
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
    routes_pruned: AtomicU64,
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
    envelopes_dropped: OnceLock<Vec<DropCount>>,
    registrations_told: OnceLock<Registrations>,
}

impl Metrics {
    /// Metrics for `workers` workers, all zero.
    #[must_use]
    pub fn new(workers: usize, buckets: Buckets) -> Arc<Self> {
        let layout = Arc::new(Layout::new(buckets));
        let shards = (0..workers).map(|_| Shard::new(&layout)).collect();
        let control = Control {
            registered: (0..MAX_COMPONENTS).map(|_| Default::default()).collect(),
            unregistered: (0..MAX_COMPONENTS).map(|_| AtomicU64::default()).collect(),
            registration_latency: Mutex::new(Cells::new(layout.registration_latency.width())),
            registrations_rejected: Mutex::default(),
            routes_pruned: AtomicU64::default(),
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
            envelopes_dropped: OnceLock::new(),
            registrations_told: OnceLock::new(),
        };
        Arc::new(Self { layout, shards, control })
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

    /// `count` endpoints left the table, by age or by failure.
    pub fn routes_pruned(&self, count: u64) {
        self.control.routes_pruned.fetch_add(count, Ordering::Relaxed);
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
        self.sum(self.layout.open_exchanges)
    }

    /// The whole page in Prometheus' text format, with [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        exposition::render(self)
    }

    fn sum(&self, at: usize) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.0.cells.read(at)))
    }

    fn sum_f64(&self, at: usize) -> f64 {
        self.shards.iter().map(|shard| shard.0.cells.read_f64(at)).sum()
    }
}

/// One worker's counters. Clones count on the same memory; they must stay on that worker's thread.
#[derive(Clone, Debug)]
pub struct Shard(Arc<Slab>);

#[derive(Debug)]
struct Slab {
    layout: Arc<Layout>,
    cells: Cells,
}

impl Shard {
    fn new(layout: &Arc<Layout>) -> Self {
        Self(Arc::new(Slab { layout: Arc::clone(layout), cells: Cells::new(layout.len) }))
    }

    /// Counts one.
    #[inline]
    pub fn count(&self, tally: Tally) {
        self.0.cells.add(self.0.layout.tallies + tally as usize, 1);
    }

    /// An attempt at an endpoint of `component` begins (`total_requests`).
    #[inline]
    pub fn attempt(&self, component: Component) {
        self.0.cells.add(self.0.layout.total_requests + component.index(), 1);
    }

    /// A response of `status` was given after an endpoint was chosen (`responses`); anything outside of
    /// 200..=599, and so 101 too, is of the group `xxx`.
    #[inline]
    pub fn response(&self, status: u16) {
        self.0.cells.add(self.0.layout.responses + layout::status_group(status), 1);
    }

    /// From receipt to the end of the response's body (`latency`, `http_latency_seconds`).
    #[inline]
    pub fn latency(&self, component: Component, took: Duration) {
        let Slab { layout, cells } = &*self.0;
        layout.latency.observe(cells, component.index(), took.as_secs_f64() * 1e3);
        layout.http_latency.observe(cells, 0, took.as_secs_f64());
    }

    /// The router's own part of an exchange (`gorouter_time`).
    #[inline]
    pub fn gorouter_time(&self, took: Duration) {
        self.0.layout.gorouter_time.observe(&self.0.cells, 0, took.as_secs_f64());
    }

    /// One look-up in the table (`route_lookup_time`).
    #[inline]
    pub fn route_lookup_time(&self, took: Duration) {
        self.0.layout.route_lookup_time.observe(&self.0.cells, 0, took.as_secs_f64() * 1e9);
    }

    /// An attempt failed and another one follows.
    #[inline]
    pub fn retry(&self, why: Retry) {
        self.0.cells.add(self.0.layout.retries + why as usize, 1);
    }

    /// A peer did not prove to be the instance that the table named, and got no byte of the request.
    #[inline]
    pub fn misroute_prevented(&self, why: Prevented) {
        self.0.cells.add(self.0.layout.prevented + why as usize, 1);
    }

    /// An exchange begins.
    #[inline]
    pub fn exchange_opened(&self) {
        self.0.cells.add(self.0.layout.open_exchanges, 1);
    }

    /// An exchange that was counted as opened ends, on the same worker.
    #[inline]
    pub fn exchange_closed(&self) {
        self.0.cells.add(self.0.layout.open_exchanges, 1_u64.wrapping_neg());
    }
}

#[cfg(test)]
mod tests;
