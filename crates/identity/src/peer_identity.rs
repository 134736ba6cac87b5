//! What a certificate says about its holder.

use std::net::IpAddr;

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

/// Why no identity can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdentityError {
    /// Not a certificate.
    #[error("not a certificate: {0}")]
    Malformed(String),
}

impl PeerIdentity {
    /// Reads a certificate. Says nothing of whether it is to be believed.
    ///
    /// # Errors
    /// If it is not a certificate, or contradicts itself.
    pub fn from_der(der: &[u8]) -> Result<Self, PeerIdentityError> {
        let _ = der;
        todo!()
    }

    /// The instance id: the common name if it is also a DNS SAN, else the first DNS SAN, else the common name.
    #[must_use]
    pub fn instance_id(&self) -> Option<&str> {
        todo!()
    }
}
