//! Events per second, as three averages that forget: the last one, five and fifteen minutes, as with a system's load.

use std::time::{Duration, Instant};

/// How long each average remembers.
const SPANS: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(15 * 60)];

/// What is left after `passed` of something that fades with `span`.
pub(super) fn fading(passed: Duration, span: Duration) -> f64 {
    (-passed.as_secs_f64() / span.as_secs_f64()).exp()
}

/// The averages of one counter. They begin at zero and grow towards the rate.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    averages: [f64; 3],
    total: u64,
    at: Instant,
}

impl Rates {
    /// For a counter that stands at `total`.
    #[must_use]
    pub fn new(total: u64, now: Instant) -> Self {
        Self { averages: [0.; 3], total, at: now }
    }

    /// The counter stands at `total` now. How often it is looked at does not change the averages of a steady rate.
    pub fn look(&mut self, total: u64, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        if passed.is_zero() {
            return;
        }
        let rate = super::float(total.saturating_sub(self.total)) / passed.as_secs_f64();
        for (average, span) in self.averages.iter_mut().zip(SPANS) {
            *average = rate + (*average - rate) * fading(passed, span);
        }
        (self.total, self.at) = (total, now);
    }

    /// Events per second over one, five and fifteen minutes.
    #[must_use]
    pub fn per_second(&self) -> [f64; 3] {
        self.averages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn near(found: [f64; 3], wanted: [f64; 3]) {
        let close = found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6);
        assert!(close, "{found:?}, not {wanted:?}");
    }

    #[test]
    fn averages_grow_towards_a_steady_rate_and_fade_when_it_ends() {
        let start = Instant::now();
        let mut rates = Rates::new(7, start);
        rates.look(7 + 10 * 60, start + 60 * SECOND);
        let grown = |minutes: f64| 10. * (1. - (-1. / minutes).exp());
        near(rates.per_second(), [grown(1.), grown(5.), grown(15.)]);
        rates.look(7 + 10 * 60, start + 120 * SECOND);
        let faded = |minutes: f64| grown(minutes) * (-1. / minutes).exp();
        near(rates.per_second(), [faded(1.), faded(5.), faded(15.)]);
        rates.look(7 + 10 * 60 + 10 * 36_000, start + 120 * SECOND + 36_000 * SECOND);
        near(rates.per_second(), [10.; 3]);
    }

    #[test]
    fn it_does_not_matter_how_often_one_looks() {
        let start = Instant::now();
        let (mut often, mut once) = (Rates::new(0, start), Rates::new(0, start));
        for second in 1..=30 {
            often.look(4 * u64::from(second), start + second * SECOND);
            // Twice at the same moment: what came in between counts at the next look.
            often.look(4 * u64::from(second) + 1, start + second * SECOND);
        }
        once.look(120, start + 30 * SECOND);
        near(often.per_second(), once.per_second());
    }

    #[test]
    fn a_counter_that_went_back_is_no_rate() {
        let start = Instant::now();
        let mut rates = Rates::new(100, start);
        rates.look(1, start + SECOND);
        near(rates.per_second(), [0.; 3]);
    }
}
