//! Route services: what a request carries there and back (gorouter.md section 8).
//!
//! A route may name a service that its requests pass first. The router signs where the request was for and when; the
//! service, when it is done, sends the request to the router again with the signature, and only then it reaches the
//! app. Pure: time and nonces are arguments, and nothing here connects.

mod hairpin;
mod service;
mod signature;

pub use hairpin::{AllowList, HairpinName};
pub use service::{BadUrl, Service};
pub use signature::{Keys, Passage, SignatureError, Signed};

use http::{HeaderMap, HeaderName};

/// Where the request was for.
pub static FORWARDED_URL: HeaderName = HeaderName::from_static("x-cf-forwarded-url");
/// The sealed statement of where and when.
pub static SIGNATURE: HeaderName = HeaderName::from_static("x-cf-proxy-signature");
/// What it takes to open it.
pub static METADATA: HeaderName = HeaderName::from_static("x-cf-proxy-metadata");

/// Takes the three fields off a request: the app has no use for them, and what a client made up must not travel beside
/// what the router states.
pub fn strip(headers: &mut HeaderMap) {
    for name in [&FORWARDED_URL, &SIGNATURE, &METADATA] {
        headers.remove(name);
    }
}
