//! End-entity certificates: the builder, what it gives, and the encoding of both.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Authority;
use super::der;
use super::key::{Key, KeyKind};

pub(super) const COMMON_NAME: u64 = 3;
const ORGANIZATIONAL_UNIT: u64 = 11;
const DAY: Duration = Duration::from_secs(86_400);

/// Who an instance is: what Diego writes into its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceId {
    /// Instance (container) GUID.
    pub instance: String,
    /// App (process) GUID.
    pub app: String,
    /// Space GUID.
    pub space: String,
    /// Organization GUID.
    pub org: String,
}

impl InstanceId {
    /// An identity with four GUIDs nobody else has.
    pub fn random() -> Self {
        Self { instance: guid(), app: guid(), space: guid(), org: guid() }
    }

    /// Another instance of the app `app`; instance, space and organization at random.
    pub fn of_app(app: &str) -> Self {
        Self { app: app.to_owned(), ..Self::random() }
    }
}

/// What a certificate may be used for (extended key usage).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// serverAuth, 1.3.6.1.5.5.7.3.1.
    ServerAuth,
    /// clientAuth, 1.3.6.1.5.5.7.3.2.
    ClientAuth,
    /// codeSigning, 1.3.6.1.5.5.7.3.3: wrong on either end of a connection.
    CodeSigning,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The certificate alone, PEM.
    pub cert_pem: String,
    /// The private key, PEM: PKCS#1 for RSA, PKCS#8 for P-256.
    pub key_pem: String,
    /// The certificate and then its signer, PEM: Diego's file chain.
    pub chain_pem: String,
    /// The certificate alone, DER.
    pub der: Vec<u8>,
}

/// Where [`Leaf::write_to`] put a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafFiles {
    /// The chain, PEM.
    pub cert: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

impl Leaf {
    /// The chain as rustls wants it.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .expect("PEM written here parses")
    }

    /// The key as rustls wants it.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("PEM written here parses")
    }

    /// Writes `<name>.key` and then `<name>.crt` (the chain) into `dir`, each by an atomic rename: Diego's order on
    /// rotation, which leaves a moment with a pair that doesn't match. Panics if the directory can't be written.
    pub fn write_to(&self, dir: &Path, name: &str) -> LeafFiles {
        let files = LeafFiles { cert: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) };
        for (path, text) in [(&files.key, &self.key_pem), (&files.cert, &self.chain_pem)] {
            let fresh = path.with_extension("tmp");
            std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path)).expect("directory is writable");
        }
        files
    }
}

/// A certificate being described. Methods that add may be repeated.
#[derive(Debug, Clone)]
#[must_use = "call issue() to get the certificate"]
pub struct LeafBuilder {
    signer: Authority,
    units: Vec<String>,
    common_name: String,
    names: Vec<Vec<u8>>,
    key: KeyKind,
    not_before: SystemTime,
    not_after: SystemTime,
    purposes: Option<Vec<Purpose>>,
    is_ca: bool,
}

impl LeafBuilder {
    pub(super) fn new(signer: &Authority) -> Self {
        let now = SystemTime::now();
        Self {
            signer: signer.clone(),
            units: Vec::new(),
            common_name: String::new(),
            names: Vec::new(),
            key: KeyKind::default(),
            not_before: now,
            not_after: now + DAY,
            purposes: Some(vec![Purpose::ClientAuth, Purpose::ServerAuth]),
            is_ca: false,
        }
    }

    /// Sets the common name; empty leaves it out.
    pub fn cn(mut self, name: &str) -> Self {
        name.clone_into(&mut self.common_name);
        self
    }

    /// Adds an organisational unit; all of them share one relative name.
    pub fn ou(mut self, unit: &str) -> Self {
        self.units.push(unit.to_owned());
        self
    }

    /// Adds a DNS name to the subject alternative names, as it is: no check.
    pub fn dns(self, name: &str) -> Self {
        self.alternative(2, name.as_bytes())
    }

    /// Adds an address to the subject alternative names.
    pub fn ip(self, address: impl Into<IpAddr>) -> Self {
        match address.into() {
            IpAddr::V4(v4) => self.alternative(7, &v4.octets()),
            IpAddr::V6(v6) => self.alternative(7, &v6.octets()),
        }
    }

    /// Adds a URI to the subject alternative names.
    pub fn uri(self, uri: &str) -> Self {
        self.alternative(6, uri.as_bytes())
    }

    /// Adds an e-mail address to the subject alternative names.
    pub fn email(self, address: &str) -> Self {
        self.alternative(1, address.as_bytes())
    }

    /// Forgets the subject alternative names given so far; with none left the extension is absent.
    pub fn no_san(mut self) -> Self {
        self.names.clear();
        self
    }

    /// Chooses the key.
    pub fn key(mut self, kind: KeyKind) -> Self {
        self.key = kind;
        self
    }

    /// Valid from this moment (whole seconds).
    pub fn not_before(mut self, at: SystemTime) -> Self {
        self.not_before = at;
        self
    }

    /// Valid until this moment (whole seconds).
    pub fn not_after(mut self, at: SystemTime) -> Self {
        self.not_after = at;
        self
    }

    /// Valid from two days ago until one day ago.
    pub fn expired(self) -> Self {
        let now = SystemTime::now();
        self.not_before(now - 2 * DAY).not_after(now - DAY)
    }

    /// Valid from tomorrow on.
    pub fn not_yet_valid(self) -> Self {
        let now = SystemTime::now();
        self.not_before(now + DAY).not_after(now + 2 * DAY)
    }

    /// Replaces the purposes; an empty list writes the extension with nothing in it.
    pub fn purposes(mut self, purposes: &[Purpose]) -> Self {
        self.purposes = Some(purposes.to_vec());
        self
    }

    /// Leaves the extended key usage out.
    pub fn any_purpose(mut self) -> Self {
        self.purposes = None;
        self
    }

    /// Marks the certificate as an authority's, as hand-made server certificates often are.
    pub fn is_ca(mut self) -> Self {
        self.is_ca = true;
        self
    }

    /// Makes the key and signs the certificate.
    pub fn issue(self) -> Leaf {
        let key = Key::of(self.key);
        let signer = self.signer.key();
        let mut subject: Vec<Vec<(u64, String)>> = Vec::new();
        if !self.units.is_empty() {
            subject.push(self.units.iter().map(|unit| (ORGANIZATIONAL_UNIT, unit.clone())).collect());
        }
        if !self.common_name.is_empty() {
            subject.push(vec![(COMMON_NAME, self.common_name.clone())]);
        }
        let certificate = sign(
            signer,
            &[
                der::explicit(0, &der::integer(&[2])),
                der::integer(&random_serial()),
                signer.signature_algorithm(),
                self.signer.subject().to_vec(),
                validity(self.not_before, self.not_after),
                name(&subject),
                key.subject_public_key(),
                der::explicit(3, &self.extensions(subject.is_empty())),
            ],
        );
        let cert_pem = der::pem("CERTIFICATE", &certificate);
        let chain_pem = cert_pem.clone() + &self.signer.chain_pem();
        Leaf { cert_pem, key_pem: key.pem(), chain_pem, der: certificate }
    }

    /// In the order Go writes them; the names are critical when the subject is empty (RFC 5280 4.2.1.6).
    fn extensions(&self, no_subject: bool) -> Vec<u8> {
        let usage = if self.is_ca { 0b1010_1100 } else { 0b1010_1000 };
        let unused = if self.is_ca { 2 } else { 3 };
        let mut all = vec![extension(&[2, 5, 29, 15], true, &der::bits(unused, &[usage]))];
        if let Some(purposes) = &self.purposes {
            let list: Vec<Vec<u8>> = purposes.iter().map(|p| der::oid(&[1, 3, 6, 1, 5, 5, 7, 3, p.arc()])).collect();
            all.push(extension(&[2, 5, 29, 37], false, &der::sequence(&list)));
        }
        if self.is_ca {
            all.push(extension(&[2, 5, 29, 19], true, &der::sequence(&[der::boolean(true)])));
        }
        let signer = der::element(0x80, &self.signer.key().identifier());
        all.push(extension(&[2, 5, 29, 35], false, &der::sequence(&[signer])));
        if !self.names.is_empty() {
            all.push(extension(&[2, 5, 29, 17], no_subject, &der::sequence(&self.names)));
        }
        der::sequence(&all)
    }

    fn alternative(mut self, choice: u8, value: &[u8]) -> Self {
        self.names.push(der::element(0x80 | choice, value));
        self
    }
}

impl Purpose {
    fn arc(self) -> u64 {
        match self {
            Self::ServerAuth => 1,
            Self::ClientAuth => 2,
            Self::CodeSigning => 3,
        }
    }
}

/// A random GUID in the usual 8-4-4-4-12 form.
pub fn guid() -> String {
    let bytes = random_serial();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Sixteen bytes of a version 4 UUID: what Diego takes for a serial number.
pub(super) fn random_serial() -> [u8; 16] {
    let mut bytes = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut bytes).expect("the system has randomness");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

/// A Name: one relative name per entry, each a set of attributes below 2.5.4.
pub(super) fn name(relative: &[Vec<(u64, String)>]) -> Vec<u8> {
    let sets: Vec<Vec<u8>> = relative
        .iter()
        .map(|attributes| {
            let members =
                attributes.iter().map(|(arc, value)| der::sequence(&[der::oid(&[2, 5, 4, *arc]), der::text(value)]));
            der::set_of(members.collect())
        })
        .collect();
    der::sequence(&sets)
}

pub(super) fn validity(from: SystemTime, until: SystemTime) -> Vec<u8> {
    der::sequence(&[der::instant(from), der::instant(until)])
}

pub(super) fn extension(id: &[u64], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::oid(id)];
    if critical {
        parts.push(der::boolean(true));
    }
    parts.push(der::octets(value));
    der::sequence(&parts)
}

/// The signed certificate around the fields of its TBSCertificate.
pub(super) fn sign(signer: &Key, fields: &[Vec<u8>]) -> Vec<u8> {
    let body = der::sequence(fields);
    let signature = signer.sign(&body);
    der::sequence(&[body, signer.signature_algorithm(), der::bits(0, &signature)])
}
