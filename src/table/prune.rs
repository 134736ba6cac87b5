//! Age: what leaves the table because nothing was heard of it for too long.

use std::sync::Arc;

use super::{Pruned, Source, Table, hosts::Kept, journal::Cause, routes::HostRoutes, threshold};
use crate::route::{lease::Lease, moment::Moment, pool::Pool};

impl Table {
    /// Removes what is stale at `now`, and routes that have been empty for the grace time.
    ///
    /// Plain endpoints go when their last registration is older than their threshold. TLS endpoints never
    /// go by age: a stale one cannot answer for another, because it has to prove who it is (gorouter.md
    /// section 4, stale threshold).
    pub fn prune(&self, now: Moment, source: Source) -> Vec<Pruned> {
        match source {
            Source::Lost => return Vec::new(),
            Source::Recovered => self.hosts.each(|_, routes| renew_all(routes, now)),
            Source::Live => {}
        }
        self.remove(now, &|lease| self.is_stale(lease, now))
    }

    /// Removes TLS endpoints that came from a former process and that no registration has confirmed since: whoever
    /// lives registers again well within the stale threshold.
    pub fn forget_unconfirmed(&self, now: Moment) -> Vec<Pruned> {
        self.remove(now, &Lease::is_unconfirmed)
    }

    /// Removes the endpoints that are `due`, and routes that have been empty for the grace time.
    fn remove(&self, now: Moment, due: &dyn Fn(&Lease) -> bool) -> Vec<Pruned> {
        // Looking takes read locks only, so that requests go on while a large table is searched. Each find
        // is judged again under the write lock, since a registration may have come in between.
        let mut found = Vec::new();
        self.hosts.each(|host, routes| {
            let any_due = |pool: &Arc<Pool>| pool.leases().iter().any(|lease| due(lease));
            if routes.pools().iter().any(|pool| self.is_over(pool, now) || any_due(pool)) {
                found.push(Arc::clone(host));
            }
        });
        let mut pruned = Vec::new();
        for host in found {
            self.hosts.change(&host, |routes| (self.sweep(routes, now, due, &mut pruned), ()));
        }
        self.hosts.shrink();
        pruned
    }

    /// What stays of a host's routes; notes what goes.
    fn sweep(&self, routes: &HostRoutes, now: Moment, due: &dyn Fn(&Lease) -> bool, pruned: &mut Vec<Pruned>) -> Kept {
        let mut changed = false;
        let mut kept = Vec::with_capacity(routes.pools().len());
        for pool in routes.pools() {
            let fresh = without_due(pool, now, due, pruned);
            if fresh.is_some() {
                self.note_due(pool, now, due);
            }
            let staying = fresh.as_ref().unwrap_or(pool);
            let over = self.is_over(staying, now);
            changed |= over || fresh.is_some();
            if !over {
                kept.push(Arc::clone(staying));
            }
        }
        match HostRoutes::among(kept) {
            None => Kept::Nothing,
            Some(routes) if changed => Kept::New(routes),
            Some(_) => Kept::Same,
        }
    }

    /// Remembers why they go: only what a former process knew goes unconfirmed, and of that nothing goes by age.
    fn note_due(&self, pool: &Pool, now: Moment, due: &dyn Fn(&Lease) -> bool) {
        for lease in pool.leases().iter().filter(|lease| due(lease)) {
            let silent = Cause::Stale(now.since(lease.seen()));
            let cause = if lease.is_unconfirmed() { Cause::Unconfirmed } else { silent };
            self.journal.left(pool.route(), lease, cause, now);
        }
    }

    fn is_stale(&self, lease: &Lease, now: Moment) -> bool {
        let endpoint = lease.endpoint();
        !endpoint.peer.is_tls() && now.since(lease.seen()) > threshold(endpoint, self.settings.stale_threshold)
    }

    /// Whether a pool is empty and its grace is over.
    fn is_over(&self, pool: &Pool, now: Moment) -> bool {
        let grace = self.settings.empty_pool_grace;
        pool.is_empty() && (grace.is_zero() || now.since(pool.changed()) >= grace)
    }
}

/// The pool after its endpoints that are due are gone, if it has any.
fn without_due(
    pool: &Arc<Pool>,
    now: Moment,
    due: &dyn Fn(&Lease) -> bool,
    pruned: &mut Vec<Pruned>,
) -> Option<Arc<Pool>> {
    let (gone, fresh): (Vec<_>, Vec<_>) = pool.leases().iter().cloned().partition(|lease| due(lease));
    let isolation_segment = Arc::clone(gone.first()?.endpoint().isolation_segment());
    let endpoints = gone.iter().map(|lease| Arc::clone(lease.endpoint())).collect();
    pruned.push(Pruned { key: Arc::clone(pool.route().shared_key()), endpoints, isolation_segment });
    Some(Arc::new(pool.with(fresh, now)))
}

fn renew_all(routes: &HostRoutes, now: Moment) {
    routes.pools().iter().flat_map(|pool| pool.leases()).for_each(|lease| lease.refresh(now));
}
