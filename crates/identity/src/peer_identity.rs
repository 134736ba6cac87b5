//! What a certificate says about its holder.
//!
//! Diego writes application, space and organization as three units of *one* relative distinguished name,
//! so every attribute of every RDN is looked at. Nothing here says that a certificate is to be believed:
//! that is for whoever checked its chain.

use std::net::IpAddr;

use x509_parser::{certificate::X509Certificate, error::X509Error, extensions::GeneralName, oid_registry as oid};

use crate::leaf;

/// The holder of a certificate, as Diego's instance certificates describe one (sidecar.md §2).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PeerIdentity {
    /// Common name of the subject, if it has one.
    pub common_name: Option<String>,
    /// DNS SANs.
    pub dns_names: Vec<String>,
    /// IP SANs.
    pub ip_addresses: Vec<IpAddr>,
    /// URI SANs.
    pub uris: Vec<String>,
    /// Application id, from the unit `app:<id>`.
    pub app: Option<String>,
    /// Space id, from the unit `space:<id>`.
    pub space: Option<String>,
    /// Organization id, from the unit `organization:<id>`.
    pub organization: Option<String>,
}

/// Which of the three ids a unit gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `app:<id>`.
    App,
    /// `space:<id>`.
    Space,
    /// `organization:<id>`.
    Organization,
}

/// Why no identity can be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PeerIdentityError {
    /// Not a certificate.
    #[error("not a certificate: {0}")]
    Malformed(#[from] X509Error),
    /// The alternative names cannot be read, or stand there twice.
    #[error("the alternative names cannot be read: {0}")]
    AlternativeNames(#[source] X509Error),
    /// Two different ids of the same kind: nothing can be allowed on the strength of either.
    #[error("two different units of the same kind: {kind:?} {first:?} and {second:?}")]
    Contradiction {
        /// The kind that stands there twice.
        kind: Unit,
        /// One id.
        first: String,
        /// The other.
        second: String,
    },
}

impl PeerIdentity {
    /// Reads a certificate. Says nothing of whether it is to be believed.
    ///
    /// # Errors
    /// If it is not a certificate, or contradicts itself.
    pub fn from_der(der: &[u8]) -> Result<Self, PeerIdentityError> {
        let certificate = leaf::parse(der)?;
        let mut identity = Self::default();
        identity.read_subject(&certificate)?;
        identity.read_alternative_names(&certificate)?;
        Ok(identity)
    }

    /// The instance id: the common name if it is also a DNS SAN, else the first DNS SAN, else the common
    /// name. Empty names, which mark a draining instance, are none.
    #[must_use]
    pub fn instance_id(&self) -> Option<&str> {
        let common_name = self.common_name.as_deref().filter(|name| !name.is_empty());
        let mut dns_names = self.dns_names.iter().map(String::as_str).filter(|name| !name.is_empty());
        match common_name {
            Some(name) if self.dns_names.iter().any(|dns| dns == name) => Some(name),
            _ => dns_names.next().or(common_name),
        }
    }

    /// Whether the certificate carries `name`, compared whole: DNS names without regard to case, addresses
    /// by value, URIs to the letter. A wildcard in the certificate is a name like any other.
    #[must_use]
    pub fn carries(&self, name: &str) -> bool {
        self.dns_names.iter().any(|dns| dns.eq_ignore_ascii_case(name))
            || self.uris.iter().any(|uri| uri == name)
            || name.parse::<IpAddr>().is_ok_and(|address| self.ip_addresses.contains(&address))
    }

    /// Whether the certificate has a DNS name with a wildcard that stands for the first label of `name`, whole.
    ///
    /// Not for the other end: what a router dials has to carry the registered name.
    #[must_use]
    pub fn has_wildcard_for(&self, name: &str) -> bool {
        let beyond_the_first_label = name.find('.').map(|dot| &name[dot..]);
        self.dns_names.iter().any(|dns| match (dns.strip_prefix('*'), beyond_the_first_label) {
            (Some(rest), Some(beyond)) => rest.eq_ignore_ascii_case(beyond) && rest.len() > 1,
            _ => false,
        })
    }

    /// All alternative names, fit for a log line.
    #[must_use]
    pub fn presented(&self) -> Vec<String> {
        let texts = self.dns_names.iter().chain(&self.uris).map(|text| leaf::printable(text));
        texts.chain(self.ip_addresses.iter().map(ToString::to_string)).collect()
    }

    fn read_subject(&mut self, certificate: &X509Certificate<'_>) -> Result<(), PeerIdentityError> {
        for attribute in certificate.subject().iter_attributes() {
            let Ok(value) = attribute.as_str() else {
                continue; // an encoding that neither Go nor Diego writes names nobody
            };
            if *attribute.attr_type() == oid::OID_X509_COMMON_NAME {
                self.common_name.get_or_insert_with(|| value.to_owned());
            } else if *attribute.attr_type() == oid::OID_X509_ORGANIZATIONAL_UNIT {
                self.read_unit(value)?;
            }
        }
        Ok(())
    }

    fn read_unit(&mut self, value: &str) -> Result<(), PeerIdentityError> {
        let Some((prefix, id)) = value.split_once(':') else {
            return Ok(());
        };
        let (kind, slot) = match prefix {
            "app" => (Unit::App, &mut self.app),
            "space" => (Unit::Space, &mut self.space),
            "organization" => (Unit::Organization, &mut self.organization),
            _ => return Ok(()),
        };
        match slot {
            Some(first) if first != id => {
                Err(PeerIdentityError::Contradiction { kind, first: first.clone(), second: id.to_owned() })
            }
            _ => {
                *slot = Some(id.to_owned());
                Ok(())
            }
        }
    }

    fn read_alternative_names(&mut self, certificate: &X509Certificate<'_>) -> Result<(), PeerIdentityError> {
        let extension = certificate.subject_alternative_name().map_err(PeerIdentityError::AlternativeNames)?;
        for name in extension.iter().flat_map(|found| &found.value.general_names) {
            match name {
                GeneralName::DNSName(dns) => self.dns_names.push((*dns).to_owned()),
                GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
                GeneralName::IPAddress(octets) => self.ip_addresses.extend(leaf::ip_address(octets)),
                _ => {}
            }
        }
        Ok(())
    }
}
