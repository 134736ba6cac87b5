//! What holds at the doors holds for HTTP/2 too.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use serde_json::json;
use trueroute_testkit::{
    client_h2::{Client, get},
    pki::Authority,
    tls::ClientTls,
};

use crate::scene::{Authorities, Doors, HOST};

const XFCC: &str = "x-forwarded-client-cert";

#[tokio::test]
async fn the_protocol_is_the_best_that_both_offer_or_there_is_no_connection() {
    let authorities = Authorities::new();
    let doors = Doors::open(authorities.router()).await;
    for (offered, agreed) in [
        (&[][..], Some(None)),
        (&["http/1.1"], Some(Some(&b"http/1.1"[..]))),
        (&["http/1.1", "h2"], Some(Some(b"h2"))),
        (&["h2"], Some(Some(b"h2"))),
        (&["h3", "else"], None),
    ] {
        match doors.over_tls(&authorities.client().alpn(offered)).await {
            Ok(client) => assert_eq!(Some(client.alpn()), agreed, "{offered:?}"),
            Err(error) => {
                assert_eq!(agreed, None, "{offered:?}: {error}");
                assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
            }
        }
    }
    assert_eq!(doors.get_over_tls(&authorities.client()).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_app_is_told_the_certificate_and_nothing_that_the_client_made_up() {
    let authorities = Authorities::new();
    let leaf = authorities.clients.leaf().cn("client").issue();
    let doors = Doors::open(authorities.asking("request").set("forwarded_client_cert", "sanitize_set")).await;
    let ours = BASE64_STANDARD.encode(&leaf.der);
    for (tls, told) in [(authorities.client_with(&leaf), vec![ours.as_str()]), (authorities.client(), vec![])] {
        let client = Client::connect(doors.https(), &tls.alpn(&["h2"])).await.unwrap();
        let mut request = get(HOST, "/");
        for name in [XFCC, "x_forwarded_client_cert"] {
            request.headers_mut().append(name, HeaderValue::from_static("spoof"));
            request.headers_mut().append(name, HeaderValue::from_static("spoof twice"));
        }
        assert_eq!(client.ask(request).await.unwrap().status, 200);
        let got = doors.app.last().unwrap();
        assert_eq!((got.headers_named(XFCC), got.headers_named("x_forwarded_client_cert")), (told, vec![]));
    }
}

#[tokio::test]
async fn each_stream_is_held_to_the_domain_of_the_handshake() {
    let (authorities, wild) = (Authorities::new(), Authority::new("wild"));
    let domains = json!([{"domain": "*.mtls.test", "ca_certs": wild.pem()}]);
    let doors = Doors::open(authorities.router().set("domains", domains)).await;
    let leaf = wild.leaf().cn("client").issue();
    for (name, shown, cases) in [
        ("a.mtls.test", Some(&leaf), [("a.mtls.test", 200), (HOST, 421), ("b.mtls.test", 200)]),
        (HOST, None, [(HOST, 200), ("a.mtls.test", 421), ("other.test", 200)]),
    ] {
        let tls = shown.into_iter().fold(ClientTls::trusting_anyone(name), ClientTls::identity).alpn(&["h2"]);
        let client = Client::connect(doors.https(), &tls).await.unwrap();
        for (host, status) in cases {
            let answer = client.get(host, "/").await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{name}: {host}");
            assert!(status == 200 || answer.text().is_empty());
        }
    }
}
