//! The figures of the process, told in rounds.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use super::{
    ORIGIN, encode,
    envelope::{CounterEvent, Envelope, EventType, ValueMetric},
    metron, nanoseconds,
};
use crate::observe::{metrics::Metrics, spool::Spool};

/// Seconds between two rounds of counters and of what the process holds.
const COUNTERS_EVERY: u64 = 5;
/// Seconds between two rounds of what the machine gives it.
const SURROUNDINGS_EVERY: u64 = 10;

/// What the machine gives the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Processors.
    pub processors: usize,
    /// Bytes of memory that are the process' own.
    pub memory: u64,
}

/// Tells metron the figures. Whoever has it calls [`Reporter::tick`] once a second.
#[derive(Debug)]
pub struct Reporter {
    spool: Spool,
    seconds: u64,
    /// What was told of each counter.
    told: HashMap<String, u64>,
}

impl Reporter {
    pub(super) fn new(spool: Spool) -> Self {
        Self { spool, seconds: 0, told: HashMap::new() }
    }

    /// Another second has passed since the start of the process, which is so old at `now`.
    pub fn tick(
        &mut self,
        metrics: &Metrics,
        surroundings: impl FnOnce() -> Surroundings,
        age: Duration,
        now: SystemTime,
    ) {
        self.seconds += 1;
        let mut round = Round { bytes: Vec::new(), envelopes: 0, now: nanoseconds(now) };
        round.value("uptime", age.as_secs() as f64, "seconds");
        if self.seconds.is_multiple_of(COUNTERS_EVERY) {
            metrics.each_counter(|name, total| {
                let told = self.told.entry(name.to_owned()).or_default();
                round.counter(name, total.saturating_sub(*told));
                *told = total;
            });
            metrics.each_gauge(|name, value, unit| round.value(name, value, unit));
        }
        if self.seconds.is_multiple_of(SURROUNDINGS_EVERY) {
            let Surroundings { processors, memory } = surroundings();
            round.value("numCPUS", processors as f64, "count");
            round.value("memoryStats.numBytesAllocated", memory as f64, "count");
        }
        self.spool.push(&round.bytes, round.envelopes);
    }
}

/// Envelopes of one moment.
struct Round {
    bytes: Vec<u8>,
    envelopes: u64,
    now: i64,
}

impl Round {
    fn value(&mut self, name: &str, value: f64, unit: &str) {
        let value_metric = ValueMetric { name: name.to_owned(), value, unit: unit.to_owned() };
        self.put(EventType::ValueMetric, Envelope { value_metric: Some(value_metric), ..Envelope::default() });
    }

    fn counter(&mut self, name: &str, delta: u64) {
        let counter_event = CounterEvent { name: name.to_owned(), delta, total: None };
        self.put(EventType::CounterEvent, Envelope { counter_event: Some(counter_event), ..Envelope::default() });
    }

    fn put(&mut self, event_type: EventType, envelope: Envelope) {
        let envelope = Envelope {
            origin: ORIGIN.to_owned(),
            event_type: event_type.into(),
            timestamp: Some(self.now),
            ..envelope
        };
        metron::frame(&mut self.bytes, |out| encode(&envelope, out));
        self.envelopes += 1;
    }
}
