use std::io::ErrorKind;
use std::time::Duration;

use rustls::AlertDescription::{self, CertificateRequired, HandshakeFailure, UnknownCA};

use super::*;
use crate::client::{Client, Request};
use crate::pki::{Authority, InstanceId};
use crate::poll::eventually;
use crate::tls::{ClientTls, Version};

const SOON: Duration = Duration::from_secs(5);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// How a GET ends for a client that waits half a second for each read: the status, or the kind of the failure.
async fn outcome(peer: &Peer) -> Result<u16, ErrorKind> {
    let client = Client::connect(peer.addr()).await.map_err(|e| e.kind())?;
    let mut client = client.patience(Duration::from_millis(500));
    client.get("h", "/").await.map(|response| response.status).map_err(|e| e.kind())
}

#[tokio::test]
async fn each_vice_shows_in_plain() {
    use ErrorKind::{ConnectionRefused, ConnectionReset, InvalidData, TimedOut, UnexpectedEof};
    let cases = [
        ("refuses", refuses_connections(), Err(ConnectionRefused), 0),
        ("resets at accept", resets_at_accept(), Err(ConnectionReset), 0),
        ("silent", never_answers(Door::Plain), Err(TimedOut), 1),
        ("resets", resets_after_headers(Door::Plain), Err(ConnectionReset), 1),
        ("closes", closes_after_request(Door::Plain), Err(UnexpectedEof), 1),
        ("truncates", truncates_body(Door::Plain), Err(UnexpectedEof), 1),
        ("resets in body", resets_mid_body(Door::Plain), Err(ConnectionReset), 1),
        ("garbage", answers_garbage(Door::Plain), Err(InvalidData), 1),
        ("endless head", answers_endless_head(Door::Plain), Err(InvalidData), 1),
        ("101", unsolicited_101(Door::Plain), Ok(101), 1),
        ("closes after", closes_after_response(Door::Plain), Ok(200), 1),
        ("slow writer", slow_writer(Door::Plain, Duration::from_millis(2)), Ok(200), 1),
        ("talks first", talks_first(Door::Plain, "HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n"), Ok(408), 0),
    ];
    for (name, peer, expected, requests) in cases {
        assert_eq!(outcome(&peer).await, expected, "{name}");
        assert_eq!(peer.requests(), requests, "{name}");
        assert_eq!(peer.connections(), u64::from(expected != Err(ConnectionRefused)), "{name}");
    }
    // The request may be on its way when the connection closes: then the kernel answers it with a reset.
    let closed = closes_at_accept();
    let mut client = Client::connect(closed.addr()).await.unwrap();
    assert!(client.reader.closed().await);
}

#[tokio::test]
async fn the_same_vices_come_after_a_handshake() {
    let authority = Authority::new("a");
    let leaf = authority.localhost().issue();
    let tls = ClientTls::new(&authority, "localhost");
    for peer in [resets_after_headers(&leaf), closes_after_request(&leaf), truncates_body(&leaf)] {
        let mut client = Client::connect_tls(peer.addr(), &tls).await.unwrap();
        client.get("h", "/").await.unwrap_err();
        assert_eq!((peer.handshakes(), peer.requests()), (1, 1));
    }
}

#[tokio::test]
async fn nobody_gets_in_where_nobody_accepts() {
    let peer = never_accepts();
    let dial = tokio::net::TcpStream::connect(peer.addr());
    assert!(tokio::time::timeout(Duration::from_millis(200), dial).await.is_err());
}

/// The alert that the server sent, if that was it.
fn alert(failure: &std::io::Error) -> Option<AlertDescription> {
    match failure.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn handshakes_fail_in_every_way() {
    let tls = ClientTls::trusting_anyone("localhost");
    let failure = |peer: Peer| {
        let tls = &tls;
        async move { Client::connect_tls(peer.addr(), tls).await.unwrap_err() }
    };
    assert_eq!(alert(&failure(sends_alert(40)).await), Some(HandshakeFailure));
    assert_eq!(alert(&failure(sends_alert(116)).await), Some(CertificateRequired));
    assert_eq!(failure(resets_during_handshake()).await.kind(), ErrorKind::ConnectionReset);
    assert_eq!(failure(closes_during_handshake()).await.kind(), ErrorKind::UnexpectedEof);
    let plain = failure(plain_where_tls_is_expected()).await;
    assert!(matches!(plain.get_ref().unwrap().downcast_ref(), Some(rustls::Error::InvalidMessage(_))), "{plain:?}");

    let silent = never_handshakes();
    let dial = Client::connect_tls(silent.addr(), &tls);
    assert!(tokio::time::timeout(Duration::from_millis(200), dial).await.is_err());
    assert!(silent.bytes_in() > 100, "the ClientHello was read");
}

#[tokio::test]
async fn a_refused_certificate_shows_inside_or_after_the_handshake() {
    let (ours, routers) = (Authority::new("instances"), Authority::new("routers"));
    let leaf = ours.localhost().issue();
    let anonymous = ClientTls::new(&ours, "localhost");
    let known = anonymous.clone().identity(&routers.router_client("router").issue());
    for (tls, expected) in [(&anonymous, CertificateRequired), (&known, UnknownCA)] {
        for ending in [Ending::Blunt, Ending::Lingering] {
            let peer = refuses_our_certificate(&leaf, Version::Tls12, ending);
            let failure = Client::connect_tls(peer.addr(), tls).await.unwrap_err();
            assert_eq!(alert(&failure), Some(expected), "{failure:?}");
            eventually(SOON, || async { peer.failed_handshakes() == 1 }).await;
        }
        let peer = refuses_our_certificate(&leaf, Version::Tls13, Ending::Lingering);
        let mut client = Client::connect_tls(peer.addr(), tls).await.expect("the client believes it is through");
        let _ = client.send_raw(GET).await;
        assert_eq!(alert(&client.response().await.unwrap_err()), Some(expected));
        assert_eq!((peer.handshakes(), peer.requests()), (0, 0));

        // Here a reset may have destroyed the alert, so only the failure is sure.
        let peer = refuses_our_certificate(&leaf, Version::Tls13, Ending::Blunt);
        let mut client = Client::connect_tls(peer.addr(), tls).await.expect("the client believes it is through");
        client.get("h", "/").await.unwrap_err();
        assert_eq!((peer.handshakes(), peer.requests()), (0, 0));
    }
}

#[tokio::test]
async fn strangers_are_told_by_their_certificates() {
    let authority = Authority::new("a");
    let id = InstanceId::random();
    let strict = ClientTls::new(&authority, &id.instance);
    let apps = [
        certificate_of_another_instance(&authority),
        expired(&authority, &id),
        not_yet_valid(&authority, &id),
        unknown_ca(&id),
        drained(&authority),
    ];
    for app in apps {
        Client::connect_tls(app.addr(), &strict).await.unwrap_err();
        assert_eq!(app.bytes_in(), 0);
        let blind = ClientTls::trusting_anyone(&id.instance);
        let answer = Client::connect_tls(app.addr(), &blind).await.unwrap().get("h", "/").await.unwrap();
        assert_eq!(answer.header("x-app"), Some(identity::STRANGER));
    }
}

#[tokio::test]
async fn an_early_answer_comes_while_the_body_goes() {
    let peer = answers_413_early(Door::Plain);
    let mut client = Client::connect(peer.addr()).await.unwrap();
    client.send_raw("POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n").await.unwrap();
    let (mut reader, mut writer) = client.split();
    let (answer, _) = tokio::join!(reader.response("POST"), writer.fill(1_000_000));
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.text()), (413, "too much"));
}

#[tokio::test]
async fn a_slow_reader_takes_its_time_and_answers() {
    let peer = slow_reader(Door::Plain, 400, Duration::from_millis(1));
    let mut client = Client::connect(peer.addr()).await.unwrap();
    let answer = client.request(Request::new("POST", "/").body(vec![b'x'; 4000])).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(peer.bytes_in() > 4000);
}

#[tokio::test]
async fn scripts_are_open_to_anyone() {
    let peer = Peer::scripted(Door::Plain, |mut line: Line| async move {
        let head = line.request().await.unwrap_or_default();
        let _ = line.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len())).await;
    });
    let answer = Client::connect(peer.addr()).await.unwrap().get("h", "/").await.unwrap();
    assert_eq!(answer.text(), GET);
    eventually(SOON, || async { peer.open_connections() == 0 }).await;
    let addr = peer.addr();
    drop(peer);
    assert_eq!(Client::connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
