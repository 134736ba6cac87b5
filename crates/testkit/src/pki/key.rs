//! Key pairs. P-256 keys are made fresh; RSA-2048 keys come from a small ring of keys that the process makes once,
//! because each costs a noticeable fraction of a second.

use std::sync::{Arc, Mutex, OnceLock};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SigningKey};

use super::der;

/// What key a certificate carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyKind {
    /// ECDSA on P-256, fresh for each certificate; PEM label `PRIVATE KEY` (PKCS#8).
    #[default]
    P256,
    /// RSA with 2048 bits, as Diego made them until 2025; PEM label `RSA PRIVATE KEY` (PKCS#1). Taken in turn from
    /// [`RSA_KEYS`] keys of the process, so only certificates issued next to each other surely differ in key.
    Rsa2048,
}

/// How many RSA keys a process makes before it starts to use them again.
pub const RSA_KEYS: usize = 6;

#[derive(Clone)]
pub(super) struct Key {
    pair: Arc<KeyPair>,
    kind: KeyKind,
}

impl Key {
    pub(super) fn of(kind: KeyKind) -> Self {
        match kind {
            KeyKind::P256 => Self {
                pair: Arc::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("P-256 key generation works")),
                kind,
            },
            KeyKind::Rsa2048 => Self { pair: next_rsa(), kind },
        }
    }

    /// AlgorithmIdentifier of the signatures this key makes: SHA-256 with either key.
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        match self.kind {
            KeyKind::P256 => der::sequence(&[der::oid(&[1, 2, 840, 10045, 4, 3, 2])]),
            KeyKind::Rsa2048 => der::sequence(&[der::oid(&[1, 2, 840, 113549, 1, 1, 11]), der::element(0x05, &[])]),
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).expect("signing with a key of our own works")
    }

    pub(super) fn subject_public_key(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// Names the key in SubjectKeyIdentifier: its last 20 bytes, as good as a hash for keys nobody chose.
    pub(super) fn identifier(&self) -> Vec<u8> {
        let raw = self.pair.public_key_raw();
        raw[raw.len() - 20..].to_vec()
    }

    pub(super) fn pem(&self) -> String {
        let pkcs8 = self.pair.serialized_der();
        match self.kind {
            KeyKind::P256 => der::pem("PRIVATE KEY", pkcs8),
            KeyKind::Rsa2048 => der::pem("RSA PRIVATE KEY", &pkcs1(pkcs8).expect("a PKCS#8 key wraps a PKCS#1 key")),
        }
    }
}

/// The RSAPrivateKey inside a PrivateKeyInfo: version, algorithm, then the octets.
fn pkcs1(pkcs8: &[u8]) -> Option<Vec<u8>> {
    let (_, fields, _) = der::open(pkcs8)?;
    let (_, _version, rest) = der::open(fields)?;
    let (_, _algorithm, rest) = der::open(rest)?;
    let (tag, key, _) = der::open(rest)?;
    (tag == 0x04).then(|| key.to_vec())
}

#[derive(Default)]
struct Ring {
    keys: Vec<Arc<KeyPair>>,
    next: usize,
}

fn next_rsa() -> Arc<KeyPair> {
    static RING: OnceLock<Mutex<Ring>> = OnceLock::new();
    let mut ring = RING.get_or_init(Mutex::default).lock().expect("no holder panics");
    let turn = ring.next % RSA_KEYS;
    ring.next += 1;
    if turn == ring.keys.len() {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("RSA key generation works");
        ring.keys.push(Arc::new(key));
    }
    ring.keys[turn].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_keys_follow_each_other_without_repeating_at_once() {
        assert_ne!(Key::of(KeyKind::Rsa2048).pem(), Key::of(KeyKind::Rsa2048).pem());
    }

    #[test]
    fn each_kind_has_its_pem_label() {
        assert!(Key::of(KeyKind::Rsa2048).pem().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(Key::of(KeyKind::P256).pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }
}
