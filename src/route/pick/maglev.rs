//! The look-up table of hash routing: from a key to an endpoint, so that each endpoint has nearly the same share of the
//! keys, and few keys move when endpoints come or go (gorouter.md section 5, hash; the table is Maglev's).

use std::sync::Arc;

use crate::route::lease::Lease;

/// Slots of a table, a prime: every step then visits every slot.
pub const SLOTS: usize = 1801;
const SLOTS_U64: u64 = SLOTS as u64;

/// Which endpoint has which slot. Two bytes per slot.
#[derive(Debug)]
pub struct Maglev(Box<[u16]>);

impl Maglev {
    /// The table of a pool; of more endpoints than slots the first by name have one each. Every router gives every
    /// slot to the same endpoint, whatever the order in which they registered.
    #[must_use]
    pub fn of(leases: &[Arc<Lease>]) -> Self {
        let mut names: Vec<(&str, &str, u16)> = (0_u16..)
            .zip(leases)
            .map(|(place, lease)| {
                let endpoint = lease.endpoint();
                (name(lease), endpoint.peer.address(), place)
            })
            .collect();
        names.sort_unstable();
        names.truncate(SLOTS);
        let mut walks: Vec<(u64, u64, u16)> = names
            .into_iter()
            .map(|(name, _, place)| {
                let hash = fnv1a(name.as_bytes());
                (hash % SLOTS_U64, hash % (SLOTS_U64 - 1) + 1, place)
            })
            .collect();
        let mut slots = vec![None; SLOTS];
        let mut free = if walks.is_empty() { 0 } else { SLOTS };
        while free > 0 {
            for (next, step, place) in walks.iter_mut().take(free) {
                while slots[*next as usize].is_some() {
                    *next = (*next + *step) % SLOTS_U64;
                }
                slots[*next as usize] = Some(*place);
                free -= 1;
            }
        }
        Self(slots.into_iter().flatten().collect())
    }

    /// The slot of a key.
    #[must_use]
    pub fn slot(key: u64) -> usize {
        (key % SLOTS_U64) as usize
    }

    /// The places in the pool that the slots from `slot` on lead to, once round.
    pub fn from(&self, slot: usize) -> impl Iterator<Item = (usize, usize)> {
        let count = self.0.len();
        (0..count).map(move |step| {
            let slot = (slot + step) % count;
            (slot, usize::from(self.0[slot]))
        })
    }
}

/// What an endpoint's share is computed from: its instance id, or its address where it has none.
fn name(lease: &Lease) -> &str {
    let endpoint = lease.endpoint();
    if endpoint.instance_id().is_empty() { endpoint.peer.address() } else { endpoint.instance_id() }
}

/// FNV-1a of 64 bits.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::{
        endpoint::{Endpoint, Facts},
        moment::Moment,
        peer::{Identity, Peer},
    };

    fn lease(name: u16) -> Arc<Lease> {
        let facts = Facts { instance_id: format!("instance {name}").into(), ..Facts::default() };
        Arc::new(Lease::new(
            Arc::new(Endpoint::new(Peer::new("10.0.0.1", name, Identity::Plain), facts)),
            Moment::default(),
        ))
    }

    /// The instance at each slot.
    fn owners(leases: &[Arc<Lease>]) -> Vec<u16> {
        Maglev::of(leases).from(0).map(|(_, place)| leases[place].endpoint().peer.port()).collect()
    }

    #[test]
    fn the_hash_is_fnv1a() {
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(fnv1a(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn no_endpoints_have_no_table_and_too_many_one_slot_each() {
        assert_eq!(Maglev::of(&[]).from(7).count(), 0);
        let many: Vec<_> = (0..2000).map(lease).collect();
        let mut owners = owners(&many);
        owners.sort_unstable();
        owners.dedup();
        assert_eq!(owners.len(), SLOTS);
    }

    proptest! {
        #[test]
        fn shares_are_even_and_do_not_depend_on_the_order(count in 1_u16..60, turn in 0_usize..60) {
            let mut leases: Vec<_> = (0..count).map(lease).collect();
            let before = owners(&leases);
            leases.rotate_left(turn % usize::from(count));
            prop_assert_eq!(&before, &owners(&leases));
            let fair = SLOTS / usize::from(count);
            for name in 0..count {
                let share = before.iter().filter(|owner| **owner == name).count();
                prop_assert!((fair..=fair + 1).contains(&share), "{} of {}", share, fair);
            }
        }

        #[test]
        fn few_keys_move_when_an_endpoint_goes(count in 2_u16..60, gone in 0_u16..60) {
            let gone = gone % count;
            let before = owners(&(0..count).map(lease).collect::<Vec<_>>());
            let after = owners(&(0..count).filter(|name| *name != gone).map(lease).collect::<Vec<_>>());
            let moved = before.iter().zip(&after).filter(|(then, now)| **then != gone && then != now).count();
            // A plain remainder of the hash would move nearly all.
            prop_assert!(moved < SLOTS / 4, "{} moved", moved);
        }
    }
}
