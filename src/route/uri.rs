//! Route keys: the one spelling under which a route is stored and looked up.
//!
//! A registered URI and a request meet in the same form: host and path as one lower-case string, cut
//! into segments at `/` (gorouter.md section 4, key).

use std::borrow::Cow;

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
        &self.0[..self.host_len()]
    }

    /// The rest of the key: empty, or the path with its leading `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0[self.host_len()..]
    }

    fn host_len(&self) -> usize {
        self.0.find('/').unwrap_or(self.0.len())
    }
}

/// Longest host that is tried with wildcards, in bytes; no name in the DNS is longer. The bound keeps one
/// request with thousands of labels from causing as many look-ups.
const MAX_WILDCARD_HOST: usize = 255;

/// What a request asks for, in the spelling of route keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    host: Cow<'a, str>,
    path: &'a str,
}

impl<'a> Target<'a> {
    /// The target of a request with this Host header and escaped path. The host is cut at its first `:`
    /// and lower-cased; the path loses one trailing `/` and keeps its case, which route look-up ignores.
    ///
    /// `None` for what can name no route: no host, a `/` in the host, or a path that does not start with
    /// `/`.
    #[must_use]
    pub fn of(host: &'a str, path: &'a str) -> Option<Self> {
        let host = host.split_once(':').map_or(host, |(name, _port)| name);
        if host.is_empty() || host.contains('/') || !(path.is_empty() || path.starts_with('/')) {
            return None;
        }
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        Some(Self { host, path: path.strip_suffix('/').unwrap_or(path) })
    }

    /// The host, lower-case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path: empty, or with its leading `/`, in the request's own case.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path
    }

    /// The first answer that `look` gives for the wildcard hosts which cover this one, most specific
    /// first: `*.b.c` and `*.c` for `a.b.c`, never a bare `*`.
    pub fn first_wildcard<T>(&self, mut look: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let host = self.host.as_bytes();
        if host.len() > MAX_WILDCARD_HOST {
            return None;
        }
        // One byte ahead of the host leaves room for the `*` even where the first label is empty.
        let mut name = [0; 1 + MAX_WILDCARD_HOST];
        let name = &mut name[..=host.len()];
        name[1..].copy_from_slice(host);
        let mut dots = host.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        dots.find_map(|(dot, _)| {
            name[dot] = b'*';
            std::str::from_utf8(&name[dot..]).ok().and_then(&mut look)
        })
    }
}

/// One leading and one trailing `/` off.
fn trim(key: &str) -> &str {
    let key = key.strip_suffix('/').unwrap_or(key);
    key.strip_prefix('/').unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_registered_uri_becomes_a_key() {
        for (uri, wanted) in [
            ("app.example.com", Ok("app.example.com")),
            ("App.Example.COM/Path", Ok("app.example.com/path")),
            ("app.example.com/", Ok("app.example.com")),
            ("/app.example.com", Ok("app.example.com")),
            ("/app.example.com/a/", Ok("app.example.com/a")),
            ("app.example.com/a//", Ok("app.example.com/a/")),
            ("app.example.com/a?q=1/", Ok("app.example.com/a")),
            ("app.example.com?q", Ok("app.example.com")),
            ("app.example.com/?q", Ok("app.example.com")),
            ("*.example.com", Ok("*.example.com")),
            ("*", Ok("*")),
            ("http://x", Ok("http://x")),
            ("app.example.com:8080/a", Ok("app.example.com:8080/a")),
            ("app.example.com/%2F", Ok("app.example.com/%2f")),
            ("b\u{fc}cher.example.com", Ok("b\u{fc}cher.example.com")),
            ("", Err(BadUri::NoHost)),
            ("/", Err(BadUri::NoHost)),
            ("//a", Err(BadUri::NoHost)),
            ("?q", Err(BadUri::NoHost)),
            ("app\n.example.com", Err(BadUri::Control)),
            ("app.example.com/\u{85}", Err(BadUri::Control)),
        ] {
            let key = RouteKey::parse(uri);
            assert_eq!(key.as_ref().map(RouteKey::as_str).map_err(|why| *why), wanted, "{uri:?}");
        }
    }

    #[test]
    fn the_longest_key_is_accepted_and_no_longer_one() {
        let longest = "a".repeat(MAX_KEY);
        assert!(RouteKey::parse(&longest).is_ok());
        assert_eq!(RouteKey::parse(&format!("{longest}a")), Err(BadUri::TooLong));
        assert!(RouteKey::parse(&format!("{longest}?{longest}")).is_ok());
    }

    #[test]
    fn a_request_is_spelled_as_a_key() {
        for (host, path, wanted) in [
            ("app.example.com", "/", Some(("app.example.com", ""))),
            ("App.Example.com:8080", "/a/", Some(("app.example.com", "/a"))),
            ("app.example.com", "", Some(("app.example.com", ""))),
            ("app.example.com", "/A//", Some(("app.example.com", "/A/"))),
            ("[::1]:80", "/", Some(("[", ""))),
            ("", "/", None),
            (":80", "/app.example.com", None),
            ("app.example.com", "*", None),
            ("app.example.com/a", "/b", None),
        ] {
            let target = Target::of(host, path);
            assert_eq!(target.as_ref().map(|target| (target.host(), target.path())), wanted, "{host:?} {path:?}");
        }
    }

    #[test]
    fn a_lower_case_host_is_not_copied() {
        assert!(matches!(Target::of("app.example.com:80", "/A").unwrap().host, Cow::Borrowed(_)));
    }

    #[test]
    fn wildcards_come_most_specific_first() {
        for (host, wanted) in [
            ("a.b.c", &["*.b.c", "*.c"][..]),
            ("a.b", &["*.b"]),
            ("localhost", &[]),
            (".b.c", &["*.b.c", "*.c"]),
            ("a..c", &["*..c", "*.c"]),
            ("a.", &["*."]),
            ("b\u{fc}.c", &["*.c"]),
        ] {
            let mut seen = Vec::new();
            let found = Target::of(host, "/").unwrap().first_wildcard(|name| {
                seen.push(name.to_owned());
                None::<()>
            });
            assert_eq!((found, &*seen), (None, &*wanted.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()));
        }
        let long = format!("{}.c", "a".repeat(MAX_WILDCARD_HOST - 2));
        assert_eq!(
            Target::of(&long, "/").unwrap().first_wildcard(|name| Some(name.to_owned())).as_deref(),
            Some("*.c")
        );
        let longer = format!("a{long}");
        assert_eq!(Target::of(&longer, "/").unwrap().first_wildcard(|_| Some(())), None);
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(uri in ".{0,40}") {
            if let Ok(key) = RouteKey::parse(&uri) {
                let again = format!("/{}/", key.as_str());
                prop_assert_eq!(RouteKey::parse(&again).unwrap(), key.clone());
                prop_assert_eq!(format!("{}{}", key.host(), key.path()), key.as_str());
            }
        }

        #[test]
        fn any_request_has_a_target_or_none(host in ".{0,300}", path in ".{0,20}") {
            if let Some(target) = Target::of(&host, &path) {
                target.first_wildcard(|name| { assert!(name.starts_with("*.")); None::<()> });
            }
        }
    }
}
