//! Who holds a certificate, read from certificates as Diego makes them and as others might.

use proptest::prelude::*;
use trueroute_identity::{
    PeerIdentity,
    accept::AllowedName,
    peer_identity::{PeerIdentityError, Unit},
};

use crate::support::*;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const UNIT: &[u8] = &[0x55, 4, 11];

fn der(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => bytes.extend([&[0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat()),
    }
    bytes.extend(content);
    bytes
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, parts)
}

fn attribute(kind: &[u8], value: &str) -> Vec<u8> {
    sequence(&[der(6, &[kind.to_vec()]), der(0x0c, &[value.as_bytes().to_vec()])])
}

/// One relative distinguished name of all these attributes.
fn rdn(attributes: &[Vec<u8>]) -> Vec<u8> {
    der(0x31, attributes)
}

/// A certificate of this subject and these DNS SANs: rcgen cannot put two units into one subject. Nobody
/// signed it, and nobody who only reads it asks.
fn certificate(subject: &[Vec<u8>], dns_names: &[&str]) -> Vec<u8> {
    let algorithm = || sequence(&[der(6, &[vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]])]);
    let key = sequence(&[
        sequence(&[
            der(6, &[vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]]),
            der(6, &[vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]]),
        ]),
        der(3, &[vec![0; 66]]),
    ]);
    let names: Vec<_> = dns_names.iter().map(|name| der(0x82, &[name.as_bytes().to_vec()])).collect();
    let alternative = sequence(&[der(6, &[vec![0x55, 0x1d, 17]]), der(4, &[sequence(&names)])]);
    let time = |text: &str| der(0x17, &[text.as_bytes().to_vec()]);
    let to_be_signed = sequence(&[
        der(0xa0, &[vec![2, 1, 2]]),
        vec![2, 1, 1],
        algorithm(),
        sequence(&[rdn(&[attribute(COMMON_NAME, "instance-ca")])]),
        sequence(&[time("260101000000Z"), time("260102000000Z")]),
        sequence(subject),
        key,
        der(0xa3, &[sequence(&[alternative])]),
    ]);
    sequence(&[to_be_signed, algorithm(), der(3, &[vec![0, 1, 2, 3]])])
}

fn diego(units: &[&str]) -> Vec<u8> {
    let units: Vec<_> = units.iter().map(|unit| attribute(UNIT, unit)).collect();
    certificate(&[rdn(&units), rdn(&[attribute(COMMON_NAME, INSTANCE)])], &[INSTANCE])
}

#[test]
fn units_are_read_from_one_relative_distinguished_name_and_from_many() {
    let units = ["organization:o-1", "space:s-1", "app:a-1"];
    let one = diego(&units);
    let many = {
        let mut subject: Vec<_> = units.iter().map(|unit| rdn(&[attribute(UNIT, unit)])).collect();
        subject.push(rdn(&[attribute(COMMON_NAME, INSTANCE)]));
        certificate(&subject, &[INSTANCE])
    };
    for der in [one, many] {
        let holder = PeerIdentity::from_der(&der).unwrap();
        assert_eq!(holder.instance_id(), Some(INSTANCE));
        assert_eq!(holder.app.as_deref(), Some("a-1"));
        assert_eq!(holder.space.as_deref(), Some("s-1"));
        assert_eq!(holder.organization.as_deref(), Some("o-1"));
    }
}

#[test]
fn other_units_are_passed_over_and_a_contradiction_is_refused() {
    let holder = PeerIdentity::from_der(&diego(&["Engineering", "team:x", "app:a:b", "app:a:b"])).unwrap();
    assert_eq!(holder.app.as_deref(), Some("a:b"));
    assert_eq!((holder.space, holder.organization), (None, None));
    assert_eq!(
        PeerIdentity::from_der(&diego(&["app:mine", "app:yours"])),
        Err(PeerIdentityError::Contradiction { kind: Unit::App, first: "mine".to_owned(), second: "yours".to_owned() })
    );
}

#[test]
fn the_instance_is_the_common_name_that_is_also_a_san() {
    let named = |name: &str, sans: &[&str]| {
        let der = certificate(&[rdn(&[attribute(COMMON_NAME, name)])], sans);
        PeerIdentity::from_der(&der).unwrap().instance_id().map(str::to_owned)
    };
    for (name, sans, instance) in [
        (INSTANCE, &["a.apps.internal", INSTANCE][..], Some(INSTANCE)),
        ("x", &["a", "b"], Some("a")),
        ("x", &[], Some("x")),
        ("", &[""], None),
    ] {
        assert_eq!(named(name, sans).as_deref(), instance, "{name} {sans:?}");
    }
}

#[test]
fn what_is_no_certificate_is_an_error() {
    for bytes in [&b""[..], b"\x30", b"-----BEGIN CERTIFICATE-----"] {
        assert!(matches!(PeerIdentity::from_der(bytes), Err(PeerIdentityError::Malformed(_))), "{bytes:?}");
    }
    let mut trailing = diego(&["app:a"]);
    trailing.push(0);
    assert!(matches!(PeerIdentity::from_der(&trailing), Err(PeerIdentityError::Malformed(_))));
}

#[test]
fn names_are_carried_whole() {
    let der = certificate(&[rdn(&[attribute(COMMON_NAME, "router")])], &["Router.CF.internal", "*.wild"]);
    let holder = PeerIdentity::from_der(&der).unwrap();
    for (name, carried) in [
        ("router.cf.internal", true),
        ("*.wild", true),
        ("a.wild", false),
        ("router", false),
        ("cf.internal", false),
        ("", false),
    ] {
        assert_eq!(holder.carries(name), carried, "{name}");
    }
}

/// What Envoy 1.40 answers to the same certificates, but for a wildcard that is a part of a label.
#[test]
fn a_list_of_names_lets_in_a_wildcard_for_one_label() {
    for (dns, name, let_in) in [
        ("*.service.cf.internal", "gorouter.service.cf.internal", true),
        ("*.SERVICE.cf.internal", "GoRouter.service.cf.INTERNAL", true),
        ("*.internal", "cf.internal", true),
        ("*.cf.internal", "*.cf.internal", true),
        ("*.cf.internal", "gorouter.service.cf.internal", false),
        ("*.service.cf.internal", "service.cf.internal", false),
        ("router.cf.internal", "*.cf.internal", false),
        ("g*.service.cf.internal", "gorouter.service.cf.internal", false),
        ("**.service.cf.internal", "gorouter.service.cf.internal", false),
        ("gorouter.*.cf.internal", "gorouter.service.cf.internal", false),
        ("*.*.cf.internal", "gorouter.service.cf.internal", false),
        ("*.gorouter", "gorouter", false),
        ("*", "gorouter", false),
        ("*.", "gorouter.", false),
        ("*", "", false),
    ] {
        let holder = PeerIdentity::from_der(&certificate(&[], &[dns])).unwrap();
        assert_eq!(AllowedName::from(name).is_carried_by(&holder), let_in, "{dns} as {name}");
        assert_eq!(holder.carries(name), dns == name, "{dns} as {name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn reading_random_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(PeerIdentity::from_der(&bytes).is_err());
    }

    #[test]
    fn reading_a_damaged_certificate_never_panics(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut der = diego(&["organization:o", "space:s", "app:a"]);
        for (place, byte) in &damage {
            let at = place.index(der.len());
            der[at] = *byte;
        }
        if let Some(cut) = cut {
            der.truncate(cut.index(der.len()));
        }
        if let Ok(holder) = PeerIdentity::from_der(&der) {
            // Whatever was read can be told.
            let _ = (holder.presented(), holder.instance_id().map(str::len), holder.carries("x"));
        }
    }

    #[test]
    fn a_name_of_any_text_can_be_expected(text in any::<String>()) {
        let name = trueroute_identity::ExpectedName::new(&text);
        prop_assert_eq!(name.as_str(), &text);
        prop_assert_eq!(name.to_string(), text.clone());
        prop_assert_eq!(&name, &trueroute_identity::ExpectedName::new(&text));
    }
}
