//! A certificate authority: a self-signed root, or one signed by another.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use super::der;
use super::key::{Key, KeyKind};
use super::leaf::{InstanceId, LeafBuilder, Purpose, extension, name, random_serial, sign, validity};

/// A certificate authority. Cloning shares the key.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    key: Key,
    subject: Vec<u8>,
    der: Vec<u8>,
    pem: String,
    /// The intermediates between this one and its root, PEM; `None` for a root.
    above: Option<String>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A self-signed root called `name` with a P-256 key, valid for ten years.
    pub fn new(name: &str) -> Self {
        Self::with_key(name, KeyKind::P256)
    }

    /// A self-signed root with a key of the given kind.
    pub fn with_key(name: &str, kind: KeyKind) -> Self {
        Self::make(name, kind, None)
    }

    /// An authority below this one. Chains of its leaves hold the leaf, then the intermediate, no root.
    pub fn intermediate(&self, name: &str) -> Self {
        Self::make(name, KeyKind::P256, Some(self))
    }

    /// The authority's own certificate as PEM: what a verifier trusts.
    pub fn pem(&self) -> &str {
        &self.0.pem
    }

    /// The authority's own certificate as DER.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from(self.0.der.clone())
    }

    /// A leaf to fill in: nothing in the subject, no names, both purposes, 24 hours.
    pub fn leaf(&self) -> LeafBuilder {
        LeafBuilder::new(self)
    }

    /// An instance certificate as Diego issues it (sidecar.md section 2): the instance GUID as common name and DNS
    /// name, organization, space and app as organisational units in one relative name.
    pub fn instance(&self, id: &InstanceId) -> LeafBuilder {
        self.leaf()
            .ou(&format!("organization:{}", id.org))
            .ou(&format!("space:{}", id.space))
            .ou(&format!("app:{}", id.app))
            .cn(&id.instance)
            .dns(&id.instance)
    }

    /// The router's own certificate, which it presents to backends: clientAuth only, `name` as common and DNS name.
    pub fn router_client(&self, name: &str) -> LeafBuilder {
        self.leaf().cn(name).dns(name).purposes(&[Purpose::ClientAuth])
    }

    /// A server certificate for the given DNS names, the first of which is the common name; serverAuth only.
    pub fn server(&self, names: &[&str]) -> LeafBuilder {
        let blank = self.leaf().cn(names.first().copied().unwrap_or_default()).purposes(&[Purpose::ServerAuth]);
        names.iter().fold(blank, |leaf, name| leaf.dns(name))
    }

    /// A server certificate for 127.0.0.1 and `localhost`.
    pub fn localhost(&self) -> LeafBuilder {
        self.server(&["localhost"]).ip(IpAddr::from([127, 0, 0, 1]))
    }

    /// What Diego puts in force while an instance drains: no common name, one DNS name of length zero.
    pub fn drain(&self) -> LeafBuilder {
        self.leaf().dns("")
    }

    fn make(common_name: &str, kind: KeyKind, parent: Option<&Self>) -> Self {
        let key = Key::of(kind);
        let subject = name(&[vec![(super::leaf::COMMON_NAME, common_name.to_owned())]]);
        let (signer, issuer, above) = match parent {
            Some(parent) => (&parent.0.key, &parent.0.subject, Some(parent.0.chain_below_root())),
            None => (&key, &subject, None),
        };
        let now = SystemTime::now();
        let extensions = der::sequence(&[
            extension(&[2, 5, 29, 15], true, &der::bits(1, &[0b0000_0110])),
            extension(&[2, 5, 29, 19], true, &der::sequence(&[der::boolean(true)])),
            extension(&[2, 5, 29, 14], false, &der::octets(&key.identifier())),
            extension(&[2, 5, 29, 35], false, &der::sequence(&[der::element(0x80, &signer.identifier())])),
        ]);
        let certificate = sign(
            signer,
            &[
                der::explicit(0, &der::integer(&[2])),
                der::integer(&random_serial()),
                signer.signature_algorithm(),
                issuer.clone(),
                validity(now - Duration::from_secs(3600), now + Duration::from_secs(10 * 365 * 86_400)),
                subject.clone(),
                key.subject_public_key(),
                der::explicit(3, &extensions),
            ],
        );
        let pem = der::pem("CERTIFICATE", &certificate);
        Self(Arc::new(Inner { key, subject, der: certificate, pem, above }))
    }

    pub(super) fn key(&self) -> &Key {
        &self.0.key
    }

    pub(super) fn subject(&self) -> &[u8] {
        &self.0.subject
    }

    /// What follows a leaf in its chain file: the signer, and the intermediates above it, no root above those.
    pub(super) fn chain_pem(&self) -> String {
        self.0.pem.clone() + self.0.above.as_deref().unwrap_or_default()
    }
}

impl Inner {
    fn chain_below_root(&self) -> String {
        self.above.as_ref().map(|above| self.pem.clone() + above).unwrap_or_default()
    }
}
