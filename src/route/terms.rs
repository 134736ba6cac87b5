//! What few endpoints have to themselves: an app's protocol, zone and options are those of thousands of others.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::source::Source;

/// The facts of a registration that repeat from endpoint to endpoint; kept once for all that have them in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Terms {
    pub(super) protocol: Protocol,
    pub(super) route_service_url: Box<str>,
    pub(super) isolation_segment: Arc<str>,
    pub(super) availability_zone: Box<str>,
    pub(super) stale_threshold: Duration,
    pub(super) options: Option<Arc<Options>>,
    pub(super) modification_tag: Option<Arc<ModificationTag>>,
    /// Whose latencies these are, where applications are told apart; from a tag, and so no fact of its own.
    pub(super) source: Option<Arc<Source>>,
}

impl Terms {
    /// Whether these are the same but for the availability zone.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.route_service_url == other.route_service_url
            && self.isolation_segment == other.isolation_segment
            && self.stale_threshold == other.stale_threshold
            && self.options == other.options
            && self.modification_tag == other.modification_tag
    }
}

/// Which state of a route the Routing API tells of. What comes over NATS has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModificationTag {
    /// The life of the route: deleted and made again it has another one. Never empty.
    pub guid: Box<str>,
    /// Grows with each change in that life.
    pub index: u32,
}

impl ModificationTag {
    /// Whether what is told with `next` is newer than what was told with `known`: only within one life of a route is
    /// there an older and a newer (gorouter.md section 4).
    #[must_use]
    pub fn succeeds(next: Option<&Self>, known: Option<&Self>) -> bool {
        let (Some(next), Some(known)) = (next, known) else { return true };
        next.guid != known.guid || next.index > known.index
    }
}

/// How a route asks to be balanced (gorouter.md section 3, `options`).
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The algorithm, verbatim.
    pub loadbalancing: Arc<str>,
    /// The header of hash routing; empty for any other algorithm.
    pub hash_header: Arc<str>,
    /// How many times the average in flight an endpoint may have; zero for no bound, and for any other algorithm.
    pub hash_balance: f64,
}

impl Options {
    /// Whether the algorithm is one that there is; see [`super::balancing::Balancing::asked`].
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(&*self.loadbalancing, "" | "round-robin" | "least-connection" | "hash")
    }

    fn parts(&self) -> (&str, &str, u64) {
        (&self.loadbalancing, &self.hash_header, self.hash_balance.to_bits())
    }
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Options {}

impl Hash for Options {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// What an app behind an endpoint speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1, also where the message says nothing.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// Anything else, stored as it came and spoken to as HTTP/1.1.
    Other(Arc<str>),
}

impl Protocol {
    /// The name as it appears in `/routes` and in messages.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Other(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_within_one_life_of_a_route_is_there_an_older_and_a_newer() {
        let tag = |guid: &str, index| Some(ModificationTag { guid: guid.into(), index });
        for (known, next, succeeds) in [
            (None, None, true),
            (None, tag("a", 0), true),
            (tag("a", 9), None, true),
            (tag("a", 9), tag("b", 1), true),
            (tag("a", 1), tag("a", 2), true),
            (tag("a", 2), tag("a", 2), false),
            (tag("a", 2), tag("a", 1), false),
        ] {
            assert_eq!(ModificationTag::succeeds(next.as_ref(), known.as_ref()), succeeds, "{known:?} {next:?}");
        }
    }
}
