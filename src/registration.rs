//! Registration messages: bytes from the bus in, a checked [`Registration`] out.

use crate::route::{
    endpoint::Endpoint,
    uri::{BadUri, RouteKey},
};

/// Largest message that is parsed, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// One policy for every endpoint, set by `route_integrity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// Plain TCP to every endpoint.
    Off,
    /// Endpoints that prove themselves by TLS only.
    Tls,
    /// As [`Integrity::Tls`]; that the router itself can prove who it is, is checked at start.
    Strict,
}

/// A checked message of `router.register` or `router.unregister` (gorouter.md section 3).
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    uris: Vec<String>,
}

/// Why a message is skipped as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// Larger than [`MAX_MESSAGE`].
    #[error("message of {0} bytes is larger than {MAX_MESSAGE}")]
    TooLarge(usize),
}

/// Why a registration gives no endpoint under the policy in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// It has no host, or no port that the policy could use.
    #[error("no usable address")]
    NoAddress,
    /// It offers plain TCP only where TLS is demanded.
    #[error("plain endpoint where route integrity demands TLS")]
    PlainUnderTls,
}

/// Parses one message.
///
/// # Errors
///
/// When anything in it is not as gorouter.md section 3 demands; the whole message is then skipped.
pub fn parse(bytes: &[u8]) -> Result<Registration, Rejected> {
    Err(Rejected::TooLarge(bytes.len()))
}

impl Registration {
    /// The endpoint that the message describes, under `policy` if one is set, with the protocol lowered
    /// to HTTP/1.1 unless `http2` is enabled.
    ///
    /// # Errors
    ///
    /// When the message gives no endpoint that the policy allows.
    pub fn endpoint(&self, policy: Option<Integrity>, http2: bool) -> Result<Endpoint, Refused> {
        let _ = (policy, http2);
        Err(Refused::NoAddress)
    }

    /// The routes that the message names, in its order. A bad one costs the others nothing; the text of
    /// a bad one comes back with the reason.
    pub fn uris(&self) -> impl Iterator<Item = Result<RouteKey, (&str, BadUri)>> {
        self.uris.iter().map(|uri| RouteKey::parse(uri).map_err(|why| (uri.as_str(), why)))
    }
}
