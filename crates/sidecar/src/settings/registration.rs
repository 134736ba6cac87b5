//! How an instance makes itself known, and over which servers.

use std::{fmt, str::FromStr, time::Duration};

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
