//! Fatal alerts in the words of Go's crypto/tls.

use std::borrow::Cow;

use rustls::AlertDescription as A;

/// The text that Go gives an alert, with its `tls: ` prefix.
#[must_use]
pub fn alert_text(alert: A) -> Cow<'static, str> {
    let text = match alert {
        A::CloseNotify => "tls: close notify",
        A::UnexpectedMessage => "tls: unexpected message",
        A::BadRecordMac => "tls: bad record MAC",
        A::DecryptionFailed => "tls: decryption failed",
        A::RecordOverflow => "tls: record overflow",
        A::DecompressionFailure => "tls: decompression failure",
        A::HandshakeFailure => "tls: handshake failure",
        A::BadCertificate => "tls: bad certificate",
        A::UnsupportedCertificate => "tls: unsupported certificate",
        A::CertificateRevoked => "tls: revoked certificate",
        A::CertificateExpired => "tls: expired certificate",
        A::CertificateUnknown => "tls: unknown certificate",
        A::IllegalParameter => "tls: illegal parameter",
        A::UnknownCA => "tls: unknown certificate authority",
        A::AccessDenied => "tls: access denied",
        A::DecodeError => "tls: error decoding message",
        A::DecryptError => "tls: error decrypting message",
        A::ExportRestriction => "tls: export restriction",
        A::ProtocolVersion => "tls: protocol version not supported",
        A::InsufficientSecurity => "tls: insufficient security level",
        A::InternalError => "tls: internal error",
        A::InappropriateFallback => "tls: inappropriate fallback",
        A::UserCanceled => "tls: user canceled",
        A::NoRenegotiation => "tls: no renegotiation",
        A::MissingExtension => "tls: missing extension",
        A::UnsupportedExtension => "tls: unsupported extension",
        A::CertificateUnobtainable => "tls: certificate unobtainable",
        A::UnrecognisedName => "tls: unrecognized name",
        A::BadCertificateStatusResponse => "tls: bad certificate status response",
        A::BadCertificateHashValue => "tls: bad certificate hash value",
        A::UnknownPSKIdentity => "tls: unknown PSK identity",
        A::CertificateRequired => "tls: certificate required",
        A::NoApplicationProtocol => "tls: no application protocol",
        A::EncryptedClientHelloRequired => "tls: encrypted client hello required",
        other => return Cow::Owned(format!("tls: alert({})", u8::from(other))),
    };
    Cow::Borrowed(text)
}
