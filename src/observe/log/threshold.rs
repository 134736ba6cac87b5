//! The level from which on lines are written, changed while the log is open.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tracing::{callsite, level_filters::LevelFilter};

/// From the fewest lines to the most; a place in it is what is stored. The first is for code alone: a router that says
/// nothing at all cannot be asked for.
const LEVELS: [(LevelFilter, &str); 5] = [
    (LevelFilter::OFF, "off"),
    (LevelFilter::ERROR, "error"),
    (LevelFilter::WARN, "warn"),
    (LevelFilter::INFO, "info"),
    (LevelFilter::DEBUG, "debug"),
];

/// The level of a log. Clones share it.
#[derive(Clone, Debug)]
pub struct Threshold(Arc<AtomicUsize>);

impl Threshold {
    pub(super) fn new(level: LevelFilter) -> Self {
        let at = LEVELS.iter().rposition(|(known, _)| *known <= level).unwrap_or_default();
        Self(Arc::new(AtomicUsize::new(at)))
    }

    /// Lines less important than this are not written.
    #[must_use]
    pub fn level(&self) -> LevelFilter {
        LEVELS[self.0.load(Relaxed)].0
    }

    /// Its name in the configuration (`logging.level`).
    #[must_use]
    pub fn name(&self) -> &'static str {
        LEVELS[self.0.load(Relaxed)].1
    }

    /// Sets the level of this name, in lower or upper case, at once and for the whole process; false if there is none.
    #[must_use]
    pub fn set(&self, name: &str) -> bool {
        let is_it = |(_, known): &(LevelFilter, &str)| name == *known || name == known.to_uppercase();
        let Some(at) = LEVELS.iter().position(is_it).filter(|at| *at > 0) else { return false };
        self.0.store(at, Relaxed);
        // What each place in the code remembers about being heard is asked for anew.
        callsite::rebuild_interest_cache();
        true
    }
}
