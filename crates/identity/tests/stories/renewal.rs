//! Keys of every form, and credentials that change on disk.

use std::{fs, path::PathBuf, time::Duration};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use trueroute_identity::{
    Credentials, Trust,
    credentials::{
        CredentialsError,
        watch::{Files, ReloadError, Reloaded, Source, watch},
    },
    trust::{self, TrustError},
};

use crate::support::*;

/// The key inside a PKCS#8 wrapping: PKCS#1 for RSA, SEC1 for EC.
fn unwrapped(pkcs8: &[u8]) -> Vec<u8> {
    let (_, outer) = x509_parser::der_parser::der::parse_der(pkcs8).unwrap();
    outer.as_sequence().unwrap()[2].as_slice().unwrap().to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = pem_body(der);
    format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
}

fn pem_body(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * digit)) as usize & 63]));
        }
        text.push_str(&"=="[..3 - chunk.len()]);
        if text.len() % 65 == 64 {
            text.push('\n');
        }
    }
    text.push('\n');
    text
}

#[test]
fn a_key_is_read_in_any_form_under_any_label() {
    let ca = Ca::new("instance-ca");
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    for key in [
        rsa,
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
    ] {
        let algorithm = format!("{:?}", key.algorithm());
        let ed25519 = key.algorithm() == &PKCS_ED25519;
        let pkcs8 = key.serialize_der();
        let issued = ca.issue(Leaf::of(INSTANCE).key(key));
        let mut forms = vec![pkcs8.clone()];
        if !ed25519 {
            forms.push(unwrapped(&pkcs8));
        }
        for (form, der) in forms.iter().enumerate() {
            for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
                let read = Credentials::from_pem(&issued.pem, &pem(label, der));
                assert!(read.is_ok(), "{algorithm} form {form} as {label}: {read:?}");
            }
        }
    }
}

#[test]
fn certificate_and_key_in_one_text_are_told_apart() {
    let issued = Ca::new("instance-ca").issue(Leaf::of(INSTANCE));
    let both = format!("{}{}", issued.key_pem, issued.pem);
    let read = Credentials::from_pem(&both, &both).unwrap();
    assert_eq!(read.certified().cert, issued.chain);
    assert!(read.not_before() < std::time::SystemTime::now() && std::time::SystemTime::now() < read.not_after());
}

#[test]
fn bad_credentials_name_what_is_bad() {
    let ca = Ca::new("instance-ca");
    let (one, other) = (ca.issue(Leaf::of("a")), ca.issue(Leaf::of("b")));
    let broken = "-----BEGIN CERTIFICATE-----\n@@@@\n-----END CERTIFICATE-----\n";
    let junk = pem("CERTIFICATE", b"junk");
    let second_broken = format!("{}{broken}", one.pem);
    let bad_key = pem("PRIVATE KEY", b"junk");
    type Judge = fn(&CredentialsError) -> bool;
    let cases: [(&str, &str, Judge); 7] = [
        (&one.pem, &other.key_pem, |error| matches!(error, CredentialsError::Mismatch)),
        ("", &one.key_pem, |error| matches!(error, CredentialsError::NoCertificate)),
        (&one.pem, "", |error| matches!(error, CredentialsError::NoKey)),
        (&one.pem, &one.pem, |error| matches!(error, CredentialsError::NoKey)),
        (&second_broken, &one.key_pem, |error| matches!(error, CredentialsError::CertificatePem { block: 2, .. })),
        (&junk, &one.key_pem, |error| matches!(error, CredentialsError::Certificate(_))),
        (&one.pem, &bad_key, |error| matches!(error, CredentialsError::Key(_))),
    ];
    for (certificate, key, expected) in cases {
        let error = Credentials::from_pem(certificate, key).unwrap_err();
        assert!(expected(&error), "{error:?}");
    }
}

#[test]
fn the_empty_certificate_of_a_draining_instance_loads() {
    let issued = Ca::new("instance-ca").issue(Leaf::bare("").raw_dns(b""));
    assert!(Credentials::from_pem(&issued.pem, &issued.key_pem).is_ok());
}

#[test]
fn a_bad_authority_is_named_by_source_and_block() {
    let (one, other) = (Ca::new("a"), Ca::new("b"));
    let good = format!("{}\nsome prose\n{}", one.pem, other.pem);
    let junk = format!("{}{}", one.pem, pem("CERTIFICATE", b"junk"));
    let broken = format!("{}-----BEGIN CERTIFICATE-----\n@@@@\n-----END CERTIFICATE-----\n", one.pem);
    let read = |pem| Trust::new(&[trust::Source { name: "ca_certs[0]", pem: &good }, pem], false);
    let source = |pem| trust::Source { name: "ca_certs[1]", pem };
    assert!(read(source(&one.pem)).is_ok());
    for (pem, text) in [
        (junk.as_str(), "ca_certs[1]: block 2 is not a certificate: "),
        (broken.as_str(), "ca_certs[1]: block 2 is not valid PEM: "),
        ("", "ca_certs[1]: no certificate in it"),
    ] {
        let error = read(source(pem)).unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
    }
    assert!(matches!(read(source("")), Err(TrustError::Empty { .. })));
}

#[test]
fn an_expired_authority_is_taken() {
    let ca = Ca::expired("old");
    assert!(!trust_in(&ca).is_empty());
}

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn holding(issued: &Issued, ca: &Ca) -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap() };
        folder.write("cert", &issued.pem);
        folder.write("key", &issued.key_pem);
        folder.write("ca", &ca.pem);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn files(&self) -> Files {
        Files { certificate: self.path("cert"), key: self.path("key"), authorities: Some(self.path("ca")) }
    }
}

fn shown(reloaded: &Reloaded) -> &[u8] {
    reloaded.credentials.certified().cert[0].as_ref()
}

#[test]
fn a_change_is_told_once_and_only_when_it_is_whole() {
    let ca = Ca::new("instance-ca");
    let (one, two) = (ca.issue(Leaf::of(INSTANCE)), ca.issue(Leaf::of(INSTANCE)));
    let folder = Folder::holding(&one, &ca);
    let (mut source, first) = Source::open(folder.files()).unwrap();
    assert_eq!(shown(&first), one.chain[0].as_ref());
    assert!(source.check().is_none());

    folder.write("key", &two.key_pem);
    let error = source.check().unwrap().unwrap_err();
    assert!(
        matches!(error, ReloadError::Credentials { cause: CredentialsError::Mismatch, .. }),
        "the key came before its certificate: {error}"
    );
    assert!(source.check().is_none(), "the same error is told twice");
    folder.write("cert", &two.pem[..two.pem.len() / 2]);
    assert!(source.check().unwrap().is_err());
    folder.write("cert", &two.pem);
    assert_eq!(shown(&source.check().unwrap().unwrap()), two.chain[0].as_ref());
    assert!(source.check().is_none());
}

#[test]
fn a_file_that_vanishes_for_a_moment_is_told_and_found_again() {
    let ca = Ca::new("instance-ca");
    let folder = Folder::holding(&ca.issue(Leaf::of(INSTANCE)), &ca);
    let (mut source, _) = Source::open(folder.files()).unwrap();
    fs::remove_file(folder.path("ca")).unwrap();
    let error = source.check().unwrap().unwrap_err();
    assert!(matches!(&error, ReloadError::Read { path, .. } if *path == folder.path("ca")), "{error}");
    assert!(source.check().is_none());
    folder.write("ca", "");
    assert!(matches!(source.check().unwrap(), Err(ReloadError::Trust(TrustError::Empty { .. }))));
    folder.write("ca", &ca.pem);
    assert!(!source.check().unwrap().unwrap().trust.unwrap().is_empty());
}

#[tokio::test]
async fn a_watch_hands_over_what_changes() {
    let ca = Ca::new("instance-ca");
    let (one, two) = (ca.issue(Leaf::of(INSTANCE)), ca.issue(Leaf::of(INSTANCE)));
    let folder = Folder::holding(&one, &ca);
    let (source, _) = Source::open(folder.files()).unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn(watch(source, Duration::from_millis(5), move |change| {
        let _ = tell.send(change.map(|reloaded| shown(&reloaded).to_vec()));
    }));
    folder.write("cert", &two.pem);
    folder.write("key", &two.key_pem);
    loop {
        let change = tokio::time::timeout(Duration::from_secs(10), told.recv()).await.unwrap().unwrap();
        // A look between the two writes finds a pair that does not match; the next one finds the pair.
        if let Ok(shown) = change {
            assert_eq!(shown, two.chain[0].as_ref());
            break;
        }
    }
    watching.abort();
}

#[test]
fn the_forms_of_this_test_are_what_they_claim() {
    let der = unwrapped(&KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap().serialize_der());
    let read = PrivateKeyDer::from_pem_slice(pem("RSA PRIVATE KEY", &der).as_bytes()).unwrap();
    assert!(matches!(read, PrivateKeyDer::Pkcs1(key) if key.secret_pkcs1_der() == der));
}
