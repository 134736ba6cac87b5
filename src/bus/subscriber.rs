//! Registrations: what is heard on `router.*`, applied to the table.
//!
//! Owns the way from a message to a change of the table, and no state beside the memory of what was
//! already complained about. Promises: a message costs only itself, whatever is in it; order is kept;
//! neither a flood nor a panic stops the ones that follow.
//!
//! Source: gorouter.md section 3 (subjects, limits, fields) and section 4 (log lines).

use std::{
    any::Any,
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::{FutureExt, StreamExt};
use tokio::task::{unconstrained, yield_now};
use tokio_util::sync::CancellationToken;

use super::{
    Clock, lines,
    link::LinkClosed,
    ring::{Heard, Ring},
};
use crate::{
    observe::metrics::{Metrics, RegistryAction},
    registration::{self, Integrity, Refused, Registration},
    route::{
        component::Component,
        endpoint::Endpoint,
        intern::Interner,
        lease::Lease,
        moment::Moment,
        pool::Pool,
        source::Sources,
        uri::{BadUri, RouteKey},
    },
    table::{Change, Departure, Table},
};

/// The one subscription.
pub const SUBJECTS: &str = "router.*";
/// Adds or confirms endpoints.
pub const REGISTER: &str = "router.register";
/// Takes endpoints away.
pub const UNREGISTER: &str = "router.unregister";

/// Messages applied between two turns of the runtime, about a millisecond of work.
const TURN: usize = 256;
/// Refused endpoints remembered in each of two generations.
const REMEMBERED: usize = 4096;

/// What the subscriber is told by the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// The integrity mode that all endpoints follow; `None` where each follows its registration.
    pub integrity: Option<Integrity>,
    /// Whether endpoints may be spoken to in HTTP/2.
    pub http2: bool,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A registration reached the table.
    Registered(Registered),
    /// An unregistration reached the table.
    Unregistered(Unregistered),
    /// The message is not what it should be.
    Invalid,
    /// It is, and the router's policy refuses it.
    Refused(Refused),
    /// It is on a subject that asks nothing of the table.
    Unused,
    /// It met a defect of this program.
    Panicked,
}

/// What one registration did to the routes that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The endpoint's component.
    pub component: Component,
    /// When the platform last changed the endpoint, nanoseconds since the epoch; 0 if not told.
    pub updated_at_ns: i64,
    /// Routes that got a new endpoint.
    pub added: u32,
    /// Routes whose endpoint changed.
    pub replaced: u32,
    /// Routes whose endpoint is confirmed.
    pub renewed: u32,
    /// Routes that have a newer endpoint at its address.
    pub outdated: u32,
    /// Routes that do not take the endpoint.
    pub ignored: u32,
    /// URIs that name no route.
    pub bad_uris: u32,
}

impl Registered {
    const NOTHING: Self = Self {
        component: Component::NONE,
        updated_at_ns: 0,
        added: 0,
        replaced: 0,
        renewed: 0,
        outdated: 0,
        ignored: 0,
        bad_uris: 0,
    };
}

/// What one unregistration did to the routes that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unregistered {
    /// The endpoint's component.
    pub component: Component,
    /// Routes that it left.
    pub removed: u32,
    /// Routes that did not have it.
    pub absent: u32,
    /// URIs that name no route.
    pub bad_uris: u32,
}

impl Unregistered {
    const NOTHING: Self = Self { component: Component::NONE, removed: 0, absent: 0, bad_uris: 0 };
}

/// Applies messages to a table.
#[derive(Debug)]
pub struct Subscriber {
    table: Arc<Table>,
    policy: Policy,
    interner: Interner,
    complained: Complained,
}

impl Subscriber {
    /// A subscriber that writes to `table`.
    #[must_use]
    pub fn new(table: Arc<Table>, policy: Policy) -> Self {
        Self { table, policy, interner: Interner::default(), complained: Complained::default() }
    }

    /// The same, resolving whose latencies those of new endpoints are.
    #[must_use]
    pub fn with_sources(mut self, sources: Option<Arc<Sources>>) -> Self {
        self.interner = Interner::with_sources(sources);
        self
    }

    /// Applies one message that was heard at `now`, and writes the log lines about it.
    pub fn apply(&mut self, subject: &str, payload: &[u8], now: Moment) -> Outcome {
        let acts = subject == REGISTER || subject == UNREGISTER;
        if payload.is_empty() && !acts {
            // A greeting has no payload, and nothing is wrong with it.
            return Outcome::Unused;
        }
        let registration = match registration::parse(payload) {
            Ok(registration) => registration,
            Err(error) => {
                lines::invalid(&error, payload, subject);
                return Outcome::Invalid;
            }
        };
        if !acts {
            return Outcome::Unused;
        }
        self.act(subject, &registration, payload, now)
    }

    /// Applies what was parsed from `payload` and was heard at `now`: a registration if `subject` is [`REGISTER`], else
    /// an unregistration. Writes the log lines about it.
    pub fn act(&mut self, subject: &str, registration: &Registration, payload: &[u8], now: Moment) -> Outcome {
        match registration.endpoint(self.policy.integrity, self.policy.http2) {
            Ok(endpoint) if subject == REGISTER => {
                let endpoint = self.interner.share(endpoint);
                self.register(registration, &endpoint, now)
            }
            Ok(endpoint) => {
                self.interner.heard();
                self.unregister(registration, &endpoint, now)
            }
            Err(why) => {
                if self.complained.is_news(why, mark(registration, payload)) {
                    lines::refused(&why, payload, subject);
                }
                Outcome::Refused(why)
            }
        }
    }

    /// Puts what a former process knew into the table at `now`, without a log line for each; returns for how many
    /// routes. Only an endpoint that must prove itself is taken, and only one that the policy allows.
    pub fn restore(&mut self, message: &[u8], now: Moment) -> usize {
        let Ok(registration) = registration::parse(message) else { return 0 };
        let Ok(endpoint) = registration.endpoint(self.policy.integrity, self.policy.http2) else { return 0 };
        if !endpoint.peer.is_tls() {
            return 0;
        }
        let endpoint = self.interner.share(endpoint);
        let put = |key: &RouteKey| self.table.restore(key, &endpoint, now, fastrand::usize(..)) == Change::Added;
        registration.uris().flatten().filter(put).count()
    }

    fn register(&self, registration: &Registration, endpoint: &Arc<Endpoint>, now: Moment) -> Outcome {
        let updated_at_ns = endpoint.updated_at_ns();
        let mut done = Registered { component: endpoint.component, updated_at_ns, ..Registered::NOTHING };
        for uri in registration.uris() {
            let Some(key) = checked(uri, REGISTER) else {
                done.bad_uris += 1;
                continue;
            };
            let change = self.table.register(&key, endpoint, now, fastrand::usize(..));
            match change {
                Change::Added => done.added += 1,
                Change::Replaced => done.replaced += 1,
                Change::Renewed => done.renewed += 1,
                Change::Outdated => done.outdated += 1,
                Change::Ignored => done.ignored += 1,
            }
            if change == Change::Added {
                self.tell_of_arrival(&key, endpoint);
            }
            lines::registered(key.as_str(), endpoint, change);
            if let (Change::Added | Change::Replaced, Some(options)) = (change, endpoint.options())
                && !options.is_known()
            {
                lines::unknown_algorithm(key.as_str(), endpoint, &options.loadbalancing);
            }
        }
        Outcome::Registered(done)
    }

    fn unregister(&self, registration: &Registration, endpoint: &Endpoint, now: Moment) -> Outcome {
        let mut done = Unregistered { component: endpoint.component, ..Unregistered::NOTHING };
        for uri in registration.uris() {
            let Some(key) = checked(uri, UNREGISTER) else {
                done.bad_uris += 1;
                continue;
            };
            let found = self.table.unregister(&key, endpoint, now) == Departure::Removed;
            done.removed += u32::from(found);
            done.absent += u32::from(!found);
            lines::unregistered(key.as_str(), endpoint, found);
            if found && self.pool(&key).is_none_or(|pool| pool.leases().is_empty()) {
                lines::route_unregistered(key.as_str(), endpoint);
            }
        }
        Outcome::Unregistered(done)
    }

    /// The lines that depend on who else serves the route.
    fn tell_of_arrival(&self, key: &RouteKey, endpoint: &Endpoint) {
        let Some(pool) = self.pool(key) else { return };
        if pool.leases().len() == 1 {
            lines::route_registered(key.as_str(), endpoint);
        }
        let is_tls = |lease: &Arc<Lease>| lease.endpoint().peer.is_tls();
        if !endpoint.peer.is_tls() && pool.leases().iter().any(is_tls) {
            lines::downgraded(key.as_str(), endpoint);
        }
    }

    /// The pool of the route `key` itself: a look-up may also answer with a shorter path or a wildcard.
    fn pool(&self, key: &RouteKey) -> Option<Arc<Pool>> {
        self.table.lookup(key.host(), key.path()).filter(|pool| pool.route().key() == key.as_str())
    }
}

/// The route key, unless the URI is none; that is said in a log line and costs the others nothing.
fn checked(uri: Result<RouteKey, (&str, BadUri)>, subject: &str) -> Option<RouteKey> {
    match uri {
        Ok(key) => Some(key),
        Err((text, why)) => {
            lines::invalid(&format_args!("uri {why}"), text.as_bytes(), subject);
            None
        }
    }
}

/// Which refusals were logged lately, so that a refused endpoint's heartbeat does not fill the log.
///
/// Two generations of bounded size: the older one is forgotten when the younger one is full.
#[derive(Debug, Default)]
struct Complained {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Complained {
    fn is_news(&mut self, why: Refused, mark: u64) -> bool {
        let mark = hash((why, mark));
        if self.young.contains(&mark) || self.old.contains(&mark) {
            return false;
        }
        if self.young.len() >= REMEMBERED {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(mark)
    }
}

/// What stands for a refused endpoint: who it would be without a policy, whatever route a message is
/// about; where it would be nobody, the message itself.
fn mark(registration: &Registration, payload: &[u8]) -> u64 {
    match registration.endpoint(None, true) {
        Ok(endpoint) => hash((&endpoint.peer, endpoint.instance_id())),
        Err(_) => hash(payload),
    }
}

fn hash(value: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// Counts `outcome` as of now.
pub(crate) fn count(outcome: &Outcome, metrics: &Metrics) {
    count_at(outcome, metrics, wall_ns());
}

/// Counts `outcome`; `wall_ns` is the time of day in nanoseconds since the epoch.
fn count_at(outcome: &Outcome, metrics: &Metrics, wall_ns: i64) {
    match outcome {
        Outcome::Registered(done) => {
            let actions = [
                (done.added, RegistryAction::Added),
                (done.replaced, RegistryAction::Updated),
                (done.renewed, RegistryAction::Refreshed),
                (done.outdated, RegistryAction::Unmodified),
            ];
            for (times, action) in actions {
                (0..times).for_each(|_| metrics.registered(done.component, action));
            }
            if done.updated_at_ns > 0 && done.added + done.replaced > 0 {
                let ns = wall_ns.saturating_sub(done.updated_at_ns);
                metrics.registration_latency_ms(ns as f64 / 1e6);
            }
            (0..done.bad_uris).for_each(|_| metrics.registration_rejected("uri"));
        }
        Outcome::Unregistered(done) => {
            metrics.routes_deleted(done.removed.into());
            (0..done.removed + done.absent).for_each(|_| metrics.unregistered(done.component));
            (0..done.bad_uris).for_each(|_| metrics.registration_rejected("uri"));
        }
        Outcome::Invalid => metrics.registration_rejected("invalid"),
        Outcome::Refused(why) => metrics.registration_rejected(match why {
            Refused::NoAddress => "no_address",
            Refused::BadHost => "bad_host",
            Refused::TlsUnderOff => "tls_under_off",
            Refused::PlainUnderTls => "plain_under_tls",
        }),
        Outcome::Unused => {}
        Outcome::Panicked => metrics.panicked(),
    }
}

/// Moves what the client heard into `ring` until `until` is cancelled, and then what it had heard by
/// then; closes the ring at the end.
///
/// # Errors
/// [`LinkClosed`] when the subscription ends before `until`.
pub(super) async fn take_over(
    mut heard: async_nats::Subscriber,
    ring: &Ring,
    until: &CancellationToken,
) -> Result<(), LinkClosed> {
    let mut open = true;
    while open && !until.is_cancelled() {
        tokio::select! {
            () = until.cancelled() => {}
            first = heard.next() => match first {
                Some(message) => ring.push(message.into()),
                None => open = false,
            }
        }
        open = open && take_ready(&mut heard, ring);
    }
    ring.close();
    if open { Ok(()) } else { Err(LinkClosed) }
}

/// Takes what is ready without giving the client a turn to add more; whether the subscription still
/// stands. Exempt from tokio's budget, which would leave most of it in a queue where losses go uncounted.
fn take_ready(heard: &mut async_nats::Subscriber, ring: &Ring) -> bool {
    loop {
        match unconstrained(heard.next()).now_or_never() {
            Some(Some(message)) => ring.push(message.into()),
            Some(None) => return false,
            None => return true,
        }
    }
}

/// Hands every message of `ring` to `step`, in order, until the ring is closed and empty. Gives way after
/// each [`TURN`]; a panic of `step` costs its message.
pub(super) async fn work_off(ring: &Ring, mut step: impl FnMut(&Heard) -> Outcome, mut count: impl FnMut(&Outcome)) {
    while let Some(turn) = ring.take(TURN).await {
        for heard in &turn {
            let outcome = catch_unwind(AssertUnwindSafe(|| step(heard))).unwrap_or_else(|panic| {
                let line = serde_json::json!({ "error": panic_text(&*panic), "subject": heard.subject });
                tracing::error!(target: "subscriber", data = %line, "message-processing-panicked");
                Outcome::Panicked
            });
            count(&outcome);
        }
        yield_now().await;
    }
}

/// Applies everything that comes out of `ring` and counts it.
pub(super) async fn run(mut subscriber: Subscriber, ring: &Ring, metrics: &Metrics, clock: &Clock) {
    let step = |heard: &Heard| subscriber.apply(&heard.subject, &heard.payload, clock());
    work_off(ring, step, |outcome| count(outcome, metrics)).await;
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
