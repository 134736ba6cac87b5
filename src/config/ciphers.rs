//! `cipher_suites`: OpenSSL and RFC names, and what rustls can offer of them (gorouter.md §2, §15.1).
//!
//! The table holds every suite that Gorouter knows. Most are legacy (RC4, 3DES, CBC, RSA key exchange) and exist here
//! only so that a list with them still starts the router.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite as offered;

use super::error::shown;

/// Why a list of cipher names cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// Gorouter does not know this name either.
    #[error("unknown cipher suite `{0}`")]
    Unknown(String),
    /// Every name is known, but none can be offered with the TLS versions of the configuration.
    #[error("no usable cipher suite is left of `{0}`")]
    NothingLeft(String),
}

/// A list of cipher names, sorted into what can be offered and what cannot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CipherList {
    /// TLS 1.2 suites in the order of the list.
    pub(super) tls12: Vec<SupportedCipherSuite>,
    /// Whether the list names a TLS 1.3 suite. As in Go, TLS 1.3 always offers all of its suites.
    pub(super) names13: bool,
    /// Names that cannot be offered.
    pub(super) left_out: Vec<&'static str>,
}

enum Suite {
    Tls12(SupportedCipherSuite),
    Tls13,
    Legacy,
}

/// OpenSSL name, RFC name (in TLS 1.3 the same), and what becomes of the suite.
static TABLE: &[(&str, &str, Suite)] = {
    use Suite::{Legacy, Tls12, Tls13};
    &[
        (
            "ECDHE-RSA-AES128-GCM-SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            Tls12(offered::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ),
        (
            "ECDHE-RSA-AES256-GCM-SHA384",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            Tls12(offered::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ),
        (
            "ECDHE-RSA-CHACHA20-POLY1305",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            Tls12(offered::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        ),
        (
            "ECDHE-RSA-CHACHA20-POLY1305",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
            Tls12(offered::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        ),
        (
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Tls12(offered::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ),
        (
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Tls12(offered::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ),
        (
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Tls12(offered::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ),
        (
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
            Tls12(offered::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ),
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", Tls13),
        ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", Tls13),
        ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", Tls13),
        ("RC4-SHA", "TLS_RSA_WITH_RC4_128_SHA", Legacy),
        ("DES-CBC3-SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", Legacy),
        ("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA", Legacy),
        ("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA", Legacy),
        ("AES128-SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA256", Legacy),
        ("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256", Legacy),
        ("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384", Legacy),
        ("ECDHE-ECDSA-RC4-SHA", "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Legacy),
        ("ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Legacy),
        ("ECDHE-ECDSA-AES256-SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Legacy),
        ("ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Legacy),
        ("ECDHE-RSA-RC4-SHA", "TLS_ECDHE_RSA_WITH_RC4_128_SHA", Legacy),
        ("ECDHE-RSA-DES-CBC3-SHA", "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Legacy),
        ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Legacy),
        ("ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Legacy),
        ("ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Legacy),
    ]
};

/// Sorts a colon-separated list of names; a name given twice counts once.
///
/// # Errors
/// [`CipherError::Unknown`] for a name that is not in the table, the empty one included.
pub(super) fn parse(list: &str) -> Result<CipherList, CipherError> {
    let mut out = CipherList::default();
    for name in list.split(':').map(str::trim) {
        let entry = TABLE.iter().find(|(openssl, rfc, _)| *openssl == name || *rfc == name);
        match entry.ok_or_else(|| CipherError::Unknown(shown(name)))? {
            (_, _, Suite::Tls12(suite)) if out.tls12.contains(suite) => {}
            (_, _, Suite::Tls12(suite)) => out.tls12.push(*suite),
            (_, _, Suite::Tls13) => out.names13 = true,
            (openssl, rfc, Suite::Legacy) => {
                let known = if *openssl == name { openssl } else { rfc };
                if !out.left_out.contains(known) {
                    out.left_out.push(known);
                }
            }
        }
    }
    Ok(out)
}

impl CipherList {
    /// The suites to offer: those of the list in TLS 1.2, all of TLS 1.3.
    pub(super) fn with_tls13(&self) -> Vec<SupportedCipherSuite> {
        [offered::TLS13_AES_128_GCM_SHA256, offered::TLS13_AES_256_GCM_SHA384, offered::TLS13_CHACHA20_POLY1305_SHA256]
            .into_iter()
            .chain(self.tls12.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_the_same_suite() {
        for (openssl, rfc, suite) in TABLE {
            let (a, b) = (parse(openssl).unwrap(), parse(rfc).unwrap());
            assert_eq!((&a.tls12, a.names13), (&b.tls12, b.names13), "{openssl}");
            assert_eq!(a.left_out.is_empty(), !matches!(suite, Suite::Legacy), "{openssl}");
        }
    }

    #[test]
    fn order_stays_and_doubles_go() {
        let list =
            parse("ECDHE-RSA-AES256-GCM-SHA384:TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:ECDHE-RSA-AES256-GCM-SHA384")
                .unwrap();
        assert_eq!(
            list.tls12,
            [offered::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, offered::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
        );
    }

    #[test]
    fn unknown_names_are_named() {
        for (list, unknown) in [("", ""), ("RC4-SHA:", ""), ("RC4-SHA:NOPE", "NOPE"), ("rc4-sha", "rc4-sha")] {
            assert_eq!(parse(list), Err(CipherError::Unknown(unknown.to_owned())), "{list}");
        }
    }
}
