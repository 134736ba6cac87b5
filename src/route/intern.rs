//! Sharing of equal texts and endpoints, so that a large table costs what differs in it.
//!
//! A foundation repeats itself: every heartbeat brings the same endpoint anew, an app's id stands in its
//! registrations several times, and an instance is registered once for each of its routes. An
//! [`Interner`] belongs to whoever turns messages into endpoints. It remembers at most twice what was in use
//! at its last sweep, so that the table bounds it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use super::{
    endpoint::{Endpoint, Facts, Options, Protocol},
    peer::Peer,
    source::Sources,
};

/// Below this many, dead entries cost too little to be swept out.
const WORTH_A_SWEEP: usize = 1024;

/// Hands out one pointer for equal values.
#[derive(Debug, Default)]
pub struct Interner {
    endpoints: Swept<HashMap<Peer, Weak<Endpoint>>>,
    texts: Swept<HashSet<Arc<str>>>,
    sources: Option<Arc<Sources>>,
}

/// A collection, and the size at which the next sweep is due.
#[derive(Debug, Default)]
struct Swept<T> {
    kept: T,
    due: usize,
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
    pub fn share(&mut self, endpoint: Endpoint) -> Arc<Endpoint> {
        if let Some(known) = self.endpoints.kept.get(&endpoint.peer).and_then(Weak::upgrade)
            && known.same_as(&endpoint)
            && known.facts.availability_zone == endpoint.facts.availability_zone
        {
            return known;
        }
        let peer = match self.endpoints.kept.get_key_value(&endpoint.peer) {
            Some((known, _)) => known.clone(),
            None => endpoint.peer.clone(),
        };
        let facts = self.share_texts(endpoint.facts);
        let mut endpoint = Endpoint::new(peer.clone(), facts);
        if let Some(sources) = &self.sources {
            endpoint.source = endpoint.facts.tag("source_id").filter(|id| !id.is_empty()).map(|id| sources.named(id));
        }
        let endpoint = Arc::new(endpoint);
        if self.endpoints.is_due(self.endpoints.kept.len()) {
            self.endpoints.kept.retain(|_, endpoint| endpoint.strong_count() > 0);
            self.endpoints.due = 2 * self.endpoints.kept.len();
        }
        self.endpoints.kept.insert(peer, Arc::downgrade(&endpoint));
        endpoint
    }

    fn share_texts(&mut self, facts: Facts) -> Facts {
        let tags = facts.tags.map(|tags| {
            tags.iter().map(|(name, value)| (self.text(Arc::clone(name)), self.text(Arc::clone(value)))).collect()
        });
        Facts {
            app_id: self.text(facts.app_id),
            instance_id: self.text(facts.instance_id),
            instance_index: self.text(facts.instance_index),
            protocol: match facts.protocol {
                Protocol::Other(name) => Protocol::Other(self.text(name)),
                known => known,
            },
            server_cert_domain_san: self.text(facts.server_cert_domain_san),
            tags,
            route_service_url: self.text(facts.route_service_url),
            isolation_segment: self.text(facts.isolation_segment),
            availability_zone: self.text(facts.availability_zone),
            stale_threshold: facts.stale_threshold,
            updated_at_ns: facts.updated_at_ns,
            options: facts.options.map(|options| self.share_options(&options)),
        }
    }

    fn share_options(&mut self, options: &Options) -> Arc<Options> {
        let loadbalancing = self.text(Arc::clone(&options.loadbalancing));
        let hash_header = self.text(Arc::clone(&options.hash_header));
        Arc::new(Options { loadbalancing, hash_header, hash_balance: options.hash_balance })
    }

    fn text(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.kept.get(&text) {
            return Arc::clone(known);
        }
        if self.texts.is_due(self.texts.kept.len()) {
            self.texts.kept.retain(|text| Arc::strong_count(text) > 1);
            self.texts.due = 2 * self.texts.kept.len();
        }
        self.texts.kept.insert(Arc::clone(&text));
        text
    }
}

impl<T> Swept<T> {
    /// Whether as much came since the last sweep as that left over: then sweeping costs a constant per
    /// insertion.
    fn is_due(&self, count: usize) -> bool {
        count >= self.due.max(WORTH_A_SWEEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::peer::Identity;

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

        let mut elsewhere = endpoint(2, "app");
        elsewhere.facts.availability_zone = "z2".into();
        let there = interner.share(elsewhere);
        assert_eq!(&*there.facts.availability_zone, "z2");
        assert_eq!(&*interner.share(endpoint(2, "app")).facts.availability_zone, "");
    }

    #[test]
    fn equal_texts_become_one() {
        let mut interner = Interner::default();
        let (one, two) = (interner.share(endpoint(1, "app")), interner.share(endpoint(2, "app")));
        assert!(Arc::ptr_eq(&one.facts.app_id, &two.facts.app_id));
        assert!(Arc::ptr_eq(&one.facts.app_id, &one.facts.instance_id));
    }

    #[test]
    fn what_is_out_of_use_is_forgotten() {
        let mut interner = Interner::default();
        let kept: Vec<_> = (0..100).map(|port| interner.share(endpoint(port, &format!("kept {port}")))).collect();
        for round in 0..20 {
            for port in 100..1000 {
                interner.share(endpoint(port, &format!("app {round} {port}")));
            }
        }
        assert!(interner.texts.kept.len() <= 2 * WORTH_A_SWEEP, "{}", interner.texts.kept.len());
        assert!(interner.endpoints.kept.len() <= 2 * WORTH_A_SWEEP, "{}", interner.endpoints.kept.len());
        assert!(Arc::ptr_eq(&kept[7], &interner.share(endpoint(7, "kept 7"))));
    }
}
