//! What was verified a moment ago: the chain check of a certificate seen again need not be repeated.
//!
//! Only the chain is remembered. That the endpoint holds the key is proven by its signature in every
//! handshake, and a trust that changes makes a new dialer with an empty memory.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, UnixTime};

use crate::name::ExpectedName;

/// How long a verdict is believed at most.
const MEMORY: Duration = Duration::from_secs(60);

/// How many are kept: about 1.5 KiB each.
const MOST: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Verified {
    random: RandomState,
    seen: Mutex<HashMap<(ExpectedName, u64), Seen>>,
}

#[derive(Debug)]
struct Seen {
    leaf: Box<[u8]>,
    from: UnixTime,
    until: UnixTime,
    not_after: Duration,
}

impl Verified {
    /// If `leaf` was verified for `name` a moment ago, when it ends, since 1970. Compared byte by byte: the hash only
    /// finds it.
    pub(super) fn remembers(&self, leaf: &CertificateDer<'_>, name: &ExpectedName, now: UnixTime) -> Option<Duration> {
        let key = (name.clone(), self.random.hash_one(leaf.as_ref()));
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = seen.get(&key).filter(|seen| *seen.leaf == **leaf && seen.from <= now && now < seen.until);
        found.map(|seen| seen.not_after)
    }

    /// Remembers `leaf` for a minute, or until it expires.
    pub(super) fn remember(&self, leaf: &CertificateDer<'_>, name: &ExpectedName, now: UnixTime, not_after: Duration) {
        let end = (Duration::from_secs(now.as_secs()) + MEMORY).min(not_after);
        let until = UnixTime::since_unix_epoch(end);
        let key = (name.clone(), self.random.hash_one(leaf.as_ref()));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.retain(|_, seen| now < seen.until);
            if seen.len() >= MOST {
                seen.clear();
            }
        }
        seen.insert(key, Seen { leaf: leaf.as_ref().into(), from: now, until, not_after });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_verdict_holds_for_its_leaf_its_name_and_its_minute() {
        let (leaf, other) = (CertificateDer::from(vec![1, 2, 3]), CertificateDer::from(vec![1, 2, 4]));
        let (name, stranger) = (ExpectedName::new("a"), ExpectedName::new("b"));
        let verified = Verified::default();
        verified.remember(&leaf, &name, at(1000), Duration::from_secs(5000));
        for (leaf, name, now, remembered) in [
            (&leaf, &name, 1000, true),
            (&leaf, &name, 1059, true),
            (&leaf, &name, 1060, false),
            (&leaf, &name, 999, false),
            (&leaf, &stranger, 1000, false),
            (&other, &name, 1000, false),
        ] {
            assert_eq!(verified.remembers(leaf, name, at(now)).is_some(), remembered, "{name} at {now}");
        }
    }

    #[test]
    fn a_verdict_does_not_outlive_the_certificate() {
        let (leaf, name) = (CertificateDer::from(vec![1]), ExpectedName::new("a"));
        let verified = Verified::default();
        verified.remember(&leaf, &name, at(1000), Duration::from_secs(1010));
        assert_eq!(verified.remembers(&leaf, &name, at(1009)), Some(Duration::from_secs(1010)));
        assert_eq!(verified.remembers(&leaf, &name, at(1010)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let (leaf, verified) = (CertificateDer::from(vec![1]), Verified::default());
        for n in 0..3 * MOST {
            verified.remember(&leaf, &ExpectedName::new(&n.to_string()), at(1), Duration::from_secs(9));
        }
        assert!(verified.seen.lock().unwrap().len() <= MOST);
    }
}
