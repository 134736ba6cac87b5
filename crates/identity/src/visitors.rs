//! Who may come in at a public door: the check of clients' certificates, and the rules about their subjects.
//!
//! Gorouter's front end in rustls' terms (gorouter.md section 7.1). A certificate is judged by the handshake, and again
//! by [`Visitors::admit`] when a session was resumed: rustls takes the certificate from the ticket then and asks no
//! verifier.

use std::{cell::Cell, fmt, sync::Arc, time::SystemTime};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName as Hint, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_parser::certificate::X509Certificate;

use crate::{distinguished_name::DistinguishedName, leaf, provider, trust::Trust};

/// Whose certificates below one authority are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRule {
    /// The authority. Chains without it are not this rule's business.
    pub issuer: DistinguishedName,
    /// The subjects, one of which a leaf below that authority must have.
    pub subjects: Vec<DistinguishedName>,
}

/// Why a client's certificate is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VisitorRefusal {
    /// There is none, and one is a condition.
    #[error("tls: client didn't provide a certificate")]
    NoCertificate,
    /// It leads to no authority that counts here, is out of date, or is not for this use.
    #[error("tls: failed to verify certificate: {0}")]
    Certificate(CertificateError),
    /// Its subject is not one of those that a rule allows below its authority.
    #[error("subject {subject} is not allowed below {issuer}")]
    Subject {
        /// The leaf's subject.
        subject: String,
        /// The authority of the rule.
        issuer: String,
    },
}

/// The check of clients' certificates.
pub struct Visitors {
    trust: Trust,
    required: bool,
    rules: Vec<SubjectRule>,
    hints: Vec<Hint>,
}

impl Visitors {
    /// Clients are asked for a certificate of `trust`; those without one are turned away if `required`. With an empty
    /// trust every certificate is refused.
    #[must_use]
    pub fn new(trust: Trust, required: bool, rules: Vec<SubjectRule>) -> Arc<Self> {
        let hints = trust.roots().subjects();
        Arc::new(Self { trust, required, rules, hints })
    }

    /// Judges what a client of a finished handshake has shown.
    ///
    /// # Errors
    /// Why it is turned away.
    pub fn admit(&self, shown: Option<&[CertificateDer<'_>]>, now: UnixTime) -> Result<(), VisitorRefusal> {
        match shown.and_then(<[_]>::split_first) {
            Some((leaf, intermediates)) => self.judge(leaf, intermediates, now),
            None if self.required => Err(VisitorRefusal::NoCertificate),
            None => Ok(()),
        }
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), VisitorRefusal> {
        let unreadable = |_| VisitorRefusal::Certificate(CertificateError::BadEncoding);
        let parsed = leaf::parse(leaf).map_err(unreadable)?;
        match self.every_path(leaf, intermediates, now, |_| Ok(())) {
            Ok(()) => self.judge_paths(leaf, intermediates, now),
            // webpki takes no authority's certificate from a client, Go takes one that is trusted itself.
            Err(_) if is_in_force(&parsed, now) && may_visit(&parsed) && self.trust.pins(leaf) => {
                let subject = DistinguishedName::of_subject(leaf).map_err(unreadable)?;
                self.judge_below(&subject, &subject)
            }
            Err(refused) => Err(VisitorRefusal::Certificate(to_tell(&refused))),
        }
    }

    /// A certificate may lead to trust in several ways, and the client chooses what it sends: every way must do.
    fn judge_paths(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), VisitorRefusal> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let unreadable = || VisitorRefusal::Certificate(CertificateError::BadEncoding);
        let subject = DistinguishedName::of_subject(leaf).map_err(|_| unreadable())?;
        let verdict = Cell::new(Ok(()));
        let walked = self.every_path(leaf, intermediates, now, |path| {
            let above = path.intermediate_certificates().map(webpki::Cert::subject);
            for authority in above.chain([path.anchor().subject.as_ref()]) {
                let judged = DistinguishedName::of_content(authority)
                    .ok_or_else(unreadable)
                    .and_then(|authority| self.judge_below(&subject, &authority));
                if judged.is_err() {
                    verdict.set(judged);
                }
            }
            // Not taken, so that the search goes on to the next.
            Err(webpki::Error::UnknownIssuer)
        });
        verdict.into_inner()?;
        match walked {
            Err(webpki::Error::MaximumPathBuildCallsExceeded | webpki::Error::MaximumSignatureChecksExceeded) => {
                Err(VisitorRefusal::Certificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(()),
        }
    }

    fn judge_below(&self, subject: &DistinguishedName, authority: &DistinguishedName) -> Result<(), VisitorRefusal> {
        let broken = self.rules.iter().find(|rule| rule.issuer == *authority && !rule.subjects.contains(subject));
        match broken {
            None => Ok(()),
            Some(rule) => Err(VisitorRefusal::Subject {
                subject: leaf::printable(&subject.to_string()),
                issuer: leaf::printable(&rule.issuer.to_string()),
            }),
        }
    }

    /// Looks for a path that `take` accepts.
    fn every_path(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        take: impl Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error>,
    ) -> Result<(), webpki::Error> {
        let algorithms = provider::algorithms().all;
        let anchors = &self.trust.roots().roots;
        let leaf = EndEntityCert::try_from(leaf)?;
        let usage = KeyUsage::client_auth();
        leaf.verify_for_usage(algorithms, anchors, intermediates, now, usage, None, Some(&take)).map(|_| ())
    }
}

fn is_in_force(certificate: &X509Certificate<'_>, now: UnixTime) -> bool {
    let (not_before, not_after): (SystemTime, SystemTime) = leaf::bounds(certificate.validity());
    (not_before..=not_after).contains(&leaf::clock(now))
}

/// Whether the extended key usage, if any, allows a client: being listed is no way round it.
fn may_visit(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.any || usage.value.client_auth,
        Err(_) => false,
    }
}

/// What rustls makes the alert for the client from.
fn to_tell(refused: &webpki::Error) -> CertificateError {
    match refused {
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => CertificateError::UnknownIssuer,
        webpki::Error::CertExpired { .. } | webpki::Error::InvalidCertValidity => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(rustls::OtherError(Arc::new(other.clone()))),
    }
}

impl ClientCertVerifier for Visitors {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[Hint] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.judge(end_entity, intermediates, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => {
                let told = match &refusal {
                    VisitorRefusal::Certificate(cause) => cause.clone(),
                    VisitorRefusal::Subject { .. } | VisitorRefusal::NoCertificate => {
                        // 42, bad_certificate, which is what Go sends when a check of the application fails.
                        warn_of(&refusal);
                        CertificateError::NotValidForName
                    }
                };
                Err(Error::InvalidCertificate(told))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &provider::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &provider::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::algorithms().supported_schemes()
    }
}

/// Says that a rule refused a client (`invalid-subject`, gorouter.md section 7.1); nothing for any other refusal.
pub fn warn_of(refusal: &VisitorRefusal) {
    if let VisitorRefusal::Subject { subject, issuer } = refusal {
        tracing::warn!(target: "router", subject = %subject, issuer = %issuer, "invalid-subject");
    }
}

impl fmt::Debug for Visitors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitors").field("required", &self.required).field("rules", &self.rules).finish_non_exhaustive()
    }
}
