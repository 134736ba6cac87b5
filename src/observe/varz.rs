//! The page `/varz`: who the router is and what it did, in the fields that monitoring of old reads (gorouter.md §10).
//!
//! Nothing here is counted for the page but requests per app, and those only where the page is wanted: the rest are the
//! sums of [`Metrics`], looked at every few seconds and whenever the page is asked for.

mod busiest;
mod component;
mod latency;
mod rates;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

pub use self::{
    busiest::{AppCounts, Busiest, Busy, MOST_APPS},
    component::Component,
    latency::Latency,
    rates::Rates,
};
use super::metrics::{Counted, Metrics, STATUS_GROUPS};

/// How often the sums are to be looked at while nobody asks.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What others know of the router at the moment of the page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// Routes in the table.
    pub urls: usize,
    /// Endpoints in the table, each address once.
    pub droplets: usize,
    /// Since the table last changed.
    pub quiet: Duration,
    /// Processors that the process may use.
    pub cores: usize,
    /// Memory of the process in KiB.
    pub memory: u64,
    /// Time that the process was at work on any processor.
    pub busy: Duration,
}

/// The figures of one router.
pub struct Varz {
    component: Component,
    metrics: Arc<Metrics>,
    seen: Mutex<Seen>,
}

struct Seen {
    counted: Counted,
    all: Series,
    components: HashMap<Box<str>, Series>,
    busiest: Busiest,
}

/// What is kept of one counter and one histogram between two looks.
struct Series {
    rates: Rates,
    latency: Latency,
}

impl Series {
    fn new(now: Instant) -> Self {
        Self { rates: Rates::new(0, now), latency: Latency::new(now) }
    }
}

impl Varz {
    /// Of `component`, whose workers count requests per app in `apps`.
    #[must_use]
    pub fn new(component: Component, metrics: Arc<Metrics>, apps: Vec<AppCounts>) -> Self {
        let began = component.began;
        let seen = Seen {
            counted: Counted::default(),
            all: Series::new(began),
            components: HashMap::new(),
            busiest: Busiest::new(apps),
        };
        Self { component, metrics, seen: Mutex::new(seen) }
    }

    /// Takes in what was counted until now.
    pub fn look(&self, now: Instant) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).look(
            self.metrics.counted(),
            now,
            self.component.began,
        );
    }

    /// The page as JSON, with the credentials: for those who have shown them.
    #[must_use]
    pub fn page(&self, now: Instant, around: &Surroundings) -> String {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.look(self.metrics.counted(), now, self.component.began);
        let mut page = self.component.shown(now);
        let uptime = self.component.uptime(now).as_secs_f64();
        let processors = if uptime > 0. { around.busy.as_secs_f64() / uptime } else { 0. };
        let fields = [
            ("num_cores", json!(around.cores)),
            ("mem", json!(around.memory)),
            ("cpu", json!(100. * processors)),
            // Lines are not counted by their level.
            ("log_counts", json!({})),
            ("urls", json!(around.urls)),
            ("droplets", json!(around.droplets)),
            ("ms_since_last_registry_update", json!(around.quiet.as_millis())),
        ];
        for (name, value) in
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(seen.shown(&self.metrics))
        {
            page[name] = value;
        }
        page.to_string()
    }
}

impl Seen {
    fn look(&mut self, counted: Counted, now: Instant, began: Instant) {
        self.all.rates.look(counted.requests, now);
        self.all.latency.look(counted.latency.clone(), now);
        for of in &counted.components {
            let series = self.components.entry(of.name.clone()).or_insert_with(|| Series::new(began));
            series.rates.look(of.requests, now);
            series.latency.look(of.latency.clone(), now);
        }
        self.busiest.look(now);
        self.counted = counted;
    }

    fn shown(&self, metrics: &Metrics) -> Map<String, Value> {
        let (counted, bounds) = (&self.counted, metrics.latency_bounds());
        let shown = |requests: u64, series: &Series| {
            let mut shown = Map::new();
            shown.insert("requests".into(), requests.into());
            shown.insert("rate".into(), json!(series.rates.per_second()));
            shown.insert("latency".into(), series.latency.shown(bounds));
            shown
        };
        let mut all = shown(counted.requests, &self.all);
        for (group, count) in STATUS_GROUPS.iter().zip(counted.responses) {
            all.insert(format!("responses_{group}"), count.into());
        }
        all.insert("bad_requests".into(), counted.bad_requests.into());
        all.insert("bad_gateways".into(), counted.bad_gateways.into());
        let [lately, ..] = self.all.rates.per_second();
        all.insert("requests_per_sec".into(), json!(whole(lately)));
        all.insert("top10_app_requests".into(), json!(self.busiest.apps()));
        let of = counted.components.iter().filter_map(|of| {
            let series = self.components.get(&of.name)?;
            Some((of.name.clone().into(), Value::Object(shown(of.requests, series))))
        });
        all.insert("tags".into(), json!({"component": of.collect::<Map<String, Value>>()}));
        all
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay exact up to 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and far below 2^64"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests;
