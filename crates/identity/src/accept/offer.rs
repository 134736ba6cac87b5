//! What a handshake may agree to: versions, suites, protocols.

use std::sync::Arc;

use rustls::{
    CipherSuite, SupportedProtocolVersion,
    crypto::CryptoProvider,
    version::{TLS12, TLS13},
};

use crate::provider;

/// What callers can agree with us on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Whether TLS 1.3 is spoken.
    pub tls13: bool,
    /// The suites of TLS 1.2 that are spoken, best first. Empty: all that we have. Those of TLS 1.3 are not chosen.
    pub suites: Vec<Suite>,
    /// Application protocols (ALPN), best first. A caller that asks for none of them is served without one, as with
    /// Envoy, and not turned away.
    pub protocols: Vec<Vec<u8>>,
    /// Whether callers may resume sessions; only ever under the same certificate and demands.
    pub tickets: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self { tls12: true, tls13: true, suites: Vec::new(), protocols: Vec::new(), tickets: true }
    }
}

/// A suite of TLS 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite(CipherSuite);

/// OpenSSL's names of the suites that we have, those of TLS 1.3 behind the others.
const NAMES: [(&str, CipherSuite); 9] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// How many of them are of TLS 1.2, and can be chosen.
const CHOSEN: usize = 6;

impl Suite {
    /// The suite that OpenSSL and Envoy call `name`; `None` for one that we do not have.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        NAMES[..CHOSEN].iter().find(|(known, _)| *known == name).map(|(_, suite)| Self(*suite))
    }
}

/// The names of all suites that can be agreed on, of both versions, as Envoy has them.
#[must_use]
pub fn suite_names() -> [&'static str; NAMES.len()] {
    NAMES.map(|(name, _)| name)
}

pub(super) fn name_of(suite: CipherSuite) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == suite).map(|(name, _)| *name)
}

impl Offer {
    /// The versions that are spoken, best first.
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        [(self.tls13, &TLS13), (self.tls12, &TLS12)]
            .into_iter()
            .filter_map(|(on, version)| on.then_some(version))
            .collect()
    }

    /// The cryptography with the chosen suites.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let all = provider::provider();
        if self.suites.is_empty() {
            return all;
        }
        let mut chosen = (*all).clone();
        // TLS 1.3 first, and then in the order that was asked for.
        let rank = |suite: CipherSuite| self.suites.iter().position(|Suite(wanted)| *wanted == suite);
        chosen.cipher_suites.retain(|suite| suite.tls13().is_some() || rank(suite.suite()).is_some());
        chosen.cipher_suites.sort_by_key(|suite| rank(suite.suite()).map_or(0, |rank| rank + 1));
        Arc::new(chosen)
    }

    /// Whether a caller that names `asked` can be given one of our protocols, or names none.
    pub(super) fn agrees<'a>(&self, asked: Option<impl Iterator<Item = &'a [u8]>>) -> bool {
        asked.is_none_or(|mut asked| asked.any(|name| self.protocols.iter().any(|ours| ours == name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_go_by_the_names_that_envoy_uses() {
        assert_eq!(
            Suite::named("ECDHE-RSA-AES256-GCM-SHA384"),
            Some(Suite(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384))
        );
        assert_eq!(Suite::named("AES128-SHA"), None);
        // What TLS 1.3 has can not be chosen.
        assert_eq!(Suite::named("TLS_AES_128_GCM_SHA256"), None);
        let ours = provider::provider();
        assert!(ours.cipher_suites.iter().all(|suite| name_of(suite.suite()).is_some()));
    }

    #[test]
    fn a_choice_of_suites_leaves_those_of_tls13() {
        let suites =
            ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"].map(|name| Suite::named(name).unwrap());
        let offer = Offer { suites: suites.to_vec(), ..Offer::default() };
        let provider = offer.provider();
        let of_tls12: Vec<Suite> = provider
            .cipher_suites
            .iter()
            .filter(|suite| suite.tls13().is_none())
            .map(|suite| Suite(suite.suite()))
            .collect();
        assert_eq!(of_tls12, suites);
        assert_eq!(provider.cipher_suites.iter().filter(|suite| suite.tls13().is_some()).count(), 3);
        assert_eq!(Offer::default().provider().cipher_suites.len(), provider::provider().cipher_suites.len());
    }
}
