//! The table in the shapes of `/pools` and `/why`.
//!
//! Reading changes nothing: the order in which endpoints would be tried is found on a copy of the pool.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};

use super::shapes::{
    Balancing, Departed, Endpoint, Failure, Head, Kind, Mode, Outcome, Proof, Route, State, Step, VERSION, Why,
};
use crate::{
    route::{
        balancing::Algorithm,
        lease::Lease,
        moment::Moment,
        peer::Identity,
        pick::{Limits, Rotation, Unavailable, Wish},
        pool::Pool,
    },
    table::{
        Table,
        journal::{Cause, Departure},
        listing::Listing,
        survey::{self, Filter},
    },
};

/// About as large are the parts in which a long page is handed over.
const PART: usize = 32 * 1024;
/// Attempts of which the order is told.
const ORDER: usize = 8;
/// Departures that are told.
const DEPARTED: usize = 16;
/// Near routes that are told, of each kind.
const NEAR: usize = 5;

/// What the pages know beside the table.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Bounds on picking.
    pub pick: Limits,
    /// Attempts that count.
    pub max_attempts: u32,
    /// Whether a known route without endpoints is 503 instead of 404.
    pub empty_pool_is_503: bool,
    /// Whether the router has a certificate to show.
    pub has_certificate: bool,
    /// Whether requests for routes with a service are sent there.
    pub asks_services: bool,
}

/// The table at one moment.
pub(super) struct View<'a> {
    pub(super) table: &'a Table,
    pub(super) rules: &'a Rules,
    pub(super) now: Moment,
    pub(super) clock: SystemTime,
}

impl View<'_> {
    /// Hands the page `/pools` to `take` part by part, until it wants no more.
    pub(super) fn pools(&self, filter: Option<&Filter>, mut take: impl FnMut(Bytes) -> bool) {
        let listing = filter.map_or_else(|| self.table.listing(), |filter| self.table.matching(filter));
        let head = json(&Head { version: VERSION, now: self.time(Duration::ZERO) });
        let mut part = format!("{},\"routes\":[\n", head.trim_end_matches('}'));
        let last = listing.pools().len();
        for (number, pool) in (1..).zip(listing.pools()) {
            part.push_str(&json(&self.route(pool)));
            part.push_str(if number == last { "\n" } else { ",\n" });
            if part.len() >= PART && !take(std::mem::take(&mut part).into()) {
                return;
            }
        }
        part.push_str(&format!("],\"count\":{}}}\n", Listing::pools(&listing).len()));
        take(part.into());
    }

    /// The page `/why` for a Host header and an escaped path.
    pub(super) fn why(&self, host: &str, path: &str) -> Why {
        let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let path = path.strip_suffix('/').unwrap_or(path);
        let way = self.table.way(&host, path);
        let found = way.found.as_ref().map(|step| &step.pool);
        let steps = way.steps.iter().map(|step| {
            let whole = step.pool.route().path().len() == path.len();
            Step {
                route: step.pool.route().key().into(),
                kind: match (step.wildcard, whole) {
                    (true, _) => Kind::Wildcard,
                    (false, true) => Kind::Exact,
                    (false, false) => Kind::Path,
                },
                endpoints: step.pool.leases().len(),
                taken: found.is_some_and(|found| Arc::ptr_eq(found, &step.pool)),
            }
        });
        let (order, overloaded) = found.map(|pool| self.order(pool)).unwrap_or_default();
        let outcome = match found {
            None => Outcome::NoRoute,
            Some(pool) if pool.is_empty() => Outcome::NoEndpoints,
            Some(pool) if !pool.route_service_url().is_empty() => Outcome::RouteService,
            Some(_) if overloaded => Outcome::Overloaded,
            Some(_) => Outcome::Served,
        };
        let status = match outcome {
            Outcome::Served => None,
            Outcome::NoEndpoints if self.rules.empty_pool_is_503 => Some(503),
            Outcome::NoRoute | Outcome::NoEndpoints => Some(404),
            Outcome::Overloaded => Some(503),
            Outcome::RouteService => (!self.rules.asks_services).then_some(502),
        };
        let departures = self.table.journal().departures(self.now, DEPARTED, |key| survey::covers(key, &host, path));
        Why {
            version: VERSION,
            now: self.time(Duration::ZERO),
            outcome,
            status,
            steps: steps.collect(),
            route: found.map(|pool| self.route(pool)),
            order,
            max_conns: self.rules.pick.max_conns,
            max_attempts: self.rules.max_attempts,
            departed: departures.iter().map(|departure| self.departed(departure)).collect(),
            near: if found.is_none() { self.table.near(&host, NEAR) } else { Vec::new() },
            path: path.into(),
            host,
        }
    }

    /// The addresses that a request would try, and whether there is none because all are full.
    fn order(&self, pool: &Pool) -> (Vec<String>, bool) {
        let pool = pool.rehearsal();
        let mut rotation = Rotation::new(&pool, Wish::default());
        let mut order: Vec<String> = Vec::new();
        loop {
            match rotation.next(&pool, self.now, &self.rules.pick) {
                Ok(lease) if order.len() < ORDER.min(pool.leases().len()) => {
                    order.push(lease.endpoint().peer.address().into());
                }
                Ok(_) => return (order, false),
                Err(why) => {
                    let overloaded = why == Unavailable::Overloaded && order.is_empty();
                    return (order, overloaded);
                }
            }
        }
    }

    fn route(&self, pool: &Pool) -> Route {
        let balancing = pool.balancing();
        Route {
            route: pool.route().key().into(),
            balancing: Balancing {
                algorithm: match balancing.algorithm {
                    Algorithm::RoundRobin => "round-robin".into(),
                    Algorithm::LeastConnection => "least-connection".into(),
                },
                hash_header: balancing.hash.as_ref().map(|hash| hash.header.as_str().into()),
                hash_balance: balancing.hash.as_ref().map(|hash| hash.balance).filter(|bound| *bound > 0.0),
            },
            route_service: !pool.route_service_url().is_empty(),
            changed_s: self.now.since(pool.changed()).as_secs(),
            endpoints: pool.leases().iter().map(|lease| self.endpoint(pool, lease)).collect(),
        }
    }

    fn endpoint(&self, pool: &Pool, lease: &Lease) -> Endpoint {
        let endpoint = lease.endpoint();
        let peer = &endpoint.peer;
        let proof = self.table.journal().proof(peer).filter(|_| peer.is_tls());
        let rest = if pool.balancing().rests { self.rules.pick.rest } else { Duration::ZERO };
        let resting = lease.rests_for(self.now, rest);
        let max = self.rules.pick.max_conns;
        let age = self.now.since(lease.seen());
        let state = match () {
            () if max != 0 && endpoint.in_flight() >= max => State::Overloaded,
            () if resting.is_some() => State::Resting,
            () if lease.is_unconfirmed() => State::Restored,
            () if age > self.table.stale_after(endpoint) => State::Stale,
            () if peer.is_tls() && proof.is_none() => State::Unproven,
            () => State::Ok,
        };
        let mutual = proof.is_some_and(|(proof, _)| proof.asked_for_ours) && self.rules.has_certificate;
        let expected_name = match peer.identity() {
            Identity::Plain => None,
            Identity::Tls(name) => Some(name.as_str().to_owned()),
        };
        Endpoint {
            address: peer.address().into(),
            app: endpoint.app_id().into(),
            instance: endpoint.instance_id().into(),
            index: endpoint.instance_index().into(),
            mode: match (peer.is_tls(), mutual) {
                (false, _) => Mode::Plain,
                (true, false) => Mode::Tls,
                (true, true) => Mode::Mutual,
            },
            protocol: endpoint.protocol().as_str().into(),
            age_s: (!lease.is_unconfirmed()).then_some(age.as_secs()),
            in_flight: endpoint.in_flight(),
            state,
            resting_s: resting.map(|left| left.as_millis().div_ceil(1000) as u64),
            proof: proof.map(|(proof, at)| Proof {
                ago_s: self.now.since(at).as_secs(),
                at: self.time(self.now.since(at)),
                name: expected_name.clone().unwrap_or_default(),
                not_after: rfc3339(proof.not_after()),
                sha256: proof.fingerprint(),
            }),
            failure: self.table.journal().failure(peer, self.now).map(|failed| Failure {
                ago_s: self.now.since(failed.at).as_secs(),
                at: self.time(self.now.since(failed.at)),
                reason: failed.reason.into(),
                error: failed.error.into(),
            }),
            expected_name,
        }
    }

    fn departed(&self, departure: &Departure) -> Departed {
        let (endpoint, peer) = (&departure.endpoint, &departure.endpoint.peer);
        let ago = self.now.since(departure.at);
        let told = Departed {
            route: departure.route.as_ref().into(),
            address: peer.address().into(),
            app: endpoint.app_id().into(),
            instance: endpoint.instance_id().into(),
            index: endpoint.instance_index().into(),
            expected_name: match peer.identity() {
                Identity::Plain => None,
                Identity::Tls(name) => Some(name.as_str().into()),
            },
            ago_s: ago.as_secs(),
            at: self.time(ago),
            ..Departed::default()
        };
        match &departure.cause {
            Cause::Failed { reason, error } => Departed {
                cause: "failed".into(),
                reason: Some((*reason).into()),
                error: Some(error.as_ref().into()),
                ..told
            },
            Cause::Stale(silent) => Departed { cause: "stale".into(), silent_s: Some(silent.as_secs()), ..told },
            Cause::Unconfirmed => Departed { cause: "unconfirmed".into(), ..told },
            Cause::Unregistered => Departed { cause: "unregistered".into(), ..told },
        }
    }

    /// The time of day so long ago.
    fn time(&self, ago: Duration) -> String {
        rfc3339(self.clock.checked_sub(ago).unwrap_or(self.clock))
    }
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Shapes consist of texts and numbers: writing them cannot fail.
pub(super) fn json(shape: &impl serde::Serialize) -> String {
    serde_json::to_string(shape).unwrap_or_default()
}
