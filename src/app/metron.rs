//! The way to metron, from the configuration to its end.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{StartError, translate};
use crate::{
    config::Config,
    observe::{
        dropsonde::{Dropsonde, Reporter, Surroundings, Wishes},
        metrics::Metrics,
    },
};

/// What the configuration wants metron to be told.
fn wishes(config: &Config) -> Wishes {
    Wishes {
        figures: config.tells_metron(),
        times: config.per_request_metrics_reporting,
        exchanges: config.send_http_start_stop_server_event,
        attempts: config.send_http_start_stop_client_event,
        logs: config.logging.loggregator_enabled,
        index: config.index,
        muzzle: config.route_latency_metric_muzzle_duration,
    }
}

/// What keeps it from being opened, as far as that shows in the configuration.
///
/// # Errors
/// Something is to be told, and there is no address to tell it to.
pub(super) fn check(config: &Config) -> Result<(), StartError> {
    let wishes = wishes(config);
    if (wishes.figures || wishes.logs) && config.metron().is_empty() {
        return Err(StartError::MetronAddress);
    }
    Ok(())
}

/// Opens the way to metron, if it is to be told anything, and shows in `metrics` what is lost on it.
///
/// # Errors
/// As [`check`], and the system gives no thread.
pub(super) fn open(config: &Config, metrics: &Metrics) -> Result<Option<Dropsonde>, StartError> {
    check(config)?;
    let wishes = wishes(config);
    if !wishes.figures && !wishes.logs {
        return Ok(None);
    }
    let dropsonde = Dropsonde::start(config.metron(), wishes, translate::access_log_fields(config))
        .map_err(StartError::Dropsonde)?;
    metrics.follow_metron(dropsonde.dropped(), dropsonde.registrations(Instant::now()));
    Ok(Some(dropsonde))
}

/// Tells metron the figures once a second, until `stop`.
pub(super) async fn report(mut reporter: Reporter, metrics: Arc<Metrics>, origin: Instant, stop: CancellationToken) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once.
    seconds.tick().await;
    while stop.run_until_cancelled(seconds.tick()).await.is_some() {
        reporter.tick(&metrics, surroundings, origin.elapsed(), SystemTime::now());
    }
}

fn surroundings() -> Surroundings {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Surroundings { processors, memory: own_memory().unwrap_or_default() }
}

/// Bytes that this process alone has in memory; none where the system does not tell.
fn own_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
