//! From the configuration to what is asked of clients: which authorities count, and which subjects below them.

use std::sync::Arc;

use trueroute_identity::{
    DistinguishedName, SubjectRule, Trust, Visitors,
    trust::{Source, TrustError},
};

use super::FrontTlsError;
use crate::{
    config::{CertSubject, ClientCertValidation, ForwardedClientCert, FrontTls, MtlsDomain, XfccFormat},
    headers::client_cert::{Format, Mode},
};

/// The check of `client_cert_validation`; none where no certificate is asked for. Rules are checked in either case, so
/// that a mistake in one does not wait for the day when certificates are asked for.
pub(super) fn usual(front: &FrontTls) -> Result<Option<Arc<Visitors>>, FrontTlsError> {
    let pem = front.client_ca_certs.as_ref().map(|certificates| certificates.as_str());
    let sources: Vec<Source<'_>> = pem.map(|pem| Source { name: "client_ca_certs", pem }).into_iter().collect();
    let rules = rules(front, &sources)?;
    let required = match front.client_cert_validation {
        ClientCertValidation::None => return Ok(None),
        ClientCertValidation::Request => false,
        ClientCertValidation::Require => true,
    };
    let trust = Trust::new(&sources, !front.only_trust_client_ca_certs)?;
    Ok(Some(Visitors::new(trust, required, rules)))
}

fn rules(front: &FrontTls, sources: &[Source<'_>]) -> Result<Vec<SubjectRule>, FrontTlsError> {
    let rules = front.client_metadata_rules.iter().map(|rule| SubjectRule {
        issuer: name(&rule.issuer_in_chain),
        subjects: rule.valid_cert_subjects.iter().map(name).collect(),
    });
    let rules: Vec<SubjectRule> = rules.collect();
    let listed = Trust::new(sources, false)?;
    match rules.iter().position(|rule| !listed.has_subject(&rule.issuer)) {
        Some(index) => Err(FrontTlsError::Rule { index, issuer: rules[index].issuer.to_string() }),
        None => Ok(rules),
    }
}

fn name(subject: &CertSubject) -> DistinguishedName {
    DistinguishedName {
        country: subject.country.clone(),
        organization: subject.organization.clone(),
        organizational_unit: subject.organizational_unit.clone(),
        common_name: subject.common_name.clone(),
        serial_number: subject.serial_number.clone(),
        locality: subject.locality.clone(),
        province: subject.province.clone(),
        street_address: subject.street_address.clone(),
        postal_code: subject.postal_code.clone(),
        others: Vec::new(),
    }
}

/// The check of one domain: its own authorities and no others.
pub(super) fn of_domain(index: usize, domain: &MtlsDomain) -> Result<Arc<Visitors>, TrustError> {
    let key = format!("domains[{index}].ca_certs");
    let trust = Trust::new(&[Source { name: &key, pem: domain.ca_certs.as_str() }], false)?;
    Ok(Visitors::new(trust, true, Vec::new()))
}

/// What endpoints are told about the clients of a domain. Where the file does not say, the field is written by the
/// router: whoever asks for certificates wants to rely on them.
pub(super) fn told(domain: &MtlsDomain) -> (Mode, Format) {
    let format = match domain.xfcc_format {
        XfccFormat::Raw => Format::Raw,
        XfccFormat::Envoy => Format::Envoy,
    };
    (domain.forwarded_client_cert.map_or(Mode::SanitizeSet, mode), format)
}

/// The key's word as the request path knows it.
pub fn mode(word: ForwardedClientCert) -> Mode {
    match word {
        ForwardedClientCert::AlwaysForward => Mode::AlwaysForward,
        ForwardedClientCert::Forward => Mode::Forward,
        ForwardedClientCert::SanitizeSet => Mode::SanitizeSet,
    }
}
