//! Route keys: the one spelling under which a route is stored and looked up.
//!
//! A registered URI and a request meet in the same form: host and path as one lower-case string, cut
//! into segments at `/` (gorouter.md section 4, key).

/// Longest key that is accepted, in bytes. Far above any real host and path, and a bound on what one
/// message can make the table keep.
pub const MAX_KEY: usize = 2048;

/// The key of a route: lower-case `host` or `host/path`, without a leading or a trailing `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteKey(Box<str>);

/// Why a registered URI is no route key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUri {
    /// Nothing that could be a host is left of it.
    #[error("names no host")]
    NoHost,
    /// Longer than [`MAX_KEY`] bytes.
    #[error("is longer than {MAX_KEY} bytes")]
    TooLong,
    /// A control character; it would end up in log lines and never matches a request.
    #[error("holds a control character")]
    Control,
}

impl RouteKey {
    /// The key of a registered URI.
    ///
    /// # Errors
    ///
    /// When it names no host, is too long or holds a control character. Nothing else is checked: what is
    /// no host name (`http://x`) is stored as it is and never matches, as in Gorouter.
    pub fn parse(uri: &str) -> Result<Self, BadUri> {
        let uri = uri.split_once('?').map_or(uri, |(before, _)| before);
        if uri.len() > MAX_KEY {
            return Err(BadUri::TooLong);
        }
        if uri.chars().any(char::is_control) {
            return Err(BadUri::Control);
        }
        let key = trim(uri);
        if key.is_empty() || key.starts_with('/') {
            return Err(BadUri::NoHost);
        }
        Ok(Self(key.to_ascii_lowercase().into_boxed_str()))
    }

    /// The whole key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key up to its first `/`.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(host, _)| host)
    }
}

/// One leading and one trailing `/` off.
fn trim(key: &str) -> &str {
    let key = key.strip_suffix('/').unwrap_or(key);
    key.strip_prefix('/').unwrap_or(key)
}
