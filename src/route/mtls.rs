//! The domains whose clients must prove themselves to authorities of the domain's own (gorouter.md section 7.4).
//!
//! The name that a client asks for in its TLS handshake decides which authorities it is held to; the host of each
//! request must belong to the same domain, or a client could prove itself to one and be served as another's.

use std::collections::HashMap;

/// Which domain: its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DomainIndex(pub usize);

/// The domains, found by a host's name.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    exact: HashMap<Box<str>, DomainIndex>,
    below: HashMap<Box<str>, DomainIndex>,
}

/// Why a list of domains is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDomain {
    /// It is no name, or a wildcard that is not the whole first label.
    #[error("domains[{0}].domain: neither a name nor `*.` and a name")]
    NoName(usize),
    /// The same name stands twice, and it could not be told whose authorities count.
    #[error("domains[{0}].domain: stands there twice")]
    Twice(usize),
}

impl Domains {
    /// `name` or `*.name`, in the order of the configuration.
    ///
    /// # Errors
    /// The first that is not usable.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, BadDomain> {
        let mut domains = Self::default();
        for (index, name) in names.into_iter().enumerate() {
            let name = name.to_ascii_lowercase();
            let (list, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut domains.below, parent),
                None => (&mut domains.exact, name.as_str()),
            };
            if name.split('.').any(str::is_empty) || name.contains(['*', ':', '/', ' ']) {
                return Err(BadDomain::NoName(index));
            }
            if list.insert(name.into(), DomainIndex(index)).is_some() {
                return Err(BadDomain::Twice(index));
            }
        }
        Ok(domains)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }

    /// The domain of a host, which may have a port, a final dot and letters of any case. A name that is listed itself
    /// comes before a wildcard; a wildcard covers one label.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Option<DomainIndex> {
        let name = host.split_once(':').map_or(host, |(name, _port)| name);
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.exact.get(&*name).or_else(|| self.below.get(name.split_once('.')?.1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_belongs_to_the_domain_that_names_it_best() {
        let domains = Domains::new(["*.apps.example", "Own.apps.example", "solo.example"]).unwrap();
        for (host, domain) in [
            ("a.apps.example", Some(0)),
            ("A.APPS.example:8443", Some(0)),
            ("a.apps.example.", Some(0)),
            ("own.apps.example", Some(1)),
            ("solo.example", Some(2)),
            ("apps.example", None),
            ("a.b.apps.example", None),
            ("a.solo.example", None),
            ("", None),
            ("example", None),
        ] {
            assert_eq!(domains.of_host(host), domain.map(DomainIndex), "{host}");
        }
        assert!(!domains.is_empty());
        assert!(Domains::new([]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for bad in ["*", "*.", "a.*.b", "**.b", "a..b", "", "a:1", "a/b"] {
            assert_eq!(Domains::new(["x", bad]).unwrap_err(), BadDomain::NoName(1), "{bad}");
        }
        assert_eq!(Domains::new(["*.a", "a", "*.A"]).unwrap_err(), BadDomain::Twice(2));
    }
}
