//! The authorities that we believe.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject, SectionKind},
    },
};
use tracing::warn;
use x509_parser::{certificate::X509Certificate, oid_registry as oid};

use crate::{distinguished_name::DistinguishedName, leaf, refusal::Hint};

/// One PEM text to take authorities from, with the name that errors give it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What an operator calls it: a configuration key or a file.
    pub name: &'a str,
    /// The text, of any number of PEM blocks.
    pub pem: &'a str,
}

/// A set of trusted authorities. Cheap to clone; built whole and never changed.
#[derive(Clone, Debug)]
pub struct Trust(Arc<Anchors>);

#[derive(Debug)]
struct Anchors {
    generation: u64,
    roots: Arc<RootCertStore>,
    entries: Vec<Entry>,
}

/// One trusted certificate, kept whole: a peer may present this very one.
#[derive(Debug)]
struct Entry {
    der: CertificateDer<'static>,
    name: String,
    subject: Box<[u8]>,
    key: Algorithm,
    not_after: SystemTime,
    pin_told: AtomicBool,
}

/// Why a set of authorities cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A block is not readable PEM.
    #[error("{origin}: block {block} is not valid PEM: {cause}")]
    Pem {
        /// The name of the source.
        origin: String,
        /// Which block of it, counted from 1.
        block: usize,
        /// What is wrong with it.
        #[source]
        cause: pem::Error,
    },
    /// A block is not a certificate.
    #[error("{origin}: block {block} is not a certificate: {cause}")]
    Certificate {
        /// The name of the source.
        origin: String,
        /// Which block of it, counted from 1.
        block: usize,
        /// What is wrong with it.
        #[source]
        cause: CertificateProblem,
    },
    /// A source holds no certificate at all.
    #[error("{origin}: no certificate in it")]
    Empty {
        /// The name of the source.
        origin: String,
    },
}

/// What keeps a certificate from being an authority.
#[derive(Debug, thiserror::Error)]
pub enum CertificateProblem {
    /// It cannot be parsed.
    #[error(transparent)]
    Unreadable(#[from] x509_parser::error::X509Error),
    /// It cannot anchor a chain.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

static GENERATIONS: AtomicU64 = AtomicU64::new(1);

impl Trust {
    /// Trust in every certificate of `sources` and, if asked for, in the operating system's roots.
    ///
    /// Blocks other than certificates are passed over. An authority that is out of date is taken and warned
    /// of: webpki does not look at a root's dates.
    ///
    /// # Errors
    /// Names the source and the block that cannot be used. The system's own store is read leniently: what
    /// cannot be read in it is logged and left out.
    pub fn new(sources: &[Source<'_>], with_system_roots: bool) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let mut entries = Vec::new();
        for source in sources {
            let before = entries.len();
            read(source, &mut roots, &mut entries)?;
            if entries.len() == before {
                return Err(TrustError::Empty { origin: source.name.to_owned() });
            }
        }
        if with_system_roots {
            add_system_roots(&mut roots, &mut entries);
        }
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::new(Anchors { generation, roots: Arc::new(roots), entries })))
    }

    /// A number that no other built value has: part of the key of everything verified with it.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Whether the other believes the same authorities, in the same order.
    #[must_use]
    pub fn believes_the_same_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.0.entries, &other.0.entries);
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(one, other)| one.der == other.der)
    }

    /// Whether no authority is trusted, so that every certificate is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Whether one of the trusted certificates has this subject.
    #[must_use]
    pub fn has_subject(&self, subject: &DistinguishedName) -> bool {
        let is_it = |entry: &Entry| DistinguishedName::of_subject(&entry.der).is_ok_and(|found| found == *subject);
        self.0.entries.iter().any(is_it)
    }

    /// The authorities in the form that rustls' own verifiers take.
    #[must_use]
    pub fn roots(&self) -> &Arc<RootCertStore> {
        &self.0.roots
    }

    /// Whether `leaf` is itself one of the trusted certificates. Says so once in the log when `used` for
    /// a connection that the chain check refuses: Go accepts these, webpki does not.
    pub(crate) fn pins(&self, leaf: &CertificateDer<'_>) -> bool {
        let Some(entry) = self.0.entries.iter().find(|entry| entry.der.as_ref() == leaf.as_ref()) else {
            return false;
        };
        if !entry.pin_told.swap(true, Ordering::Relaxed) {
            warn!(
                authority = %entry.name,
                "accepted a certificate only because it is itself listed among the trusted authorities"
            );
        }
        true
    }

    /// The root that bears the name of `certificate`'s issuer, and in Go's words why it did not sign it.
    pub(crate) fn namesake(&self, certificate: &X509Certificate<'_>) -> Option<Hint> {
        let issuer = certificate.issuer().as_raw();
        let entry = self.0.entries.iter().find(|entry| *entry.subject == *issuer)?;
        let signed = Algorithm::of_signature(&certificate.signature_algorithm.algorithm);
        Some(Hint { cause: signed.failure(entry.key), candidate: entry.name.clone() })
    }
}

fn read(source: &Source<'_>, roots: &mut RootCertStore, entries: &mut Vec<Entry>) -> Result<(), TrustError> {
    let origin = || source.name.to_owned();
    for (index, section) in <(SectionKind, Vec<u8>)>::pem_slice_iter(source.pem.as_bytes()).enumerate() {
        let block = index + 1;
        let (kind, der) = section.map_err(|cause| TrustError::Pem { origin: origin(), block, cause })?;
        if kind == SectionKind::Certificate {
            let entry = Entry::new(CertificateDer::from(der), roots).map_err(|cause| TrustError::Certificate {
                origin: origin(),
                block,
                cause,
            })?;
            // The system's store always holds a few of these; one that an operator listed is worth a word.
            if entry.not_after < SystemTime::now() {
                warn!(source = source.name, authority = %entry.name, "trusted an authority that has expired");
            }
            entries.push(entry);
        }
    }
    Ok(())
}

fn add_system_roots(roots: &mut RootCertStore, entries: &mut Vec<Entry>) {
    let found = rustls_native_certs::load_native_certs();
    for cause in &found.errors {
        warn!(%cause, "left out part of the system's certificate store");
    }
    let before = entries.len();
    entries.extend(found.certs.into_iter().filter_map(|der| Entry::new(der, roots).ok()));
    if entries.len() == before {
        warn!("found no certificate in the system's store");
    }
}

impl Entry {
    fn new(der: CertificateDer<'static>, roots: &mut RootCertStore) -> Result<Self, CertificateProblem> {
        let (name, subject, key, not_after) = {
            let certificate = leaf::parse(&der)?;
            let key = Algorithm::of_key(&certificate.public_key().algorithm.algorithm);
            let (_, not_after) = leaf::bounds(certificate.validity());
            (leaf::display_name(&certificate), certificate.subject().as_raw().into(), key, not_after)
        };
        roots.add(der.clone())?;
        Ok(Self { der, name, subject, key, not_after, pin_told: AtomicBool::new(false) })
    }
}

/// Kinds of keys, as far as Go's messages tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rsa,
    Ecdsa,
    Ed25519,
    Other,
}

impl Algorithm {
    fn of_key(id: &oid::asn1_rs::Oid<'_>) -> Self {
        match id {
            id if *id == oid::OID_PKCS1_RSAENCRYPTION => Self::Rsa,
            id if *id == oid::OID_KEY_TYPE_EC_PUBLIC_KEY => Self::Ecdsa,
            id if *id == oid::OID_SIG_ED25519 => Self::Ed25519,
            _ => Self::Other,
        }
    }

    fn of_signature(id: &oid::asn1_rs::Oid<'_>) -> Self {
        let ecdsa = [oid::OID_SIG_ECDSA_WITH_SHA256, oid::OID_SIG_ECDSA_WITH_SHA384, oid::OID_SIG_ECDSA_WITH_SHA512];
        let rsa = [
            oid::OID_PKCS1_SHA256WITHRSA,
            oid::OID_PKCS1_SHA384WITHRSA,
            oid::OID_PKCS1_SHA512WITHRSA,
            oid::OID_PKCS1_RSASSAPSS,
        ];
        match id {
            id if ecdsa.contains(id) => Self::Ecdsa,
            id if rsa.contains(id) => Self::Rsa,
            id if *id == oid::OID_SIG_ED25519 => Self::Ed25519,
            _ => Self::Other,
        }
    }

    /// Why a signature of this kind did not verify under a key of that kind.
    fn failure(self, key: Self) -> Cow<'static, str> {
        match (self, key) {
            (Self::Ecdsa, Self::Ecdsa) => "x509: ECDSA verification failure".into(),
            (Self::Rsa, Self::Rsa) => "crypto/rsa: verification error".into(),
            (Self::Ed25519, Self::Ed25519) => "x509: Ed25519 verification failure".into(),
            (Self::Other, _) | (_, Self::Other) => "x509: cannot verify signature: algorithm unimplemented".into(),
            (signed, key) => format!(
                "x509: signature algorithm specifies an {} public key, but have public key of type {}",
                signed.name(),
                key.go_type()
            )
            .into(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
            Self::Other => "0",
        }
    }

    fn go_type(self) -> &'static str {
        match self {
            Self::Rsa => "*rsa.PublicKey",
            Self::Ecdsa => "*ecdsa.PublicKey",
            Self::Ed25519 => "ed25519.PublicKey",
            Self::Other => "<nil>",
        }
    }
}
