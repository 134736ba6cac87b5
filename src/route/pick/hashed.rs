//! The endpoint that a key leads to, and the next ones if it cannot serve.

use super::{
    maglev::Maglev,
    places::Places,
    sight::{Fit, Found, Sight},
};

/// The best endpoint on the way through the table from `slot`, with the slot behind it; none if all are full.
///
/// With a `balance` above zero, endpoints with more than that many times the average in flight come behind those
/// with less.
pub(super) fn pick(sight: &Sight<'_>, table: &Maglev, slot: usize, balance: f64) -> Option<(Found, usize)> {
    let bound = bound(sight, balance);
    let mut seen = Places::none_of(sight.leases.len());
    let mut left = sight.leases.len();
    let mut best: Option<((Fit, bool), usize, usize)> = None;
    let mut all_rest = true;
    for (slot, place) in table.from(slot) {
        if !seen.add(place) {
            continue;
        }
        left -= 1;
        if let Some(fit) = sight.fit(place) {
            all_rest &= fit.rests();
            let busy = bound.is_some_and(|bound| f64::from(sight.leases[place].endpoint().in_flight()) > bound);
            let rank = (fit, busy);
            if best.is_none_or(|(so_far, ..)| rank < so_far) {
                best = Some((rank, place, slot));
            }
            if rank == (Fit::Untried, false) {
                break;
            }
        }
        if left == 0 {
            break;
        }
    }
    best.map(|((fit, _), place, slot)| (Found { place, fit, all_rest }, slot + 1))
}

/// Requests in flight beyond which an endpoint has more than its share.
fn bound(sight: &Sight<'_>, balance: f64) -> Option<f64> {
    if balance <= 0.0 {
        return None;
    }
    let all: u64 = sight.leases.iter().map(|lease| u64::from(lease.endpoint().in_flight())).sum();
    Some(balance * all as f64 / sight.leases.len() as f64)
}
