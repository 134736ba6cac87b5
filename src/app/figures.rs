//! What the metrics page asks the parts of the router at each scrape.

use std::sync::Arc;

use super::{expiry, parts::Parts};
use crate::{
    bus::{Clock, state::BusState},
    config::Config,
    lifecycle::Health,
    observe::metrics::{Live, Snapshot},
    snapshot::keeper::Record,
};

/// Has the page of `parts` show how the router stands.
pub(super) fn follow(parts: &Parts, config: &Config, bus: &Arc<BusState>, snapshot: &Arc<Record>, clock: &Clock) {
    let (table, readiness, leaving) = (Arc::clone(&parts.table), parts.readiness.clone(), parts.leaving.clone());
    let (bus, snapshot, clock) = (Arc::clone(bus), Arc::clone(snapshot), Arc::clone(clock));
    let suspends = config.suspend_pruning_if_nats_unavailable && config.prune_stale_droplets_interval.is_some();
    parts.metrics.set_certificates(expiry::ends(config));
    parts.metrics.follow_router(move || {
        let (totals, standing) = (table.totals(), bus.standing());
        let quiet = clock().since(table.last_update());
        Live {
            routes: totals.routes as u64,
            endpoints: totals.endpoints as u64,
            quiet_ms: u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX),
            bus_connected: standing.lost.is_none(),
            bus_reconnects: standing.recoveries,
            pruning_suspended: suspends && standing.lost.is_some(),
            healthy: readiness.health() == Health::Healthy,
            draining: leaving.is_asked(),
            snapshot: Snapshot { written: snapshot.written(), bytes: snapshot.bytes(), failures: snapshot.failures() },
        }
    });
}
