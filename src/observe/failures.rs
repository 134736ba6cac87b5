//! Under which names failures are counted.

use trueroute_identity::Refusal;

use super::metrics::{EndpointHandshake, Prevented, Retry, Tally};
use crate::failure::{Counter, DialError, Failure};

impl From<Counter> for Tally {
    fn from(counter: Counter) -> Self {
        match counter {
            Counter::RejectedRequests => Self::RejectedRequest,
            Counter::ExhaustedConns => Self::BackendExhausted,
            Counter::InvalidId => Self::BackendInvalidId,
            Counter::InvalidTlsCert => Self::BackendInvalidTlsCert,
            Counter::TlsHandshakeFailed => Self::BackendTlsHandshakeFailed,
            Counter::BadGateways => Self::BadGateway,
        }
    }
}

/// Why a request that failed so goes to another endpoint.
#[must_use]
pub fn retry(failure: &Failure) -> Retry {
    match failure.root() {
        Failure::Dial(DialError::Timeout { .. }) | Failure::ConnectTimeout => Retry::DialTimeout,
        Failure::Dial(_) => Retry::Dial,
        Failure::Refused(refusal) | Failure::RefusedLate(refusal) => match refusal {
            Refusal::NotTls => Retry::NotTls,
            Refusal::WrongIdentity { .. } => Retry::WrongIdentity,
            Refusal::Untrusted(_) | Refusal::Expired { .. } => Retry::Untrusted,
            Refusal::OurCertificateRefused(_) => Retry::CertificateRefused,
            Refusal::TimedOut => Retry::HandshakeTimeout,
            _ => Retry::Handshake,
        },
        Failure::Eof => Retry::Eof,
        _ => Retry::Unsent,
    }
}

/// Whether the failure kept a request from an endpoint that is not, or not provably, the registered one.
#[must_use]
pub fn prevented(failure: &Failure) -> Option<Prevented> {
    match failure.root() {
        Failure::Refused(Refusal::WrongIdentity { .. }) => Some(Prevented::WrongIdentity),
        Failure::Refused(Refusal::Untrusted(_) | Refusal::Expired { .. }) => Some(Prevented::Untrusted),
        Failure::Refused(Refusal::NotTls) => Some(Prevented::NotTls),
        _ => None,
    }
}

/// How a handshake with an endpoint that was refused so has ended.
#[must_use]
pub fn handshake(refusal: &Refusal) -> EndpointHandshake {
    match refusal {
        Refusal::NotTls => EndpointHandshake::NotTls,
        Refusal::WrongIdentity { .. } => EndpointHandshake::WrongIdentity,
        Refusal::Untrusted(_) | Refusal::Expired { .. } => EndpointHandshake::Untrusted,
        Refusal::OurCertificateRefused(_) => EndpointHandshake::CertificateRefused,
        Refusal::TimedOut => EndpointHandshake::Timeout,
        Refusal::Eof | Refusal::Reset => EndpointHandshake::Gone,
        _ => EndpointHandshake::Failed,
    }
}
