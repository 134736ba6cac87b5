//! Which certificate carries which name: the edge cases in which a homemade comparison goes wrong.

use std::{net::Ipv4Addr, time::SystemTime};

use rcgen::SanType;
use rustls::version::{TLS12, TLS13};
use trueroute_identity::{Dialer, ExpectedName, Refusal, dial::DialerSettings};

use crate::support::*;

enum Verdict {
    Carried,
    /// The text that an operator reads after `x509: `.
    Refused(&'static str),
}
use Verdict::{Carried, Refused};

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[tokio::test]
async fn a_name_is_carried_by_a_dns_san_and_by_nothing_else() {
    let ca = Ca::new("instance-ca");
    let dialer = dialer(trust_in(&ca));
    let local = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
    let cases = [
        ("exact", Leaf::bare("x").dns(INSTANCE), Carried),
        ("upper case", Leaf::bare("x").dns(&INSTANCE.to_uppercase()), Carried),
        ("third of three", Leaf::bare("x").dns("a").dns("b.c").dns(INSTANCE), Carried),
        ("*", Leaf::bare("x").dns("*"), Refused("certificate is valid for *, not")),
        ("*.", Leaf::bare("x").dns("*."), Refused("certificate is valid for *., not")),
        (
            "a wildcard and no more",
            Leaf::bare("x").dns("*.cf.internal"),
            Refused("certificate is valid for *.cf.internal, not"),
        ),
        ("partial wildcard", Leaf::bare("x").dns("8f0b*"), Refused("certificate is valid for 8f0b*, not")),
        (
            "trailing dot",
            Leaf::bare("x").dns("8f0b0f4e-5c1d-4f3e-7a55-1b2c."),
            Refused("certificate is valid for 8f0b0f4e-5c1d-4f3e-7a55-1b2c., not"),
        ),
        (
            "common name only",
            Leaf::bare(INSTANCE),
            Refused("certificate relies on legacy Common Name field, use SANs instead"),
        ),
        (
            "common name and IP SAN",
            Leaf::bare(INSTANCE).san(local),
            Refused("certificate is not valid for any names, but wanted to match"),
        ),
        (
            "URI SAN",
            Leaf::bare("x").san(uri(INSTANCE)),
            Refused("certificate is not valid for any names, but wanted to match"),
        ),
        (
            "e-mail SAN",
            Leaf::bare("x").san(SanType::Rfc822Name(INSTANCE.try_into().unwrap())),
            Refused("certificate is not valid for any names, but wanted to match"),
        ),
        (
            "NUL and more",
            Leaf::bare("x").raw_dns(b"8f0b0f4e-5c1d-4f3e-7a55-1b2c\0.evil"),
            Refused("certificate is valid for 8f0b0f4e-5c1d-4f3e-7a55-1b2c\\u{0}.evil, not"),
        ),
        (
            "a domain below it",
            Leaf::bare("x").dns("8f0b0f4e-5c1d-4f3e-7a55-1b2c.apps.internal"),
            Refused("certificate is valid for 8f0b0f4e-5c1d-4f3e-7a55-1b2c.apps.internal, not"),
        ),
        ("empty, as while draining", Leaf::bare("").raw_dns(b""), Refused("certificate is not valid for any names")),
    ];
    for (case, leaf, verdict) in cases {
        let met = dial(&dialer, &ca.issue(leaf), INSTANCE).await;
        match (verdict, met) {
            (Carried, Ok(_)) => {}
            (Refused(text), Err(refusal @ Refusal::WrongIdentity { .. })) => {
                let told = refusal.to_string();
                assert!(told.contains(&format!("x509: {text}")), "{case}: {told}");
            }
            (_, met) => panic!("{case}: {met:?}"),
        }
    }
}

#[tokio::test]
async fn a_name_that_is_no_dns_name_is_compared_whole_and_sent_nowhere() {
    let ca = Ca::new("instance-ca");
    let dialer = dialer(trust_in(&ca));
    let long = "a".repeat(64);
    for (expected, presented, carried) in [
        ("12345678", "12345678", true),
        ("AB.12345678", "ab.12345678", true),
        ("12345678", "12345679", false),
        ("a.12345678", "*.12345678", false),
        (long.as_str(), long.as_str(), true),
        ("", "x", false),
    ] {
        let issued = ca.issue(Leaf::bare("x").dns(presented));
        let server = TlsServer::new(&issued).serve(async |tls| tls.get_ref().1.server_name().map(str::to_owned)).await;
        let name = ExpectedName::new(expected);
        let met = dialer.secure(server.connect().await, &name).await;
        assert_eq!(met.is_ok(), carried, "{expected:?} by {presented:?}: {met:?}");
        if let Ok(mut secured) = met {
            tokio::io::AsyncWriteExt::flush(&mut secured).await.unwrap();
            assert_eq!(server.outcome().await.unwrap(), None, "{expected:?} went out as SNI");
        }
    }
}

#[tokio::test]
async fn an_address_is_carried_by_an_ip_san() {
    let ca = Ca::new("instance-ca");
    let dialer = dialer(trust_in(&ca));
    let address = |text: &str| SanType::IpAddress(text.parse().unwrap());
    for (expected, leaf, verdict) in [
        ("10.0.1.2", Leaf::bare("x").san(address("10.0.1.2")), Carried),
        ("[fd00::1]", Leaf::bare("x").san(address("fd00::1")), Carried),
        (
            "10.0.1.2",
            Leaf::bare("x").san(address("10.0.1.3")),
            Refused("certificate is valid for 10.0.1.3, not 10.0.1.2"),
        ),
        (
            "10.0.1.2",
            Leaf::bare("x").dns("10.0.1.2"),
            Refused("cannot validate certificate for 10.0.1.2 because it doesn't contain any IP SANs"),
        ),
    ] {
        match (verdict, dial(&dialer, &ca.issue(leaf), expected).await) {
            (Carried, Ok(_)) => {}
            (Refused(text), Err(refusal @ Refusal::WrongIdentity { .. })) => {
                assert_eq!(refusal.to_string(), format!("tls: failed to verify certificate: x509: {text}"));
            }
            (_, met) => panic!("{expected}: {met:?}"),
        }
    }
}

/// An operator may ask for it; who holds the key is proven all the same.
#[tokio::test]
async fn who_believes_anyone_asks_for_the_key_of_the_certificate_and_for_nothing_else() {
    let (ca, others) = (Ca::new("instance-ca"), Ca::new("other-ca"));
    let settings = DialerSettings { believes_anyone: true, ..DialerSettings::default() };
    let dialer = Dialer::new(trust_in(&ca), None, settings).unwrap();
    let name = ExpectedName::new(INSTANCE);
    let stranger = others.issue(Leaf::of("stranger").valid(-9, -1));
    for version in [&TLS12, &TLS13] {
        let server = TlsServer::speaking(&stranger, version).start().await;
        let secured = dialer.secure(server.connect().await, &name).await.unwrap();
        assert!(secured.certificate_ends() > SystemTime::now(), "it would be let go at once");
        let liar = TlsServer::lying(&ca.issue(Leaf::of(INSTANCE)), &stranger, version).start().await;
        assert!(dialer.secure(liar.connect().await, &name).await.is_err(), "{version:?}");
    }
}
