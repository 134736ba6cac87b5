//! Registration messages: bytes from the bus in, a checked [`Registration`] out.
//!
//! A message is taken as a whole or not at all, and read as Gorouter reads it (gorouter.md section 3):
//! keys in any case, unknown ones skipped, null for "not said", the last of equal keys wins, and any value
//! of another type rejects the message. Two things are stricter: text that is not UTF-8 (or an escape
//! that is half a surrogate pair) is rejected where Go would put a replacement character, because
//! identities are not to be guessed; and what ends up in request headers may hold no control characters.

pub mod entry;
mod json;
pub mod message;

use std::{sync::Arc, time::Duration};

use crate::route::{
    endpoint::{Endpoint, Facts, ModificationTag, Options, Protocol, Tag},
    peer::Peer,
    uri::{BadUri, RouteKey},
};

/// Largest message that is parsed, in bytes; the most that a NATS server passes on by default.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// Most URIs in one message.
pub const MAX_URIS: usize = 1024;
/// Most tags in one message.
pub const MAX_TAGS: usize = 128;
/// Longest text of a field, and of a tag's name or value, in bytes.
pub const MAX_TEXT: usize = 2048;

/// Tags that the router reads or writes on; the others are only kept.
const READ_TAGS: [&str; 6] = ["component", "process_id", "source_id", "instance_id", "organization_id", "space_id"];

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

/// A checked message of `router.register` or `router.unregister`.
///
/// Fields carry the names of the message; empty or zero where it was silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    host: String,
    port: u16,
    tls_port: u16,
    uris: Vec<String>,
    app: String,
    private_instance_id: String,
    private_instance_index: String,
    protocol: String,
    server_cert_domain_san: String,
    route_service_url: String,
    /// Sorted by name; `None` where null or absent.
    tags: Option<Vec<(String, String)>>,
    stale_threshold_in_seconds: i64,
    isolation_segment: String,
    availability_zone: String,
    endpoint_updated_at_ns: i64,
    loadbalancing: String,
    hash_header: String,
    hash_balance: f64,
    /// Never in a message on the bus.
    modification_tag: Option<Arc<ModificationTag>>,
}

/// Why a message is skipped as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// Larger than [`MAX_MESSAGE`].
    #[error("message of {0} bytes is larger than the {MAX_MESSAGE} that are accepted")]
    TooLarge(usize),
    /// Not JSON, or a value of a type that the field does not have.
    #[error("message cannot be decoded: {0}")]
    Json(#[from] serde_json::Error),
    /// A route service without TLS.
    #[error("Unable to validate message. route_service_url must be https")]
    RouteService,
    /// More URIs or tags than accepted.
    #[error("{field} has {count} entries, more than the {limit} that are accepted")]
    TooMany {
        /// Which list.
        field: &'static str,
        /// How many it has.
        count: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A text longer than [`MAX_TEXT`].
    #[error("{field} is longer than the {MAX_TEXT} bytes that are accepted")]
    TooLong {
        /// Which field.
        field: &'static str,
    },
    /// A text that would end up in a request header holds a control character.
    #[error("{field} holds a control character")]
    Control {
        /// Which field.
        field: &'static str,
    },
}

/// Why a registration gives no endpoint under the policy in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// No host, or neither a port nor a TLS port.
    #[error("no address")]
    NoAddress,
    /// The host is neither an IP address nor a name.
    #[error("host is neither an IP address nor a name")]
    BadHost,
    /// It offers TLS only where plain TCP is demanded.
    #[error("no plain port where route integrity is off")]
    TlsUnderOff,
    /// It offers plain TCP only where TLS is demanded.
    #[error("plain endpoint where route integrity demands TLS")]
    PlainUnderTls,
}

/// Parses one message.
///
/// # Errors
///
/// When anything in it is not as gorouter.md section 3 demands, or beyond the limits of this module; the
/// whole message is then to be skipped.
pub fn parse(bytes: &[u8]) -> Result<Registration, Rejected> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Rejected::TooLarge(bytes.len()));
    }
    let registration = json::decode(bytes)?;
    registration.check()?;
    Ok(registration)
}

impl Registration {
    /// The endpoint that the message describes, under `policy` if one is set, with the protocol lowered
    /// to HTTP/1.1 unless `http2` is enabled.
    ///
    /// Without a policy a TLS port wins over a plain one. A TLS endpoint has to prove the registered name,
    /// or its host where the message names none.
    ///
    /// # Errors
    ///
    /// When the message gives no endpoint that the policy allows.
    pub fn endpoint(&self, policy: Option<Integrity>, http2: bool) -> Result<Endpoint, Refused> {
        let (port, tls) = self.port_under(policy)?;
        let host = bare_host(&self.host)?;
        let name = tls.then_some(match &*self.server_cert_domain_san {
            "" => host,
            name => name,
        });
        Ok(Endpoint::new(Peer::of(host, port, name), self.facts(http2)))
    }

    /// The routes that the message names, in its order. A bad one costs the others nothing: its text comes
    /// back with the reason.
    pub fn uris(&self) -> impl Iterator<Item = Result<RouteKey, (&str, BadUri)>> {
        self.uris.iter().map(|uri| RouteKey::parse(uri).map_err(|why| (uri.as_str(), why)))
    }

    fn port_under(&self, policy: Option<Integrity>) -> Result<(u16, bool), Refused> {
        if self.host.is_empty() {
            return Err(Refused::NoAddress);
        }
        match (policy, self.tls_port, self.port) {
            (_, 0, 0) => Err(Refused::NoAddress),
            (Some(Integrity::Off), _, 0) => Err(Refused::TlsUnderOff),
            (Some(Integrity::Off), _, port) | (None, 0, port) => Ok((port, false)),
            (Some(Integrity::Tls | Integrity::Strict), 0, _) => Err(Refused::PlainUnderTls),
            (_, tls_port, _) => Ok((tls_port, true)),
        }
    }

    fn facts(&self, http2: bool) -> Facts<'_> {
        fn tag((name, value): &(String, String)) -> Tag<'_> {
            (name.into(), value.into())
        }
        Facts {
            app_id: self.app.as_str().into(),
            instance_id: self.private_instance_id.as_str().into(),
            instance_index: self.private_instance_index.as_str().into(),
            protocol: protocol(&self.protocol, http2),
            server_cert_domain_san: self.server_cert_domain_san.as_str().into(),
            tags: self.tags.as_ref().map(|tags| tags.iter().map(tag).collect()),
            route_service_url: self.route_service_url.as_str().into(),
            isolation_segment: self.isolation_segment.as_str().into(),
            availability_zone: self.availability_zone.as_str().into(),
            stale_threshold: Duration::from_secs(u64::try_from(self.stale_threshold_in_seconds).unwrap_or(0)),
            updated_at_ns: self.endpoint_updated_at_ns,
            options: self.options().map(Arc::new),
            modification_tag: self.modification_tag.clone(),
        }
    }

    /// The options, where they say something; those of hash routing only where that is asked for and can be done.
    fn options(&self) -> Option<Options> {
        let hashes = self.loadbalancing == "hash" && !self.hash_header.is_empty();
        let hash_header = if hashes { self.hash_header.as_str() } else { "" };
        let hash_balance = if hashes { self.hash_balance } else { 0.0 };
        (!self.loadbalancing.is_empty()).then(|| Options {
            loadbalancing: self.loadbalancing.as_str().into(),
            hash_header: hash_header.into(),
            hash_balance,
        })
    }

    fn check(&self) -> Result<(), Rejected> {
        if !(self.route_service_url.is_empty() || self.route_service_url.starts_with("https")) {
            return Err(Rejected::RouteService);
        }
        let tags = self.tags.as_deref().unwrap_or_default();
        within("uris", self.uris.len(), MAX_URIS)?;
        within("tags", tags.len(), MAX_TAGS)?;
        for (field, text) in self.texts() {
            check_text(field, text, true)?;
        }
        for (name, value) in tags {
            check_text("tags", name, false)?;
            check_text("tags", value, READ_TAGS.contains(&name.as_str()))?;
        }
        Ok(())
    }

    fn texts(&self) -> [(&'static str, &str); 11] {
        [
            ("host", &self.host),
            ("app", &self.app),
            ("private_instance_id", &self.private_instance_id),
            ("private_instance_index", &self.private_instance_index),
            ("protocol", &self.protocol),
            ("server_cert_domain_san", &self.server_cert_domain_san),
            ("route_service_url", &self.route_service_url),
            ("isolation_segment", &self.isolation_segment),
            ("availability_zone", &self.availability_zone),
            ("options.loadbalancing", &self.loadbalancing),
            ("options.hash_header", &self.hash_header),
        ]
    }
}

fn within(field: &'static str, count: usize, limit: usize) -> Result<(), Rejected> {
    if count > limit { Err(Rejected::TooMany { field, count, limit }) } else { Ok(()) }
}

fn check_text(field: &'static str, text: &str, printable: bool) -> Result<(), Rejected> {
    if text.len() > MAX_TEXT {
        return Err(Rejected::TooLong { field });
    }
    if printable && text.chars().any(char::is_control) {
        return Err(Rejected::Control { field });
    }
    Ok(())
}

fn protocol(name: &str, http2: bool) -> Protocol {
    match name {
        "" | "http1" => Protocol::Http1,
        "http2" if http2 => Protocol::Http2,
        "http2" => Protocol::Http1,
        other => Protocol::Other(other.into()),
    }
}

/// The host without the brackets that an IPv6 address may have.
fn bare_host(host: &str) -> Result<&str, Refused> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
    match bare {
        Some(inner) if is_v6(inner) => Ok(inner),
        None if is_v6(host) => Ok(host),
        None if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => Ok(host),
        _ => Err(Refused::BadHost),
    }
}

#[cfg(test)]
mod tests;
