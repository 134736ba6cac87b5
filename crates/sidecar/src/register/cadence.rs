//! When to greet and when to register: pure, with the time and the chance as arguments.
//!
//! The interval is the routers' to say, in the reply to a greeting or when one starts (sidecar.md §4.1). Until one has
//! spoken it is [`SILENT_INTERVAL`].

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

/// The interval while no router has named one.
pub(crate) const SILENT_INTERVAL: Duration = Duration::from_secs(20);

/// Pause between two greetings, and how many go unanswered before the routers' silence is accepted: the next one that
/// starts says `router.start` by itself.
const GREET_PAUSE: Duration = Duration::from_secs(1);
const GREETINGS: u32 = 30;

/// Each interval is stretched or shortened by up to this part, so that instances started together drift apart.
const SPREAD: f64 = 0.1;

/// After a start, all instances answer within this part of the interval, not all at once.
const START_SPREAD: f64 = 0.2;

/// Intervals that a router may ask for, in seconds. Beyond, one wrong message would silence or drown everybody.
const ACCEPTED_S: std::ops::RangeInclusive<u64> = 1..=3600;

/// What a router says of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Greeting {
    #[serde(default, rename = "minimumRegisterIntervalInSeconds")]
    interval: Option<u64>,
}

impl Greeting {
    /// `None` for anything that is not a JSON object with a whole number of seconds, or without one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    fn interval(&self) -> Option<Duration> {
        self.interval.filter(|seconds| ACCEPTED_S.contains(seconds)).map(Duration::from_secs)
    }
}

/// The times of the next greeting and the next registration; `None` while there is no connection to send them on.
#[derive(Debug)]
pub(crate) struct Cadence {
    interval: Duration,
    greet_at: Option<Instant>,
    greetings_left: u32,
    register_at: Option<Instant>,
}

impl Default for Cadence {
    fn default() -> Self {
        Self { interval: SILENT_INTERVAL, greet_at: None, greetings_left: 0, register_at: None }
    }
}

impl Cadence {
    pub(crate) fn greet_at(&self) -> Option<Instant> {
        self.greet_at
    }

    pub(crate) fn register_at(&self) -> Option<Instant> {
        self.register_at
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// A connection stands: greet and register at once. The routers behind it may be others than before.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.greet_at = Some(now);
        self.greetings_left = GREETINGS;
        self.register_at = Some(now);
    }

    /// The connection is lost.
    pub(crate) fn disconnected(&mut self) {
        self.greet_at = None;
        self.register_at = None;
    }

    /// A greeting was sent.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.greetings_left = self.greetings_left.saturating_sub(1);
        self.greet_at = (self.greetings_left > 0).then(|| now + GREET_PAUSE);
    }

    /// A router answered a greeting. A shorter interval counts from now, or the first round would still be as long as
    /// the silence.
    pub(crate) fn greeted(&mut self, greeting: &Greeting, now: Instant, chance: f64) {
        self.greet_at = None;
        if let Some(interval) = greeting.interval().filter(|interval| *interval != self.interval) {
            self.interval = interval;
            let next = now + self.spread(chance);
            self.register_at = self.register_at.map(|due| due.min(next));
        }
    }

    /// A router started and knows nobody: register soon, whenever the last time was.
    pub(crate) fn started(&mut self, greeting: &Greeting, now: Instant, chance: f64) {
        self.greet_at = None;
        self.interval = greeting.interval().unwrap_or(self.interval);
        let soon = now + self.interval.mul_f64(START_SPREAD * chance);
        self.register_at = Some(self.register_at.map_or(soon, |due| due.min(soon)));
    }

    /// A registration was sent, or would have been.
    pub(crate) fn registered(&mut self, now: Instant, chance: f64) {
        self.register_at = self.register_at.map(|_| now + self.spread(chance));
    }

    fn spread(&self, chance: f64) -> Duration {
        self.interval.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(seconds: u64) -> Greeting {
        Greeting { interval: Some(seconds) }
    }

    #[test]
    fn greetings_are_read_strictly_and_hold_sane_intervals() {
        let interval = |text: &str| Greeting::parse(text.as_bytes()).map(|greeting| greeting.interval());
        for (text, expected) in [
            (
                r#"{"id":"0-x","hosts":["10.0.0.1"],"minimumRegisterIntervalInSeconds":20,"pruneThresholdInSeconds":120}"#,
                Some(Some(20)),
            ),
            (r#"{"minimumRegisterIntervalInSeconds":3600}"#, Some(Some(3600))),
            (r#"{"minimumRegisterIntervalInSeconds":0}"#, Some(None)),
            (r#"{"minimumRegisterIntervalInSeconds":3601}"#, Some(None)),
            (r#"{"minimumRegisterIntervalInSeconds":null}"#, Some(None)),
            ("{}", Some(None)),
            (r#"{"minimumRegisterIntervalInSeconds":"20"}"#, None),
            (r#"{"minimumRegisterIntervalInSeconds":-1}"#, None),
            ("", None),
            ("\u{0}", None),
        ] {
            assert_eq!(interval(text), expected.map(|some| some.map(Duration::from_secs)), "{text}");
        }
    }

    #[test]
    fn a_connection_greets_and_registers_at_once_and_then_every_twenty_seconds_more_or_less() {
        let (mut cadence, now) = (Cadence::default(), Instant::now());
        assert_eq!((cadence.greet_at(), cadence.register_at()), (None, None));
        cadence.connected(now);
        assert_eq!((cadence.greet_at(), cadence.register_at()), (Some(now), Some(now)));
        cadence.registered(now, 0.0);
        assert_eq!(cadence.register_at(), Some(now + Duration::from_secs(18)));
        cadence.registered(now, 1.0);
        assert_eq!(cadence.register_at(), Some(now + Duration::from_secs(22)));
    }

    #[test]
    fn greeting_goes_on_every_second_until_answered_or_thirty_times() {
        let (mut cadence, mut now) = (Cadence::default(), Instant::now());
        cadence.connected(now);
        let mut sent = 0;
        while let Some(due) = cadence.greet_at() {
            assert!(due <= now + GREET_PAUSE);
            now = due;
            cadence.asked(now);
            sent += 1;
        }
        assert_eq!(sent, 30);
        cadence.connected(now);
        cadence.asked(now);
        cadence.greeted(&says(20), now, 0.5);
        assert_eq!(cadence.greet_at(), None);
    }

    #[test]
    fn a_reply_sets_the_interval_and_hurries_the_next_registration() {
        let (mut cadence, now) = (Cadence::default(), Instant::now());
        cadence.connected(now);
        cadence.registered(now, 0.5);
        cadence.greeted(&says(5), now, 0.5);
        assert_eq!(cadence.register_at(), Some(now + Duration::from_secs(5)));
        cadence.greeted(&says(60), now, 0.5);
        assert_eq!((cadence.interval().as_secs(), cadence.register_at()), (60, Some(now + Duration::from_secs(5))));
        cadence.greeted(&says(0), now, 0.5);
        assert_eq!(cadence.interval().as_secs(), 60);
    }

    #[test]
    fn a_starting_router_is_answered_within_a_fifth_of_its_interval() {
        let (mut cadence, now) = (Cadence::default(), Instant::now());
        cadence.connected(now);
        cadence.registered(now, 0.5);
        cadence.started(&says(10), now, 1.0);
        assert_eq!(cadence.register_at(), Some(now + Duration::from_secs(2)));
        cadence.started(&says(10), now, 0.0);
        assert_eq!(cadence.register_at(), Some(now));
        // Never later than it was due anyway.
        cadence.started(&says(10), now, 1.0);
        assert_eq!(cadence.register_at(), Some(now));
    }

    #[test]
    fn nothing_is_due_while_the_connection_is_lost() {
        let (mut cadence, now) = (Cadence::default(), Instant::now());
        cadence.connected(now);
        cadence.disconnected();
        assert_eq!((cadence.greet_at(), cadence.register_at()), (None, None));
        cadence.registered(now, 0.5);
        assert_eq!(cadence.register_at(), None);
    }
}
