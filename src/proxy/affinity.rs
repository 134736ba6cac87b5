//! The endpoint that a request would like to have, and what its client is told to come back to it: sessions that stick
//! to an instance, and the header of hash routing (gorouter.md section 5).

use http::header::SET_COOKIE;

use super::{Settings, prepare::Prepared, request_body::RequestBody};
use crate::{
    headers::sticky::Answering,
    observe::exchange::Exchange,
    route::{
        balancing::{Balancing, Hashing},
        pick::Wish,
        pool::Pool,
    },
    upstream::Reply,
};

/// What the request asks of the choice among the endpoints of `pool`.
pub(super) fn wish(pool: &Pool, exchange: &Exchange, prepared: &Prepared) -> Wish {
    let sticky = prepared.sticky.as_ref();
    Wish {
        first: sticky.and_then(|sticky| pool.place_of(&sticky.id)),
        only: sticky.is_some_and(|sticky| sticky.must),
        key: key(pool, exchange),
    }
}

fn key(pool: &Pool, exchange: &Exchange) -> Option<u64> {
    let Balancing { hash: Some(hash), .. } = pool.balancing() else { return None };
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
    value.map(|value| Hashing::key(value.as_bytes()))
}

/// Adds to an endpoint's answer the cookies by which the client finds the same instance again.
pub(super) fn remember(
    reply: &mut Reply<RequestBody>,
    pool: &Pool,
    exchange: &Exchange,
    prepared: &Prepared,
    settings: &Settings,
) {
    let (Reply::Response(head, _) | Reply::Switched(head, ..)) = reply;
    let (sessions, sticky) = (&settings.sessions, prepared.sticky.as_ref());
    if !sessions.concerns(head.sets_cookie, sticky) {
        return;
    }
    let Some(endpoint) = exchange.endpoint() else { return };
    let (request, path) = (&exchange.request.headers, pool.route().path());
    let answering = Answering { request, sticky, instance: endpoint.instance_id(), path };
    for cookie in sessions.cookies(&head.headers, answering) {
        head.headers.append(SET_COOKIE, cookie);
    }
}
