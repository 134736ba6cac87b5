//! What apps are told about clients' certificates: `X-Forwarded-Client-Cert`.

use std::time::SystemTime;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use trueroute::route_service::Keys;
use trueroute_testkit::{
    App, Client, Registration,
    app::Reply,
    client::Request,
    eventually,
    tls::{ClientTls, Version},
};

use crate::{
    scene::{Authorities, Doors, HOST},
    support::{PATIENCE, RouterBuilder},
};

const NAME: &str = "x-forwarded-client-cert";

/// What a client says who would like to be somebody else.
const SPOOFED: [(&str, &str); 4] = [
    ("X-Forwarded-Client-Cert", "spoof"),
    ("X-Forwarded-Client-Cert", "spoof twice"),
    ("X_Forwarded_Client_Cert", "spoof"),
    ("x-forwarded_client-CERT", "spoof"),
];

/// Every field that an app may take for the certificate, as it got it.
fn told(app: &App) -> Vec<(String, String)> {
    let got = app.last().unwrap();
    let spelled = |(name, _): &&(String, String)| name.to_ascii_lowercase().replace('_', "-") == NAME;
    let mut told: Vec<_> = got.headers.iter().filter(spelled).cloned().collect();
    told.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    told
}

fn spoofed() -> Vec<(String, String)> {
    SPOOFED.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect()
}

/// The three doors, and who comes in by them.
enum Came<'a> {
    Plain,
    Tls(&'a ClientTls),
}

#[tokio::test]
async fn each_mode_tells_apps_what_it_promises() {
    let authorities = Authorities::new();
    let leaf = authorities.clients.leaf().cn("client").issue();
    let ours = [(NAME.to_owned(), BASE64_STANDARD.encode(&leaf.der))];
    let (without, with) = (authorities.client(), authorities.client_with(&leaf));
    for mode in [None, Some("always_forward"), Some("forward"), Some("sanitize_set")] {
        let set = |router: RouterBuilder| match mode {
            Some(mode) => router.set("forwarded_client_cert", mode),
            None => router,
        };
        let tls = Doors::open(set(authorities.router())).await;
        let mtls = Doors::open(set(authorities.asking("request"))).await;
        for (door, came, proven) in [
            (&tls, Came::Plain, false),
            (&tls, Came::Tls(&without), false),
            // Nobody asks for it, so it is not shown.
            (&tls, Came::Tls(&with), false),
            (&mtls, Came::Plain, false),
            (&mtls, Came::Tls(&without), false),
            (&mtls, Came::Tls(&with), true),
        ] {
            for spoofs in [false, true] {
                let fields = if spoofs { &SPOOFED[..] } else { &[] };
                let over = match came {
                    Came::Plain => None,
                    Came::Tls(tls) => Some(tls),
                };
                assert_eq!(door.ask_with(over, fields).await.status, 200);
                let said = if spoofs { spoofed() } else { Vec::new() };
                let expected = match (mode, proven) {
                    (None | Some("always_forward"), _) | (Some("forward"), true) => said,
                    (Some("sanitize_set"), true) => ours.to_vec(),
                    _ => Vec::new(),
                };
                assert_eq!(told(&door.app), expected, "{mode:?}, proven: {proven}, spoofs: {spoofs}");
            }
        }
    }
}

/// A request that comes back from a route service shows the service's certificate, if any; what stands in the field was
/// written when it first came. So it stays where the service came in over TLS, and nobody can have put it there since.
#[tokio::test]
async fn what_was_said_before_a_route_service_is_told_by_how_the_request_comes_back() {
    const SECRET: &str = "the routers' secret";
    let url = format!("http://{HOST}/");
    let authorities = Authorities::new();
    let signed = Keys::derive(SECRET, None).sign(url.clone(), SystemTime::now(), [1; 12]).unwrap();
    for (mode, by_http, by_https) in
        [("always_forward", true, true), ("forward", false, false), ("sanitize_set", false, true)]
    {
        let router = authorities.router().set("forwarded_client_cert", mode).set("route_services_secret", SECRET);
        let doors = Doors::open(router).await;
        let bound = Registration::plain(doors.app.addr()).uri("bound.example.com").route_service("https://rs.example");
        doors.register(&bound).await;
        let bound_url = "http://bound.example.com/";
        let ours = Keys::derive(SECRET, None).sign(bound_url.into(), SystemTime::now(), [2; 12]).unwrap();
        for (signed, host, valid) in [(&ours, "bound.example.com", true), (&signed, "bound.example.com", false)] {
            for (over, stays) in [(None, by_http), (Some(authorities.client()), by_https)] {
                let mut client = match &over {
                    Some(tls) => doors.over_tls(tls).await.unwrap(),
                    None => doors.client().await,
                };
                let request = Request::new("GET", "/").host(host).header("X-Forwarded-Client-Cert", "said before");
                let request = request.header("X-CF-Forwarded-Url", bound_url);
                let request = request.header("X-CF-Proxy-Signature", &signed.signature);
                let answer = client.request(request.header("X-CF-Proxy-Metadata", &signed.metadata)).await.unwrap();
                if !valid {
                    assert_eq!(answer.status, 502, "a signature for another route");
                    continue;
                }
                assert_eq!(answer.status, 200);
                let expected = if stays { vec![(NAME.to_owned(), "said before".to_owned())] } else { Vec::new() };
                assert_eq!(told(&doors.app), expected, "{mode} {}", over.is_some());
            }
        }
        // On other routes a good one is nobody's word, but for that of the service itself.
        for (service, stays) in [("https://elsewhere.example", by_http), ("https://app.example.com/x", by_https)] {
            let bound = Registration::plain(doors.app.addr()).uri("bound.example.com").route_service(service);
            doors.register(&bound).await;
            let known = async || doors.endpoints("bound.example.com").await[0]["route_service_url"] == service;
            eventually(PATIENCE, known).await;
            let fields = [
                ("X-Forwarded-Client-Cert", "spoof"),
                ("X-CF-Proxy-Signature", &*ours.signature),
                ("X-CF-Proxy-Metadata", &*ours.metadata),
            ];
            assert_eq!(doors.ask_with(Some(&authorities.client()), &fields).await.status, 200);
            let spoofed = told(&doors.app).iter().any(|(_, value)| value == "spoof");
            assert_eq!(spoofed, stays, "{mode} {service}");
        }
        // A forged signature changes nothing about what a client may say.
        let forged = [("X-Forwarded-Client-Cert", "spoof"), ("X-CF-Proxy-Signature", "AAAA")];
        assert_eq!(doors.ask_with(Some(&authorities.client()), &forged).await.status, 200);
        assert_eq!(told(&doors.app).is_empty(), mode != "always_forward", "{mode}");
    }
}

#[tokio::test]
async fn the_recorded_exchanges_hold() {
    // "default: xfcc present", "headers: xfcc present".
    let authorities = Authorities::new();
    for (mode, expected) in [("always_forward", Some("spoof")), ("sanitize_set", None)] {
        let doors = Doors::open(authorities.router().set("forwarded_client_cert", mode)).await;
        doors.ask_with(None, &[("X-Forwarded-Client-Cert", "spoof")]).await;
        let got = doors.app.last().unwrap();
        assert_eq!(got.headers_named(NAME), expected.into_iter().collect::<Vec<_>>(), "{mode}");
    }
}

#[tokio::test]
async fn an_upgrade_is_told_the_same_and_connection_cannot_take_it_away() {
    let authorities = Authorities::new();
    let leaf = authorities.clients.leaf().cn("client").issue();
    let ours = [(NAME.to_owned(), BASE64_STANDARD.encode(&leaf.der))];
    let doors = Doors::open(authorities.asking("require").set("forwarded_client_cert", "sanitize_set")).await;
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let app = App::builder("ws").rule(|_| Reply::Raw(switching.into())).start();
    doors.register(&Registration::plain(app.addr()).uri("ws.example.com")).await;
    for connection in ["Upgrade", "Upgrade, X-Forwarded-Client-Cert"] {
        let mut client = doors.over_tls(&authorities.client_with(&leaf)).await.unwrap();
        let request = Request::new("GET", "/").host("ws.example.com").header("Connection", connection);
        let request = SPOOFED.iter().fold(request, |request, (name, value)| request.header(name, value));
        assert_eq!(client.request(request.header("Upgrade", "websocket")).await.unwrap().status, 101);
        assert_eq!(told(&app), ours, "{connection}");
    }
}

#[tokio::test]
async fn a_resumed_session_tells_the_same_certificate() {
    let authorities = Authorities::new();
    let leaf = authorities.clients.leaf().cn("client").issue();
    let ours = [(NAME.to_owned(), BASE64_STANDARD.encode(&leaf.der))];
    let router = authorities.asking("request").set("forwarded_client_cert", "sanitize_set");
    let doors = Doors::open(router.set("max_tls_version", "TLSv1.3")).await;
    for version in [Version::Tls12, Version::Tls13] {
        let tls = authorities.client_with(&leaf).only(version).resuming();
        for round in [false, true] {
            let mut client: Client = doors.over_tls(&tls).await.unwrap();
            assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
            assert_eq!((client.resumed(), told(&doors.app)), (round, ours.to_vec()), "{version:?}");
        }
    }
}
