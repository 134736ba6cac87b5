//! The clock of the table: at every tick, what is stale leaves.
//!
//! Owns nothing but the memory of the last outage. Promises: while the bus is down and suspension is
//! wanted, nothing is pruned for its age; the first tick after the bus is back counts every endpoint as
//! just seen, also when the outage fell between two ticks.
//!
//! Source: gorouter.md section 4 (prune tick).

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{Clock, lines, state::BusState},
    observe::metrics::{self, Metrics},
    route::moment::Moment,
    table::{Pruned, Source, Table},
};

/// Prunes a table.
#[derive(Debug)]
pub struct Pruner {
    table: Arc<Table>,
    bus: Arc<BusState>,
    suspend: bool,
    /// Recoveries of the bus that the table has been told of.
    told: u64,
}

impl Pruner {
    /// A pruner for `table`, which the registrations on `bus` keep fresh. `suspend` is whether it rests
    /// while the bus is down (`suspend_pruning_if_nats_unavailable`).
    #[must_use]
    pub fn new(table: Arc<Table>, bus: Arc<BusState>, suspend: bool) -> Self {
        let told = bus.standing().recoveries;
        Self { table, bus, suspend, told }
    }

    /// One prune at `now`, with its log lines and metrics.
    pub fn tick(&mut self, now: Moment, metrics: &Metrics) -> Vec<Pruned> {
        let source = self.source();
        if source == Source::Lost {
            tracing::info!(target: "registry", "prune-suspended");
        } else {
            tracing::debug!(target: "registry", "start-pruning-routes");
        }
        let pruned = self.table.prune(now, source);
        let mut endpoints = 0;
        for route in &pruned {
            endpoints += route.endpoints.len() as u64;
            lines::pruned(route);
        }
        if source != Source::Lost {
            tracing::debug!(target: "registry", "finished-pruning-routes");
        }
        metrics.pruned(metrics::Pruned::Stale, endpoints);
        metrics.set_total_routes(self.table.totals().routes as u64);
        let quiet = now.since(self.table.last_update()).as_millis();
        metrics.set_ms_since_last_registry_update(u64::try_from(quiet).unwrap_or(u64::MAX));
        pruned
    }

    /// Ticks every `every` (`prune_stale_droplets_interval`) until `until` is cancelled; with a zero interval only waits for that.
    pub async fn run(mut self, every: Duration, metrics: &Metrics, clock: &Clock, until: CancellationToken) {
        if every.is_zero() {
            return until.cancelled().await;
        }
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = until.cancelled() => return,
                _ = ticks.tick() => self.tick(clock(), metrics),
            };
        }
    }

    /// Waits until the bus has stood for `grace` without a break, and then forgets what a former process knew and
    /// nobody has confirmed: an instance that lives has registered by then.
    pub async fn forget_unconfirmed(self, grace: Duration, metrics: &Metrics, clock: &Clock, until: CancellationToken) {
        let mut changes = self.bus.changes();
        let stood = async {
            loop {
                if changes.wait_for(|standing| standing.lost.is_none()).await.is_err() {
                    return;
                }
                let lost = changes.wait_for(|standing| standing.lost.is_some());
                if timeout(grace, lost).await.is_err() {
                    return;
                }
            }
        };
        if until.run_until_cancelled(stood).await.is_none() {
            return;
        }
        for route in self.table.forget_unconfirmed(clock()) {
            metrics.pruned(metrics::Pruned::Unconfirmed, route.endpoints.len() as u64);
            lines::pruned(&route);
        }
    }

    fn source(&mut self) -> Source {
        if !self.suspend {
            return Source::Live;
        }
        let standing = self.bus.standing();
        if standing.lost.is_some() {
            return Source::Lost;
        }
        if standing.recoveries == self.told {
            return Source::Live;
        }
        self.told = standing.recoveries;
        Source::Recovered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::{
            capture::Capture,
            subscriber::{Policy, REGISTER, Subscriber},
        },
        table::{Settings, Sharding},
    };

    const STALE: Duration = Duration::from_secs(120);

    struct Stage {
        table: Arc<Table>,
        bus: Arc<BusState>,
        metrics: Arc<Metrics>,
    }

    /// A table with one plain endpoint, registered at the origin.
    fn stage() -> Stage {
        let settings = Settings {
            stale_threshold: STALE,
            empty_pool_grace: Duration::ZERO,
            sharding: Sharding::All,
            balancing: crate::route::balancing::Algorithm::RoundRobin,
        };
        let table = Arc::new(Table::new(settings));
        let mut subscriber = Subscriber::new(Arc::clone(&table), Policy::default());
        let payload = br#"{"host":"10.0.0.1","port":8080,"uris":["a.example"]}"#;
        subscriber.apply(REGISTER, payload, Moment::default());
        Stage { table, bus: Arc::default(), metrics: Metrics::new(0, Default::default()) }
    }

    impl Stage {
        fn pruner(&self, suspend: bool) -> Pruner {
            Pruner::new(Arc::clone(&self.table), Arc::clone(&self.bus), suspend)
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_stale_is_pruned_and_told() {
        let stage = stage();
        let mut pruner = stage.pruner(true);
        assert!(pruner.tick(at(119), &stage.metrics).is_empty());
        let capture = Capture::start();
        assert_eq!(pruner.tick(at(121), &stage.metrics).len(), 1);
        let lines = capture.lines();
        let messages: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, ["start-pruning-routes", "pruned-route", "finished-pruning-routes"]);
        let expected = serde_json::json!({
            "uri": "a.example", "endpoints": ["10.0.0.1:8080"], "isolation_segment": "-",
        });
        assert_eq!(lines[1].data, expected);
        let page = stage.metrics.render();
        for figure in ["routes_pruned 1\n", "total_routes 0\n", "ms_since_last_registry_update 121000\n"] {
            assert!(page.contains(figure), "{figure} in {page}");
        }
    }

    #[test]
    fn an_outage_suspends_and_the_first_tick_after_it_refreshes() {
        let stage = stage();
        let mut pruner = stage.pruner(true);
        stage.bus.lose(at(10));
        let capture = Capture::start();
        assert!(pruner.tick(at(500), &stage.metrics).is_empty());
        assert_eq!(capture.heads(), ["INFO registry: prune-suspended"]);
        stage.bus.recover();
        assert!(pruner.tick(at(530), &stage.metrics).is_empty());
        assert!(pruner.tick(at(649), &stage.metrics).is_empty());
        assert_eq!(pruner.tick(at(651), &stage.metrics).len(), 1);
    }

    #[test]
    fn an_outage_between_two_ticks_refreshes_too() {
        let stage = stage();
        let mut pruner = stage.pruner(true);
        stage.bus.lose(at(10));
        stage.bus.recover();
        assert!(pruner.tick(at(500), &stage.metrics).is_empty());
    }

    #[test]
    fn without_suspension_an_outage_changes_nothing() {
        let stage = stage();
        let mut pruner = stage.pruner(false);
        stage.bus.lose(at(10));
        assert_eq!(pruner.tick(at(121), &stage.metrics).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_ticks_on_time_and_stops() {
        let stage = stage();
        let origin = Instant::now();
        let clock: Clock = Arc::new(move || Moment::default().after(origin.elapsed()));
        let until = CancellationToken::new();
        let pruner = stage.pruner(true);
        let run = pruner.run(Duration::from_secs(30), &stage.metrics, &clock, until.clone());
        let watch = async {
            tokio::time::sleep(Duration::from_secs(119)).await;
            assert_eq!(stage.table.totals().endpoints, 1);
            tokio::time::sleep(Duration::from_secs(32)).await;
            assert_eq!(stage.table.totals().endpoints, 0);
            until.cancel();
        };
        tokio::join!(run, watch);
    }

    #[tokio::test(start_paused = true)]
    async fn a_zero_interval_never_prunes() {
        let stage = stage();
        let clock: Clock = Arc::new(|| at(10_000));
        let until = CancellationToken::new();
        let run = stage.pruner(true).run(Duration::ZERO, &stage.metrics, &clock, until.clone());
        let watch = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            until.cancel();
        };
        tokio::join!(run, watch);
        assert_eq!(stage.table.totals().endpoints, 1);
    }
}
