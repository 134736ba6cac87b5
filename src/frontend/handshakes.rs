//! How clients' TLS handshakes end, in the words of the metrics.

use std::io;

use rustls::{Error, HandshakeKind};

use super::{
    entry::{Entered, TurnedAway},
    tls::HandshakeError,
};
use crate::observe::metrics::ClientHandshake;

/// How the handshake of somebody who came to the door ended; none where there was none.
pub(super) fn ended(entered: &Result<Entered, TurnedAway>) -> Option<ClientHandshake> {
    Some(match entered {
        Ok(Entered::Plain(..)) | Err(TurnedAway::Line | TurnedAway::Gone(_)) => return None,
        Ok(Entered::Tls(stream, _)) => match stream.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => ClientHandshake::Resumed,
            _ => ClientHandshake::Full,
        },
        Err(TurnedAway::SpokePlain) => ClientHandshake::PlainHttp,
        Err(TurnedAway::HandshakeTimeout) => ClientHandshake::Timeout,
        Err(TurnedAway::Handshake(HandshakeError::Resumed(_))) => ClientHandshake::CertificateRefused,
        Err(TurnedAway::Handshake(HandshakeError::Tls(error))) => failed(error),
    })
}

fn failed(error: &io::Error) -> ClientHandshake {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => ClientHandshake::CertificateRefused,
        Some(Error::AlertReceived(_)) => ClientHandshake::Alert,
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => ClientHandshake::Incompatible,
        Some(_) => ClientHandshake::Failed,
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => ClientHandshake::Gone,
            _ => ClientHandshake::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn each_way_to_fail_has_its_word() {
        let tls = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        for (error, how) in [
            (tls(Error::NoCertificatesPresented), ClientHandshake::CertificateRefused),
            (tls(CertificateError::UnknownIssuer.into()), ClientHandshake::CertificateRefused),
            (tls(Error::AlertReceived(AlertDescription::UnknownCA)), ClientHandshake::Alert),
            (tls(PeerIncompatible::NoCipherSuitesInCommon.into()), ClientHandshake::Incompatible),
            (tls(Error::NoApplicationProtocol), ClientHandshake::Incompatible),
            (tls(InvalidMessage::InvalidContentType.into()), ClientHandshake::Failed),
            (io::ErrorKind::UnexpectedEof.into(), ClientHandshake::Gone),
            (io::ErrorKind::ConnectionReset.into(), ClientHandshake::Gone),
            (io::ErrorKind::OutOfMemory.into(), ClientHandshake::Failed),
        ] {
            assert_eq!(failed(&error), how, "{error:?}");
        }
        for (refused, how) in [
            (TurnedAway::Line, None),
            (TurnedAway::Gone(io::ErrorKind::NotConnected.into()), None),
            (TurnedAway::SpokePlain, Some(ClientHandshake::PlainHttp)),
            (TurnedAway::HandshakeTimeout, Some(ClientHandshake::Timeout)),
        ] {
            assert_eq!(ended(&Err(refused)), how);
        }
    }
}
