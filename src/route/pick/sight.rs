//! A pool as one attempt sees it, and what came of looking.

use std::{sync::Arc, time::Duration};

use super::places::Places;
use crate::route::{lease::Lease, moment::Moment};

/// How well an endpoint suits the next attempt; a smaller one is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Untried,
    UntriedResting,
    Tried,
    TriedResting,
}

/// What a choice goes by.
pub(super) struct Sight<'a> {
    pub(super) leases: &'a [Arc<Lease>],
    pub(super) tried: &'a Places,
    pub(super) now: Moment,
    pub(super) rest: Duration,
    pub(super) max_conns: u32,
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) place: usize,
    pub(super) fit: Fit,
    /// Whether all that was looked at and is not full rests. False where a perfect endpoint ended the search.
    pub(super) all_rest: bool,
}

impl Sight<'_> {
    /// How well the endpoint at `place` suits; none if it is full.
    pub(super) fn fit(&self, place: usize) -> Option<Fit> {
        let lease = &self.leases[place];
        if self.is_full(lease) {
            return None;
        }
        Some(match (self.tried.has(place), lease.is_resting(self.now, self.rest)) {
            (false, false) => Fit::Untried,
            (false, true) => Fit::UntriedResting,
            (true, false) => Fit::Tried,
            (true, true) => Fit::TriedResting,
        })
    }

    fn is_full(&self, lease: &Lease) -> bool {
        self.max_conns != 0 && lease.endpoint().in_flight() >= self.max_conns
    }
}

impl Fit {
    /// Whether the endpoint rests after a failure.
    pub(super) fn rests(self) -> bool {
        matches!(self, Self::UntriedResting | Self::TriedResting)
    }
}
