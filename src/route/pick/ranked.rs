//! The best of all endpoints, equals in turn: least-connection, and either algorithm where the own zone comes first.
//!
//! Walking on from a cursor would not do here: behind a row of endpoints that are passed over, the next one would
//! get the turns of all of them.

use super::sight::{Fit, Found, Sight};

/// What makes one endpoint better than another; a smaller one is better.
type Rank = (Fit, bool, u32);

/// What the ranking goes by, beside how well an endpoint suits.
#[derive(Clone, Copy, Debug)]
pub(super) struct By<'z> {
    /// The own zone, where its endpoints come first.
    pub(super) zone: Option<&'z str>,
    /// Whether the fewer requests in flight the better.
    pub(super) load: bool,
}

/// The best place, and of several that are equally good the one whose `turn` it is; none if all are full.
pub(super) fn pick(sight: &Sight<'_>, by: By<'_>, turn: usize) -> Option<Found> {
    let mut best: Option<(Rank, usize)> = None;
    let (mut equals, mut all_rest) = (0, true);
    for place in 0..sight.leases.len() {
        let Some(rank) = rank(sight, by, place) else { continue };
        all_rest &= rank.0.rests();
        match best {
            Some((so_far, _)) if rank > so_far => {}
            Some((so_far, _)) if rank == so_far => equals += 1,
            _ => (best, equals) = (Some((rank, place)), 1),
        }
    }
    let (rank, first) = best?;
    // Requests come and go meanwhile: an endpoint that is no longer as good leaves its turn to the first that was.
    let place = nth(sight, by, rank, turn % equals).unwrap_or(first);
    Some(Found { place, fit: rank.0, all_rest })
}

fn nth(sight: &Sight<'_>, by: By<'_>, wanted: Rank, turn: usize) -> Option<usize> {
    (0..sight.leases.len()).filter(|place| rank(sight, by, *place) == Some(wanted)).nth(turn)
}

fn rank(sight: &Sight<'_>, by: By<'_>, place: usize) -> Option<Rank> {
    let fit = sight.fit(place)?;
    let endpoint = sight.leases[place].endpoint();
    let elsewhere = by.zone.is_some_and(|zone| endpoint.availability_zone() != zone);
    Some((fit, elsewhere, if by.load { endpoint.in_flight() } else { 0 }))
}
