//! Which endpoint of a pool takes the next attempt.

use std::{sync::Arc, time::Duration};

use super::{lease::Lease, moment::Moment, pool::Pool};

/// What makes an endpoint unfit for the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests that one endpoint may work on before it counts as overloaded; 0 means no limit.
    pub max_conns: u32,
    /// How long an endpoint rests after a failure; zero means not at all.
    pub rest: Duration,
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
    /// Every endpoint that could take the request was tried.
    #[error("every endpoint was tried")]
    Exhausted,
}

/// Round-robin over one pool for one request: give it the same pool at every call.
#[derive(Debug)]
pub struct Rotation {}

impl Rotation {
    /// A rotation for one request over `pool`. `first` is the place in [`Pool::leases`] to try first,
    /// even while it rests (a sticky session); without it the route's cursor moves one step.
    #[must_use]
    pub fn new(pool: &Pool, first: Option<usize>) -> Self {
        let _ = (pool, first);
        Self {}
    }

    /// The endpoint for the next attempt.
    ///
    /// # Errors
    ///
    /// When there is none to try.
    pub fn next<'p>(&mut self, pool: &'p Pool, now: Moment, limits: &Limits) -> Result<&'p Arc<Lease>, Unavailable> {
        let _ = (now, limits);
        pool.leases().first().ok_or(Unavailable::Empty)
    }

    /// Whether an endpoint that has to prove itself by TLS is left untried.
    #[must_use]
    pub fn untried_tls(&self, pool: &Pool) -> bool {
        pool.leases().is_empty()
    }
}
