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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dates_are_told_as_go_tells_them() {
        let (not_before, not_after) = (at(1_700_000_000), at(1_700_086_400));
        for (now, text) in [
            (at(1_699_999_999), "2023-11-14T22:13:19Z is before 2023-11-14T22:13:20Z"),
            (at(1_709_210_096), "2024-02-29T12:34:56Z is after 2023-11-15T22:13:20Z"),
        ] {
            let told = Refusal::Expired { now, not_before, not_after }.to_string();
            let head = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: ";
            assert_eq!(told, format!("{head}current time {text}"));
        }
    }

    #[test]
    fn a_certificate_of_a_hundred_names_is_not_listed() {
        let refusal = |count: usize| Refusal::WrongIdentity {
            expected: ExpectedName::new("a"),
            presented: (0..count).map(|n| format!("n{n}")).collect(),
            common_name_only: false,
        };
        assert!(refusal(99).to_string().ends_with("n97, n98, not a"));
        assert!(refusal(100).to_string().ends_with("x509: certificate is valid for 100 names, but none matched a"));
    }

    #[test]
    fn socket_errors_have_their_class() {
        let class = |kind: io::ErrorKind| Refusal::from_io(kind.into());
        assert!(matches!(class(io::ErrorKind::UnexpectedEof), Refusal::Eof));
        assert!(matches!(class(io::ErrorKind::ConnectionReset), Refusal::Reset));
        assert!(matches!(class(io::ErrorKind::TimedOut), Refusal::TimedOut));
        assert!(matches!(class(io::ErrorKind::BrokenPipe), Refusal::Io(_)));
    }
}
