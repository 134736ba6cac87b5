//! From a request to the pool that serves it (gorouter.md section 7.3).

use std::sync::Arc;

use crate::{
    failure::Failure,
    observe::exchange::{Exchange, host},
    route::pool::Pool,
    table::Table,
};

/// The pool for the request's host and path.
///
/// # Errors
/// No host, no route, or a route without endpoints.
pub fn resolve(table: &Table, exchange: &Exchange, empty_is_503: bool) -> Result<Arc<Pool>, Failure> {
    let name = str::from_utf8(host(&exchange.request)).unwrap_or_default();
    let bare = memchr::memchr(b':', name.as_bytes()).map_or(name, |at| &name[..at]);
    if bare.is_empty() || *bare == *exchange.client().ip {
        return Err(Failure::EmptyHost);
    }
    match table.lookup(name, exchange.request.uri.path()) {
        Some(pool) if !pool.leases().is_empty() => Ok(pool),
        Some(_) if empty_is_503 => Err(Failure::NoEndpoints { host: name.into() }),
        Some(_) | None => Err(Failure::UnknownRoute { host: name.into() }),
    }
}
