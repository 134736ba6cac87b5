//! What apps are told about clients' certificates: `X-Forwarded-Client-Cert`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use trueroute_testkit::{
    App, Client, Registration,
    app::Reply,
    client::Request,
    tls::{ClientTls, Version},
};

use crate::{
    scene::{Authorities, Doors, HOST},
    support::RouterBuilder,
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
