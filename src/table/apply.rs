//! What registrations, unregistrations and failed attempts do to the table.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{Change, Departure, Reported, Table, hosts::Kept, journal::Cause, routes::HostRoutes};
use crate::{
    failure::Fate,
    route::{
        balancing::{Algorithm, Balancing},
        endpoint::Endpoint,
        lease::Lease,
        moment::Moment,
        pool::{Pool, Route},
        uri::RouteKey,
    },
};

impl Table {
    /// Registers `endpoint` for the route `key`. `cursor_start` is where the round-robin of a new route
    /// begins; the caller draws it at random.
    ///
    /// An endpoint is known by its address. The last registration wins, unless its modification tag says that it is
    /// the older one; the availability zone alone makes no difference (gorouter.md section 4, endpoint identity).
    pub fn register(&self, key: &RouteKey, endpoint: &Arc<Endpoint>, now: Moment, cursor_start: usize) -> Change {
        if !self.settings.sharding.serves(endpoint.isolation_segment()) {
            return Change::Ignored;
        }
        self.updated_ms.store(now.as_ms(), Relaxed);
        // Nearly every registration repeats the one before it, and a heartbeat for each endpoint of a
        // foundation must not keep readers waiting: only a read lock is taken until something changes.
        let known = self.hosts.read(key.host(), |routes| renew(routes.pool(key.path()), endpoint, now));
        if known == Some(true) {
            return Change::Renewed;
        }
        let lease = Arc::new(Lease::new(Arc::clone(endpoint), now));
        self.hosts.write(key.host(), |routes| put(routes, key, &lease, now, cursor_start, self.settings.balancing))
    }

    /// Puts `endpoint`, which a former process knew, into the route `key`, unless something is known at its address.
    /// Until a registration confirms it, it stays only as long as [`Table::forget_unconfirmed`] is not called.
    pub fn restore(&self, key: &RouteKey, endpoint: &Arc<Endpoint>, now: Moment, cursor_start: usize) -> Change {
        if !self.settings.sharding.serves(endpoint.isolation_segment()) {
            return Change::Ignored;
        }
        let there = self.hosts.read(key.host(), |routes| {
            routes.pool(key.path()).is_some_and(|pool| pool.at(endpoint.peer.address()).is_some())
        });
        if there == Some(true) {
            return Change::Ignored;
        }
        let lease = Arc::new(Lease::restored(Arc::clone(endpoint), now));
        self.hosts.write(key.host(), |routes| put(routes, key, &lease, now, cursor_start, self.settings.balancing))
    }

    /// Takes the endpoint with the address of `endpoint` off the route `key`.
    ///
    /// A route whose last endpoint leaves goes with it, or stays known for the grace time.
    pub fn unregister(&self, key: &RouteKey, endpoint: &Endpoint, now: Moment) -> Departure {
        if !self.settings.sharding.serves(endpoint.isolation_segment()) {
            return Departure::NotThere;
        }
        self.updated_ms.store(now.as_ms(), Relaxed);
        let removed = self.hosts.change(key.host(), |routes| {
            let Some(pool) = routes.pool(key.path()) else { return (Kept::Same, false) };
            let Some((place, lease)) = pool.at(endpoint.peer.address()) else { return (Kept::Same, false) };
            let known = lease.endpoint();
            if known.modification_tag() != endpoint.modification_tag() && !known.gives_way_to(endpoint) {
                return (Kept::Same, false);
            }
            self.journal.left(pool.route(), lease, Cause::Unregistered, now);
            let rest = without(pool, place, now);
            if rest.is_empty() && self.settings.empty_pool_grace.is_zero() {
                (routes.without(key.path()).map_or(Kept::Nothing, Kept::New), true)
            } else {
                (Kept::New(routes.with(rest)), true)
            }
        });
        if removed == Some(true) { Departure::Removed } else { Departure::NotThere }
    }

    /// Tells what an attempt revealed about `lease`, which was picked from `pool`.
    ///
    /// A TLS endpoint that is to be pruned leaves only if the very same lease is still in the table: a
    /// registration that replaced it meanwhile says something newer than the attempt does. The pool may
    /// be left empty until the next prune. A plain endpoint is marked instead, since its failure proves
    /// nothing about who is there.
    pub fn report(&self, pool: &Pool, lease: &Arc<Lease>, fate: Fate, now: Moment) -> Reported {
        match fate {
            Fate::Keep => Reported::Kept,
            Fate::Prune if lease.endpoint().peer.is_tls() => self.expel(pool.route(), lease, now),
            Fate::Mark | Fate::Prune => {
                lease.mark_failed(now);
                Reported::Marked
            }
        }
    }

    fn expel(&self, route: &Route, lease: &Arc<Lease>, now: Moment) -> Reported {
        let gone = self.hosts.change(route.host(), |routes| {
            let Some(pool) = routes.pool(route.path()) else { return (Kept::Same, false) };
            match pool.leases().iter().position(|known| Arc::ptr_eq(known, lease)) {
                Some(place) => (Kept::New(routes.with(without(pool, place, now))), true),
                None => (Kept::Same, false),
            }
        });
        if gone == Some(true) { Reported::Pruned } else { Reported::Kept }
    }
}

/// Renews the lease on `endpoint` if the pool has one with the same facts.
fn renew(pool: Option<&Arc<Pool>>, endpoint: &Endpoint, now: Moment) -> bool {
    let known = pool.and_then(|pool| pool.at(endpoint.peer.address()));
    let same = known.map(|(_, lease)| lease).filter(|lease| lease.endpoint().same_as(endpoint));
    same.inspect(|lease| lease.renew(now)).is_some()
}

/// The routes of a host after a registration.
fn put(
    routes: Option<&HostRoutes>,
    key: &RouteKey,
    lease: &Arc<Lease>,
    now: Moment,
    cursor_start: usize,
    usual: Algorithm,
) -> (HostRoutes, Change) {
    let endpoint = lease.endpoint();
    let options = endpoint.options();
    let Some((routes, pool)) = routes.and_then(|routes| Some((routes, routes.pool(key.path())?))) else {
        let pool = Pool::new(Route::new(key.as_str(), cursor_start), vec![Arc::clone(lease)], now);
        let pool = Arc::new(pool.balanced(Balancing::asked(options, usual, None)));
        let routes = match routes {
            Some(routes) => routes.with(pool),
            None => HostRoutes::of(pool),
        };
        return (routes, Change::Added);
    };
    // Another writer may have brought the same registration since the look under the read lock.
    if renew(Some(pool), endpoint, now) {
        return (routes.clone(), Change::Renewed);
    }
    let mut leases = pool.leases().to_vec();
    let change = match pool.at(endpoint.peer.address()) {
        Some((_, known)) if !known.endpoint().gives_way_to(endpoint) => return (routes.clone(), Change::Outdated),
        Some((place, _)) => {
            leases.remove(place);
            Change::Replaced
        }
        None => Change::Added,
    };
    // Also a replaced endpoint goes to the end: what holds for the whole route comes from the last one.
    leases.push(Arc::clone(lease));
    let balancing = Balancing::asked(options, usual, Some(pool.balancing()));
    (routes.with(Arc::new(pool.holding(leases, now).balanced(balancing))), change)
}

/// `pool` without the lease at `place`.
fn without(pool: &Pool, place: usize, now: Moment) -> Arc<Pool> {
    let mut leases = pool.leases().to_vec();
    leases.remove(place);
    Arc::new(pool.with(leases, now))
}
