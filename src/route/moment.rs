//! Time as the router's rules see it: a number handed in by the caller.
//!
//! Nothing below the edges reads a clock, so that every rule about age can be tested without waiting.

use std::time::{Duration, Instant};

/// Milliseconds since an origin that the process chose at its start; monotonic, never wall-clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment `ms` milliseconds after the origin.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// The moment of `now`, as read by whoever may read a clock, for a process that began at `origin`.
    #[must_use]
    pub fn at(now: Instant, origin: Instant) -> Self {
        Self::default().after(now.duration_since(origin))
    }

    /// Milliseconds since the origin.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved ahead by `by`.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}
