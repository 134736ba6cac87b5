//! Which apps were used lately, told to whoever wants to know.
//!
//! Each interval one message: the ids of the apps that a request was sent to since the message before, as a JSON
//! list, compressed with zlib. A list without apps is published too: silence means that no router is there.
//!
//! Source: gorouter.md section 3, `router.active_apps`.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::link::Link;
use crate::table::Table;

/// Where it is published.
pub const SUBJECT: &str = "router.active_apps";
/// As zlib's own default: lists of random ids shrink by half and not much further.
const LEVEL: u8 = 6;

/// Tells which apps were used.
#[derive(Debug)]
pub struct ActiveApps {
    /// Knows which were.
    pub table: Arc<Table>,
    /// Time between two messages; not zero.
    pub every: Duration,
}

impl ActiveApps {
    /// Publishes, as long as it is polled. While the bus is down nothing is said and nothing forgotten.
    pub async fn publish(&self, link: &Link) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if link.state().standing().lost.is_some() {
                continue;
            }
            let payload = payload(&self.table.take_used_apps());
            if let Err(error) = link.client().publish(SUBJECT, payload.into()).await {
                tracing::warn!(target: "subscriber", %error, "active-apps-not-published");
            }
        }
    }
}

/// The message about `apps`.
fn payload(apps: &[String]) -> Vec<u8> {
    // A list of strings always serializes.
    let json = serde_json::to_vec(apps).unwrap_or_default();
    miniz_oxide::deflate::compress_to_vec_zlib(&json, LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(apps: &[String]) -> String {
        let json = miniz_oxide::inflate::decompress_to_vec_zlib(&payload(apps)).unwrap();
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn the_message_is_a_list_in_zlib() {
        assert_eq!(payload(&[])[0], 0x78, "the sign of zlib");
        assert_eq!(text(&[]), "[]");
        assert_eq!(text(&["a".into(), "b\"".into()]), r#"["a","b\""]"#);
    }
}
