//! Domains with authorities of their own (`domains`).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use trueroute_identity::distinguished_name::fingerprint;
use trueroute_testkit::{
    client::Request,
    pki::{Authority, Leaf},
    tls::{ClientTls, Version},
};

use crate::scene::{Authorities, Doors, HOST, what_ends_the_start};

const XFCC: &str = "x-forwarded-client-cert";

/// A wildcard domain and one of a single name, each with an authority of its own.
struct World {
    authorities: Authorities,
    wild: Authority,
    solo: Authority,
}

impl World {
    fn new() -> Self {
        Self { authorities: Authorities::new(), wild: Authority::new("wild"), solo: Authority::new("solo") }
    }

    async fn open(&self, more: &Value) -> Doors {
        let mut wild = json!({"domain": "*.mtls.test", "ca_certs": self.wild.pem()});
        wild.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let solo = json!({"domain": "solo.test", "ca_certs": self.solo.pem()});
        let router = self.authorities.asking("request").set("domains", json!([wild, solo]));
        Doors::open(router.set("max_tls_version", "TLSv1.3")).await
    }

    fn asking_for(&self, name: &str, shown: Option<&Leaf>) -> ClientTls {
        shown.into_iter().fold(ClientTls::trusting_anyone(name), ClientTls::identity)
    }
}

/// The status that a host gets over a connection that asked for `name`; none where the connection is refused.
async fn status(doors: &Doors, tls: &ClientTls, host: &str) -> Option<u16> {
    let mut client = doors.over_tls(tls).await.ok()?;
    client.get(host, "/").await.ok().map(|answer| answer.status)
}

#[tokio::test]
async fn a_domains_clients_are_held_to_its_own_authorities() {
    let world = World::new();
    let doors = world.open(&json!({})).await;
    let issue = |authority: &Authority| authority.leaf().cn("client").issue();
    let (wild, solo, usual) = (issue(&world.wild), issue(&world.solo), issue(&world.authorities.clients));
    for (name, shown, expected) in [
        ("a.mtls.test", Some(&wild), Some(200)),
        ("A.MTLS.test", Some(&wild), Some(200)),
        ("a.mtls.test", Some(&solo), None),
        ("a.mtls.test", Some(&usual), None),
        ("a.mtls.test", None, None),
        ("solo.test", Some(&solo), Some(200)),
        ("solo.test", Some(&wild), None),
        ("solo.test", None, None),
        // A wildcard covers one label, so these are nobody's domain.
        ("deep.a.mtls.test", Some(&usual), Some(200)),
        ("deep.a.mtls.test", Some(&wild), None),
        ("deep.a.mtls.test", None, Some(200)),
        (HOST, Some(&usual), Some(200)),
        (HOST, Some(&wild), None),
        (HOST, None, Some(200)),
    ] {
        for version in [Version::Tls12, Version::Tls13] {
            let tls = world.asking_for(name, shown).only(version);
            let shows = shown.map(|leaf| leaf.cert_pem.len());
            assert_eq!(status(&doors, &tls, name).await, expected, "{name}, {shows:?}, {version:?}");
        }
    }
}

#[tokio::test]
async fn a_host_of_another_domain_than_the_handshakes_is_421() {
    let world = World::new();
    let doors = world.open(&json!({})).await;
    let wild = world.wild.leaf().cn("client").issue();
    let solo = world.solo.leaf().cn("client").issue();
    for (name, shown, host, expected) in [
        ("a.mtls.test", Some(&wild), "a.mtls.test", 200),
        ("a.mtls.test", Some(&wild), "A.mtls.TEST:443", 200),
        // The same authorities have been asked.
        ("a.mtls.test", Some(&wild), "b.mtls.test", 200),
        ("a.mtls.test", Some(&wild), "solo.test", 421),
        ("a.mtls.test", Some(&wild), "other.test", 421),
        ("a.mtls.test", Some(&wild), "deep.a.mtls.test", 421),
        ("solo.test", Some(&solo), "a.mtls.test", 421),
        (HOST, None, "a.mtls.test", 421),
        (HOST, None, "solo.test", 421),
        (HOST, None, "SOLO.test.", 421),
        (HOST, None, "other.test", 200),
        ("127.0.0.1", None, "a.mtls.test", 421),
        ("127.0.0.1", None, HOST, 200),
    ] {
        let before = doors.app.requests();
        assert_eq!(status(&doors, &world.asking_for(name, shown), host).await, Some(expected), "{name}: {host}");
        assert_eq!(doors.app.requests() - before, u64::from(expected == 200), "{name}: {host}");
    }
    // In plain nobody has proven anything.
    assert_eq!(doors.get("solo.test", "/").await.status, 421);
    assert_eq!(doors.get("other.test", "/").await.status, 200);
}

#[tokio::test]
async fn each_request_of_a_kept_connection_is_looked_at() {
    let world = World::new();
    let doors = world.open(&json!({})).await;
    let wild = world.wild.leaf().cn("client").issue();
    let mut client = doors.over_tls(&world.asking_for("a.mtls.test", Some(&wild))).await.unwrap();
    for (target, host, expected) in [
        ("/", "a.mtls.test", 200),
        ("/", "solo.test", 421),
        ("/", "b.mtls.test", 200),
        ("http://solo.test/", "a.mtls.test", 421),
        ("/", HOST, 421),
        ("/", "a.mtls.test", 200),
    ] {
        let answer = client.request(Request::new("GET", target).host(host)).await.unwrap();
        assert_eq!(answer.status, expected, "{target} {host}");
        if expected == 421 {
            assert_eq!((answer.text(), answer.reason.as_str()), ("", "Misdirected Request"));
            assert_eq!(answer.header("x-cf-routererror"), Some("misdirected_request"));
        }
    }
    let line = doors.access_log_line(" 421 0 0 ").await;
    assert!(line.starts_with("solo.test - "), "{line}");
    assert_eq!(doors.metric("rejected_requests").await, 3.0);
}

#[tokio::test]
async fn a_domain_tells_apps_in_its_own_way() {
    let world = World::new();
    let leaf = world.wild.leaf().ou("app:1").ou("space:2").cn("who, \"me\"").issue();
    let raw = BASE64_STANDARD.encode(&leaf.der);
    let hash = fingerprint(&leaf.der);
    let envoy = format!("Hash={hash};Subject=\"CN=who\\, \\\"me\\\",OU=app:1+OU=space:2\"");
    for (more, expected) in [
        (json!({}), raw.as_str()),
        (json!({"xfcc_format": "raw"}), &raw),
        (json!({"xfcc_format": "envoy"}), &envoy),
        (json!({"xfcc_format": "envoy", "forwarded_client_cert": "sanitize_set"}), &envoy),
        (json!({"xfcc_format": "envoy", "forwarded_client_cert": "forward"}), "spoof"),
        (json!({"forwarded_client_cert": "always_forward"}), "spoof"),
    ] {
        let doors = world.open(&more).await;
        let mut client = doors.over_tls(&world.asking_for("a.mtls.test", Some(&leaf))).await.unwrap();
        let request = Request::new("GET", "/").host("a.mtls.test").header(XFCC, "spoof");
        assert_eq!(client.request(request).await.unwrap().status, 200);
        assert_eq!(doors.app.last().unwrap().headers_named(XFCC), [expected], "{more}");
    }
}

#[tokio::test]
async fn a_session_of_one_domain_opens_no_other_door() {
    let world = World::new();
    let doors = world.open(&json!({})).await;
    let wild = world.wild.leaf().cn("client").issue();
    for version in [Version::Tls12, Version::Tls13] {
        let tls = world.asking_for("a.mtls.test", Some(&wild)).only(version).resuming();
        for round in [false, true] {
            let mut client = doors.over_tls(&tls).await.unwrap();
            assert_eq!(client.get("a.mtls.test", "/").await.unwrap().status, 200);
            assert_eq!(client.resumed(), round);
            assert_eq!(client.get("solo.test", "/").await.unwrap().status, 421);
        }
    }
}

#[test]
fn a_domain_that_cannot_be_used_keeps_the_router_from_starting() {
    let authorities = Authorities::new();
    let pem = authorities.clients.pem();
    for (domains, expected) in [
        (json!([{"domain": "*", "ca_certs": pem}]), "domains[0].domain: neither a name nor `*.` and a name"),
        (
            json!([{"domain": "a.b", "ca_certs": pem}, {"domain": "A.b", "ca_certs": pem}]),
            "domains[1].domain: stands there twice",
        ),
    ] {
        assert_eq!(what_ends_the_start(&authorities.router().set("domains", domains)), [expected]);
    }
}
