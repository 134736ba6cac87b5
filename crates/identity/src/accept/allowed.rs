//! Names that let a caller in.

use std::{fmt, net::IpAddr};

use crate::peer_identity::PeerIdentity;

/// A name of which a caller's certificate must carry one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedName {
    /// An alternative name of whatever type, as [`PeerIdentity::carries`] compares it, or as [`AllowedName::Dns`].
    Any(String),
    /// A DNS name, compared without regard to case; a certificate's wildcard stands for its first label.
    Dns(String),
    /// A URI, compared to the letter.
    Uri(String),
    /// An IP address, compared by value.
    Address(IpAddr),
}

impl AllowedName {
    /// Whether `identity` carries the name, under the type that it has here.
    #[must_use]
    pub fn is_carried_by(&self, identity: &PeerIdentity) -> bool {
        match self {
            Self::Any(name) => identity.carries(name) || identity.has_wildcard_for(name),
            Self::Dns(name) => {
                identity.dns_names.iter().any(|dns| dns.eq_ignore_ascii_case(name)) || identity.has_wildcard_for(name)
            }
            Self::Uri(name) => identity.uris.contains(name),
            Self::Address(address) => identity.ip_addresses.contains(address),
        }
    }
}

impl From<String> for AllowedName {
    fn from(name: String) -> Self {
        Self::Any(name)
    }
}

impl From<&str> for AllowedName {
    fn from(name: &str) -> Self {
        Self::Any(name.to_owned())
    }
}

/// With its type before it, where it has one.
impl fmt::Display for AllowedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(name) => f.write_str(name),
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(name) => write!(f, "URI:{name}"),
            Self::Address(address) => write!(f, "IP:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_type_is_carried_under_that_type_only() {
        let identity = PeerIdentity {
            dns_names: vec!["Router.cf".into(), "10.0.0.1".into(), "spiffe://dns".into(), "*.wild.cf".into()],
            uris: vec!["spiffe://cf/router".into()],
            ip_addresses: vec![[10, 0, 0, 2].into()],
            ..PeerIdentity::default()
        };
        let address = |text: &str| AllowedName::Address(text.parse().unwrap());
        for (name, carried) in [
            (AllowedName::Dns("router.CF".into()), true),
            (AllowedName::Dns("10.0.0.1".into()), true),
            (AllowedName::Dns("10.0.0.2".into()), false),
            (AllowedName::Dns("spiffe://cf/router".into()), false),
            (AllowedName::Uri("spiffe://cf/router".into()), true),
            (AllowedName::Uri("SPIFFE://cf/router".into()), false),
            (AllowedName::Uri("spiffe://dns".into()), false),
            (address("10.0.0.2"), true),
            (address("10.0.0.1"), false),
            (AllowedName::Dns("a.wild.cf".into()), true),
            (AllowedName::Uri("a.wild.cf".into()), false),
            ("a.wild.cf".into(), true),
            ("a.b.wild.cf".into(), false),
            ("router.cf".into(), true),
            ("10.0.0.1".into(), true),
            ("10.0.0.2".into(), true),
        ] {
            assert_eq!(name.is_carried_by(&identity), carried, "{name}");
        }
    }
}
