//! What is read from a peer's own certificate before its chain is looked at.

use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use x509_parser::{
    certificate::{Validity, X509Certificate},
    error::X509Error,
    extensions::GeneralName,
    nom,
    time::ASN1Time,
};

/// Parses one whole certificate.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, X509Error> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(X509Error::InvalidCertificate),
        // The parser's own words for bytes that are something else say nothing to whoever pasted them.
        Err(nom::Err::Error(cause) | nom::Err::Failure(cause)) => Err(match cause {
            X509Error::Der(_) | X509Error::NomError(_) => X509Error::InvalidCertificate,
            cause => cause,
        }),
        Err(nom::Err::Incomplete(_)) => Err(X509Error::InvalidCertificate),
    }
}

/// Start and end of a validity.
pub(crate) fn bounds(validity: &Validity) -> (SystemTime, SystemTime) {
    (system_time(validity.not_before), system_time(validity.not_after))
}

/// A time of a certificate; what lies before 1970 is as good as 1970.
fn system_time(time: ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

/// The clock of a handshake as the clock of the system.
pub(crate) fn clock(now: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs())
}

/// The general names of the subject alternative name extension; none if it is missing or broken.
pub(crate) fn general_names<'a>(certificate: &'a X509Certificate<'_>) -> &'a [GeneralName<'a>] {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        Ok(None) | Err(_) => &[],
    }
}

/// An IP SAN; none if it has the length of no address.
pub(crate) fn ip_address(octets: &[u8]) -> Option<std::net::IpAddr> {
    <[u8; 4]>::try_from(octets).map(Into::into).or_else(|_| <[u8; 16]>::try_from(octets).map(Into::into)).ok()
}

/// Text from the wire, fit for a header and a log line.
pub(crate) fn printable(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for c in text.chars() {
        if (' '..='~').contains(&c) {
            told.push(c);
        } else {
            told.extend(c.escape_default());
        }
    }
    told
}

/// The name by which Go speaks of an authority: common name, else organization, else serial number.
pub(crate) fn display_name(certificate: &X509Certificate<'_>) -> String {
    let subject = certificate.subject();
    let named = subject.iter_common_name().next().or_else(|| subject.iter_organization().next());
    match named.and_then(|attribute| attribute.as_str().ok()) {
        Some(name) => printable(name),
        None => format!("serial:{}", certificate.serial),
    }
}
