//! Who this router is among the components of a deployment: the fields that its pages and its word on the bus share.

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Local};
use serde_json::{Value, json};

/// One router.
#[derive(Clone)]
pub struct Component {
    /// Its number.
    pub index: u64,
    /// Where its pages are, as `ip:port`.
    pub host: String,
    /// User and password for them.
    pub credentials: [String; 2],
    /// Its id: its number and what no other process has.
    pub uuid: String,
    /// When it began, by the calendar.
    pub start: SystemTime,
    /// When it began.
    pub began: Instant,
}

impl Component {
    /// The fields as an object, with the password.
    #[must_use]
    pub fn shown(&self, now: Instant) -> Value {
        json!({
            "type": "Router",
            "index": self.index,
            "host": self.host,
            "credentials": self.credentials,
            "uuid": self.uuid,
            "start": DateTime::<Local>::from(self.start).format("%Y-%m-%d %H:%M:%S %z").to_string(),
            "uptime": days(self.uptime(now)),
        })
    }

    /// How long it runs.
    #[must_use]
    pub fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

/// As components tell spans: `1d:2h:3m:4s`.
fn days(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    format!("{}d:{}h:{}m:{}s", hours / 24, hours % 24, minutes % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_days_hours_minutes_and_seconds() {
        for (seconds, wanted) in [
            (0, "0d:0h:0m:0s"),
            (59, "0d:0h:0m:59s"),
            (3_600, "0d:1h:0m:0s"),
            (86_399, "0d:23h:59m:59s"),
            (2 * 86_400 + 3_725, "2d:1h:2m:5s"),
        ] {
            assert_eq!(days(Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn it_says_where_its_pages_are_and_how_to_come_in() {
        let now = Instant::now();
        let component = Component {
            index: 3,
            host: "10.0.0.1:8080".into(),
            credentials: ["u".into(), "p".into()],
            uuid: "3-x".into(),
            start: SystemTime::UNIX_EPOCH,
            began: now,
        };
        let mut shown = component.shown(now + Duration::from_secs(61));
        let start = shown["start"].take();
        assert!(DateTime::parse_from_str(start.as_str().unwrap(), "%Y-%m-%d %H:%M:%S %z").unwrap().timestamp() == 0);
        assert_eq!(
            shown,
            json!({"type": "Router", "index": 3, "host": "10.0.0.1:8080", "credentials": ["u", "p"], "uuid": "3-x",
                "start": null, "uptime": "0d:0h:1m:1s"})
        );
    }
}
