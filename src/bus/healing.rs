//! When messages were dropped: say so, and have everything sent again.
//!
//! A dropped registration would come again with its endpoint's next heartbeat, a dropped unregistration never.
//! Components answer the start message with all their registrations at once, so it is said once the flood is over,
//! and ever more seldom while the answer to it is what overflows. Routers that lost the same messages do not ask at the
//! same moment: each waits for a time of its own.

use std::time::Duration;

use tokio::time::Instant;

/// How often the count of dropped messages is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Least time between two requests for everything, after a time without drops.
pub const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
/// By how much the moments at which routers ask lie apart at most.
pub const SPREAD: Duration = Duration::from_secs(5);
/// Most time between two requests, and longest wait for the end of a flood.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What one look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Messages dropped since the look before.
    pub fresh: u64,
    /// Whether everything is to be asked for now.
    pub ask: bool,
}

/// What is remembered between two looks.
#[derive(Debug)]
pub struct Healing {
    dropped: u64,
    missing_since: Option<Instant>,
    last_drop: Option<Instant>,
    /// How much longer than others this router waits after the last drop.
    own_wait: Duration,
    asked: Option<Instant>,
    pause: Duration,
}

impl Healing {
    /// Nothing was dropped yet. `own_wait` is a random time below [`SPREAD`].
    #[must_use]
    pub fn new(own_wait: Duration) -> Self {
        Self { dropped: 0, missing_since: None, last_drop: None, own_wait, asked: None, pause: SHORTEST_PAUSE }
    }

    /// Looks at the number of messages that were ever dropped.
    pub fn look(&mut self, dropped: u64, now: Instant) -> Found {
        let fresh = dropped.saturating_sub(self.dropped);
        self.dropped = dropped;
        if fresh > 0 {
            self.missing_since.get_or_insert(now);
            self.last_drop = Some(now);
        }
        let Some(since) = self.missing_since else { return Found::default() };
        let quiet = self.last_drop.map_or(Duration::ZERO, |last| now - last);
        let over = (fresh == 0 && quiet >= self.own_wait) || now - since >= LONGEST_PAUSE + self.own_wait;
        let rested = self.asked.is_none_or(|asked| now - asked >= self.pause);
        let ask = over && rested;
        if ask {
            let again = self.asked.is_some_and(|asked| since - asked < LONGEST_PAUSE);
            self.pause = if again { (self.pause * 2).min(LONGEST_PAUSE) } else { SHORTEST_PAUSE };
            (self.asked, self.missing_since) = (Some(now), None);
        }
        Found { fresh, ask }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When, in seconds, everything is asked for, if this many are dropped in each second.
    fn asked(per_second: impl Fn(u64) -> u64, seconds: u64) -> Vec<u64> {
        let (mut healing, origin, mut dropped) = (Healing::new(Duration::ZERO), Instant::now(), 0);
        let look = |second| {
            dropped += per_second(second);
            let found = healing.look(dropped, origin + Duration::from_secs(second));
            assert_eq!(found.fresh, per_second(second));
            found.ask.then_some(second)
        };
        (0..seconds).filter_map(look).collect()
    }

    #[test]
    fn everything_is_asked_for_once_a_flood_is_over() {
        assert_eq!(asked(|_| 0, 100), [0_u64; 0]);
        assert_eq!(asked(|second| u64::from((10..15).contains(&second)), 300), [15]);
    }

    #[test]
    fn each_router_waits_for_a_time_of_its_own() {
        let asked = |own_wait| {
            let (mut healing, origin) = (Healing::new(Duration::from_millis(own_wait)), Instant::now());
            (0..100).find(|second| healing.look(7, origin + Duration::from_secs(*second)).ask)
        };
        assert_eq!([0, 1000, 1500, 4999].map(asked), [Some(1), Some(1), Some(2), Some(5)]);
    }

    #[test]
    fn an_answer_that_overflows_is_asked_for_ever_more_seldom() {
        // Each request brings a second of drops with it.
        let mut healing = Healing::new(Duration::ZERO);
        let (origin, mut dropped, mut at) = (Instant::now(), 1, Vec::new());
        for second in 0..350 {
            if healing.look(dropped, origin + Duration::from_secs(second)).ask {
                at.push(second);
                dropped += 1;
            }
        }
        let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60, 60]);
    }

    #[test]
    fn a_flood_without_end_does_not_keep_it_from_asking() {
        assert_eq!(asked(|_| 1, 200), [60, 121, 182]);
    }

    #[test]
    fn after_a_calm_time_it_asks_as_quickly_as_at_first() {
        let floods = [10, 12, 30, 400, 402];
        assert_eq!(asked(|second| u64::from(floods.contains(&second)), 500), [11, 16, 31, 401, 406]);
    }
}
