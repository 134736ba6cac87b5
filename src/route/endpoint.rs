//! One registered endpoint: where an instance listens, who it is, and what it told about itself.
//!
//! An endpoint never changes after its birth; a registration with other facts makes another endpoint.
//! What moves is the count of requests under way, and whether there was one lately.
//!
//! A router keeps one for every instance of a platform, so that its size is the size of the table. What many have in
//! common is shared (see [`super::intern`]), and what an endpoint has to itself stands in one text. What a request
//! asks for (the ids of app and instance, the index) is read from there without a search.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    component::Component,
    packed::{Reader, push},
    peer::Peer,
    source::Source,
    tags::{Known, Pattern},
    terms::Terms,
};
pub use super::{
    tags::{Tag, Tags},
    terms::{ModificationTag, Options, Protocol},
};

/// Longest of the three texts that every request asks for, in bytes. No message gets near it
/// ([`crate::registration::MAX_TEXT`]); what is longer is cut.
const LONGEST: usize = 16 * 1024;

/// The facts of one registration for one endpoint, plus the number of requests it is working on.
pub struct Endpoint {
    /// Address and expected identity.
    pub peer: Peer,
    /// App id, instance id, index; then the certificate's name and the values of tags, as far as they are nowhere
    /// else, each behind its length.
    texts: Box<str>,
    /// Where each of the first three ends.
    ends: [u16; 3],
    instance_id: Place,
    san: Place,
    /// The `component` tag, resolved.
    pub component: Component,
    in_flight: AtomicU32,
    used: AtomicBool,
    updated_at_ns: i64,
    pub(super) tags: Option<Arc<Pattern>>,
    pub(super) terms: Arc<Terms>,
}

/// Where a text is kept that is nearly always the name that the peer has to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is the peer's name.
    Peer,
    /// It is the instance's id.
    Instance,
    /// With the endpoint's other texts.
    Texts,
}

/// What a registration says beside address and identity. Texts are empty where it was silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts<'a> {
    /// Application id (`app`).
    pub app_id: Cow<'a, str>,
    /// Instance id (`private_instance_id`).
    pub instance_id: Cow<'a, str>,
    /// Instance index (`private_instance_index`), a decimal number by custom only.
    pub instance_index: Cow<'a, str>,
    /// Protocol that the app speaks.
    pub protocol: Protocol,
    /// Name that the certificate must carry, as registered.
    pub server_cert_domain_san: Cow<'a, str>,
    /// Tags sorted by name, no name twice; `None` where they were null or absent.
    pub tags: Option<Vec<Tag<'a>>>,
    /// Route service, if the route is bound to one.
    pub route_service_url: Cow<'a, str>,
    /// Isolation segment.
    pub isolation_segment: Cow<'a, str>,
    /// Availability zone; not part of equality (see [`Endpoint::same_as`]).
    pub availability_zone: Cow<'a, str>,
    /// Age after which a plain endpoint is stale; zero where the message left it to the configuration.
    pub stale_threshold: Duration,
    /// When the platform last changed the endpoint, nanoseconds since the epoch; for equality and a metric.
    pub updated_at_ns: i64,
    /// What the route options ask for; most routes have none.
    pub options: Option<Arc<Options>>,
    /// Which state of the route this is; the Routing API tells it.
    pub modification_tag: Option<Arc<ModificationTag>>,
}

impl Endpoint {
    /// A new endpoint with nothing under way.
    #[must_use]
    pub fn new(peer: Peer, facts: Facts<'_>) -> Self {
        let known = Known {
            app_id: bounded(&facts.app_id),
            instance_id: bounded(&facts.instance_id),
            instance_index: bounded(&facts.instance_index),
        };
        let mut texts = String::with_capacity(256);
        let mut add = |text: &str| {
            texts.push_str(text);
            u16::try_from(texts.len()).unwrap_or(u16::MAX)
        };
        let named = |text: &str| peer.name() == Some(text);
        let instance_id = if named(known.instance_id) { Place::Peer } else { Place::Texts };
        let in_texts = if instance_id == Place::Peer { "" } else { known.instance_id };
        let ends = [add(known.app_id), add(in_texts), add(known.instance_index)];
        let san = match &*facts.server_cert_domain_san {
            san if named(san) => Place::Peer,
            san if san == known.instance_id => Place::Instance,
            _ => Place::Texts,
        };
        if san == Place::Texts {
            push(&mut texts, &facts.server_cert_domain_san);
        }
        let component = facts.tags.iter().flatten().find(|(name, _)| name == "component");
        Self {
            component: Component::named(component.map_or("", |(_, value)| value)),
            tags: facts.tags.as_ref().map(|tags| Arc::new(Pattern::of(tags, known, &mut texts))),
            terms: Arc::new(Terms {
                protocol: facts.protocol,
                route_service_url: facts.route_service_url.into(),
                isolation_segment: facts.isolation_segment.into(),
                availability_zone: facts.availability_zone.into(),
                stale_threshold: facts.stale_threshold,
                options: facts.options,
                modification_tag: facts.modification_tag,
                source: None,
            }),
            peer,
            texts: texts.into_boxed_str(),
            ends,
            instance_id,
            san,
            in_flight: AtomicU32::new(0),
            used: AtomicBool::new(false),
            updated_at_ns: facts.updated_at_ns,
        }
    }

    /// The number of the application whose latencies these are, where applications are told apart.
    #[must_use]
    #[inline]
    pub fn source(&self) -> usize {
        Source::index(self.terms.source.as_ref())
    }

    /// Application id.
    #[must_use]
    pub fn app_id(&self) -> &str {
        self.part(0, self.ends[0])
    }

    /// Instance id.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        match self.instance_id {
            Place::Peer => self.peer.name().unwrap_or_default(),
            Place::Instance | Place::Texts => self.part(self.ends[0], self.ends[1]),
        }
    }

    /// Instance index, a decimal number by custom only.
    #[must_use]
    pub fn instance_index(&self) -> &str {
        self.part(self.ends[1], self.ends[2])
    }

    /// Name that the certificate must carry, as registered; empty also where the host stands in for it.
    #[must_use]
    pub fn server_cert_domain_san(&self) -> &str {
        match self.san {
            Place::Peer => self.peer.name().unwrap_or_default(),
            Place::Instance => self.instance_id(),
            Place::Texts => self.packed().text(),
        }
    }

    /// Tags sorted by name, no name twice; `None` where they were null or absent.
    #[must_use]
    pub fn tags(&self) -> Option<Tags<'_>> {
        let pattern = self.tags.as_deref()?;
        let mut own = self.packed();
        if self.san == Place::Texts {
            own.text();
        }
        let (app_id, instance_id, instance_index) = (self.app_id(), self.instance_id(), self.instance_index());
        Some(Tags::new(pattern, own, Known { app_id, instance_id, instance_index }))
    }

    /// The value of the tag `name`.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags()?.value(name)
    }

    /// Protocol that the app speaks.
    #[must_use]
    pub fn protocol(&self) -> &Protocol {
        &self.terms.protocol
    }

    /// Route service, if the route is bound to one, else empty.
    #[must_use]
    pub fn route_service_url(&self) -> &str {
        &self.terms.route_service_url
    }

    /// Isolation segment; empty for the shared one.
    #[must_use]
    pub fn isolation_segment(&self) -> &Arc<str> {
        &self.terms.isolation_segment
    }

    /// Availability zone; empty if not told.
    #[must_use]
    pub fn availability_zone(&self) -> &str {
        &self.terms.availability_zone
    }

    /// Age after which a plain endpoint is stale; zero where the message left it to the configuration.
    #[must_use]
    pub fn stale_threshold(&self) -> Duration {
        self.terms.stale_threshold
    }

    /// When the platform last changed the endpoint, nanoseconds since the epoch; zero if not told.
    #[must_use]
    pub fn updated_at_ns(&self) -> i64 {
        self.updated_at_ns
    }

    /// What the route options ask for.
    #[must_use]
    pub fn options(&self) -> Option<&Options> {
        self.terms.options.as_deref()
    }

    /// Which state of the route this is, where that is told.
    #[must_use]
    pub fn modification_tag(&self) -> Option<&ModificationTag> {
        self.terms.modification_tag.as_deref()
    }

    /// Whether `next` may take the place of this one, as far as modification tags tell.
    #[must_use]
    pub fn gives_way_to(&self, next: &Self) -> bool {
        ModificationTag::succeeds(next.modification_tag(), self.modification_tag())
    }

    /// All that was registered, as it came.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            app_id: self.app_id().into(),
            instance_id: self.instance_id().into(),
            instance_index: self.instance_index().into(),
            protocol: self.protocol().clone(),
            server_cert_domain_san: self.server_cert_domain_san().into(),
            tags: self.tags().map(|tags| tags.map(|(name, value)| (name.into(), value.into())).collect()),
            route_service_url: self.route_service_url().into(),
            isolation_segment: self.terms.isolation_segment.as_ref().into(),
            availability_zone: self.availability_zone().into(),
            stale_threshold: self.stale_threshold(),
            updated_at_ns: self.updated_at_ns,
            options: self.terms.options.clone(),
            modification_tag: self.terms.modification_tag.clone(),
        }
    }

    /// Whether `other` is the same registration repeated: all facts but the availability zone
    /// (gorouter.md section 4, endpoint identity).
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let same = |a: &Arc<Terms>, b: &Arc<Terms>| Arc::ptr_eq(a, b) || a.same_as(b);
        // Equal facts are kept in equal ways, so that nothing has to be unpacked.
        self.peer == other.peer
            && (self.ends, self.instance_id, self.san) == (other.ends, other.instance_id, other.san)
            && self.updated_at_ns == other.updated_at_ns
            && self.texts == other.texts
            && same(&self.terms, &other.terms)
            && self.tags == other.tags
    }

    /// Requests sent whose response headers have not arrived.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Whether a request was sent here since the last call.
    #[must_use]
    pub fn take_used(&self) -> bool {
        self.used.load(Relaxed) && self.used.swap(false, Relaxed)
    }

    /// Counts one more request until the guard is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> InFlight {
        // A look spares the write, and by that the cache line, for all but the first.
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    fn part(&self, from: u16, to: u16) -> &str {
        self.texts.get(usize::from(from)..usize::from(to)).unwrap_or_default()
    }

    fn packed(&self) -> Reader<'_> {
        Reader::new(self.texts.get(usize::from(self.ends[2])..).unwrap_or_default())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Endpoint");
        shown.field("peer", &self.peer).field("facts", &self.facts()).field("in_flight", &self.in_flight()).finish()
    }
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// One request counted at its endpoint; uncounted on drop.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
