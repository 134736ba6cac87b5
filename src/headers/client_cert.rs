//! `X-Forwarded-Client-Cert`: what an endpoint is told about the client's certificate (gorouter.md section 7.4).
//!
//! An app that believes the field grants what it says, so a client must not be able to write it in any spelling that an
//! app may take for it: CGI and its heirs read `X_Forwarded_Client_Cert` as the same name.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use trueroute_identity::{DistinguishedName, distinguished_name::fingerprint};

/// The field's name.
pub static CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// `forwarded_client_cert`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Whatever the client says passes: something in front of the router writes the field.
    #[default]
    AlwaysForward,
    /// What the client says passes if it has proven to hold a certificate.
    Forward,
    /// The field says what the router itself has seen.
    SanitizeSet,
}

/// `xfcc_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The certificate: PEM without its armour, on one line.
    #[default]
    Raw,
    /// Envoy's elements: `Hash=<SHA-256>;Subject="<name>"`.
    Envoy,
}

/// What becomes of the field on one connection, decided once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCert {
    /// It stays as the client wrote it.
    #[default]
    Keep,
    /// It goes.
    Remove,
    /// It goes, and this takes its place.
    Set(HeaderValue),
}

impl ClientCert {
    /// What `mode` means for a client that proved to hold the certificate `leaf` (DER), or none.
    #[must_use]
    pub fn new(mode: Mode, format: Format, leaf: Option<&[u8]>) -> Self {
        match (mode, leaf) {
            (Mode::AlwaysForward, _) | (Mode::Forward, Some(_)) => Self::Keep,
            (Mode::Forward | Mode::SanitizeSet, None) => Self::Remove,
            (Mode::SanitizeSet, Some(leaf)) => written(format, leaf).map_or(Self::Remove, Self::Set),
        }
    }

    /// Does so. `spoken` says whether the client sent the field in any spelling ([`is_spelling`]).
    pub fn apply(&self, headers: &mut HeaderMap, spoken: bool) {
        if *self == Self::Keep {
            return;
        }
        if spoken {
            remove_all(headers);
        }
        if let Self::Set(value) = self {
            headers.insert(&CLIENT_CERT, value.clone());
        }
    }
}

/// Whether an app may take a field of this name, in lower case, for `X-Forwarded-Client-Cert`.
#[must_use]
pub fn is_spelling(name: &str) -> bool {
    let ours = CLIENT_CERT.as_str();
    let same = |(a, b): (u8, u8)| a == b || (a == b'_' && b == b'-');
    name.len() == ours.len() && name.bytes().zip(ours.bytes()).all(same)
}

fn remove_all(headers: &mut HeaderMap) {
    let spellings: Vec<HeaderName> = headers.keys().filter(|name| is_spelling(name.as_str())).cloned().collect();
    for name in spellings {
        headers.remove(name);
    }
}

/// The field's value; none for what cannot stand in a field, which no certificate brings about.
fn written(format: Format, leaf: &[u8]) -> Option<HeaderValue> {
    let text = match format {
        Format::Raw => BASE64_STANDARD.encode(leaf),
        Format::Envoy => {
            let subject = DistinguishedName::of_subject(leaf).ok()?;
            format!("Hash={};Subject=\"{subject}\"", fingerprint(leaf))
        }
    };
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPELLINGS: [&str; 4] =
        ["X-Forwarded-Client-Cert", "X_Forwarded_Client_Cert", "x-forwarded_client-cert", "X-FORWARDED-CLIENT_CERT"];

    fn spoofed() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in SPELLINGS {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name.clone(), HeaderValue::from_static("spoof"));
            headers.append(name, HeaderValue::from_static("spoof again"));
        }
        headers.insert("x-other", HeaderValue::from_static("stays"));
        headers
    }

    #[test]
    fn the_mode_and_the_certificate_decide() {
        let set = ClientCert::Set(HeaderValue::from_static("TEVBRg=="));
        for (mode, leaf, treated) in [
            (Mode::AlwaysForward, None, ClientCert::Keep),
            (Mode::AlwaysForward, Some(&b"LEAF"[..]), ClientCert::Keep),
            (Mode::Forward, None, ClientCert::Remove),
            (Mode::Forward, Some(b"LEAF"), ClientCert::Keep),
            (Mode::SanitizeSet, None, ClientCert::Remove),
            (Mode::SanitizeSet, Some(b"LEAF"), set),
        ] {
            assert_eq!(ClientCert::new(mode, Format::Raw, leaf), treated, "{mode:?} {leaf:?}");
        }
        // What is no certificate has no subject, and nothing is made up.
        assert_eq!(ClientCert::new(Mode::SanitizeSet, Format::Envoy, Some(b"LEAF")), ClientCert::Remove);
    }

    #[test]
    fn every_spelling_goes_and_nothing_else() {
        for name in SPELLINGS {
            assert!(is_spelling(&name.to_ascii_lowercase()), "{name}");
        }
        for name in ["x-forwarded-client-certs", "x-forwarded-client.cert", "x-forwarded-host", ""] {
            assert!(!is_spelling(name), "{name}");
        }
        let mut headers = spoofed();
        ClientCert::Keep.apply(&mut headers, true);
        assert_eq!(headers, spoofed());
        ClientCert::Remove.apply(&mut headers, true);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-other"]);
        let mut headers = spoofed();
        ClientCert::Set(HeaderValue::from_static("ours")).apply(&mut headers, true);
        assert_eq!(headers.get_all(&CLIENT_CERT).iter().collect::<Vec<_>>(), ["ours"]);
        assert_eq!(headers.len(), 2);
    }
}
