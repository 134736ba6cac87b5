//! Sharing of equal texts and endpoints, so that a large table costs what differs in it.
//!
//! A foundation repeats itself: every heartbeat brings the same endpoint anew, an app's id stands in its
//! registrations several times, and an instance is registered once for each of its routes. An
//! [`Interner`] belongs to whoever turns messages into endpoints; it holds nothing alive that the table
//! let go for longer than until its next sweep.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use super::{
    endpoint::{Endpoint, Facts, Protocol},
    peer::Peer,
};

/// The most endpoints, and the most texts, that are remembered. Beyond it, nothing new is shared.
const MOST: usize = 1 << 20;

/// Hands out one pointer for equal values.
#[derive(Debug, Default)]
pub struct Interner {
    endpoints: Swept<HashMap<Peer, Weak<Endpoint>>>,
    texts: Swept<HashSet<Arc<str>>>,
}

/// A collection, and the size at which the next sweep is due.
#[derive(Debug, Default)]
struct Swept<T> {
    kept: T,
    due: usize,
}

impl Interner {
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
        let endpoint = Arc::new(Endpoint::new(peer.clone(), facts));
        if self.endpoints.is_due(self.endpoints.kept.len()) {
            self.endpoints.kept.retain(|_, endpoint| endpoint.strong_count() > 0);
            self.endpoints.swept(self.endpoints.kept.len());
        }
        if self.endpoints.kept.len() < MOST || self.endpoints.kept.contains_key(&peer) {
            self.endpoints.kept.insert(peer, Arc::downgrade(&endpoint));
        }
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
            balancing: self.text(facts.balancing),
        }
    }

    fn text(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.kept.get(&text) {
            return Arc::clone(known);
        }
        if self.texts.is_due(self.texts.kept.len()) {
            self.texts.kept.retain(|text| Arc::strong_count(text) > 1);
            self.texts.swept(self.texts.kept.len());
        }
        if self.texts.kept.len() < MOST {
            self.texts.kept.insert(Arc::clone(&text));
        }
        text
    }
}

impl<T> Swept<T> {
    /// Whether as much came since the last sweep as was left by it: sweeps cost a constant per insertion.
    fn is_due(&self, count: usize) -> bool {
        count >= self.due.max(1024)
    }

    fn swept(&mut self, left: usize) {
        self.due = left.saturating_mul(2);
    }
}
