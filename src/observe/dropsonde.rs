//! What metron hears (gorouter.md sections 9 and 11): figures, exchanges, and copies of the access log for the owners
//! of apps, each an envelope of dropsonde's protocol in a datagram of its own.
//!
//! A worker encodes into a buffer of its own and hands whole batches to one thread that sends them. Nothing waits for
//! metron: batches that find the queue full are dropped and counted. A router that is to tell metron nothing has no
//! [`Sink`], and a request then costs one look at that.

mod copies;
pub mod envelope;
mod event;
mod metron;
mod report;
mod value;

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost::Message;

use self::{copies::Copies, envelope::Envelope, metron::Metron, value::Figure};
pub use self::{
    event::Seen,
    report::{Reporter, Surroundings},
};
use super::{
    access_log::{Entry, Fields},
    spool::{self, DropCount, Spool, Writer},
};
use crate::route::{component::Component, endpoint::Endpoint};

/// Who sends the envelopes.
const ORIGIN: &str = "gorouter";
/// A worker's buffer is handed over once it is longer than this.
const BATCH: usize = 32 * 1024;
/// Bytes that may wait for the sender.
const QUEUE: usize = 16 * 1024 * 1024;

/// What metron is told.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Counters and figures of the process (`enable_envelope_v1_metrics`).
    pub figures: bool,
    /// Times of each request (`per_request_metrics_reporting`).
    pub times: bool,
    /// Each exchange with a client (`send_http_start_stop_server_event`).
    pub exchanges: bool,
    /// Each attempt at an endpoint (`send_http_start_stop_client_event`).
    pub attempts: bool,
    /// A copy of each line of the access log that names an app (`logging.loggregator_enabled`).
    pub logs: bool,
    /// The number of this router among its like (`index`).
    pub index: u64,
    /// For so long after the start nothing is said of how long registrations take
    /// (`route_latency_metric_muzzle_duration`).
    pub muzzle: Duration,
}

/// The way to metron. Dropping it sends what was handed over and ends its thread.
#[derive(Debug)]
pub struct Dropsonde {
    spool: Spool,
    writer: Writer,
    unsent: DropCount,
    wishes: Wishes,
    fields: Fields,
}

impl Dropsonde {
    /// Sends to `address`, `host:port`, what `wishes` says. Copies of the access log show what `fields` says.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(address: &str, wishes: Wishes, fields: Fields) -> io::Result<Self> {
        let unsent = DropCount::default();
        let lost = |envelopes, _: &mut Metron| {
            tracing::warn!(target: "metricsreporter", envelopes, "envelopes-dropped");
        };
        let (spool, writer) = spool::start("metron", QUEUE, Metron::new(address.to_owned(), unsent.clone()), lost)?;
        Ok(Self { spool, writer, unsent, wishes, fields })
    }

    /// A sink for one worker.
    #[must_use]
    pub fn sink(&self) -> Sink {
        let Wishes { figures, times, exchanges, attempts, logs, index, .. } = self.wishes;
        let batch = Batch { bytes: Vec::new(), envelopes: 0, spool: self.spool.clone(), latencies: Vec::new() };
        Sink {
            batch: Mutex::new(batch),
            figures: (figures && times).then(Figures::default),
            exchanges: figures && exchanges,
            attempts: figures && attempts,
            copies: logs.then(|| Mutex::new(Copies::new(&self.fields, index))),
        }
    }

    /// What tells metron the figures of the process, if that is wished.
    #[must_use]
    pub fn reporter(&self) -> Option<Reporter> {
        self.wishes.figures.then(|| Reporter::new(self.spool.clone()))
    }

    /// What tells metron how long registrations take, if that is wished.
    #[must_use]
    pub fn registrations(&self, now: std::time::Instant) -> Option<Registrations> {
        self.wishes.figures.then(|| Registrations {
            figure: Figure::new("route_registration_latency", "ms"),
            muzzled_until: now + self.wishes.muzzle,
            spool: self.spool.clone(),
        })
    }

    /// Waits until what was handed over is sent; false if that took longer than `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        self.writer.flush(patience)
    }

    /// The envelopes lost so far: for want of room, and for want of somebody who takes them.
    pub fn dropped(&self) -> impl Iterator<Item = DropCount> {
        [self.spool.dropped(), self.unsent.clone()].into_iter()
    }
}

/// One worker's way to metron.
#[derive(Debug)]
pub struct Sink {
    /// Never contended, since one worker uses it; it is what makes the sink `Sync` inside of a task.
    batch: Mutex<Batch>,
    figures: Option<Figures>,
    exchanges: bool,
    attempts: bool,
    copies: Option<Mutex<Copies>>,
}

/// The figures that each request brings.
#[derive(Debug)]
struct Figures {
    latency: Figure,
    router_time: Figure,
    lookup: Figure,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            latency: Figure::new("latency", "ms"),
            router_time: Figure::new("gorouter_time", "ms"),
            lookup: Figure::new("route_lookup_time", "ns"),
        }
    }
}

#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    envelopes: u64,
    spool: Spool,
    /// By component, made when one is first seen.
    latencies: Vec<Option<Figure>>,
}

impl Sink {
    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether attempts are to be told.
    #[must_use]
    pub fn tells_attempts(&self) -> bool {
        self.attempts
    }

    /// Whether exchanges with clients are to be told.
    #[must_use]
    pub fn tells_exchanges(&self) -> bool {
        self.exchanges
    }

    /// Whether lines of the access log are to be copied.
    #[must_use]
    pub fn copies_lines(&self) -> bool {
        self.copies.is_some()
    }

    /// A look-up in the table took so long, until `now`.
    pub fn lookup(&self, took: Duration, now: SystemTime) {
        let Some(figures) = &self.figures else { return };
        self.batch().put(|out| figures.lookup.write(took.as_secs_f64() * 1e9, nanoseconds(now), out));
    }

    /// A request to an endpoint of `component` took so long until `now`, of which the router had so much.
    pub fn times(&self, component: Component, took: Duration, router_time: Duration, now: SystemTime) {
        let Some(figures) = &self.figures else { return };
        let (now, ms) = (nanoseconds(now), took.as_secs_f64() * 1e3);
        let mut batch = self.batch();
        batch.put(|out| figures.latency.write(ms, now, out));
        batch.put(|out| figures.router_time.write(router_time.as_secs_f64() * 1e3, now, out));
        if component != Component::NONE {
            batch.latency(component, ms, now);
        }
    }

    /// Tells what one end of an exchange has seen.
    pub fn event(&self, seen: &Seen<'_>) {
        if let Some(envelope) = seen.envelope() {
            self.batch().put(|out| encode(&envelope, out));
        }
    }

    /// Copies the line for `entry` to the log of the app behind `endpoint`.
    pub fn copy(&self, entry: &Entry<'_>, endpoint: &Endpoint, now: SystemTime) {
        let Some(copies) = &self.copies else { return };
        if endpoint.app_id().is_empty() {
            return;
        }
        let envelope = copies.lock().unwrap_or_else(PoisonError::into_inner).envelope(entry, endpoint, now);
        self.batch().put(|out| encode(&envelope, out));
    }

    /// Hands what is buffered to the sender. Never waits.
    pub fn flush(&self) {
        self.batch().hand_over();
    }
}

impl Batch {
    fn put(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        metron::frame(&mut self.bytes, encode);
        self.envelopes += 1;
        if self.bytes.len() > BATCH {
            self.hand_over();
        }
    }

    /// Puts the latency of one component. Its name is looked up once.
    fn latency(&mut self, component: Component, ms: f64, now: i64) {
        let at = component.index();
        if self.latencies.len() <= at {
            self.latencies.resize(at + 1, None);
        }
        if self.latencies[at].is_none() {
            let name = Component::all().get(at).map(ToString::to_string).unwrap_or_default();
            self.latencies[at] = Some(Figure::new(&format!("latency.{name}"), "ms"));
        }
        let Some(figure) = self.latencies[at].take() else { return };
        self.put(|out| figure.write(ms, now, out));
        self.latencies[at] = Some(figure);
    }

    fn hand_over(&mut self) {
        if self.envelopes > 0 {
            self.spool.push(&self.bytes, self.envelopes);
            self.bytes.clear();
            self.envelopes = 0;
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Tells how long registrations take from the platform to the table.
#[derive(Debug)]
pub struct Registrations {
    figure: Figure,
    /// What a router hears first is old, and says nothing about how long it takes.
    muzzled_until: std::time::Instant,
    spool: Spool,
}

impl Registrations {
    /// One took so many milliseconds, until now.
    pub fn took(&self, ms: f64, now: std::time::Instant, at: SystemTime) {
        if now >= self.muzzled_until {
            let mut bytes = Vec::new();
            metron::frame(&mut bytes, |out| self.figure.write(ms, nanoseconds(at), out));
            self.spool.push(&bytes, 1);
        }
    }
}

fn encode(envelope: &Envelope, out: &mut Vec<u8>) {
    // A vector takes whatever it is given.
    let _ = envelope.encode(out);
}

/// Nanoseconds since the epoch.
fn nanoseconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The tags of an endpoint as they go into an envelope.
fn tags(endpoint: &Endpoint) -> BTreeMap<String, String> {
    let tags = endpoint.tags().into_iter().flatten();
    tags.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The beginning of `text` in at most `most` bytes.
fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests;
