//! The message bus: one NATS connection, what is heard on it, and what the router says about itself.
//!
//! [`link`] owns the connection and knows whether it stands, [`subscriber`] turns messages into changes
//! of the table, [`greeting`] tells components how often to register. Nothing here owns routing state:
//! the table does, and a log of messages replayed into a table gives the same routes.

#[cfg(test)]
pub(crate) mod capture;
pub mod greeting;
pub(crate) mod lines;
pub mod link;
pub mod proofs;
pub mod ring;
pub mod secure;
pub mod state;
pub mod subscriber;
pub mod turns;

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use tokio_util::sync::CancellationToken;

use self::{
    greeting::Greeting,
    link::{Link, LinkClosed},
    ring::Ring,
    subscriber::Subscriber,
};
use crate::{observe::metrics::Metrics, route::moment::Moment};

/// How often the fill of the ring is published as a metric (gorouter.md section 11).
const FILL_EVERY: Duration = Duration::from_secs(5);

/// Where the edges read the time, so that tests can hand in their own.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Listens to registrations and greets, until `until` is cancelled; then applies what was received by
/// then and returns. Everything runs on the caller's task, beside the client library's own.
///
/// # Errors
/// [`LinkClosed`] when the connection ends for good before `until`; what was received is applied first.
pub async fn run(
    link: &Link,
    subscriber: Subscriber,
    greeting: &Greeting,
    metrics: &Metrics,
    clock: &Clock,
    until: CancellationToken,
) -> Result<(), LinkClosed> {
    tracing::info!(target: "subscriber", "subscriber-starting");
    let ring = Ring::default();
    let stop = until.child_token();
    let listening = async {
        let ended = listen(link, &ring, greeting, &stop).await;
        stop.cancel();
        ring.close();
        ended
    };
    let (ended, (), (), ()) = tokio::join!(
        listening,
        subscriber::run(subscriber, &ring, metrics, clock),
        link.watch(stop.clone()),
        publish_fill(link, &ring, metrics, &stop),
    );
    ended
}

/// Subscribes, then greets: components answer the start message with all their registrations.
async fn listen(link: &Link, ring: &Ring, greeting: &Greeting, stop: &CancellationToken) -> Result<(), LinkClosed> {
    let subscribed = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        subscribed = subscribe(link.client()) => subscribed?,
    };
    tracing::info!(target: "subscriber", "subscriber-started");
    let hear = ending(stop, subscriber::take_over(subscribed, ring, stop));
    let greet = ending(stop, greeting::run(link.client(), greeting, link.state(), stop));
    let (heard, greeted) = tokio::join!(hear, greet);
    heard.and(greeted)
}

async fn subscribe(client: &Client) -> Result<async_nats::Subscriber, LinkClosed> {
    let subscribed = client.subscribe(subscriber::SUBJECTS).await.map_err(|_| LinkClosed)?;
    client.flush().await.map_err(|_| LinkClosed)?;
    Ok(subscribed)
}

/// `part`, whose end is the end of all.
async fn ending<T>(stop: &CancellationToken, part: impl Future<Output = T>) -> T {
    let ended = part.await;
    stop.cancel();
    ended
}

async fn publish_fill(link: &Link, ring: &Ring, metrics: &Metrics, stop: &CancellationToken) {
    let mut ticks = tokio::time::interval(FILL_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let fill = ring.fill();
        metrics.set_buffered_messages(fill.buffered as u64);
        metrics.set_total_dropped_messages(fill.dropped + link.overflowed());
    }
}
