//! Each endpoint in turn.

use super::sight::{Fit, Found, Sight};

/// The best place, walking once round from `start`; none if all are full.
pub(super) fn pick(sight: &Sight<'_>, start: usize) -> Option<Found> {
    let count = sight.leases.len();
    let mut best: Option<(Fit, usize)> = None;
    let mut all_rest = true;
    for place in (start..count).chain(0..start) {
        let Some(fit) = sight.fit(place) else { continue };
        all_rest &= fit.rests();
        if best.is_none_or(|(so_far, _)| fit < so_far) {
            best = Some((fit, place));
        }
        if fit == Fit::Untried {
            break;
        }
    }
    best.map(|(fit, place)| Found { place, fit, all_rest })
}
