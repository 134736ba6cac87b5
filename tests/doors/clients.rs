//! Clients that prove who they are, do not, or cannot.

use trueroute::config;
use trueroute_testkit::{
    Client, Tempdir,
    pki::{Leaf, Purpose},
    tls::Version,
};

use crate::scene::{Authorities, Doors, HOST, what_ends_the_start};

/// Whether a client gets an answer, in either version.
async fn comes_in(doors: &Doors, authorities: &Authorities, shown: Option<&Leaf>) -> bool {
    let mut answers = Vec::new();
    for version in [Version::Tls12, Version::Tls13] {
        let tls = match shown {
            Some(leaf) => authorities.client_with(leaf),
            None => authorities.client(),
        };
        answers.push(doors.get_over_tls(&tls.only(version)).await.is_ok_and(|answer| answer.status == 200));
    }
    assert_eq!(answers[0], answers[1], "the versions differ");
    answers[0]
}

#[tokio::test]
async fn a_certificate_is_ignored_checked_or_demanded() {
    let authorities = Authorities::new();
    let good = authorities.clients.leaf().cn("client").issue();
    let below = authorities.clients.intermediate("below").leaf().cn("client").issue();
    let foreign = authorities.strangers.leaf().cn("client").issue();
    let expired = authorities.clients.leaf().cn("client").expired().issue();
    let early = authorities.clients.leaf().cn("client").not_yet_valid().issue();
    let for_servers = authorities.clients.leaf().cn("client").purposes(&[Purpose::ServerAuth]).issue();
    for (validation, cases) in [
        ("none", [true, true, true, true, true, true, true]),
        ("request", [true, true, true, false, false, false, false]),
        ("require", [false, true, true, false, false, false, false]),
    ] {
        let doors = Doors::open(authorities.asking(validation).set("max_tls_version", "TLSv1.3")).await;
        let shown = [None, Some(&good), Some(&below), Some(&foreign), Some(&expired), Some(&early), Some(&for_servers)];
        let names = ["no certificate", "good", "below", "foreign", "expired", "not yet valid", "for servers"];
        for ((shown, name), expected) in shown.into_iter().zip(names).zip(cases) {
            assert_eq!(comes_in(&doors, &authorities, shown).await, expected, "{validation}: {name}");
        }
        let let_in = cases.iter().filter(|expected| **expected).count() as u64 * 2;
        assert_eq!(doors.app.requests(), let_in, "{validation}");
    }
}

#[tokio::test]
async fn who_is_refused_is_told_why() {
    let authorities = Authorities::new();
    let foreign = authorities.strangers.leaf().cn("client").issue();
    let expired = authorities.clients.leaf().cn("client").expired().issue();
    let doors = Doors::open(authorities.asking("require")).await;
    for (shown, alert) in [(&foreign, "UnknownCA"), (&expired, "CertificateExpired")] {
        let error = doors.over_tls(&authorities.client_with(shown)).await.unwrap_err().to_string();
        assert!(error.contains(alert), "{error}");
    }
    assert!(doors.over_tls(&authorities.client()).await.is_err());
    doors.have_refused(3.0).await;
}

#[tokio::test]
async fn authorities_for_endpoints_do_not_count_for_clients() {
    let authorities = Authorities::new();
    let instances = |doors: &Doors| doors.scene.pki.instances.leaf().cn("instance").issue();
    let good = authorities.clients.leaf().cn("client").issue();
    for only in [true, false] {
        let doors = Doors::open(authorities.asking("require").set("only_trust_client_ca_certs", only)).await;
        let other = instances(&doors);
        assert!(doors.get_over_tls(&authorities.client_with(&good)).await.is_ok(), "{only}");
        assert!(doors.get_over_tls(&authorities.client_with(&other)).await.is_err(), "{only}");
    }
    // Without a list of its own the system's authorities are all that count.
    let doors = Doors::open(authorities.router().set("client_cert_validation", "require")).await;
    assert!(doors.get_over_tls(&authorities.client_with(&good)).await.is_err());
    let nobody = authorities.router().set("client_cert_validation", "request").set("only_trust_client_ca_certs", true);
    let error = config::parse(&nobody.yml()).unwrap_err().to_string();
    assert!(error.starts_with("only_trust_client_ca_certs: needs client_ca_certs"), "{error}");
}

#[tokio::test]
async fn the_systems_authorities_count_unless_only_the_list_does() {
    let authorities = Authorities::new();
    let dir = Tempdir::new().unwrap();
    let system = dir.path().join("system.pem");
    std::fs::write(&system, authorities.strangers.pem()).unwrap();
    let listed = authorities.clients.leaf().cn("listed").issue();
    let known = authorities.strangers.leaf().cn("known to the system").issue();
    for only in [false, true] {
        let router = authorities.asking("require").set("only_trust_client_ca_certs", only);
        let router = router.env("SSL_CERT_FILE", system.to_str().unwrap()).spawn().await;
        for (leaf, expected) in [(&listed, true), (&known, !only)] {
            let tls = authorities.client_with(leaf);
            let answered = match Client::connect_tls(router.https(), &tls).await {
                Ok(mut client) => client.get(HOST, "/").await.is_ok_and(|answer| answer.status == 404),
                Err(_) => false,
            };
            assert_eq!(answered, expected, "{only}");
        }
    }
}

#[tokio::test]
async fn a_client_that_is_listed_itself_comes_in() {
    let authorities = Authorities::new();
    // Marked as an authority, as hand-made certificates are.
    let listed = authorities.strangers.leaf().cn("hand-made").is_ca().issue();
    let router = authorities.asking("require").set("client_ca_certs", listed.cert_pem.clone());
    let doors = Doors::open(router).await;
    assert_eq!(doors.get_over_tls(&authorities.client_with(&listed)).await.unwrap().status, 200);
    let unlisted = authorities.strangers.leaf().cn("hand-made").is_ca().issue();
    assert!(doors.get_over_tls(&authorities.client_with(&unlisted)).await.is_err());
    let for_servers = authorities.strangers.leaf().cn("s").is_ca().purposes(&[Purpose::ServerAuth]).issue();
    let doors = Doors::open(authorities.asking("require").set("client_ca_certs", for_servers.cert_pem.clone())).await;
    assert!(doors.get_over_tls(&authorities.client_with(&for_servers)).await.is_err());
}

#[tokio::test]
async fn a_client_that_shows_nothing_may_resume_where_nothing_is_demanded() {
    let authorities = Authorities::new();
    for (validation, version) in [("none", Version::Tls12), ("request", Version::Tls12), ("request", Version::Tls13)] {
        let doors = Doors::open(authorities.asking(validation).set("max_tls_version", "TLSv1.3")).await;
        let tls = authorities.client().only(version).resuming();
        for round in [false, true] {
            let mut client = doors.over_tls(&tls).await.unwrap();
            assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
            assert_eq!(client.resumed(), round, "{validation} {version:?}");
        }
    }
}

#[tokio::test]
async fn an_unusable_list_of_authorities_keeps_the_router_from_starting() {
    let authorities = Authorities::new();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let errors = what_ends_the_start(&authorities.asking("require").set("client_ca_certs", broken));
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("client_ca_certs: block 1 is not a certificate"), "{errors:?}");
}
