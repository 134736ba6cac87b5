//! The warm start: what a former process knew is served before the bus answers.

use std::{convert::Infallible, sync::Arc};

use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{
        Clock,
        link::{Link, LinkSettings},
        state::BusState,
        subscriber::Subscriber,
    },
    lifecycle::Readiness,
    route::moment::Moment,
    snapshot::Snapshot,
};

/// Between two rounds of tries to reach the bus, while the routes of a former process are served.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the load balancer is kept waiting to learn whether there is a bus.
const BUS_PATIENCE: Duration = Duration::from_millis(500);

/// Puts what `snapshot` holds into the table of `subscriber`; returns how many endpoints of routes there are now. A
/// file that cannot be used is told and ignored.
pub(super) fn restore(snapshot: &Snapshot, subscriber: &mut Subscriber, now: Moment) -> usize {
    let file = snapshot.path().display();
    let loaded = match snapshot.load() {
        Ok(Some(loaded)) => loaded,
        Ok(None) => {
            tracing::info!(target: "registry", %file, "no-snapshot-yet");
            return 0;
        }
        Err(error) => {
            tracing::warn!(target: "registry", %error, "snapshot-not-loaded");
            return 0;
        }
    };
    let restored = loaded.messages().map(|message| subscriber.restore(message, now)).sum();
    tracing::info!(target: "registry", %file, endpoints = restored, "snapshot-loaded");
    restored
}

/// Connects, however long it takes; `None` once `until` is cancelled.
pub(super) async fn connect(
    settings: &LinkSettings,
    clock: &Clock,
    state: &Arc<BusState>,
    until: &CancellationToken,
) -> Option<Link> {
    let mut told = None;
    let tries = async {
        loop {
            match Link::connect(settings, Arc::clone(clock), state).await {
                Ok(link) => return link,
                Err(error) => {
                    let error = error.to_string();
                    if told.as_ref() != Some(&error) {
                        tracing::error!(target: "nats", error, "nats-connection-error");
                        told = Some(error);
                    }
                }
            }
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = until.cancelled() => None,
        link = tries => Some(link),
        never = remind(settings.reminders()) => match never {},
    }
}

async fn remind(every: Duration) -> Infallible {
    loop {
        sleep(every).await;
        tracing::info!(target: "nats", "nats-connection-still-disconnected");
    }
}

/// Waits for the table to fill.
pub(super) async fn preload(delay: Duration) {
    tracing::debug!(
        target: "router",
        sleep_time_seconds = delay.as_secs_f64(),
        "Sleeping before returning success on /health endpoint to preload routing table"
    );
    sleep(delay).await;
}

/// Reports a router healthy that serves what a former process knew: once the table has filled, or as soon as it is
/// clear that it does not, because the bus is away.
pub(super) async fn report_healthy(
    readiness: Readiness,
    bus: Arc<BusState>,
    delay: Duration,
    until: CancellationToken,
) {
    let mut changes = bus.changes();
    let there = timeout(BUS_PATIENCE, changes.wait_for(|standing| standing.lost.is_none())).await.is_ok();
    if there && until.run_until_cancelled(preload(delay)).await.is_none() {
        return;
    }
    readiness.open();
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::lifecycle::Health;

    fn report(bus: &Arc<BusState>, readiness: &Readiness) -> tokio::task::JoinHandle<()> {
        let stop = CancellationToken::new();
        tokio::spawn(report_healthy(readiness.clone(), Arc::clone(bus), Duration::from_secs(20), stop))
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_bus_health_waits_for_the_table_to_fill() {
        let (bus, readiness) = (Arc::new(BusState::new()), Readiness::new());
        bus.lose(Moment::from_ms(0));
        let reported = report(&bus, &readiness);
        sleep(BUS_PATIENCE / 2).await;
        bus.recover();
        sleep(Duration::from_secs(19)).await;
        assert_eq!(readiness.health(), Health::Initializing);
        reported.await.unwrap();
        assert_eq!(readiness.health(), Health::Healthy);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bus_there_is_nothing_to_wait_for() {
        let (bus, readiness) = (Arc::new(BusState::new()), Readiness::new());
        bus.lose(Moment::from_ms(0));
        let begun = Instant::now();
        report(&bus, &readiness).await.unwrap();
        assert_eq!((readiness.health(), begun.elapsed()), (Health::Healthy, BUS_PATIENCE));
    }
}
