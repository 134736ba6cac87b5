//! Which endpoint of a pool takes the next attempt (gorouter.md section 5).
//!
//! A [`Rotation`] lives as long as one request. It moves the route's cursor at most one step, however many
//! attempts the request needs, and remembers which endpoints were tried. The algorithm is the pool's.

mod hashed;
pub mod maglev;
mod places;
mod ranked;
mod round_robin;
mod sight;

use std::{sync::Arc, time::Duration};

use self::{
    maglev::Maglev,
    places::Places,
    ranked::By,
    sight::{Fit, Found, Sight},
};
use super::{balancing::Algorithm, lease::Lease, moment::Moment, pool::Pool};

/// What makes an endpoint unfit for the moment, and which ones come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests that one endpoint may work on before it counts as overloaded; 0 means no limit.
    pub max_conns: u32,
    /// How long an endpoint rests after a failure; zero means not at all.
    pub rest: Duration,
    /// The zone whose endpoints the first attempt prefers, if there is such a preference. The empty zone is one too.
    pub zone: Option<Box<str>>,
}

/// What a request asks of the choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The place in [`Pool::leases`] to try first, even while the endpoint rests. If it is overloaded or not there,
    /// and for all later attempts, the order is the ordinary one.
    pub first: Option<usize>,
    /// Whether none but `first` will do.
    pub only: bool,
    /// The key of hash routing, see [`super::balancing::Hashing::key`]; without one, a pool with hash routing falls
    /// back to the router's algorithm.
    pub key: Option<u64>,
}

/// Why no endpoint can be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The pool has no endpoints.
    #[error("the pool has no endpoints")]
    Empty,
    /// Every endpoint is at its limit.
    #[error("every endpoint is at its connection limit")]
    Overloaded,
    /// There were as many attempts as endpoints, and what could be picked now was tried before; or the one that the
    /// request must have is not to be had.
    #[error("every endpoint that is left was tried")]
    Exhausted,
}

/// The endpoints that one request tries, in their order. Give it the same pool at every call: places are what it
/// remembers.
#[derive(Debug)]
pub struct Rotation {
    wish: Wish,
    /// Where the search for the next endpoint begins, once the cursor was asked: a place, or of a hash table a slot.
    from: Option<usize>,
    attempts: usize,
    tried: Places,
}

impl Rotation {
    /// A rotation for one request over `pool`.
    #[must_use]
    pub fn new(pool: &Pool, wish: Wish) -> Self {
        Self { wish, from: None, attempts: 0, tried: Places::none_of(pool.leases().len()) }
    }

    /// The endpoint for the next attempt.
    ///
    /// Overloaded endpoints are skipped, and those that rest come last. If all rest, the marks of failure in the
    /// whole pool are forgotten. Untried endpoints come before tried ones, and once there were as many attempts as
    /// endpoints, a tried one is not picked again.
    ///
    /// # Errors
    ///
    /// When there is none to try.
    pub fn next<'p>(&mut self, pool: &'p Pool, now: Moment, limits: &Limits) -> Result<&'p Arc<Lease>, Unavailable> {
        let leases = pool.leases();
        let preferred =
            self.wish.first.take().filter(|place| leases.get(*place).is_some_and(|it| !is_full(it, limits)));
        let place = match preferred {
            Some(place) => place,
            None if self.wish.only => return Err(Unavailable::Exhausted),
            None => self.search(pool, now, limits)?,
        };
        self.attempts += 1;
        self.tried.add(place);
        leases.get(place).ok_or(Unavailable::Empty)
    }

    /// Whether an endpoint that has to prove itself by TLS is left untried.
    #[must_use]
    pub fn untried_tls(&self, pool: &Pool) -> bool {
        let is_left = |(place, lease): (usize, &Arc<Lease>)| !self.tried.has(place) && lease.endpoint().peer.is_tls();
        !self.wish.only && pool.leases().iter().enumerate().any(is_left)
    }

    fn search(&mut self, pool: &Pool, now: Moment, limits: &Limits) -> Result<usize, Unavailable> {
        let leases = pool.leases();
        if leases.is_empty() {
            return Err(Unavailable::Empty);
        }
        let Found { place, fit, all_rest } = self.find(pool, now, limits).ok_or(Unavailable::Overloaded)?;
        if fit >= Fit::Tried && self.attempts >= leases.len() {
            return Err(Unavailable::Exhausted);
        }
        if all_rest {
            leases.iter().for_each(|lease| lease.clear_failure());
        }
        Ok(place)
    }

    /// What the pool's algorithm finds; none if all are full.
    fn find(&mut self, pool: &Pool, now: Moment, limits: &Limits) -> Option<Found> {
        let (leases, balancing) = (pool.leases(), pool.balancing());
        let rest = if balancing.rests { limits.rest } else { Duration::ZERO };
        let sight = Sight { leases, tried: &self.tried, now, rest, max_conns: limits.max_conns };
        // A single endpoint needs neither a table nor the cursor, which all workers write.
        if leases.len() == 1 {
            return round_robin::pick(&sight, 0);
        }
        if let (Some(hash), Some(key)) = (&balancing.hash, self.wish.key) {
            let slot = self.from.unwrap_or_else(|| Maglev::slot(key));
            let (found, next) = hashed::pick(&sight, hash.table(leases), slot, hash.balance)?;
            self.from = Some(next);
            return Some(found);
        }
        let turn = self.from.unwrap_or_else(|| pool.route().advance());
        let zone = limits.zone.as_deref().filter(|_| self.attempts == 0);
        let load = balancing.algorithm == Algorithm::LeastConnection;
        let found = match zone {
            None if !load => round_robin::pick(&sight, turn % leases.len()),
            _ => ranked::pick(&sight, By { zone, load }, turn),
        }?;
        self.from = Some(found.place + 1);
        Some(found)
    }
}

fn is_full(lease: &Lease, limits: &Limits) -> bool {
    limits.max_conns != 0 && lease.endpoint().in_flight() >= limits.max_conns
}

#[cfg(test)]
mod tests;
