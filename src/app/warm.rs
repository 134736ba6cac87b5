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

/// Connects, however long it takes; `None` once `until` is cancelled. `in_vain` is cancelled when all servers were tried.
pub(super) async fn connect(
    settings: &LinkSettings,
    clock: &Clock,
    state: &Arc<BusState>,
    in_vain: &CancellationToken,
    until: &CancellationToken,
) -> Option<Link> {
    let mut told = None;
    let tries = async {
        loop {
            match Link::connect(settings, Arc::clone(clock), state).await {
                Ok(link) => return link,
                Err(error) => {
                    in_vain.cancel();
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
/// clear that it does not, because the bus was sought `in_vain`.
pub(super) async fn report_healthy(
    readiness: Readiness,
    bus: Arc<BusState>,
    in_vain: CancellationToken,
    delay: Duration,
    until: CancellationToken,
) {
    let mut changes = bus.changes();
    let filled = async {
        // Servers that say nothing hold up nobody for longer than the table would take to fill.
        let _ = timeout(delay, changes.wait_for(|standing| standing.lost.is_none())).await;
        if bus.standing().lost.is_none() {
            preload(delay).await;
        }
    };
    tokio::select! {
        () = until.cancelled() => return,
        () = filled => {}
        () = in_vain.cancelled() => {}
    }
    readiness.open();
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinHandle, time::Instant};

    use super::*;
    use crate::lifecycle::Health;

    const DELAY: Duration = Duration::from_secs(20);

    fn lost() -> (Arc<BusState>, Readiness, CancellationToken) {
        let bus = Arc::new(BusState::new());
        bus.lose(Moment::from_ms(0));
        (bus, Readiness::new(), CancellationToken::new())
    }

    fn report(bus: &Arc<BusState>, readiness: &Readiness, in_vain: &CancellationToken) -> JoinHandle<()> {
        let stop = CancellationToken::new();
        tokio::spawn(report_healthy(readiness.clone(), Arc::clone(bus), in_vain.clone(), DELAY, stop))
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_bus_health_waits_for_the_table_to_fill() {
        let (bus, readiness, in_vain) = lost();
        let reported = report(&bus, &readiness, &in_vain);
        sleep(DELAY / 2).await;
        bus.recover();
        sleep(DELAY - Duration::from_millis(1)).await;
        assert_eq!(readiness.health(), Health::Initializing);
        reported.await.unwrap();
        assert_eq!(readiness.health(), Health::Healthy);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bus_there_is_nothing_to_wait_for() {
        let (bus, readiness, in_vain) = lost();
        let begun = Instant::now();
        let reported = report(&bus, &readiness, &in_vain);
        sleep(Duration::from_millis(300)).await;
        in_vain.cancel();
        reported.await.unwrap();
        assert_eq!((readiness.health(), begun.elapsed()), (Health::Healthy, Duration::from_millis(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_says_nothing_is_waited_for_no_longer_than_a_table() {
        let (bus, readiness, in_vain) = lost();
        let begun = Instant::now();
        report(&bus, &readiness, &in_vain).await.unwrap();
        assert_eq!((readiness.health(), begun.elapsed()), (Health::Healthy, DELAY));
    }
}
