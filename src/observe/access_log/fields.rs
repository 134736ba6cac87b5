//! What the configuration adds to a line, and what it hides (gorouter.md §9).

use std::{net::SocketAddr, time::Duration};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use http::{HeaderName, HeaderValue};

use super::{
    Entry,
    format::{field, number, seconds},
};

/// What of a query string is shown. It concerns GET requests with a query; everything else is shown as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redact {
    /// All of it.
    #[default]
    Nothing,
    /// Nothing: the line ends with the path.
    All,
    /// `hash=` and the SHA-1 of the query in hex: equal queries stay recognizable.
    Hash,
}

/// A fact about the attempts at endpoints that a line may show (`logging.extra_access_log_fields`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// `backend_time`.
    BackendTime,
    /// `dial_time`.
    DialTime,
    /// `dns_time`.
    DnsTime,
    /// `failed_attempts`.
    FailedAttempts,
    /// `failed_attempts_time`.
    FailedAttemptsTime,
    /// `local_address`.
    LocalAddress,
    /// `tls_time`.
    TlsTime,
}

impl Extra {
    /// The fact of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "backend_time" => Self::BackendTime,
            "dial_time" => Self::DialTime,
            "dns_time" => Self::DnsTime,
            "failed_attempts" => Self::FailedAttempts,
            "failed_attempts_time" => Self::FailedAttemptsTime,
            "local_address" => Self::LocalAddress,
            "tls_time" => Self::TlsTime,
            _ => return None,
        })
    }

    fn write(self, cost: &Cost, out: &mut Vec<u8>) {
        match self {
            Self::BackendTime => seconds(b" backend_time:", cost.backend, out),
            Self::DialTime => seconds(b" dial_time:", cost.dial, out),
            Self::DnsTime => seconds(b" dns_time:", cost.dns, out),
            Self::FailedAttempts => {
                out.extend_from_slice(b" failed_attempts:");
                number(cost.failed.into(), out);
            }
            Self::FailedAttemptsTime => {
                let some = (cost.failed > 0).then_some(cost.failed_time);
                seconds(b" failed_attempts_time:", some, out);
            }
            Self::LocalAddress => {
                let address = cost.local.map(|address| address.to_string()).unwrap_or_default();
                field(b" local_address:", address.as_bytes(), out);
            }
            Self::TlsTime => seconds(b" tls_time:", cost.tls, out),
        }
    }
}

/// What the attempts of an exchange cost. Times of a connection are those of the attempt that brought the answer;
/// none where it needed no such step, or where no attempt brought one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Attempts that brought no answer.
    pub failed: u32,
    /// How long they took together.
    pub failed_time: Duration,
    /// From the dispatch of the attempt that was answered to the head of its answer.
    pub backend: Option<Duration>,
    /// The look-up of the endpoint's name.
    pub dns: Option<Duration>,
    /// The making of the TCP connection.
    pub dial: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// The router's own end of the connection.
    pub local: Option<SocketAddr>,
}

/// What lines keep to themselves. The default is Gorouter's: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// What is shown of queries.
    pub redact: Redact,
    /// `x_forwarded_for` is not shown (`logging.disable_log_forwarded_for`).
    pub hides_forwarded_for: bool,
    /// The client's address is not shown (`logging.disable_log_source_ip`).
    pub hides_source: bool,
}

/// What lines keep to themselves, and what they hold beside the usual.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    privacy: Privacy,
    headers: Vec<Logged>,
    extras: Vec<Extra>,
}

/// A field of the request that is logged by its name.
#[derive(Clone, Debug)]
struct Logged {
    value: Value,
    /// ` x_name:`
    label: Box<[u8]>,
}

/// Where the value comes from.
#[derive(Clone, Debug)]
enum Value {
    /// The request as it came.
    Field(HeaderName),
    /// The router, which overwrites what the client says.
    RequestId,
    /// The router, which may overwrite what the client says.
    ForwardedProto,
    /// Nowhere: no field can have this name.
    Nowhere,
}

impl Value {
    fn of(name: &str) -> Self {
        match HeaderName::try_from(name) {
            Ok(name) if name == "x-vcap-request-id" => Self::RequestId,
            Ok(name) if name == "x-forwarded-proto" => Self::ForwardedProto,
            Ok(name) => Self::Field(name),
            Err(_) => Self::Nowhere,
        }
    }

    fn find<'e>(&self, entry: &Entry<'e>) -> &'e [u8] {
        match self {
            Self::Field(name) => {
                let removed = || entry.removed.iter().find(|(removed, _)| removed == name).map(|(_, value)| value);
                entry.headers.get(name).or_else(removed).map_or(b"", HeaderValue::as_bytes)
            }
            Self::RequestId => entry.request_id,
            Self::ForwardedProto => entry.x_forwarded_proto,
            Self::Nowhere => b"",
        }
    }
}

impl Fields {
    /// The usual fields.
    #[must_use]
    pub fn new(privacy: Privacy) -> Self {
        Self { privacy, ..Self::default() }
    }

    /// The same for targets that show no more than they should already.
    pub(in crate::observe) fn with_whole_targets(self) -> Self {
        let privacy = Privacy { redact: Redact::Nothing, ..self.privacy };
        Self { privacy, ..self }
    }

    pub(super) fn privacy(&self) -> Privacy {
        self.privacy
    }

    /// Adds the request fields of these names (`extra_headers_to_log`). A name that is there already is left out.
    #[must_use]
    pub fn and_headers<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        for name in names {
            let label: Box<[u8]> = format!(" {}:", name.to_lowercase().replace('-', "_")).into_bytes().into();
            if self.headers.iter().all(|logged| logged.label != label) {
                self.headers.push(Logged { value: Value::of(name), label });
            }
        }
        self
    }

    /// Adds the facts of these names. A name that says nothing, or that is there already, is left out.
    #[must_use]
    pub fn and_extras<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        for extra in names.into_iter().filter_map(Extra::named) {
            if !self.extras.contains(&extra) {
                self.extras.push(extra);
            }
        }
        self
    }

    pub(super) fn shows_cost(&self) -> bool {
        !self.extras.is_empty()
    }

    /// Appends the facts about the attempts.
    pub(super) fn write_extras(&self, cost: Option<&Cost>, out: &mut Vec<u8>) {
        if self.extras.is_empty() {
            return;
        }
        let cost = cost.copied().unwrap_or_default();
        for extra in &self.extras {
            extra.write(&cost, out);
        }
    }

    /// Appends the request fields. Of several with one name the first is shown.
    pub(super) fn write_headers(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        for Logged { value, label } in &self.headers {
            field(label, value.find(entry), out);
        }
    }

    /// Gives the pieces of `target` to `write`, as far as they are shown.
    pub(in crate::observe) fn show_target(&self, method: &str, target: &[u8], mut write: impl FnMut(&[u8])) {
        let cut =
            if self.privacy.redact == Redact::Nothing || method != "GET" { None } else { memchr::memchr(b'?', target) };
        // A question mark with nothing behind it hides nothing.
        let Some(at) = cut.filter(|at| at + 1 < target.len()) else { return write(target) };
        write(&target[..at]);
        if self.privacy.redact == Redact::Hash {
            write(b"?hash=");
            let mut hex = [0; 40];
            hex_of(digest(&SHA1_FOR_LEGACY_USE_ONLY, &target[at + 1..]).as_ref(), &mut hex);
            write(&hex);
        }
    }
}

fn hex_of(bytes: &[u8], out: &mut [u8; 40]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests;
