//! Which endpoint a request would like: by the header of hash routing (gorouter.md section 5).

use crate::{
    observe::exchange::Exchange,
    route::{balancing::Hashing, pick::Wish, pool::Pool},
};

/// What the request asks of the choice among the endpoints of `pool`.
pub(super) fn wish(pool: &Pool, exchange: &Exchange) -> Wish {
    let Some(hash) = &pool.balancing().hash else { return Wish::default() };
    let value = exchange.request.headers.get(&hash.header);
    if value.is_none() {
        // Clients decide how often: at a level that is seen, they could fill the log.
        tracing::debug!(
            target: "proxy",
            host = pool.route().host(),
            path = pool.route().path(),
            header = hash.header.as_str(),
            "hash-based-routing-header-value-not-found"
        );
    }
    Wish { key: value.map(|value| Hashing::key(value.as_bytes())), ..Wish::default() }
}
