//! The one source of cryptography: aws-lc-rs, with the orders that suit a hop inside one network.

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use rustls::{
    SupportedCipherSuite,
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms,
        aws_lc_rs::{self, cipher_suite, kx_group},
    },
};

/// Both protocol versions that a backend hop speaks.
pub(crate) const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// TLS 1.3 suites, cheapest first.
const TLS13_SUITES: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// TLS 1.2 suites, cheapest first.
const TLS12_SUITES: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

static DEFAULT: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(build(&TLS12_SUITES)));

/// The provider with all suites.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    DEFAULT.clone()
}

/// The provider with these TLS 1.2 suites besides those of TLS 1.3.
pub(crate) fn provider_with(tls12: &[SupportedCipherSuite]) -> Arc<CryptoProvider> {
    Arc::new(build(tls12))
}

/// What signatures are checked with.
pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    DEFAULT.signature_verification_algorithms
}

/// No post-quantum group: it grows a ClientHello from 251 to 1435 bytes, for a hop that stays inside one network.
fn build(tls12: &[SupportedCipherSuite]) -> CryptoProvider {
    CryptoProvider {
        cipher_suites: TLS13_SUITES.iter().chain(tls12).copied().collect(),
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}

/// SHA-256 in lower-case hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else {
        unreachable!("a suite of TLS 1.3 is one");
    };
    let digest = suite.common.hash_provider.hash(bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // into memory, which cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn sha256_is_what_the_standard_says() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::sha256(b"abc"), abc);
    }
}
