//! Clients behind a load balancer that says for whom it connects (`enable_proxy`).

use std::io;

use trueroute_testkit::Client;

use crate::scene::{Authorities, Doors, HOST};

const LINE: &str = "PROXY TCP4 9.8.7.6 10.0.0.1 4711 443\r\n";

fn get() -> String {
    format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// The status that these first words get in plain; none where the connection is closed without an answer.
async fn status(doors: &Doors, words: &str) -> Option<u16> {
    let mut client = doors.client().await;
    client.send_raw(words).await.unwrap();
    client.response().await.ok().map(|answer| answer.status)
}

fn forwarded_for(doors: &Doors) -> String {
    doors.app.last().unwrap().header("x-forwarded-for").unwrap().to_owned()
}

#[tokio::test]
async fn the_source_of_the_line_is_the_client() {
    let doors = Doors::open(Authorities::new().router().set("enable_proxy", true)).await;
    for (line, told) in [
        (LINE, "9.8.7.6"),
        ("PROXY TCP6 2001:db8::9 ::1 1 2\r\n", "2001:db8::9"),
        // A line is not a must.
        ("", "127.0.0.1"),
    ] {
        assert_eq!(status(&doors, &format!("{line}{}", get())).await, Some(200), "{line}");
        assert_eq!(forwarded_for(&doors), told, "{line}");
    }
    let line = doors.access_log_line("9.8.7.6:4711").await;
    assert!(line.contains("\" 200 ") && line.contains("x_forwarded_for:\"9.8.7.6\""), "{line}");
    // It is the address that a host must not be, too.
    let own = format!("{LINE}GET / HTTP/1.1\r\nHost: 9.8.7.6\r\n\r\n");
    assert_eq!(status(&doors, &own).await, Some(400));
    // A kept connection has one client.
    let mut client = doors.client().await;
    client.send_raw(format!("{LINE}{}", get())).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 200);
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
    assert_eq!(forwarded_for(&doors), "9.8.7.6");
}

#[tokio::test]
async fn the_line_comes_before_the_handshake() {
    let authorities = Authorities::new();
    let doors = Doors::open(authorities.router().set("enable_proxy", true)).await;
    for (line, told) in [(LINE, "9.8.7.6"), ("", "127.0.0.1")] {
        let connected = Client::connect_tls_after(doors.https(), line.as_bytes(), &authorities.client()).await;
        assert_eq!(connected.unwrap().get(HOST, "/").await.unwrap().status, 200);
        assert_eq!(forwarded_for(&doors), told);
    }
    let mut plain = Client::connect(doors.https()).await.unwrap();
    plain.send_raw(format!("{LINE}{}", get())).await.unwrap();
    assert!(plain.reader.to_end().await.unwrap().starts_with(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP"));
}

#[tokio::test]
async fn the_line_may_come_in_pieces() {
    let doors = Doors::open(Authorities::new().router().set("enable_proxy", true)).await;
    for split in [1, 3, 5, 6, 7, LINE.len() - 1, LINE.len()] {
        let mut client = doors.client().await;
        for piece in [&LINE[..split], &LINE[split..]] {
            client.send_raw(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(client.get(HOST, "/").await.unwrap().status, 200, "{split}");
        assert_eq!(forwarded_for(&doors), "9.8.7.6", "{split}");
    }
}

#[tokio::test]
async fn what_is_no_line_costs_only_its_connection() {
    let doors = Doors::open(Authorities::new().router().set("enable_proxy", true)).await;
    let endless = format!("PROXY TCP4 {}", "1".repeat(200));
    let bad = [
        "PROXY UNKNOWN\r\n",
        "PROXY TCP4 9.8.7.6 10.0.0.1 4711\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP4 9.8.7.6 10.0.0.1 1 2\n",
        "PROXY nonsense\r\n",
        &endless,
        // It does not end in time.
        "PROXY TCP4 9.8.7.6 10",
    ];
    for words in bad {
        let mut client = doors.client().await;
        client.send_raw(words).await.unwrap();
        let ended = client.reader.some().await;
        let closed = ended.as_ref().map_or_else(|error| error.kind() != io::ErrorKind::TimedOut, Vec::is_empty);
        assert!(closed, "{words:?}: {ended:?}");
    }
    doors.have_refused(7.0).await;
    // Version 2 is no line at all, and no request either.
    assert_eq!(status(&doors, "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c").await, Some(400));
    assert_eq!(status(&doors, &get()).await, Some(200));
    assert_eq!(doors.app.requests(), 1);
}

#[tokio::test]
async fn without_the_key_a_line_is_a_bad_request() {
    let doors = Doors::open(Authorities::new().router()).await;
    assert_eq!(status(&doors, &format!("{LINE}{}", get())).await, Some(400));
    assert_eq!(doors.app.requests(), 0);
}
