//! What the router tells components about itself: how often to register, and when routes are stale.
//!
//! Promises: `router.start` is published once when the subscriber starts, once after each reconnect, and when
//! messages were lost that have to be sent again; never otherwise. Every `router.greet` that asks for a reply gets the same message.
//!
//! Source: gorouter.md section 3.

use std::{net::IpAddr, time::Duration};

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{link::LinkClosed, state::BusState};

/// Published to tell that a router is new, or back.
pub const START: &str = "router.start";
/// Asked by components that start.
pub const GREET: &str = "router.greet";

/// The start message.
#[derive(Clone, Debug, Serialize)]
pub struct Greeting {
    id: String,
    hosts: [IpAddr; 1],
    #[serde(rename = "minimumRegisterIntervalInSeconds")]
    register_interval: u64,
    #[serde(rename = "pruneThresholdInSeconds")]
    prune_threshold: u64,
}

impl Greeting {
    /// The message of router number `index` at `own`, new to the bus with this call. `register_interval`
    /// is the start response delay, `prune_threshold` the age of a stale endpoint; both in whole seconds.
    #[must_use]
    pub fn new(index: u64, own: IpAddr, register_interval: Duration, prune_threshold: Duration) -> Self {
        let unique = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid();
        Self {
            id: format!("{index}-{unique}"),
            hosts: [own],
            register_interval: register_interval.as_secs(),
            prune_threshold: prune_threshold.as_secs(),
        }
    }

    /// The id: the router's number and what no other process has.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The message as JSON.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        // A struct of strings and numbers always serializes.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Publishes the start message when called, after each reconnect and whenever `again` asks for it, and answers
/// greetings, until `until` is cancelled. To be called once the subscription for registrations stands: components answer a start
/// message with all their registrations.
///
/// # Errors
/// [`LinkClosed`] when the connection ends for good before `until`.
pub async fn run(
    client: &Client,
    greeting: &Greeting,
    state: &BusState,
    again: &Notify,
    until: &CancellationToken,
) -> Result<(), LinkClosed> {
    let speak = async {
        let payload = greeting.payload();
        let greets = client.subscribe(GREET).await.map_err(|_| LinkClosed)?;
        let starts = start(client, &payload, state, again);
        tokio::try_join!(starts, answer(client, &payload, greets)).map(|_| ())
    };
    tokio::select! {
        () = until.cancelled() => Ok(()),
        ended = speak => ended,
    }
}

async fn start(client: &Client, payload: &Bytes, state: &BusState, again: &Notify) -> Result<(), LinkClosed> {
    let mut changes = state.changes();
    let mut told = changes.borrow_and_update().recoveries;
    loop {
        client.publish(START, payload.clone()).await.map_err(|_| LinkClosed)?;
        tokio::select! {
            news = changes.wait_for(|standing| standing.recoveries != told) => {
                told = news.map_err(|_| LinkClosed)?.recoveries;
            }
            () = again.notified() => {}
        }
    }
}

async fn answer(client: &Client, payload: &Bytes, mut greets: Subscriber) -> Result<(), LinkClosed> {
    while let Some(Message { reply, .. }) = greets.next().await {
        let Some(reply) = reply else { continue };
        if let Err(error) = client.publish(reply, payload.clone()).await {
            tracing::warn!(target: "subscriber", %error, "greeting not answered");
        }
    }
    Err(LinkClosed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_the_fields_that_components_read() {
        let own = IpAddr::from([10, 0, 0, 7]);
        let greeting = Greeting::new(3, own, Duration::from_millis(5_900), Duration::from_secs(120));
        let json: serde_json::Value = serde_json::from_slice(&greeting.payload()).unwrap();
        let id = json["id"].as_str().unwrap();
        let (index, unique) = id.split_once('-').unwrap();
        assert_eq!(index, "3");
        assert_eq!(unique.parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
        assert_eq!(json["hosts"], serde_json::json!(["10.0.0.7"]));
        assert_eq!(json["minimumRegisterIntervalInSeconds"], 5);
        assert_eq!(json["pruneThresholdInSeconds"], 120);
        assert_eq!(json.as_object().unwrap().len(), 4);
    }

    #[test]
    fn two_routers_never_share_an_id() {
        let own = IpAddr::from([127, 0, 0, 1]);
        let make = || Greeting::new(0, own, Duration::ZERO, Duration::ZERO);
        assert_ne!(make().id, make().id);
    }
}
