//! Why a caller was turned away.

use std::{io, time::SystemTime};

use rustls::{AlertDescription, CertificateError, Error};

use super::demand::Demand;
use crate::refusal::alert_text;

/// Why a caller was turned away.
#[derive(Debug, thiserror::Error)]
pub enum AcceptRefusal {
    /// It closed the connection without a word: a health check, not worth a line in the log.
    #[error("closed without a word")]
    Silent,
    /// It closed or reset the connection, or that failed in another way.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// It does not speak TLS.
    #[error("the caller does not speak TLS")]
    NotTls,
    /// It shows no certificate where one is demanded.
    #[error("the caller shows no certificate")]
    NoCertificate,
    /// Its certificate does not lead to the authorities.
    #[error("the caller's certificate is signed by an unknown authority")]
    UnknownAuthority,
    /// Its certificate is out of date.
    #[error("the caller's certificate is out of date")]
    Expired {
        /// Start of its validity.
        not_before: SystemTime,
        /// End of its validity.
        not_after: SystemTime,
    },
    /// Its certificate carries none of the allowed names.
    #[error("the caller's certificate carries none of the allowed names, but [{}]", presented.join(", "))]
    WrongName {
        /// The names that it carries, made printable.
        presented: Vec<String>,
    },
    /// Its certificate is not to be used that way, or cannot be read.
    #[error("the caller's certificate is refused: {0}")]
    Certificate(CertificateError),
    /// It refuses our certificate or our parameters.
    #[error("the caller sent an alert: {}", alert_text(*.0))]
    Alert(AlertDescription),
    /// It breaks the protocol, or no parameters are common.
    #[error("{0}")]
    Tls(#[source] Error),
}

/// The refusal behind an error of the handshake; what the demand found comes first.
pub(super) fn of_tls(error: Error, demand: &Demand) -> AcceptRefusal {
    if let Some(verdict) = demand.verdict() {
        return verdict;
    }
    match error {
        Error::NoCertificatesPresented => AcceptRefusal::NoCertificate,
        Error::AlertReceived(alert) => AcceptRefusal::Alert(alert),
        Error::InvalidCertificate(cause) => AcceptRefusal::Certificate(cause),
        error => AcceptRefusal::Tls(error),
    }
}
