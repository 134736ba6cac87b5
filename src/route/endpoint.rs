//! One registered endpoint: where an instance listens, who it is, and what it told about itself.
//!
//! An endpoint never changes after its birth; a registration with other facts makes another endpoint.
//! The one thing that moves is the count of requests under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{component::Component, peer::Peer, source::Source};

/// The facts of one registration for one endpoint, plus the number of requests it is working on.
#[derive(Debug)]
pub struct Endpoint {
    /// Address and expected identity.
    pub peer: Peer,
    /// Everything else that was registered.
    pub facts: Facts,
    /// The `component` tag, resolved.
    pub component: Component,
    /// Whose latencies these are, where applications are told apart.
    pub source: Option<Arc<Source>>,
    in_flight: AtomicU32,
}

/// What a registration says beside address and identity. Fields are empty where it was silent.
///
/// The texts are shared pointers, because most of them repeat: an instance id is also its certificate's
/// name, tags are the same for all instances of an app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Application id (`app`).
    pub app_id: Arc<str>,
    /// Instance id (`private_instance_id`).
    pub instance_id: Arc<str>,
    /// Instance index (`private_instance_index`), a decimal number by custom only.
    pub instance_index: Arc<str>,
    /// Protocol that the app speaks.
    pub protocol: Protocol,
    /// Name that the certificate must carry, as registered.
    pub server_cert_domain_san: Arc<str>,
    /// Tags sorted by name, no name twice; `None` where they were null or absent.
    pub tags: Option<Arc<[Tag]>>,
    /// Route service, if the route is bound to one.
    pub route_service_url: Arc<str>,
    /// Isolation segment.
    pub isolation_segment: Arc<str>,
    /// Availability zone; not part of equality (see [`Endpoint::same_as`]).
    pub availability_zone: Arc<str>,
    /// Age after which a plain endpoint is stale; zero where the message left it to the configuration.
    pub stale_threshold: Duration,
    /// When the platform last changed the endpoint, nanoseconds since the epoch; for equality and a metric.
    pub updated_at_ns: i64,
    /// What the route options ask for; most routes have none.
    pub options: Option<Arc<Options>>,
}

/// How a route asks to be balanced (gorouter.md section 3, `options`).
#[derive(Clone, Debug, Default, PartialEq)]
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
}

/// Name and value of one tag.
pub type Tag = (Arc<str>, Arc<str>);

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

impl Endpoint {
    /// A new endpoint with nothing under way.
    #[must_use]
    pub fn new(peer: Peer, facts: Facts) -> Self {
        let component = Component::named(facts.tag("component").unwrap_or_default());
        Self { peer, facts, component, source: None, in_flight: AtomicU32::new(0) }
    }

    /// Whether `other` is the same registration repeated: all facts but the availability zone
    /// (gorouter.md section 4, endpoint identity).
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let (a, b) = (&self.facts, &other.facts);
        self.peer == other.peer
            && a.app_id == b.app_id
            && a.instance_id == b.instance_id
            && a.instance_index == b.instance_index
            && a.protocol == b.protocol
            && a.server_cert_domain_san == b.server_cert_domain_san
            && a.tags == b.tags
            && a.route_service_url == b.route_service_url
            && a.isolation_segment == b.isolation_segment
            && a.stale_threshold == b.stale_threshold
            && a.updated_at_ns == b.updated_at_ns
            && a.options == b.options
    }

    /// Requests sent whose response headers have not arrived.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Counts one more request until the guard is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }
}

impl Facts {
    /// The value of tag `name`.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.as_deref()?.iter().find(|(key, _)| **key == *name).map(|(_, value)| &**value)
    }
}

/// One request counted at its endpoint; uncounted on drop.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
