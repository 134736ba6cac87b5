//! What the engine is told: typed, complete, and free of where it was read from.
//!
//! The engine takes nothing but [`Settings`], whether they come from the command line (`flags`) or from an Envoy
//! bootstrap (`envoy`). Whatever is impossible to serve is impossible to write down: a strict listener holds its client
//! CA by type.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use trueroute_identity::accept::AllowedName;
use trueroute_identity::accept::Offer;

mod address;
mod admin;
mod material;
mod registration;

pub(crate) use address::host_and_port;
pub use address::{AddressError, AppAddress};
pub use admin::{Admin, AdminAddress, Breakers, Documents, Limits, Subject};
pub use material::{ClientCa, IdentityFiles, IdentitySource, ListenersFile, Pair, Pem, SecretFile};
pub use registration::{Farewell, NatsServer, NatsUrlError, Registration};

/// Everything one sidecar process does.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The doors to open. At least one, or binding fails.
    pub listeners: Vec<Listener>,
    /// How to tell routers about this instance; `None` leaves that to somebody else (a route emitter).
    pub registration: Option<Registration>,
    /// How often the certificate files are read again and compared where nothing tells of their changes.
    pub reload_interval: Duration,
    /// Whether to have the system tell of changes. Files are read every few seconds even so.
    pub watch: bool,
    /// How a stop goes.
    pub drain: Drain,
    /// Where operators look in, if anywhere.
    pub admin: Option<Admin>,
}

impl Settings {
    /// Settings for `listeners` that register nowhere, look at their files every second, and show no pages.
    #[must_use]
    pub fn new(listeners: Vec<Listener>) -> Self {
        let reload_interval = Duration::from_secs(1);
        Self { listeners, registration: None, reload_interval, watch: true, drain: Drain::default(), admin: None }
    }
}

/// One door: a TLS listener in front of one port of the app.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What operators call it.
    pub name: String,
    /// What operators call the app's port.
    pub cluster: String,
    /// What operators call the figures of this listener.
    pub stat_prefix: String,
    /// Where to accept. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The app's plain port.
    pub app: AppAddress,
    /// Whether the app is told first who calls.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The instance certificate to present.
    pub identity: IdentitySource,
    /// What a peer has to prove.
    pub mode: Mode,
    /// Versions, suites and protocols to agree to.
    pub offer: Offer,
    /// What a router sees when the app refuses a connection.
    pub on_refused: OnRefused,
    /// Deadlines of one connection.
    pub timeouts: Timeouts,
    /// Limits over all connections of this listener.
    pub caps: Caps,
    /// Where a line is written for each connection, if anywhere.
    pub access_log: Option<AccessLog>,
}

/// How the app is told who calls, before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// In binary.
    V2,
}

impl ProxyProtocol {
    /// The word for it in Envoy's documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "V1",
            Self::V2 => "V2",
        }
    }
}

/// Where lines of an access log go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, which is continued.
    File(PathBuf),
}

impl Listener {
    /// A listener with the usual limits, named after its ports as Diego does.
    #[must_use]
    pub fn new(listen: SocketAddr, app: AppAddress, identity: impl Into<IdentitySource>, mode: Mode) -> Self {
        Self {
            name: format!("listener-{}-{}", app.port(), listen.port()),
            cluster: format!("service-cluster-{}", app.port()),
            stat_prefix: format!("stats-{}-{}", app.port(), listen.port()),
            listen,
            app,
            proxy_protocol: None,
            identity: identity.into(),
            mode,
            offer: Offer::default(),
            on_refused: OnRefused::default(),
            timeouts: Timeouts::default(),
            caps: Caps::default(),
            access_log: None,
        }
    }
}

/// What a peer has to prove before a byte of it reaches the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: the router verifies us, and no client certificate is asked for.
    Tls,
    /// Its identity: a client certificate that chains to `client_ca` and carries one of `names`.
    Strict {
        /// The authorities that sign routers' certificates.
        client_ca: ClientCa,
        /// Names of which the certificate must carry one, exactly. Empty: any certificate of that CA, unless names come
        /// with the authorities.
        names: Vec<AllowedName>,
    },
}

impl Mode {
    /// Strict, by a bundle of authorities and names of which one must be carried.
    #[must_use]
    pub fn strict(client_ca: impl AsRef<Path>, names: Vec<String>) -> Self {
        let names = names.into_iter().map(AllowedName::from).collect();
        Self::Strict { client_ca: client_ca.as_ref().to_owned().into(), names }
    }

    /// The word for it on the command line and in the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Strict { .. } => "strict",
        }
    }
}

/// What a router sees, in place of a `ServerHello`, when the app refuses the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRefused {
    /// A reset: retried elsewhere with any method, and the endpoint rests for a while.
    #[default]
    Reset,
    /// The alert `handshake_failure`: retried elsewhere, and the endpoint leaves the table until it registers again.
    Alert,
    /// An orderly close: retried elsewhere, and the endpoint is chosen again next time.
    Close,
}

/// Deadlines of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From `connect` to the app's answer.
    pub dial: Duration,
    /// From accept to the end of the handshake, the dial included. Below the 10 s after which a router gives up by
    /// itself and removes the endpoint.
    pub handshake: Duration,
    /// Without a byte in either direction; `None` never closes a silent connection. Above the 90 s for which a router
    /// keeps an idle connection, or both ends race to close it.
    pub idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            dial: Duration::from_millis(250),
            handshake: Duration::from_secs(5),
            idle: Some(Duration::from_secs(3600)),
        }
    }
}

/// Limits over all connections of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections whose handshake has not ended.
    pub handshakes: usize,
    /// Connections in all; `None` derives it from the descriptors that the process may open (two per connection).
    pub connections: Option<usize>,
}

impl Default for Caps {
    fn default() -> Self {
        Self { handshakes: 1024, connections: None }
    }
}

/// How a stop goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Open connections may finish for so long; what is left then is cut.
    pub time: Duration,
    /// A connection on which the app spoke last and nothing has flowed for so long is between two requests, and is
    /// closed, so that a router's pool lets go of it.
    pub idle: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { time: Duration::from_secs(600), idle: Duration::from_secs(1) }
    }
}
