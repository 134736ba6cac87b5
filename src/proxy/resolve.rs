//! From a request to the pool that serves it (gorouter.md section 7.3).

use std::sync::Arc;

use http::{HeaderValue, request::Parts};

use crate::{
    failure::Failure,
    headers::{
        instance::{APP_INSTANCE, AppInstance, app_instance},
        noted::Noted,
    },
    observe::exchange::{Exchange, host},
    route::{mtls::Domains, pool::Pool},
    table::Table,
};

/// The pool for the request's host and path, cut down to the instance that the request names, if it does.
///
/// # Errors
/// No host, no route, a route without endpoints, or no such instance.
pub fn resolve(table: &Table, exchange: &Exchange, noted: Noted, empty_is_503: bool) -> Result<Arc<Pool>, Failure> {
    let request = &exchange.request;
    let name = str::from_utf8(host(request)).unwrap_or_default();
    let bare = memchr::memchr(b':', name.as_bytes()).map_or(name, |at| &name[..at]);
    if bare.is_empty() || *bare == *exchange.client().ip {
        return Err(Failure::EmptyHost);
    }
    let wanted = if noted.app_instance { Some(named_instance(request)?) } else { None };
    let pool = table.lookup(name, request.uri.path());
    if let Some(wanted) = wanted {
        return only(pool.as_deref(), wanted).ok_or_else(|| Failure::UnknownInstance {
            host: name.into(),
            app: wanted.app.into(),
            index: wanted.index.into(),
        });
    }
    match pool {
        Some(pool) if !pool.leases().is_empty() => Ok(pool),
        Some(_) if empty_is_503 => Err(Failure::NoEndpoints { host: name.into() }),
        Some(_) | None => Err(Failure::UnknownRoute { host: name.into() }),
    }
}

/// Whether the client has proven itself to the authorities that the request's host asks for, and to no others: the
/// handshake's server name decided on them, and a kept connection may bring requests for any host.
///
/// # Errors
/// [`Failure::Misdirected`].
pub fn right_door(domains: &Domains, exchange: &Exchange) -> Result<(), Failure> {
    if domains.is_empty() {
        return Ok(());
    }
    let asked = str::from_utf8(host(&exchange.request)).ok().and_then(|host| domains.of_host(host));
    if asked == exchange.client().domain { Ok(()) } else { Err(Failure::Misdirected) }
}

fn named_instance(request: &Parts) -> Result<AppInstance<'_>, Failure> {
    let named = request.headers.get(APP_INSTANCE).map(HeaderValue::as_bytes);
    named.and_then(app_instance).ok_or(Failure::MalformedAppInstance)
}

/// The pool with the endpoints of one instance alone.
fn only(pool: Option<&Pool>, wanted: AppInstance<'_>) -> Option<Arc<Pool>> {
    let pool = pool?;
    let is_wanted =
        |facts: &crate::route::endpoint::Facts| *facts.app_id == *wanted.app && *facts.instance_index == *wanted.index;
    let leases: Vec<_> = pool.leases().iter().filter(|lease| is_wanted(&lease.endpoint().facts)).cloned().collect();
    if leases.is_empty() {
        return None;
    }
    Some(Arc::new(Pool::new(Arc::clone(pool.route()), leases, pool.changed())))
}
