//! Says no more often than every now and then what may happen ten thousand times a second.
//!
//! The sidecar's log is the app's log stream: whoever can reach the port must not be able to flood it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::stats::Event;

const PAUSE: Duration = Duration::from_secs(10);

/// Remembers per kind of event when it was last told and what was swallowed since.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Vec<Told>>);

#[derive(Debug)]
struct Told {
    event: Event,
    at: Instant,
    swallowed: u64,
}

impl Seldom {
    /// Whether `event` may be told at `now`, and then how many of its kind went untold before.
    pub(crate) fn tell(&self, event: Event, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(told) = all.iter_mut().find(|told| told.event == event) else {
            all.push(Told { event, at: now, swallowed: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(told.at) < PAUSE {
            told.swallowed += 1;
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.swallowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_at_once_then_every_ten_seconds_with_what_was_swallowed() {
        let seldom = Seldom::default();
        let start = Instant::now();
        assert_eq!(seldom.tell(Event::AppRefused, start), Some(0));
        assert_eq!(seldom.tell(Event::NoCertificate, start), Some(0));
        for second in 1..10 {
            assert_eq!(seldom.tell(Event::AppRefused, start + Duration::from_secs(second)), None);
        }
        assert_eq!(seldom.tell(Event::AppRefused, start + PAUSE), Some(9));
        assert_eq!(seldom.tell(Event::AppRefused, start + PAUSE * 2), Some(0));
    }
}
