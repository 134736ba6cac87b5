//! The URL of a route service, taken apart.

use http::Uri;
use trueroute_identity::ExpectedName;

use crate::route::peer::{Identity, Peer};

/// A route service: whom to dial, and what to ask for.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its address, and the name that its certificate must carry.
    pub peer: Peer,
    /// The Host header: with the port if the URL names one.
    pub host: String,
    /// The host alone.
    pub name: String,
    /// The target of requests, with its query.
    pub target: String,
}

/// A registered URL that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route service URL {url:?} is not one of https with a host")]
pub struct BadUrl {
    /// As registered.
    pub url: String,
}

impl Service {
    /// Reads the URL that a registration gave.
    ///
    /// # Errors
    /// It is not an absolute URL of https, or holds a user's name, which nobody asked for.
    pub fn at(url: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?;
        if uri.scheme_str() != Some("https") || authority.host().is_empty() {
            return Err(bad());
        }
        let name = authority.host();
        // Not by `Authority::port`, to which a port that is no number is none.
        let port = match authority.as_str().strip_prefix(name) {
            Some("" | ":") => 443,
            rest => rest.and_then(|rest| rest.strip_prefix(':')?.parse().ok()).ok_or_else(bad)?,
        };
        let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Ok(Self {
            peer: Peer::new(name, port, Identity::Tls(ExpectedName::new(name))),
            host: authority.as_str().to_owned(),
            name: name.to_owned(),
            // A URL without a path has the query alone.
            target: if target.starts_with('/') { target.to_owned() } else { format!("/{target}") },
        })
    }

    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_whom_to_dial_and_what_to_ask_for() {
        for (url, address, host, target) in [
            ("https://rs.example", "rs.example:443", "rs.example", "/"),
            ("https://rs.example/", "rs.example:443", "rs.example", "/"),
            ("https://RS.example:8443/a/b?c=%2F", "RS.example:8443", "RS.example:8443", "/a/b?c=%2F"),
            ("https://rs.example?x", "rs.example:443", "rs.example", "/?x"),
            ("https://[::1]:9/", "[::1]:9", "[::1]:9", "/"),
        ] {
            let service = Service::at(url).unwrap();
            let got = (service.peer.address(), service.host.as_str(), service.target.as_str());
            assert_eq!(got, (address, host, target), "{url}");
            assert!(service.peer.is_tls());
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for url in [
            "",
            "https",
            "https:",
            "https://",
            "https:///x",
            "httpsx://a",
            "https://a:b",
            "https://a:99999",
            "http://a",
            "https://u:p@a",
            "https://a b",
        ] {
            assert_eq!(Service::at(url).unwrap_err(), BadUrl { url: url.into() });
        }
    }
}
