//! A set of places in a pool; no allocation up to 64 of them.

/// Which places of a pool belong to it.
#[derive(Debug)]
pub(super) struct Places {
    low: u64,
    high: Vec<u64>,
}

impl Places {
    /// An empty set for a pool of `count` endpoints.
    pub(super) fn none_of(count: usize) -> Self {
        Self { low: 0, high: vec![0; count.div_ceil(64).saturating_sub(1)] }
    }

    /// Adds a place; whether it was not there before.
    pub(super) fn add(&mut self, place: usize) -> bool {
        let bit = 1 << (place % 64);
        let word = match place / 64 {
            0 => Some(&mut self.low),
            beyond => self.high.get_mut(beyond - 1),
        };
        word.is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        })
    }

    /// Whether the place is in the set.
    pub(super) fn has(&self, place: usize) -> bool {
        let word = match place / 64 {
            0 => Some(&self.low),
            beyond => self.high.get(beyond - 1),
        };
        word.is_some_and(|word| word & (1 << (place % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_places_is_a_set(count in 0_usize..300, places in proptest::collection::vec(0_usize..300, 0..100)) {
            let (mut set, mut model) = (Places::none_of(count), BTreeSet::new());
            // Up to the end of the last word there is room; beyond that nothing is kept.
            let room = count.div_ceil(64).max(1) * 64;
            for place in places {
                prop_assert_eq!(set.add(place), place < room && model.insert(place));
            }
            for place in 0..300 {
                prop_assert_eq!(set.has(place), model.contains(&place) && place < room);
            }
        }
    }
}
