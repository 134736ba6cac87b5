//! Certificates as operators read about them: serial number, names, validity.

use std::{net::IpAddr, time::SystemTime};

use rustls::pki_types::pem::{PemObject, SectionKind};

use crate::leaf;

/// What a certificate says about itself. Nothing here says that it is to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The serial number in lower-case hexadecimal digits.
    pub serial: String,
    /// DNS SANs, made printable.
    pub dns_names: Vec<String>,
    /// URI SANs, made printable.
    pub uris: Vec<String>,
    /// IP SANs.
    pub ip_addresses: Vec<IpAddr>,
    /// Start of the validity.
    pub not_before: SystemTime,
    /// End of the validity.
    pub not_after: SystemTime,
}

impl Description {
    /// Describes one certificate; `None` for what is none.
    #[must_use]
    pub fn of_der(der: &[u8]) -> Option<Self> {
        use x509_parser::extensions::GeneralName;
        let certificate = leaf::parse(der).ok()?;
        let (not_before, not_after) = leaf::bounds(certificate.validity());
        let mut description = Self {
            serial: certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            dns_names: Vec::new(),
            uris: Vec::new(),
            ip_addresses: Vec::new(),
            not_before,
            not_after,
        };
        for name in leaf::general_names(&certificate) {
            match name {
                GeneralName::DNSName(dns) => description.dns_names.push(leaf::printable(dns)),
                GeneralName::URI(uri) => description.uris.push(leaf::printable(uri)),
                GeneralName::IPAddress(octets) => description.ip_addresses.extend(leaf::ip_address(octets)),
                _ => {}
            }
        }
        Some(description)
    }

    /// Describes every certificate of a PEM text, and passes over whatever else is in it.
    #[must_use]
    pub fn of_pem(text: &str) -> Vec<Self> {
        let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).filter_map(Result::ok);
        let certificates = sections.filter(|(kind, _)| *kind == SectionKind::Certificate);
        certificates.filter_map(|(_, der)| Self::of_der(&der)).collect()
    }
}
