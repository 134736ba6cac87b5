//! Sharing of equal endpoints, and of what endpoints have in common, so that a large table costs what differs in it.
//!
//! A foundation repeats itself: every heartbeat brings the same endpoint anew, an instance is registered once for
//! each of its routes, and the instances of a space say the same about it. An [`Interner`] belongs to whoever turns
//! messages into endpoints. It is rid of what is out of use after as many messages as it remembers things, so that
//! the table bounds it.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Weak},
};

use super::{endpoint::Endpoint, source::Sources, tags::Pattern, terms::Terms};

/// Sweeping more often than this, in messages, would be more work than it saves.
const WORTH_A_SWEEP: usize = 1024;

/// Hands out one pointer for equal values.
#[derive(Debug, Default)]
pub struct Interner {
    /// By the digest of the peer. Two endpoints that meet in one are not shared, and none the worse for it.
    endpoints: HashMap<u32, Weak<Endpoint>>,
    patterns: HashSet<Arc<Pattern>>,
    terms: HashSet<Arc<Terms>>,
    /// Messages since the last sweep.
    messages: usize,
    /// Whose latencies are told apart, if any are.
    sources: Option<Arc<Sources>>,
}

impl Interner {
    /// One that resolves the `source_id` of new endpoints.
    #[must_use]
    pub fn with_sources(sources: Option<Arc<Sources>>) -> Self {
        Self { sources, ..Self::default() }
    }

    /// An endpoint equal to `endpoint`: one that is still in use somewhere if there is one, else this one
    /// with its texts shared.
    ///
    /// An endpoint that is shared between routes counts its requests over all of them, as far as they
    /// were registered with equal facts.
    pub fn share(&mut self, mut endpoint: Endpoint) -> Arc<Endpoint> {
        self.heard();
        let known = self.endpoints.get(&endpoint.peer.digest()).and_then(Weak::upgrade);
        if let Some(known) = known
            && known.same_as(&endpoint)
            && known.availability_zone() == endpoint.availability_zone()
        {
            return known;
        }
        if let Some(sources) = &self.sources
            && let Some(id) = endpoint.tag("source_id").filter(|id| !id.is_empty())
        {
            let source = sources.named(id);
            Arc::make_mut(&mut endpoint.terms).source = Some(source);
        }
        endpoint.tags = endpoint.tags.map(|pattern| one_of(&mut self.patterns, pattern));
        endpoint.terms = one_of(&mut self.terms, endpoint.terms);
        let endpoint = Arc::new(endpoint);
        self.endpoints.insert(endpoint.peer.digest(), Arc::downgrade(&endpoint));
        endpoint
    }

    /// Counts a message; after as many as things are remembered, those out of use are dropped, which costs each
    /// message a constant.
    pub fn heard(&mut self) {
        self.messages += 1;
        if self.messages >= self.endpoints.len().max(WORTH_A_SWEEP) {
            self.messages = 0;
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        self.endpoints.retain(|_, endpoint| endpoint.strong_count() > 0);
        self.patterns.retain(|pattern| Arc::strong_count(pattern) > 1);
        self.terms.retain(|terms| Arc::strong_count(terms) > 1);
        if self.endpoints.len() < self.endpoints.capacity() / 4 {
            self.endpoints.shrink_to_fit();
            self.patterns.shrink_to_fit();
            self.terms.shrink_to_fit();
        }
    }
}

fn one_of<T: Eq + Hash>(kept: &mut HashSet<Arc<T>>, value: Arc<T>) -> Arc<T> {
    if let Some(known) = kept.get(&value) {
        return Arc::clone(known);
    }
    kept.insert(Arc::clone(&value));
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{
        endpoint::Facts,
        peer::{Identity, Peer},
    };

    fn endpoint(port: u16, app_id: &str) -> Endpoint {
        let facts = Facts { app_id: app_id.into(), instance_id: app_id.into(), ..Facts::default() };
        Endpoint::new(Peer::new("10.0.0.1", port, Identity::Plain), facts)
    }

    #[test]
    fn equal_endpoints_become_one_while_one_is_in_use() {
        let mut interner = Interner::default();
        let first = interner.share(endpoint(1, "app"));
        assert!(Arc::ptr_eq(&first, &interner.share(endpoint(1, "app"))));
        assert!(!Arc::ptr_eq(&first, &interner.share(endpoint(1, "other"))));
        assert!(!Arc::ptr_eq(&first, &interner.share(endpoint(2, "app"))));

        let known = endpoint(2, "app");
        let elsewhere = Facts { availability_zone: "z2".into(), ..known.facts() };
        let there = interner.share(Endpoint::new(known.peer.clone(), elsewhere));
        assert_eq!(there.availability_zone(), "z2");
        assert_eq!(interner.share(endpoint(2, "app")).availability_zone(), "");
    }

    #[test]
    fn what_endpoints_have_in_common_is_kept_once() {
        let of_space = |port, space: &'static str| {
            let tags = [("app_id", "app"), ("name", "own"), ("space_id", space)];
            let tags = tags.map(|(name, value)| (name.into(), value.into()));
            Endpoint::new(
                Peer::new("10.0.0.1", port, Identity::Plain),
                Facts { app_id: "app".into(), tags: Some(tags.into()), ..Facts::default() },
            )
        };
        let mut interner = Interner::default();
        let [one, two, other] =
            [(1, "s"), (2, "s"), (3, "t")].map(|(port, space)| interner.share(of_space(port, space)));
        let patterns = [&one, &two, &other].map(|endpoint| Arc::as_ptr(endpoint.tags.as_ref().unwrap()));
        assert_eq!((patterns[0] == patterns[1], patterns[0] == patterns[2]), (true, false));
        assert!([&two, &other].iter().all(|endpoint| Arc::ptr_eq(&endpoint.terms, &one.terms)));
        assert_eq!(other.tag("space_id"), Some("t"));
    }

    #[test]
    fn what_is_out_of_use_is_forgotten() {
        let mut interner = Interner::default();
        let kept: Vec<_> = (0..100).map(|port| interner.share(endpoint(port, &format!("kept {port}")))).collect();
        for round in 0..20 {
            for port in 100..1000 {
                let mut endpoint = endpoint(port, &format!("app {round} {port}"));
                let zone = format!("zone {round} {port}");
                endpoint.terms = Arc::new(Terms { availability_zone: zone.into(), ..Terms::default() });
                interner.share(endpoint);
            }
        }
        assert!(interner.endpoints.len() <= 1100 && interner.terms.len() <= 1100, "{interner:?}");
        assert!(Arc::ptr_eq(&kept[7], &interner.share(endpoint(7, "kept 7"))));
        drop(kept);
        for _ in 0..2048 {
            interner.heard();
        }
        assert!(interner.endpoints.is_empty() && interner.terms.is_empty() && interner.patterns.is_empty());
        assert_eq!(interner.endpoints.capacity(), 0);
    }
}
