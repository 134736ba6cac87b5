//! The warm start: what a former process knew is served before the bus answers.

use std::sync::Arc;

use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{
        Clock,
        link::{Link, LinkSettings},
        state::BusState,
        subscriber::Subscriber,
    },
    route::moment::Moment,
    snapshot::Snapshot,
};

/// Between two rounds of tries to reach the bus, while the routes of a former process are served.
const PAUSE: Duration = Duration::from_secs(1);

/// Puts what `snapshot` holds into the table of `subscriber`; returns how many endpoints of routes there are now. A
/// file that cannot be used is told and ignored.
pub(super) fn restore(snapshot: &Snapshot, subscriber: &mut Subscriber, now: Moment) -> usize {
    let messages = match snapshot.load() {
        Ok(messages) => messages,
        Err(error) => {
            tracing::warn!(target: "registry", %error, "snapshot-not-loaded");
            return 0;
        }
    };
    let restored = messages.iter().map(|message| subscriber.restore(message, now)).sum();
    tracing::info!(target: "registry", file = %snapshot.path().display(), endpoints = restored, "snapshot-loaded");
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
    until.run_until_cancelled(tries).await
}
