//! Verdicts on a certificate in the words of Go's crypto/x509.

use std::{borrow::Cow, fmt, time::SystemTime};

use rustls::CertificateError;
use x509_parser::time::ASN1Time;

use crate::name::ExpectedName;

/// Go lists at most this many names of a certificate.
const MOST_NAMES: usize = 100;

/// Why a certificate with the right name and in date is still not ours to trust.
#[derive(Debug, Clone, PartialEq)]
pub enum Untrusted {
    /// No chain to our trust.
    UnknownAuthority(Option<Hint>),
    /// Its extended key usage does not allow it to serve.
    IncompatibleUsage,
    /// An issuer in the chain, not the certificate itself, is out of date.
    ExpiredIssuer,
    /// It is not a certificate that can be read.
    Malformed,
    /// Anything else that the chain check found.
    Other(CertificateError),
}

/// A root of the issuer's name whose key did not make the signature: usually a CA made anew under its old name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What Go calls the failed signature, as `x509: ECDSA verification failure`.
    pub cause: Cow<'static, str>,
    /// The name of the root that was tried.
    pub candidate: String,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAuthority(None) => f.write_str("x509: certificate signed by unknown authority"),
            Self::UnknownAuthority(Some(Hint { cause, candidate })) => write!(
                f,
                "x509: certificate signed by unknown authority (possibly because of {cause:?} while trying to verify candidate authority certificate {candidate:?})"
            ),
            Self::IncompatibleUsage => f.write_str("x509: certificate specifies an incompatible key usage"),
            Self::ExpiredIssuer => f.write_str("x509: certificate has expired or is not yet valid"),
            Self::Malformed => f.write_str("x509: malformed certificate"),
            Self::Other(cause) => write!(f, "x509: {cause}"),
        }
    }
}

impl std::error::Error for Untrusted {}

/// What Go says of a certificate that carries other names.
pub(super) fn wrong_identity(expected: &ExpectedName, presented: &[String], common_name_only: bool) -> String {
    if common_name_only {
        return "certificate relies on legacy Common Name field, use SANs instead".to_owned();
    }
    if presented.is_empty() && expected.is_ip() {
        return format!("cannot validate certificate for {expected} because it doesn't contain any IP SANs");
    }
    let valid = presented.join(", ");
    if valid.is_empty() {
        return format!("certificate is not valid for any names, but wanted to match {expected}");
    }
    if presented.len() >= MOST_NAMES && !expected.is_ip() {
        return format!("certificate is valid for {} names, but none matched {expected}", presented.len());
    }
    format!("certificate is valid for {valid}, not {expected}")
}

/// What Go says of a certificate looked at outside its validity.
pub(super) fn out_of_date(now: SystemTime, not_before: SystemTime, not_after: SystemTime) -> String {
    let (side, bound) = if now < not_before { ("before", not_before) } else { ("after", not_after) };
    format!("current time {} is {side} {}", rfc3339(now), rfc3339(bound))
}

fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Some(time) = i64::try_from(seconds).ok().and_then(|s| ASN1Time::from_timestamp(s).ok()) else {
        return format!("@{seconds}");
    };
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}
