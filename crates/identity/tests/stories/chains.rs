//! Which chain leads to our trust, and in which words it is refused.

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use trueroute_identity::{Refusal, refusal::Untrusted};

use crate::support::*;

#[tokio::test]
async fn a_chain_leads_to_our_trust_or_is_refused_in_gos_words() {
    let (ca, stranger, namesake) = (Ca::new("instance-ca"), Ca::new("other-ca"), Ca::new("instance-ca"));
    let below = ca.intermediate("below");
    let dialer = dialer(trust_in(&ca));
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    let out_of_date =
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time ";
    let cases = [
        ("good", ca.issue(Leaf::of(INSTANCE)), ""),
        ("server only", ca.issue(Leaf::of(INSTANCE).usage(&[ServerAuth])), ""),
        ("no usage", ca.issue(Leaf::of(INSTANCE).usage(&[])), ""),
        ("intermediate shown", below.issue(Leaf::of(INSTANCE)).with(&below), ""),
        ("intermediate missing", below.issue(Leaf::of(INSTANCE)), unknown),
        ("another CA", stranger.issue(Leaf::of(INSTANCE)), unknown),
        ("self-signed", Leaf::of(INSTANCE).self_signed(), unknown),
        (
            "another CA of the same name",
            namesake.issue(Leaf::of(INSTANCE)),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of \
             \"x509: ECDSA verification failure\" while trying to verify candidate authority certificate \
             \"instance-ca\")",
        ),
        ("expired", ca.issue(Leaf::of(INSTANCE).valid(-9, -1)), out_of_date),
        ("not yet valid", ca.issue(Leaf::of(INSTANCE).valid(1, 9)), out_of_date),
        (
            "client only",
            ca.issue(Leaf::of(INSTANCE).usage(&[ClientAuth])),
            "tls: failed to verify certificate: x509: certificate specifies an incompatible key usage",
        ),
    ];
    for (case, issued, text) in cases {
        match dial(&dialer, &issued, INSTANCE).await {
            Ok(_) => assert_eq!(text, "", "{case} was accepted"),
            Err(refusal) if text == out_of_date => {
                assert!(matches!(refusal, Refusal::Expired { .. }), "{case}: {refusal:?}");
                assert!(refusal.to_string().starts_with(text), "{case}: {refusal}");
            }
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Untrusted(_)), "{case}: {refusal:?}");
                assert_eq!(refusal.to_string(), text, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn dates_come_before_the_name_and_the_name_before_the_chain() {
    let (ca, stranger) = (Ca::new("instance-ca"), Ca::new("other-ca"));
    let dialer = dialer(trust_in(&ca));
    let stale = stranger.issue(Leaf::of("another").valid(-9, -1));
    assert!(matches!(dial(&dialer, &stale, INSTANCE).await, Err(Refusal::Expired { .. })));
    let foreign = stranger.issue(Leaf::of("another"));
    assert!(matches!(dial(&dialer, &foreign, INSTANCE).await, Err(Refusal::WrongIdentity { .. })));
}

#[tokio::test]
async fn an_authority_that_serves_is_taken_if_it_is_the_very_one_we_trust() {
    let served = Leaf::of("nfs.service.internal").made_ca().self_signed();
    let trusting = |pem: &str| {
        let source = trueroute_identity::trust::Source { name: "ca_certs", pem };
        dialer(trueroute_identity::Trust::new(&[source], false).unwrap())
    };
    let dialer = trusting(&served.pem);
    assert!(dial(&dialer, &served, "nfs.service.internal").await.is_ok());
    assert!(matches!(dial(&dialer, &served, "other").await, Err(Refusal::WrongIdentity { .. })));

    let no_server = Leaf::of("a").made_ca().usage(&[ClientAuth]).self_signed();
    assert!(matches!(dial(&trusting(&no_server.pem), &no_server, "a").await, Err(Refusal::Untrusted(_))));
    let expired = Leaf::of("a").made_ca().valid(-9, -1).self_signed();
    assert!(matches!(dial(&trusting(&expired.pem), &expired, "a").await, Err(Refusal::Expired { .. })));
    let lookalike = Leaf::of("nfs.service.internal").made_ca().self_signed();
    assert!(matches!(dial(&dialer, &lookalike, "nfs.service.internal").await, Err(Refusal::Untrusted(_))));
}

#[tokio::test]
async fn an_expired_issuer_in_the_chain_is_refused() {
    let ca = Ca::new("root");
    let dialer = dialer(trust_in(&ca));
    let expired = ca.issue(Leaf::of("below").made_ca().valid(-9, -1));
    // The chain shows an expired authority that did not even sign the leaf: still no way to our trust.
    let mut issued = Ca::new("below").issue(Leaf::of(INSTANCE));
    issued.chain.extend(expired.chain);
    assert!(matches!(
        dial(&dialer, &issued, INSTANCE).await,
        Err(Refusal::Untrusted(Untrusted::UnknownAuthority(_) | Untrusted::ExpiredIssuer))
    ));
}

#[tokio::test]
async fn whoever_trusts_nobody_refuses_everybody() {
    let ca = Ca::new("instance-ca");
    let nobody = trueroute_identity::Trust::new(&[], false).unwrap();
    assert!(nobody.is_empty());
    let met = dial(&dialer(nobody), &ca.issue(Leaf::of(INSTANCE)), INSTANCE).await;
    assert!(matches!(met, Err(Refusal::Untrusted(Untrusted::UnknownAuthority(None)))), "{met:?}");
}
