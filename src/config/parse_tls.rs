//! The keys about certificates, cipher suites and TLS versions.

use rustls::SupportedCipherSuite;

use super::ciphers::{self, CipherError, CipherList};
use super::decode::Word;
use super::error::{ConfigError, Problem, Warning};
use super::model::FrontTls;
use super::modes::{ClientCertValidation, MaxTls, MinTls, TlsVersions};
use super::pem::{KeyPair, PemCertificates, Secret};
use super::read::Section;
use super::sections::{CertSubject, ClientMetadataRule};

const WITH_SSL: &str = "with enable_ssl";

/// The front listener and the suites towards backends, which share `cipher_suites`.
pub(super) struct Tls {
    pub(super) enabled: bool,
    pub(super) front: Option<FrontTls>,
    pub(super) backend_suites: Option<Vec<SupportedCipherSuite>>,
}

/// Reads `enable_ssl` and every key that has a meaning only with it. Without it those keys keep their types, but no
/// rule holds for them, as in Gorouter; only `cipher_suites` still counts, for backends.
pub(super) fn tls(s: &mut Section<'_>) -> Result<Tls, ConfigError> {
    let enabled = s.or("enable_ssl", false)?;
    let port = s.or("ssl_port", 443)?;
    let certificates = s.sections("tls_pem", |s| certificate(s, enabled))?;
    let client = client_keys(s)?;
    if !enabled {
        for key in ["min_tls_version", "max_tls_version", "client_cert_validation"] {
            s.or(key, String::new())?;
        }
        return Ok(Tls { enabled, front: None, backend_suites: optional_suites(s)? });
    }
    let certificates = s.demand(required_certificates_of(s, certificates))?;
    let versions = versions(s);
    let versions = s.demand(versions)?;
    let list = required_suites(s);
    let list = s.demand(list)?;
    let client_cert_validation = validation(s, &client);
    let client_cert_validation = s.demand(client_cert_validation)?;
    let client_ca_certs = match client.ca_certs.as_str() {
        "" => None,
        text => s.demand(certificates_of(s, "client_ca_certs", text))?,
    };
    let (Some(certificates), Some(versions), Some(list), Some(client_cert_validation)) =
        (certificates, versions, list, client_cert_validation)
    else {
        return Ok(Tls { enabled, front: None, backend_suites: None });
    };
    let Some((versions, cipher_suites)) = s.demand(offered(s, versions, &list))? else {
        return Ok(Tls { enabled, front: None, backend_suites: None });
    };
    let front = FrontTls {
        port,
        certificates,
        cipher_suites,
        versions,
        client_cert_validation,
        client_ca_certs,
        only_trust_client_ca_certs: client.only_trust,
        client_metadata_rules: client.rules,
    };
    Ok(Tls { enabled, front: Some(front), backend_suites: Some(list.with_tls13()) })
}

fn required_certificates_of(s: &Section<'_>, certificates: Vec<Option<KeyPair>>) -> Result<Vec<KeyPair>, ConfigError> {
    if certificates.is_empty() {
        return Err(s.fault("tls_pem", Problem::Missing { why: WITH_SSL }));
    }
    Ok(certificates.into_iter().flatten().collect())
}

fn certificate(s: &mut Section<'_>, enabled: bool) -> Result<Option<KeyPair>, ConfigError> {
    if enabled {
        return required_pair(s, "cert_chain", "private_key", WITH_SSL);
    }
    s.or("cert_chain", String::new())?;
    s.or("private_key", Secret::default())?;
    Ok(None)
}

struct ClientKeys {
    ca_certs: String,
    only_trust: bool,
    rules: Vec<ClientMetadataRule>,
}

fn client_keys(s: &mut Section<'_>) -> Result<ClientKeys, ConfigError> {
    let ca_certs = s.or("client_ca_certs", String::new())?;
    let only_trust = s.or("only_trust_client_ca_certs", false)?;
    let verify = s.or("enable_verify_client_certificate_metadata", false)?;
    let mut rules = s.sections("verify_client_certificate_metadata", |s| {
        Ok(ClientMetadataRule {
            issuer_in_chain: s.section("issuer_in_chain", subject)?,
            valid_cert_subjects: s.sections("valid_cert_subjects", subject)?,
        })
    })?;
    if !verify {
        rules.clear();
    }
    Ok(ClientKeys { ca_certs, only_trust, rules })
}

fn subject(s: &mut Section<'_>) -> Result<CertSubject, ConfigError> {
    Ok(CertSubject {
        country: s.or("country", Vec::new())?,
        organization: s.or("organization", Vec::new())?,
        organizational_unit: s.or("organizational_unit", Vec::new())?,
        common_name: s.or("common_name", String::new())?,
        serial_number: s.or("serial_number", String::new())?,
        locality: s.or("locality", Vec::new())?,
        province: s.or("province", Vec::new())?,
        street_address: s.or("street_address", Vec::new())?,
        postal_code: s.or("postal_code", Vec::new())?,
    })
}

fn validation(s: &mut Section<'_>, client: &ClientKeys) -> Result<ClientCertValidation, ConfigError> {
    const KEY: &str = "client_cert_validation";
    let Some(field) = s.field(KEY) else { return Err(s.fault(KEY, Problem::Missing { why: WITH_SSL })) };
    let Word(validation) = field.decode::<Word<ClientCertValidation>>()?;
    if validation != ClientCertValidation::None && client.only_trust && client.ca_certs.is_empty() {
        let rule = "needs client_ca_certs when client_cert_validation is request or require";
        s.refuse("only_trust_client_ca_certs", Problem::Rule(rule))?;
    }
    Ok(validation)
}

fn versions(s: &mut Section<'_>) -> Result<TlsVersions, ConfigError> {
    let Word(min) = s.or("min_tls_version", Word(MinTls::Unset))?;
    let Word(max) = s.or("max_tls_version", Word(MaxTls::V12))?;
    if min == MinTls::Ancient {
        s.warn(Warning::MinTlsRaised);
    }
    match (min, max) {
        (MinTls::V13, MaxTls::V12) => {
            Err(s.fault("min_tls_version", Problem::Rule("is above max_tls_version, which is TLSv1.2 unless set")))
        }
        (MinTls::V13, MaxTls::V13) => Ok(TlsVersions::Tls13),
        (_, MaxTls::V12) => Ok(TlsVersions::Tls12),
        (_, MaxTls::V13) => Ok(TlsVersions::Tls12And13),
    }
}

const SUITES: &str = "cipher_suites";

fn required_suites(s: &mut Section<'_>) -> Result<CipherList, ConfigError> {
    let text = s.or(SUITES, String::new())?;
    if text.is_empty() {
        return Err(s.fault(SUITES, Problem::Missing { why: WITH_SSL }));
    }
    let list = ciphers::parse(&text).map_err(|e| s.fault(SUITES, e))?;
    if list.tls12.is_empty() && !list.names13 {
        return Err(s.fault(SUITES, CipherError::NothingLeft(super::error::shown(&text))));
    }
    warn_of_legacy(s, &list);
    Ok(list)
}

/// The suites of a list that no listener needs: a list that cannot be used restricts nothing.
fn optional_suites(s: &mut Section<'_>) -> Result<Option<Vec<SupportedCipherSuite>>, ConfigError> {
    let text = s.or(SUITES, String::new())?;
    if text.is_empty() {
        return Ok(None);
    }
    let list = ciphers::parse(&text).and_then(|list| {
        let usable = !list.tls12.is_empty() || list.names13;
        if usable { Ok(list) } else { Err(CipherError::NothingLeft(super::error::shown(&text))) }
    });
    match list {
        Ok(list) => {
            warn_of_legacy(s, &list);
            Ok(Some(list.with_tls13()))
        }
        Err(error) => {
            s.warn(Warning::CiphersNotUsed { error });
            Ok(None)
        }
    }
}

fn warn_of_legacy(s: &Section<'_>, list: &CipherList) {
    if !list.left_out.is_empty() {
        s.warn(Warning::CiphersLeftOut { names: list.left_out.join(":") });
    }
}

/// What the front listener offers. A list that names TLS 1.3 suites only leaves TLS 1.3 only.
fn offered(
    s: &Section<'_>,
    versions: TlsVersions,
    list: &CipherList,
) -> Result<(TlsVersions, Vec<SupportedCipherSuite>), ConfigError> {
    match (versions, list.tls12.is_empty()) {
        (TlsVersions::Tls12, true) => {
            let rule = "names no suite of TLSv1.2, which is all that max_tls_version allows";
            Err(s.fault(SUITES, Problem::Rule(rule)))
        }
        (TlsVersions::Tls12, false) => Ok((versions, list.tls12.clone())),
        (TlsVersions::Tls12And13, false) => Ok((versions, list.with_tls13())),
        (TlsVersions::Tls12And13 | TlsVersions::Tls13, _) => {
            Ok((TlsVersions::Tls13, CipherList::default().with_tls13()))
        }
    }
}

fn certificates_of(s: &Section<'_>, key: &str, text: &str) -> Result<PemCertificates, ConfigError> {
    PemCertificates::new(text.to_owned()).map_err(|e| s.fault(key, e))
}

/// Certificates that must be there; in a survey, none where they are not.
pub(super) fn required_certificates(
    s: &mut Section<'_>,
    key: &'static str,
    why: &'static str,
) -> Result<Option<PemCertificates>, ConfigError> {
    let text = s.or(key, String::new())?;
    if text.is_empty() {
        s.refuse(key, Problem::Missing { why })?;
        return Ok(None);
    }
    s.demand(certificates_of(s, key, &text))
}

/// A certificate and its key that must be there; in a survey, none where one of them is not.
pub(super) fn required_pair(
    s: &mut Section<'_>,
    chain: &'static str,
    key: &'static str,
    why: &'static str,
) -> Result<Option<KeyPair>, ConfigError> {
    let cert_chain = required_certificates(s, chain, why)?;
    let private_key = s.or(key, Secret::default())?;
    if private_key.is_empty() {
        s.refuse(key, Problem::Missing { why })?;
        return Ok(None);
    }
    let Some(cert_chain) = cert_chain else { return Ok(None) };
    s.demand(KeyPair::new(cert_chain, private_key).map_err(|e| s.fault(key, e)))
}

/// `cert_chain` and `private_key`: both or neither.
pub(super) fn optional_pair(s: &mut Section<'_>) -> Result<Option<KeyPair>, ConfigError> {
    let chain = s.or("cert_chain", String::new())?;
    let key = s.or("private_key", Secret::default())?;
    match (chain.is_empty(), key.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => {
            s.refuse("cert_chain", Problem::Missing { why: "with private_key" })?;
            Ok(None)
        }
        (false, true) => {
            s.refuse("private_key", Problem::Missing { why: "with cert_chain" })?;
            Ok(None)
        }
        (false, false) => required_pair(s, "cert_chain", "private_key", ""),
    }
}
