//! The signature of a passage: sealed by a key that only routers hold.
//!
//! AES-128-GCM under a key derived by PBKDF2 from the configured secret, so that all routers of one configuration, and
//! Gorouters among them, open each other's.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    pbkdf2::{self, PBKDF2_HMAC_SHA256},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// How often the secret is hashed: as often as by Gorouter, or its signatures would not open.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(100_000);
const KEY_LEN: usize = 16;

/// The keys of one configuration: the first seals, all open.
pub struct Keys(Vec<LessSafeKey>);

/// What the signature says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Scheme, host and target of the request that was sent to the service.
    pub forwarded_url: String,
    /// When, RFC 3339.
    requested_time: String,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    nonce: String,
}

/// The values of the two fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `X-CF-Proxy-Signature`.
    pub signature: String,
    /// `X-CF-Proxy-Metadata`.
    pub metadata: String,
}

/// Why a signature does not let a request pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is one of ours, and too old.
    #[error("route service request expired")]
    Expired,
    /// The metadata is not base64 of JSON with a nonce.
    #[error("proxy metadata is malformed")]
    Metadata,
    /// The signature is not base64, or no key opens it.
    #[error("proxy signature cannot be opened")]
    Unopened,
    /// What was in it is no passage.
    #[error("proxy signature holds no request")]
    Contents,
    /// It was made for another route.
    #[error("proxy signature is for another route")]
    OtherRoute,
}

impl Keys {
    /// The keys of `secret` and, if there is one, of the secret before it. Slow on purpose: some tens of milliseconds
    /// each.
    #[must_use]
    pub fn derive(secret: &str, before: Option<&str>) -> Self {
        Self([Some(secret), before].into_iter().flatten().filter_map(key).collect())
    }

    /// Signs that a request for `forwarded_url` was sent to its service at `now`. A `nonce` must never come twice under
    /// one key. None if the cipher refuses, which it does for texts of gigabytes alone.
    #[must_use]
    pub fn sign(&self, forwarded_url: String, now: SystemTime, nonce: [u8; NONCE_LEN]) -> Option<Signed> {
        let requested_time = DateTime::<Utc>::from(now).to_rfc3339_opts(SecondsFormat::Nanos, true);
        let mut sealed = serde_json::to_vec(&Passage { forwarded_url, requested_time }).ok()?;
        let key = self.0.first()?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).ok()?;
        let metadata = serde_json::to_vec(&Metadata { nonce: BASE64_STANDARD.encode(nonce) }).ok()?;
        Some(Signed { signature: BASE64_URL_SAFE.encode(sealed), metadata: BASE64_URL_SAFE.encode(metadata) })
    }

    /// Opens a signature that is at most `lifetime` old at `now`.
    ///
    /// # Errors
    /// It is not ours, or too old.
    pub fn open(
        &self,
        signature: &[u8],
        metadata: &[u8],
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Passage, SignatureError> {
        let nonce = nonce(metadata).ok_or(SignatureError::Metadata)?;
        let sealed = BASE64_URL_SAFE.decode(signature).map_err(|_| SignatureError::Unopened)?;
        let opened = self.0.iter().find_map(|key| {
            let mut text = sealed.clone();
            let length = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text).ok()?.len();
            text.truncate(length);
            Some(text)
        });
        let opened = opened.ok_or(SignatureError::Unopened)?;
        let passage: Passage = serde_json::from_slice(&opened).map_err(|_| SignatureError::Contents)?;
        let signed_at = DateTime::parse_from_rfc3339(&passage.requested_time).map_err(|_| SignatureError::Contents)?;
        // Another router's clock may be ahead of ours.
        let age = now.duration_since(SystemTime::from(signed_at)).unwrap_or_default();
        if age > lifetime { Err(SignatureError::Expired) } else { Ok(passage) }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

fn key(secret: &str) -> Option<LessSafeKey> {
    let mut bytes = [0; KEY_LEN];
    pbkdf2::derive(PBKDF2_HMAC_SHA256, ITERATIONS, &[], secret.as_bytes(), &mut bytes);
    UnboundKey::new(&AES_128_GCM, &bytes).ok().map(LessSafeKey::new)
}

fn nonce(metadata: &[u8]) -> Option<[u8; NONCE_LEN]> {
    let text = BASE64_URL_SAFE.decode(metadata).ok()?;
    let metadata: Metadata = serde_json::from_slice(&text).ok()?;
    BASE64_STANDARD.decode(metadata.nonce).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const URL: &str = "http://app.example/path?q=1";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    fn opened(keys: &Keys, signed: &Signed, seconds: u64) -> Result<String, SignatureError> {
        let passage = keys.open(signed.signature.as_bytes(), signed.metadata.as_bytes(), at(seconds), MINUTE);
        passage.map(|passage| passage.forwarded_url)
    }

    #[test]
    fn a_signature_holds_for_its_lifetime_and_under_either_key() {
        let [old, new] = ["the old secret", "the new one"];
        let signed = Keys::derive(old, None).sign(URL.into(), at(100), [7; 12]).unwrap();
        let rotated = Keys::derive(new, Some(old));
        for (keys, seconds, expected) in [
            (&Keys::derive(old, None), 100, Ok(URL.to_owned())),
            (&Keys::derive(old, None), 160, Ok(URL.to_owned())),
            (&Keys::derive(old, None), 161, Err(SignatureError::Expired)),
            (&Keys::derive(old, None), 90, Ok(URL.to_owned())),
            (&rotated, 100, Ok(URL.to_owned())),
            (&Keys::derive(new, None), 100, Err(SignatureError::Unopened)),
        ] {
            assert_eq!(opened(keys, &signed, seconds), expected, "{keys:?} {seconds}");
        }
        let again = rotated.sign(URL.into(), at(0), [8; 12]).unwrap();
        assert_eq!(opened(&Keys::derive(old, None), &again, 0), Err(SignatureError::Unopened));
    }

    /// Made by hand with OpenSSL's PBKDF2 and AES-GCM, so that this does not only agree with itself.
    #[test]
    fn the_form_is_the_one_that_others_write() {
        let keys = Keys::derive("secret", None);
        let passage = keys.open(FOREIGN.0.as_bytes(), FOREIGN.1.as_bytes(), at(0), MINUTE).unwrap();
        assert_eq!(passage.forwarded_url, "https://a.example/x");
        let signed = keys.sign("https://a.example/x".into(), at(0), *b"0123456789ab").unwrap();
        assert_eq!(signed.metadata, FOREIGN.1);
        assert_eq!(signed.signature, FOREIGN.0);
    }

    const FOREIGN: (&str, &str) = (
        "WFVcPm8wwOhKoeTPP_Y4FbelJE2som2MBSTM8BnWEwkrrg2iAH8TCrR7c98uZxvvF3vVoKNwKNGW86M2e5EBf0_2Qc9kc6fNhIEY3NMsbatOYqwCLB-TLZQSBKPvvR_ToFtS7rwdxlw6",
        "eyJub25jZSI6Ik1ERXlNelExTmpjNE9XRmkifQ==",
    );

    #[test]
    fn what_is_no_signature_is_told_from_one_that_is_not_ours() {
        let keys = Keys::derive("s", None);
        let signed = keys.sign(URL.into(), at(0), [1; 12]).unwrap();
        let open = |signature: &str, metadata: &str| {
            keys.open(signature.as_bytes(), metadata.as_bytes(), at(0), MINUTE).map(|passage| passage.forwarded_url)
        };
        let short = BASE64_URL_SAFE.encode(r#"{"nonce":"AAAA"}"#);
        for metadata in ["", "%", "e30=", &short] {
            assert_eq!(open(&signed.signature, metadata), Err(SignatureError::Metadata), "{metadata}");
        }
        for signature in ["", "%", "AAAA", &signed.metadata] {
            assert_eq!(open(signature, &signed.metadata), Err(SignatureError::Unopened), "{signature}");
        }
        let key = keys.0.first().unwrap();
        for text in ["[]", "{}", r#"{"forwarded_url":"u","requested_time":"yesterday"}"#] {
            let mut sealed = text.as_bytes().to_vec();
            let nonce = Nonce::assume_unique_for_key([1; 12]);
            key.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).unwrap();
            assert_eq!(
                open(&BASE64_URL_SAFE.encode(sealed), &signed.metadata),
                Err(SignatureError::Contents),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_changed_signature_never_opens(at_byte in 0usize..200, bit in 0u8..6, text in "\\PC{0,60}") {
            thread_local!(static KEYS: Keys = Keys::derive("s", None));
            KEYS.with(|keys| {
                let signed = keys.sign(text.clone(), at(0), [1; 12]).unwrap();
                let mut sealed = BASE64_URL_SAFE.decode(&signed.signature).unwrap();
                let place = at_byte % sealed.len();
                sealed[place] ^= 1 << bit;
                let changed = Signed { signature: BASE64_URL_SAFE.encode(sealed), ..signed.clone() };
                prop_assert_eq!(opened(keys, &changed, 0), Err(SignatureError::Unopened));
                prop_assert_eq!(opened(keys, &signed, 0), Ok(text));
                Ok(())
            })?;
        }

        #[test]
        fn any_bytes_get_a_verdict(signature in prop::collection::vec(any::<u8>(), 0..100), metadata in prop::collection::vec(any::<u8>(), 0..60)) {
            thread_local!(static KEYS: Keys = Keys::derive("s", None));
            prop_assert!(KEYS.with(|keys| keys.open(&signature, &metadata, at(0), MINUTE).is_err()));
        }
    }
}
