//! Whether a request came through the door that its host asks for (gorouter.md section 7.4, mTLS domains).

use crate::{
    failure::Failure,
    observe::exchange::{Exchange, host},
    route::mtls::Domains,
};

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
