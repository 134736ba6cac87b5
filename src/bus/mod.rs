//! The message bus: one NATS connection, what is heard on it, and what the router says about itself.
//!
//! [`link`] owns the connection and knows whether it stands, [`subscriber`] turns messages into changes
//! of the table, [`greeting`] tells components how often to register, [`healing`] asks for what a flood made the
//! router drop, [`active_apps`] tells which apps were used. Nothing here owns routing state: the table does, and a
//! log of messages replayed into a table gives the same routes.

pub mod active_apps;
#[cfg(test)]
pub(crate) mod capture;
pub mod component;
pub mod greeting;
pub mod healing;
mod lame_duck;
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
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    active_apps::ActiveApps,
    greeting::Greeting,
    healing::Healing,
    link::{Link, LinkClosed},
    ring::{Fill, Ring},
    subscriber::Subscriber,
};
use crate::{observe::metrics::Metrics, route::moment::Moment};

/// Where the edges read the time, so that tests can hand in their own.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// What the router does on the bus.
pub struct Role {
    /// Applies what is heard.
    pub subscriber: Subscriber,
    /// What the router says about itself.
    pub greeting: Greeting,
    /// Holds what was heard and is not applied yet.
    pub ring: Ring,
    /// Tells which apps were used; `None` where nobody wants to know.
    pub active_apps: Option<ActiveApps>,
}

/// Listens to registrations and greets, until `until` is cancelled; then applies what was received by
/// then and returns. Everything runs on the caller's task, beside the client library's own.
///
/// # Errors
/// [`LinkClosed`] when the connection ends for good before `until`; what was received is applied first.
pub async fn run(
    link: &Link,
    role: Role,
    metrics: &Metrics,
    clock: &Clock,
    until: CancellationToken,
) -> Result<(), LinkClosed> {
    tracing::info!(target: "subscriber", "subscriber-starting");
    let Role { subscriber, greeting, ring, active_apps } = role;
    let (stop, again) = (until.child_token(), Notify::new());
    let listening = async {
        let ended = listen(link, &ring, &greeting, &again, &stop).await;
        stop.cancel();
        ring.close();
        ended
    };
    let active = async {
        if let Some(apps) = active_apps {
            stop.run_until_cancelled(apps.publish(link)).await;
        }
    };
    let (ended, (), (), _, _, ()) = tokio::join!(
        listening,
        subscriber::run(subscriber, &ring, metrics, clock),
        link.watch(stop.clone()),
        stop.run_until_cancelled(link.leave_lame_ducks()),
        stop.run_until_cancelled(heal(link, &ring, metrics, &again)),
        active,
    );
    ended
}

/// Subscribes, then greets: components answer the start message with all their registrations.
async fn listen(
    link: &Link,
    ring: &Ring,
    greeting: &Greeting,
    again: &Notify,
    stop: &CancellationToken,
) -> Result<(), LinkClosed> {
    let subscribed = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        subscribed = subscribe(link.client()) => subscribed?,
    };
    tracing::info!(target: "subscriber", "subscriber-started");
    let hear = ending(stop, subscriber::take_over(subscribed, ring, stop));
    let greet = ending(stop, greeting::run(link.client(), greeting, link.state(), again, stop));
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

/// Publishes the fill of the ring as a metric, says what was dropped, and has everything sent again.
async fn heal(link: &Link, ring: &Ring, metrics: &Metrics, again: &Notify) {
    let own_wait = Duration::from_millis(fastrand::u64(..healing::SPREAD.as_millis() as u64));
    let mut healing = Healing::new(own_wait);
    let mut ticks = tokio::time::interval(healing::LOOK_EVERY);
    loop {
        ticks.tick().await;
        let Fill { buffered, dropped } = ring.fill();
        let total = dropped + link.overflowed();
        metrics.set_buffered_messages(buffered as u64);
        metrics.set_total_dropped_messages(total);
        let found = healing.look(total, Instant::now());
        if found.fresh > 0 {
            tracing::warn!(target: "subscriber", dropped = found.fresh, total, "messages-dropped");
        }
        if found.ask {
            tracing::info!(target: "subscriber", "asking-for-all-routes-again");
            again.notify_one();
        }
    }
}
