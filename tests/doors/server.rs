//! What clients are shown and spoken to: certificates, versions, suites, protocols.

use serde_json::json;
use trueroute::config;
use trueroute_testkit::{
    Client,
    pki::{Authority, KeyKind},
    tls::{ClientTls, Version},
};

use crate::scene::{Authorities, Doors, HOST, SUITES, pem, what_ends_the_start};

#[tokio::test]
async fn the_certificate_is_the_one_for_the_name_or_its_wildcard_or_the_first() {
    let authority = Authority::new("servers");
    let first = authority.server(&["first.test"]).issue();
    let wild = authority.server(&["*.wild.test"]).issue();
    let exact = authority.server(&["exact.wild.test", "other.test"]).issue();
    let nameless = authority.leaf().cn("common.test").issue();
    let named = authority.leaf().cn("not-this.test").dns("san.test").issue();
    let shown = [&first, &wild, &exact, &nameless, &named].map(pem);
    let doors = Doors::open(Authorities::new().router().set("tls_pem", json!(shown))).await;
    for (name, leaf) in [
        ("first.test", &first),
        ("exact.wild.test", &exact),
        ("EXACT.wild.TEST", &exact),
        ("other.test", &exact),
        ("any.wild.test", &wild),
        ("two.any.wild.test", &first),
        ("wild.test", &first),
        ("common.test", &nameless),
        ("san.test", &named),
        ("not-this.test", &first),
        ("unknown.test", &first),
        // An address is sent without a name.
        ("127.0.0.1", &first),
    ] {
        let client = doors.over_tls(&ClientTls::trusting_anyone(name)).await.unwrap();
        assert!(client.peer_certificate() == Some(&*leaf.der), "{name}");
    }
}

#[tokio::test]
async fn versions_are_those_of_the_bounds_and_1_2_alone_unless_set() {
    use Version::{Tls12, Tls13};
    let authorities = Authorities::new();
    for (min, max, spoken) in [
        (None, None, &[Tls12][..]),
        (Some("TLSv1.0"), None, &[Tls12]),
        (Some("TLSv1.2"), Some("TLSv1.3"), &[Tls12, Tls13]),
        (Some("TLSv1.3"), Some("TLSv1.3"), &[Tls13]),
    ] {
        let mut router = authorities.router();
        for (key, value) in [("min_tls_version", min), ("max_tls_version", max)] {
            if let Some(value) = value {
                router = router.set(key, value);
            }
        }
        let doors = Doors::open(router).await;
        for version in [Tls12, Tls13] {
            let client = doors.over_tls(&authorities.client().only(version)).await;
            let expected = spoken.contains(&version).then_some(version);
            assert_eq!(client.ok().and_then(|client| client.version()), expected, "{min:?} {max:?}");
        }
    }
}

#[tokio::test]
async fn only_listed_suites_are_offered_and_what_cannot_be_is_warned_of() {
    let authorities = Authorities::new();
    let suites = "RC4-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256";
    let router = authorities.router().set("cipher_suites", suites);
    let warnings = config::parse(&router.yml()).unwrap().warnings;
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["cipher_suites: left out, as they cannot be offered: RC4-SHA:ECDHE-RSA-AES128-SHA"]);
    // The certificate's key is of the other kind: no suite of the list fits it.
    let doors = Doors::open(router).await;
    assert!(doors.over_tls(&authorities.client()).await.is_err());
    let rsa = authorities.servers.server(&[HOST]).key(KeyKind::Rsa2048).issue();
    let doors = Doors::open(authorities.router().set("cipher_suites", suites).set("tls_pem", json!([pem(&rsa)]))).await;
    assert_eq!(doors.get_over_tls(&authorities.client()).await.unwrap().status, 200);
    // Nothing usable left is an error.
    let error = config::parse(&authorities.router().set("cipher_suites", "RC4-SHA").yml()).unwrap_err().to_string();
    assert!(error.starts_with("cipher_suites: no usable cipher suite is left of `RC4-SHA`"), "{error}");
}

#[tokio::test]
async fn without_http2_no_protocol_is_agreed_upon() {
    let authorities = Authorities::new();
    let doors = Doors::open(authorities.router().set("enable_http2", false)).await;
    for offered in [&[][..], &["http/1.1"], &["h2", "http/1.1"], &["h2"], &["else"]] {
        let client = doors.over_tls(&authorities.client().alpn(offered)).await.unwrap();
        assert_eq!(client.alpn(), None, "{offered:?}");
    }
    assert_eq!(doors.get_over_tls(&authorities.client().alpn(&["http/1.1"])).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_plain_request_at_the_tls_door_is_told_so() {
    let authorities = Authorities::new();
    let doors = Doors::open(authorities.router()).await;
    let answer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let long = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    for request in
        ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n", "G", "OPTIONS * HTTP/1.1\r\n", &long]
    {
        let mut client = Client::connect(doors.https()).await.unwrap();
        client.send_raw(request).await.unwrap();
        client.finish().await.unwrap();
        assert_eq!(String::from_utf8(client.reader.to_end().await.unwrap()).unwrap(), answer, "{request:.20}");
    }
    // What is neither is no more than closed, and the door stays open for others.
    let mut client = Client::connect(doors.https()).await.unwrap();
    client.send_raw("hello there, this is no TLS").await.unwrap();
    let words = client.reader.to_end().await.unwrap_or_default();
    assert!(!words.starts_with(b"HTTP"), "{words:?}");
    assert_eq!(doors.get_over_tls(&authorities.client()).await.unwrap().status, 200);
    assert_eq!(doors.app.requests(), 1);
    doors.have_refused(6.0).await;
}

#[tokio::test]
async fn without_the_plain_door_the_tls_door_is_the_only_one() {
    let authorities = Authorities::new();
    let doors = Doors::open(authorities.router().set("disable_http", true)).await;
    assert_eq!(doors.http, None);
    assert_eq!(doors.get_over_tls(&authorities.client()).await.unwrap().status, 200);
    let error = config::parse("disable_http: true").unwrap_err().to_string();
    assert!(error.starts_with("disable_http"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_keeps_the_router_from_starting() {
    let authorities = Authorities::new();
    let (one, other) = (authorities.servers.server(&["a"]).issue(), authorities.servers.server(&["b"]).issue());
    let mixed = json!([pem(&one), {"cert_chain": one.chain_pem, "private_key": other.key_pem}]);
    let errors = what_ends_the_start(&authorities.router().set("tls_pem", mixed).set("cipher_suites", SUITES));
    assert_eq!(errors, ["tls_pem[1]: the private key does not belong to the certificate"]);
}
