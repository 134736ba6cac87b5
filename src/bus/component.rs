//! The router as a component that others find by asking on the bus, with the deprecated status pages only.
//!
//! Promises: `vcap.component.announce` is published once, when the questions can be heard; every
//! `vcap.component.discover` that asks for a reply gets the same fields. They hold the login of the pages: whoever may
//! listen on the bus may see it.
//!
//! Source: gorouter.md section 3.

use std::{convert::Infallible, time::Instant};

use async_nats::{Client, Message};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::observe::varz::Component;

/// Where it says that it is there.
pub const ANNOUNCE: &str = "vcap.component.announce";
/// Where it is asked.
pub const DISCOVER: &str = "vcap.component.discover";

/// Announces `component` and answers for it, as long as it is polled.
pub async fn run(client: &Client, component: &Component) -> Infallible {
    match client.subscribe(DISCOVER).await {
        Ok(mut asked) => {
            say(client, ANNOUNCE.into(), component).await;
            while let Some(Message { reply, .. }) = asked.next().await {
                if let Some(reply) = reply {
                    say(client, reply, component).await;
                }
            }
        }
        Err(error) => tracing::warn!(target: "subscriber", %error, "component-not-announced"),
    }
    // The connection is gone for good; others notice.
    std::future::pending().await
}

async fn say(client: &Client, subject: async_nats::Subject, component: &Component) {
    let payload = Bytes::from(component.shown(Instant::now()).to_string());
    if let Err(error) = client.publish(subject, payload).await {
        tracing::warn!(target: "subscriber", %error, "component-not-announced");
    }
}
