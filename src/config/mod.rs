//! `gorouter.yml`: from a text to a [`Config`] that cannot be half right (gorouter.md §2).
//!
//! The YAML is read with the semantics of Go's yaml.v3, so that a file that starts Gorouter starts this router: values
//! are merged over the defaults, null keeps a default, a duplicate key is an error, an unknown one is a warning.
//! Everything but [`load`] and [`own_ip`] is pure. No input makes it panic, and no error shows a secret.
//!
//! Floors, bottom to top: `yaml` (text to tree), `scalar` and `duration` (what a scalar means), `read` and `decode`
//! (keys of a section, each taken once, and their types), `parse*` (section to `Config`).

mod ciphers;
mod decode;
mod duration;
mod effective;
mod error;
mod metron;
mod model;
mod modes;
mod parse;
mod parse_sections;
mod parse_tls;
mod pem;
mod read;
mod renewal;
mod scalar;
mod sections;
mod yaml;

use std::fmt::Display;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

pub use ciphers::CipherError;
pub use duration::{DurationError, GoDuration};
pub use effective::{Explained, Setting};
pub use error::{ConfigError, Problem, Warning};
pub use model::{Backends, Config, FrontTls};
pub use modes::{
    AzPreference, BalancingAlgorithm, ClientCertValidation, ForwardedClientCert, LogLevel, RedactQueryParams,
    RouteIntegrity, ShardingMode, SyslogNetwork, TimestampFormat, TlsVersions, XfccFormat,
};
pub use pem::{KeyPair, PemCertificates, PemError, Secret};
pub use sections::{
    AccessLog, CertSubject, ClientMetadataRule, HttpRewrite, LogFormat, Logging, Meters, MtlsDomain, Nats, NatsHost,
    NatsTls, OAuth, Prometheus, PrometheusTls, RouteServices, RoutingApi, Snapshot, Status, StatusRoutes, StatusTls,
    TokenFetcher, Tracing,
};

/// A configuration, and what is odd about the file that it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What the router runs with.
    pub config: Config,
    /// What to log once at start, in the order of the file where that is known.
    pub warnings: Vec<Warning>,
}

/// Reads a configuration from the text of a `gorouter.yml`.
///
/// # Errors
/// [`ConfigError::Syntax`] for a text that is not YAML, else [`ConfigError::Key`] for the first key that is wrong.
pub fn parse(text: &str) -> Result<Parsed, ConfigError> {
    parse::document(text)
}

/// What is wrong with a text, and what is odd about it besides.
#[derive(Debug)]
pub struct Faults {
    /// At least one.
    pub errors: Vec<ConfigError>,
    /// What could be read, with defaults for what is wrong; none where nothing could. No router runs with it.
    pub rest: Option<Box<Config>>,
    /// As in [`Parsed`]; none for a text that is not YAML.
    pub warnings: Vec<Warning>,
}

/// Reads a text like [`parse()`], and goes on past what is wrong to find the rest.
///
/// # Errors
/// Everything that is wrong, in the order of reading; what depends on a wrong value may be missing.
pub fn survey(text: &str) -> Result<Parsed, Faults> {
    parse::survey(text)
}

/// Reads a text like [`parse()`], and tells what every key comes to.
///
/// # Errors
/// As [`parse()`].
pub fn explain(text: &str) -> Result<Vec<Explained>, ConfigError> {
    parse::explained(text)
}

/// Reads the file and parses it.
///
/// # Errors
/// [`ConfigError::Unreadable`] with the path, else as [`parse()`].
pub fn load(path: &Path) -> Result<Parsed, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&text)
}

/// The address of this machine towards the rest of the world: that of the default route. Sends nothing.
///
/// # Errors
/// What the system says when there is no default route; the router must not start then.
pub fn own_ip() -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    // Connecting a UDP socket only asks the routing table.
    socket.connect(("1.2.3.4", 1))?;
    Ok(socket.local_addr()?.ip())
}

/// The line to print on stdout before leaving with 1 when the configuration cannot be used (gorouter.md §1), without
/// the newline. `now_epoch` is in seconds since 1970.
pub fn start_failure_line(error: &dyn Display, now_epoch: f64) -> String {
    let now = if now_epoch.is_finite() { now_epoch } else { 0.0 };
    let text = serde_json::Value::String(error.to_string());
    // Written out, because the order of the keys is part of the format.
    format!(
        "{{\"log_level\":3,\"timestamp\":{now:?},\"message\":\"Error loading config:\",\"data\":{{\"error\":{text}}}}}"
    )
}
