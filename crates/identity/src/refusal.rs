//! Why TLS said no: one typed value per cause, shown in the words that Gorouter's users already grep for.
//!
//! The texts are those of Go's crypto/tls and crypto/x509 (gorouter.md §6), because they end up in the
//! `X-Cf-RouterError` header and in operators' alerts.

use std::{io, time::SystemTime};

use rustls::AlertDescription;

use crate::name::ExpectedName;

mod alert;
mod untrusted;

pub use alert::alert_text;
pub use untrusted::{Hint, Untrusted};

/// Why a peer was not accepted, or did not accept us, before the connection proved itself.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The peer's first bytes are no TLS record: a plain port where TLS was registered.
    #[error("tls: first record does not look like a TLS handshake")]
    NotTls,
    /// The certificate is in date and does not carry the expected name. Found before the chain is looked
    /// at, so it says nothing about trust.
    #[error("tls: failed to verify certificate: x509: {}", untrusted::wrong_identity(expected, presented, *common_name_only))]
    WrongIdentity {
        /// The name that had to be there.
        expected: ExpectedName,
        /// The SANs of the expected kind (DNS names, or IP addresses for an address), made printable.
        presented: Vec<String>,
        /// The name stands in the common name of a certificate without SANs, which no longer counts.
        common_name_only: bool,
    },
    /// The certificate does not lead to our trust, or may not serve.
    #[error("tls: failed to verify certificate: {0}")]
    Untrusted(Untrusted),
    /// The certificate is out of date: the same class as [`Refusal::Untrusted`], kept apart for its cure.
    #[error("tls: failed to verify certificate: x509: certificate has expired or is not yet valid: {}", untrusted::out_of_date(*now, *not_before, *not_after))]
    Expired {
        /// When it was looked at.
        now: SystemTime,
        /// Start of its validity.
        not_before: SystemTime,
        /// End of its validity.
        not_after: SystemTime,
    },
    /// The peer refused the certificate that we showed, or the lack of one.
    #[error("remote error: {}", alert_text(*.0))]
    OurCertificateRefused(AlertDescription),
    /// The peer sent alert 40: no common parameters, or it wants nothing to do with us.
    #[error("remote error: {}", alert_text(AlertDescription::HandshakeFailure))]
    HandshakeFailure,
    /// Any other fatal alert from the peer.
    #[error("remote error: {}", alert_text(*.0))]
    OtherAlert(AlertDescription),
    /// No common protocol version.
    #[error("remote error: {}", alert_text(AlertDescription::ProtocolVersion))]
    ProtocolVersion,
    /// The peer closed the connection before the handshake ended.
    #[error("EOF")]
    Eof,
    /// The peer reset the connection before the handshake ended.
    #[error("read: connection reset by peer")]
    Reset,
    /// The handshake took longer than it may.
    #[error("net/http: TLS handshake timeout")]
    TimedOut,
    /// The socket failed in another way.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The peer broke the protocol, or the session could not be set up.
    #[error("tls: {0}")]
    Other(#[source] rustls::Error),
}

impl Refusal {
    /// The refusal that a fatal alert from the peer stands for.
    #[must_use]
    pub fn from_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::HandshakeFailure => Self::HandshakeFailure,
            AlertDescription::ProtocolVersion => Self::ProtocolVersion,
            _ if refuses_our_certificate(alert) => Self::OurCertificateRefused(alert),
            _ => Self::OtherAlert(alert),
        }
    }

    /// The refusal that a socket error before the end of the handshake stands for.
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Eof,
            io::ErrorKind::ConnectionReset => Self::Reset,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// Whether an alert is a verdict on the certificate that we showed (engineering.md B4, rule 2).
#[must_use]
pub fn refuses_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
            | A::DecryptError
    )
}
