//! Who is at the other end: certificates, names, and verified TLS in both directions.
//!
//! This crate owns the three invariants on which the router stands:
//!
//! 1. No byte of a request goes to a TLS endpoint before its certificate chains to our trust **and**
//!    carries the registered name. The only way to a [`Secured`] stream is [`Dialer::secure`], and it
//!    takes the expected name.
//! 2. A connection is used again only for an equal peer: address, expected name and trust generation
//!    ([`Trust::generation`]). Sessions are never resumed, so that no certificate is taken on memory.
//! 3. A wrong or dead endpoint costs a retry, never a misroute. A [`Refusal`] says what was proven, so that
//!    the caller knows whether the request can go elsewhere.
//!
//! The cryptography is aws-lc-rs, handed to every configuration explicitly; no process default is read.

pub mod accept;
pub mod credentials;
pub mod dial;
pub mod distinguished_name;
pub mod name;
pub mod peer_identity;
pub mod refusal;
pub mod stream;
pub mod trust;
pub mod visitors;

mod frame;
mod incoming;
mod leaf;
mod provider;
mod session;

pub use accept::{AcceptRefusal, Accepted, Acceptor, Pending};
pub use credentials::Credentials;
pub use dial::{Dialer, DialerSettings};
pub use distinguished_name::DistinguishedName;
pub use name::ExpectedName;
pub use peer_identity::PeerIdentity;
pub use refusal::Refusal;
pub use stream::Secured;
pub use trust::Trust;
pub use visitors::{SubjectRule, Visitors};
