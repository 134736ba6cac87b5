//! The verdict on an endpoint's certificate.
//!
//! The order is Go's: the leaf's dates, then its name, then the chain. It decides what an operator reads
//! and which status a client sees: a certificate of another instance is reported as that, whoever signed it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use super::verified::Verified;
use crate::{
    credentials::Credentials,
    leaf,
    name::ExpectedName,
    provider,
    refusal::{Refusal, Untrusted},
    trust::Trust,
};

/// What all dials of one dialer share.
#[derive(Debug)]
pub(super) struct Beliefs {
    trust: Trust,
    credentials: Option<Credentials>,
    verified: Verified,
}

impl Beliefs {
    pub(super) fn new(trust: Trust, credentials: Option<Credentials>) -> Self {
        Self { trust, credentials, verified: Verified::default() }
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether a certificate proves `name` to us, leaving out who holds its key; if so, when it ends, since 1970.
    fn judge(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ExpectedName,
        now: UnixTime,
    ) -> Result<Duration, Refusal> {
        if let Some(not_after) = self.verified.remembers(der, name, now) {
            return Ok(not_after);
        }
        let certificate = leaf::parse(der).map_err(|_| Refusal::Untrusted(Untrusted::Malformed))?;
        let (not_before, not_after) = leaf::bounds(certificate.validity());
        in_date(leaf::clock(now), not_before, not_after)?;
        carries(der, &certificate, name)?;
        self.leads_to_trust(der, &certificate, intermediates, now)?;
        let not_after = not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.verified.remember(der, name, now, not_after);
        Ok(not_after)
    }

    fn leads_to_trust(
        &self,
        der: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let algorithms = provider::algorithms();
        let chained = ParsedCertificate::try_from(der).and_then(|parsed| {
            let roots = self.trust.roots();
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms.all)
        });
        let Err(refused) = chained else {
            return Ok(());
        };
        // webpki takes no authority's certificate from a server, Go takes one that is trusted itself.
        if may_serve(certificate) && self.trust.pins(der) {
            return Ok(());
        }
        Err(Refusal::Untrusted(self.untrusted(certificate, refused)))
    }

    fn untrusted(&self, certificate: &X509Certificate<'_>, refused: Error) -> Untrusted {
        use CertificateError as C;
        let Error::InvalidCertificate(cause) = refused else {
            return Untrusted::Malformed;
        };
        match cause {
            C::UnknownIssuer | C::BadSignature => Untrusted::UnknownAuthority(self.trust.namesake(certificate)),
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => Untrusted::IncompatibleUsage,
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => {
                Untrusted::ExpiredIssuer
            }
            C::BadEncoding => Untrusted::Malformed,
            cause => Untrusted::Other(cause),
        }
    }
}

fn in_date(now: SystemTime, not_before: SystemTime, not_after: SystemTime) -> Result<(), Refusal> {
    if now < not_before || not_after < now {
        return Err(Refusal::Expired { now, not_before, not_after });
    }
    Ok(())
}

/// Whether the certificate carries the name, by webpki's rules where the name is one that webpki knows.
fn carries(der: &CertificateDer<'_>, certificate: &X509Certificate<'_>, name: &ExpectedName) -> Result<(), Refusal> {
    let carried = match (name.server_name(), ParsedCertificate::try_from(der)) {
        (Some(server_name), Ok(parsed)) => verify_server_name(&parsed, &server_name).is_ok(),
        // Without names it is another's whatever else is wrong with it, as a version 1 certificate is.
        (Some(_), Err(_)) if leaf::general_names(certificate).is_empty() => false,
        (Some(_), Err(_)) => return Err(Refusal::Untrusted(Untrusted::Malformed)),
        (None, _) => carries_exactly(certificate, name.as_str()),
    };
    if carried { Ok(()) } else { Err(wrong_identity(certificate, name)) }
}

/// For names that are no DNS names: the same letters, as Go compares what it cannot parse. No wildcards.
fn carries_exactly(certificate: &X509Certificate<'_>, name: &str) -> bool {
    !name.is_empty()
        && leaf::general_names(certificate)
            .iter()
            .any(|san| matches!(san, GeneralName::DNSName(dns) if dns.eq_ignore_ascii_case(name)))
}

fn wrong_identity(certificate: &X509Certificate<'_>, expected: &ExpectedName) -> Refusal {
    let sans = leaf::general_names(certificate);
    let presented = sans.iter().filter_map(|san| match san {
        GeneralName::DNSName(dns) if !expected.is_ip() => Some(leaf::printable(dns)),
        GeneralName::IPAddress(octets) if expected.is_ip() => leaf::ip_address(octets).map(|ip| ip.to_string()),
        _ => None,
    });
    let named = |name: &str| name.eq_ignore_ascii_case(expected.as_str());
    let common_name_only = sans.is_empty()
        && certificate.subject().iter_common_name().any(|attribute| attribute.as_str().is_ok_and(named));
    Refusal::WrongIdentity { expected: expected.clone(), presented: presented.collect(), common_name_only }
}

/// Whether the extended key usage, if any, allows a server: a pin is no way round it.
fn may_serve(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.any || usage.value.server_auth,
        Err(_) => false,
    }
}

/// One dial's verifier: what it expects, and what it found. Also what shows our certificate, because
/// whether it was asked for belongs to the findings.
pub(super) struct Check {
    beliefs: Arc<Beliefs>,
    name: ExpectedName,
    verdict: Mutex<Option<Refusal>>,
    requested: AtomicBool,
    /// When the certificate that was accepted ends, in seconds since 1970.
    not_after: AtomicU64,
}

impl Check {
    pub(super) fn new(beliefs: Arc<Beliefs>, name: ExpectedName) -> Self {
        Self {
            beliefs,
            name,
            verdict: Mutex::new(None),
            requested: AtomicBool::new(false),
            // Until one is judged: of who is believed without that, no end is known either.
            not_after: AtomicU64::new(u32::MAX.into()),
        }
    }

    /// Why the certificate was refused, if it was.
    pub(super) fn verdict(&self) -> Option<Refusal> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// When the certificate that was accepted ends.
    pub(super) fn not_after(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.not_after.load(Ordering::Relaxed))
    }

    /// Whether the endpoint asked for our certificate.
    pub(super) fn certificate_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.beliefs.judge(end_entity, intermediates, &self.name, now) {
            Ok(not_after) => {
                self.not_after.store(not_after.as_secs(), Ordering::Relaxed);
                Ok(ServerCertVerified::assertion())
            }
            Err(refusal) => {
                let told = Error::InvalidCertificate(to_tell(&refusal));
                *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                Err(told)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::algorithms().supported_schemes()
    }
}

/// What rustls makes the alert for the endpoint from.
fn to_tell(refusal: &Refusal) -> CertificateError {
    match refusal {
        Refusal::Untrusted(Untrusted::UnknownAuthority(_)) => CertificateError::UnknownIssuer,
        Refusal::Untrusted(Untrusted::IncompatibleUsage) => CertificateError::InvalidPurpose,
        Refusal::Expired { .. } | Refusal::Untrusted(Untrusted::ExpiredIssuer) => CertificateError::Expired,
        Refusal::Untrusted(Untrusted::Malformed) => CertificateError::BadEncoding,
        Refusal::Untrusted(Untrusted::Other(cause)) => cause.clone(),
        _ => CertificateError::NotValidForName,
    }
}

impl ResolvesClientCert for Check {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.requested.store(true, Ordering::Relaxed);
        self.beliefs.credentials.as_ref().map(|credentials| credentials.certified().clone())
    }

    fn has_certs(&self) -> bool {
        self.beliefs.credentials.is_some()
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}
