use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use x509_parser::prelude::*;

use super::*;

fn id() -> InstanceId {
    InstanceId {
        instance: "8f0b0f4e-5c1d-4f3e-7a55-1b2c".into(),
        app: "app-guid".into(),
        space: "space-guid".into(),
        org: "org-guid".into(),
    }
}

/// What rustls says to a client that expects `name`.
fn verdict(leaf: &Leaf, trusted: &Authority, name: &str) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain = leaf.chain();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).map(|_| ())
}

#[test]
fn an_instance_certificate_has_diegos_shape() {
    for kind in [KeyKind::P256, KeyKind::Rsa2048] {
        let authority = Authority::with_key("instance identity", kind);
        let leaf = authority.instance(&id()).ip(Ipv4Addr::new(10, 0, 0, 7)).key(kind).issue();
        let (rest, cert) = X509Certificate::from_der(&leaf.der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(cert.version(), X509Version::V3);

        let relative: Vec<Vec<String>> = cert
            .subject()
            .iter_rdn()
            .map(|rdn| rdn.iter().map(|attribute| attribute.as_str().unwrap().to_owned()).collect())
            .collect();
        let units: BTreeSet<&str> = relative[0].iter().map(String::as_str).collect();
        assert_eq!(units, BTreeSet::from(["organization:org-guid", "space:space-guid", "app:app-guid"]));
        assert_eq!(relative[1..], [vec![id().instance]]);

        let names = &cert.subject_alternative_name().unwrap().unwrap().value.general_names;
        let expected = [GeneralName::DNSName("8f0b0f4e-5c1d-4f3e-7a55-1b2c"), GeneralName::IPAddress(&[10, 0, 0, 7])];
        assert_eq!(names[..], expected);

        let usage = cert.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.key_encipherment() && usage.key_agreement());
        assert!(!usage.key_cert_sign() && !usage.data_encipherment());
        let purposes = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.client_auth && purposes.server_auth && !purposes.any);
        assert!(cert.basic_constraints().unwrap().is_none());
        let life = cert.validity().not_after.timestamp() - cert.validity().not_before.timestamp();
        assert_eq!(life, 24 * 3600);
        assert_eq!(cert.raw_serial().len(), 16 + usize::from(cert.raw_serial()[0] == 0));
        verdict(&leaf, &authority, &id().instance).unwrap();
    }
}

#[test]
fn each_flaw_gets_its_own_verdict() {
    use CertificateError::{ExpiredContext, InvalidPurposeContext, NotValidForNameContext, NotValidYetContext};
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let name = id().instance;
    let of = |leaf: LeafBuilder| match verdict(&leaf.issue(), &ours, &name) {
        Err(rustls::Error::InvalidCertificate(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(matches!(of(ours.instance(&id()).expired()), ExpiredContext { .. }));
    assert!(matches!(of(ours.instance(&id()).not_yet_valid()), NotValidYetContext { .. }));
    assert!(matches!(of(other.instance(&id())), CertificateError::UnknownIssuer));
    assert!(matches!(of(ours.instance(&InstanceId::random())), NotValidForNameContext { .. }));
    assert!(matches!(of(ours.instance(&id()).purposes(&[Purpose::ClientAuth])), InvalidPurposeContext { .. }));
    assert!(matches!(of(ours.drain()), NotValidForNameContext { .. }));
    assert!(matches!(of(ours.instance(&id()).no_san()), NotValidForNameContext { .. }));
    assert!(matches!(of(ours.leaf().cn(&name).uri(&name).email(&name)), NotValidForNameContext { .. }));
    assert!(matches!(of(ours.instance(&id()).is_ca()), CertificateError::Other(_)));
}

#[test]
fn odd_certificates_say_what_they_were_told() {
    let leaf = Authority::new("a").drain().issue();
    let (_, cert) = X509Certificate::from_der(&leaf.der).unwrap();
    assert_eq!(cert.subject().iter_rdn().count(), 0);
    let names = cert.subject_alternative_name().unwrap().unwrap();
    assert_eq!((names.critical, &names.value.general_names[..]), (true, &[GeneralName::DNSName("")][..]));

    let at = SystemTime::now() - Duration::from_secs(500);
    let leaf = Authority::new("a").leaf().cn("only").any_purpose().not_before(at).issue();
    let (_, cert) = X509Certificate::from_der(&leaf.der).unwrap();
    assert!(cert.subject_alternative_name().unwrap().is_none() && cert.extended_key_usage().unwrap().is_none());
    let from = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(cert.validity().not_before.timestamp(), i64::try_from(from).unwrap());
}

#[test]
fn a_chain_leads_over_the_intermediate_to_the_root() {
    let root = Authority::new("root");
    let leaf = root.intermediate("between").instance(&id()).issue();
    assert_eq!(leaf.chain().len(), 2);
    verdict(&leaf, &root, &id().instance).unwrap();
    let deep = root.intermediate("one").intermediate("two").server(&["x.example", "y.example"]).issue();
    assert_eq!(deep.chain().len(), 3);
    verdict(&deep, &root, "y.example").unwrap();
}

#[test]
fn a_written_pair_reads_back() {
    let dir = tempfile::TempDir::new().unwrap();
    let leaf = Authority::new("a").localhost().key(KeyKind::Rsa2048).issue();
    let files = leaf.write_to(dir.path(), "server");
    assert_eq!(std::fs::read_to_string(files.cert).unwrap(), leaf.chain_pem);
    assert_eq!(std::fs::read_to_string(files.key).unwrap(), leaf.key_pem);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn guids_look_like_guids_and_differ() {
    let (one, two) = (guid(), guid());
    assert_ne!(one, two);
    let lengths: Vec<usize> = one.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
}
