//! Rules about the subjects of clients' certificates (`verify_client_certificate_metadata`).

use std::{
    sync::Mutex,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use trueroute_testkit::{
    eventually,
    pki::{Authority, Leaf},
    tls::Version,
};

use crate::{
    scene::{Authorities, Doors, HOST, what_ends_the_start},
    support::{PATIENCE, RouterBuilder},
};

fn ruled(router: RouterBuilder, rules: &Value) -> RouterBuilder {
    let router = router.set("enable_verify_client_certificate_metadata", true).set("max_tls_version", "TLSv1.3");
    router.set("verify_client_certificate_metadata", rules.clone())
}

async fn comes_in(doors: &Doors, authorities: &Authorities, leaf: &Leaf) -> bool {
    let mut answers = Vec::new();
    for version in [Version::Tls12, Version::Tls13] {
        answers.push(doors.get_over_tls(&authorities.client_with(leaf).only(version)).await.is_ok());
    }
    assert_eq!(answers[0], answers[1], "the versions differ");
    answers[0]
}

#[tokio::test]
async fn below_an_authority_with_a_rule_only_the_listed_subjects_come_in() {
    let authorities = Authorities::new();
    let free = Authority::new("free");
    let rules = json!([{
        "issuer_in_chain": {"common_name": "clients"},
        "valid_cert_subjects": [{"common_name": "one"}, {"common_name": "two", "organizational_unit": ["x", "y"]}],
    }]);
    let router =
        authorities.asking("request").set("client_ca_certs", authorities.clients.pem().to_owned() + free.pem());
    let doors = Doors::open(ruled(router, &rules)).await;
    let leaf = |authority: &Authority| authority.leaf();
    let clients = &authorities.clients;
    let below = clients.intermediate("below");
    for (name, leaf, expected) in [
        ("listed", leaf(clients).cn("one"), true),
        ("listed with units", leaf(clients).cn("two").ou("x").ou("y"), true),
        ("listed, below an intermediate", leaf(&below).cn("one"), true),
        ("not listed", leaf(clients).cn("three"), false),
        ("not listed, below an intermediate", leaf(&below).cn("three"), false),
        ("more than listed", leaf(clients).cn("one").ou("x"), false),
        ("less than listed", leaf(clients).cn("two").ou("x"), false),
        ("other letters", leaf(clients).cn("One"), false),
        ("nothing", leaf(clients).dns("one"), false),
        ("another authority, which has no rule", leaf(&free).cn("three"), true),
    ] {
        assert_eq!(comes_in(&doors, &authorities, &leaf.issue()).await, expected, "{name}");
    }
    assert!(doors.get_over_tls(&authorities.client()).await.is_ok());
    doors.log_line("invalid-subject", "CN=three").await;
    doors.log_line("client-turned-away", "NotValidForName").await;

    // Without the switch the rules are not in force.
    let off = ruled(authorities.asking("require"), &rules).set("enable_verify_client_certificate_metadata", false);
    let doors = Doors::open(off).await;
    assert!(comes_in(&doors, &authorities, &authorities.clients.leaf().cn("three").issue()).await);
}

#[tokio::test]
async fn every_rule_whose_authority_is_in_the_chain_must_hold() {
    let authorities = Authorities::new();
    let below = authorities.clients.intermediate("below");
    let rules = json!([
        {"issuer_in_chain": {"common_name": "clients"}, "valid_cert_subjects": [{"common_name": "a"}, {"common_name": "b"}]},
        {"issuer_in_chain": {"common_name": "below"}, "valid_cert_subjects": [{"common_name": "b"}, {"common_name": "c"}]},
    ]);
    // Both are trusted, so that a leaf below leads to trust in two ways: the short one must not hide the long one.
    let router = authorities.asking("require");
    let router = router.set("client_ca_certs", authorities.clients.pem().to_owned() + below.pem());
    let doors = Doors::open(ruled(router, &rules)).await;
    for (name, expected) in [("a", false), ("b", true), ("c", false)] {
        let leaf = below.leaf().cn(name).issue();
        assert_eq!(comes_in(&doors, &authorities, &leaf).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_resumed_session_is_held_to_what_its_certificate_says() {
    let authorities = Authorities::new();
    let rules = json!([{
        "issuer_in_chain": {"common_name": "clients"}, "valid_cert_subjects": [{"common_name": "one"}],
    }]);
    let doors = Doors::open(ruled(authorities.asking("require"), &rules)).await;
    let outlive = async |version| {
        let soon = SystemTime::now() + Duration::from_secs(3);
        let brief = authorities.clients.leaf().cn("one").not_after(soon).issue();
        let tls = authorities.client_with(&brief).only(version).resuming();
        for round in [false, true] {
            let mut client = doors.over_tls(&tls).await.unwrap();
            assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
            assert_eq!(client.resumed(), round, "{version:?}");
        }
        // The certificate runs out while the session lives on.
        let refused = Mutex::new(String::new());
        eventually(PATIENCE, async || match doors.get_over_tls(&tls).await {
            Ok(_) => false,
            Err(error) => {
                *refused.lock().unwrap() = error.to_string();
                true
            }
        })
        .await;
        // A handshake of its own would have been told so by an alert.
        let refused = refused.into_inner().unwrap();
        assert!(!refused.contains("CertificateExpired"), "{version:?}: {refused}");
    };
    tokio::join!(outlive(Version::Tls12), outlive(Version::Tls13));
}

#[tokio::test]
async fn a_rule_about_an_authority_that_is_not_listed_keeps_the_router_from_starting() {
    let authorities = Authorities::new();
    let rules = json!([
        {"issuer_in_chain": {"common_name": "clients"}, "valid_cert_subjects": []},
        {"issuer_in_chain": {"common_name": "nobody", "country": ["X"]}, "valid_cert_subjects": []},
    ]);
    for validation in ["none", "request", "require"] {
        let errors = what_ends_the_start(&ruled(authorities.asking(validation), &rules));
        let expected = "verify_client_certificate_metadata[1].issuer_in_chain: no certificate of client_ca_certs has \
                        the subject \"CN=nobody,C=X\"";
        assert_eq!(errors, [expected]);
    }
}
