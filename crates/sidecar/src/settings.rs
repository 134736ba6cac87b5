//! What the engine is told: typed, complete, and free of where it was read from.
//!
//! The engine takes nothing but [`Settings`]. The command line (`flags`) builds them today; any other source (an Envoy
//! bootstrap, say) builds the same values and needs no change below. Whatever is impossible to serve is impossible to
//! write down: a strict listener holds its client CA by type.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

/// Everything one sidecar process does.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The doors to open. At least one, or binding fails.
    pub listeners: Vec<Listener>,
    /// How to tell routers about this instance; `None` leaves that to somebody else (a route emitter).
    pub registration: Option<Registration>,
    /// How often the certificate files are read again and compared.
    pub reload_interval: Duration,
    /// How a stop goes.
    pub drain: Drain,
}

/// One door: a TLS listener in front of one port of the app.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where to accept. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The app's plain port.
    pub app: AppAddress,
    /// The instance certificate to present.
    pub identity: IdentityFiles,
    /// What a peer has to prove.
    pub mode: Mode,
    /// What a router sees when the app refuses a connection.
    pub on_refused: OnRefused,
    /// Deadlines of one connection.
    pub timeouts: Timeouts,
    /// Limits over all connections of this listener.
    pub caps: Caps,
}

/// The PEM files of the instance identity: the chain (leaf first) and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key: PKCS#1, PKCS#8 or SEC1.
    pub key: PathBuf,
}

/// What a peer has to prove before a byte of it reaches the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: the router verifies us, and no client certificate is asked for.
    Tls,
    /// Its identity: a client certificate that chains to `client_ca` and carries one of `names`.
    Strict {
        /// PEM bundle of the authorities that sign routers' certificates.
        client_ca: PathBuf,
        /// Names of which the certificate must carry one, exactly. Empty: any certificate of that CA.
        names: Vec<String>,
    },
}

impl Mode {
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

/// How this instance makes itself known to routers (sidecar.md §4.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// NATS servers, any of which will do.
    pub servers: Vec<NatsServer>,
    /// Routes: host names with an optional path.
    pub uris: Vec<String>,
    /// The application this instance belongs to.
    pub app_id: String,
    /// This instance. Its certificate must carry this name.
    pub instance_id: String,
    /// Position of the instance within the app, if it has one.
    pub instance_index: Option<u32>,
    /// The host under which routers reach this sidecar.
    pub host: String,
    /// The port under which routers reach this sidecar; `None` means the one that the first listener is bound to.
    pub tls_port: Option<u16>,
    /// The port under which routers reach the app in plain, 0 for none.
    pub plain_port: u16,
    /// Isolation segment of the instance, if any.
    pub isolation_segment: Option<String>,
    /// Tags of the registration beside `component`.
    pub tags: Vec<(String, String)>,
    /// How the end is told.
    pub farewell: Farewell,
}

// The servers carry passwords; their own Debug leaves them out.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("servers", &self.servers)
            .field("uris", &self.uris)
            .field("instance_id", &self.instance_id)
            .field("host", &self.host)
            .field("tls_port", &self.tls_port)
            .finish_non_exhaustive()
    }
}

/// How often an unregistration is sent. Core NATS may lose a message, and an endpoint whose unregistration is lost stays
/// in every router's table until a request fails there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Number of messages.
    pub times: u32,
    /// Pause between two.
    pub gap: Duration,
}

impl Default for Farewell {
    fn default() -> Self {
        Self { times: 3, gap: Duration::from_millis(200) }
    }
}

/// The app's plain port: an address, or a name that is looked up at each dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppAddress {
    /// An IP address and port.
    Fixed(SocketAddr),
    /// A host name and port.
    Named(Box<str>, u16),
}

impl AppAddress {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Fixed(address) => address.port(),
            Self::Named(_, port) => *port,
        }
    }
}

impl From<SocketAddr> for AppAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Fixed(address)
    }
}

impl FromStr for AppAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(AddressError::ZeroPort) } else { Ok(Self::Fixed(address)) };
        }
        let (host, port) = host_and_port(text)?;
        if port == 0 { Err(AddressError::ZeroPort) } else { Ok(Self::Named(host.into(), port)) }
    }
}

impl fmt::Display for AppAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => address.fmt(f),
            Self::Named(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No colon between host and port.
    #[error("expected HOST:PORT")]
    NoPort,
    /// The host is empty or has characters that no host name has.
    #[error("the host is not a host name or IP address")]
    BadHost,
    /// The port is not a number below 65536.
    #[error("the port is not a number between 0 and 65535")]
    BadPort,
    /// Port 0 where a real one is needed.
    #[error("port 0 can not be dialled")]
    ZeroPort,
}

/// Splits `HOST:PORT`. The host is a name or an IP address; an IPv6 address stands in brackets, which are kept.
pub(crate) fn host_and_port(text: &str) -> Result<(&str, u16), AddressError> {
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
    let port = port.parse().map_err(|_| AddressError::BadPort)?;
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_host = match bracketed {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if is_host { Ok((host, port)) } else { Err(AddressError::BadHost) }
}

/// One NATS server: where it is and who we are there.
///
/// The client library reads the address out of a URL but not the user and password, so they are kept apart here.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsServer {
    pub(crate) address: async_nats::ServerAddr,
    pub(crate) login: Option<(String, String)>,
}

impl NatsServer {
    /// User and password of the URL, percent-decoded.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }
}

impl FromStr for NatsServer {
    type Err = NatsUrlError;

    fn from_str(text: &str) -> Result<Self, NatsUrlError> {
        let address: async_nats::ServerAddr = text.parse().map_err(NatsUrlError::Url)?;
        if !matches!(address.scheme(), "nats" | "tls") {
            return Err(NatsUrlError::Scheme(address.scheme().to_owned()));
        }
        if address.host().is_empty() {
            return Err(NatsUrlError::NoHost);
        }
        let plain = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
            decoded.map(std::borrow::Cow::into_owned).map_err(|_| NatsUrlError::Login)
        };
        let login = match address.username() {
            Some(user) => Some((plain(user)?, plain(address.password().unwrap_or_default())?)),
            None => None,
        };
        Ok(Self { address, login })
    }
}

// Without the login: settings are logged.
impl fmt::Display for NatsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.address.scheme(), self.address.host(), self.address.port())
    }
}

impl fmt::Debug for NatsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not the URL of a NATS server.
#[derive(Debug, thiserror::Error)]
pub enum NatsUrlError {
    /// Not a URL at all.
    #[error("not a URL like nats://user:password@host:4222")]
    Url(#[source] std::io::Error),
    /// A scheme that is not spoken.
    #[error("scheme {0} is not nats or tls")]
    Scheme(String),
    /// No host.
    #[error("the URL names no host")]
    NoHost,
    /// The login is not UTF-8 once decoded.
    #[error("user or password is not valid percent-encoded UTF-8")]
    Login,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_an_address_or_a_name_with_a_real_port() {
        let table: [(&str, Result<&str, AddressError>); 9] = [
            ("127.0.0.1:8080", Ok("127.0.0.1:8080")),
            ("[::1]:8080", Ok("[::1]:8080")),
            ("app-a.local:80", Ok("app-a.local:80")),
            ("app", Err(AddressError::NoPort)),
            ("app:", Err(AddressError::BadPort)),
            ("app:65536", Err(AddressError::BadPort)),
            ("app:0", Err(AddressError::ZeroPort)),
            (":8080", Err(AddressError::BadHost)),
            ("::1:8080", Err(AddressError::BadHost)),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<AppAddress>().map(|a| a.to_string()), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_nats_url_gives_address_and_decoded_login_and_never_shows_the_password() {
        let server: NatsServer = "nats://route%40r:p%3Ass@10.0.0.1:4223".parse().unwrap();
        assert_eq!(server.login(), Some(("route@r", "p:ss")));
        assert_eq!((server.address.host(), server.address.port()), ("10.0.0.1", 4223));
        assert_eq!(format!("{server} {server:?}"), "nats://10.0.0.1:4223 nats://10.0.0.1:4223");

        let short: NatsServer = "localhost".parse().unwrap();
        assert_eq!((short.to_string().as_str(), short.login()), ("nats://localhost:4222", None));
    }

    #[test]
    fn urls_of_other_things_are_refused() {
        for text in ["http://10.0.0.1", "ws://10.0.0.1", "nats://", "nats://u:%ff@h", "nats://h:99999"] {
            assert!(text.parse::<NatsServer>().is_err(), "{text}");
        }
    }
}
