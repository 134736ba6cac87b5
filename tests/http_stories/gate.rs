//! What never reaches an app: requests that two parties may read differently.

use super::{
    message::{Message, ask},
    scene::{After, Scene, recorded},
};

const CLOSE: &str = "Connection: close";
const TEXT: &str = "Content-Type: text/plain; charset=utf-8";

/// Case, request, status line, body. The fields are the same for all.
type Refusal = (&'static str, String, &'static str, &'static str);

fn get(fields: &[&str]) -> String {
    ask("GET / HTTP/1.1", fields, "")
}

fn post(fields: &[&str]) -> String {
    ask("POST / HTTP/1.1", fields, "4\r\nabcd\r\n0\r\n\r\n")
}

#[tokio::test]
async fn requests_with_two_readings_are_refused_in_gorouters_words() {
    const BAD: (&str, &str) = ("HTTP/1.1 400 Bad Request", "400 Bad Request");
    const HOST: (&str, &str) =
        ("HTTP/1.1 400 Bad Request: malformed Host header", "400 Bad Request: malformed Host header");
    const CODING: (&str, &str) = ("HTTP/1.1 501 Not Implemented", "Unsupported transfer encoding");
    let missing = "HTTP/1.1 400 Bad Request: missing required Host header";
    let cases: Vec<Refusal> = vec![
        ("no host", get(&["!Host"]), missing, "400 Bad Request: missing required Host header"),
        ("two hosts", get(&["Host: app.example.com", "Host: app.example.com"]), BAD.0, BAD.1),
        ("markup in the host", get(&["Host: <script>alert('x')</script>"]), HOST.0, HOST.1),
        ("user in the host", get(&["Host: user@app.example.com"]), HOST.0, HOST.1),
        ("path in the host", get(&["Host: app.example.com/x"]), HOST.0, HOST.1),
        ("query in the host", get(&["Host: app.example.com?x"]), HOST.0, HOST.1),
        ("fragment in the host", get(&["Host: app.example.com#x"]), HOST.0, HOST.1),
        ("backslash in the host", get(&["Host: app.example.com\\x"]), HOST.0, HOST.1),
        ("space in the host", get(&["Host: app.example.com x"]), HOST.0, HOST.1),
        ("tab in the host", get(&["Host: app.example.com\tx"]), HOST.0, HOST.1),
        ("quote in the host", get(&["Host: app\".example.com"]), HOST.0, HOST.1),
        ("letters beyond ASCII in the host", get(&["Host: \u{e4}pp.example.com"]), HOST.0, HOST.1),
        ("coding gzip, chunked", post(&["Transfer-Encoding: gzip, chunked"]), CODING.0, CODING.1),
        ("coding chunked, chunked", post(&["Transfer-Encoding: chunked, chunked"]), CODING.0, CODING.1),
        ("coding , chunked", post(&["Transfer-Encoding: , chunked"]), CODING.0, CODING.1),
        ("coding identity, chunked", post(&["Transfer-Encoding: identity, chunked"]), CODING.0, CODING.1),
        ("coding x, chunked", post(&["Transfer-Encoding: x, chunked"]), CODING.0, CODING.1),
        ("two codings", post(&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]), CODING.0, CODING.1),
        ("no slash", ask("GET x HTTP/1.1", &[], ""), BAD.0, BAD.1),
        ("an authority for a target", ask("GET app.example.com:80 HTTP/1.1", &[], ""), BAD.0, BAD.1),
        ("CONNECT", ask("CONNECT app.example.com:80 HTTP/1.1", &[], ""), BAD.0, BAD.1),
        ("a broken escape", ask("GET /%zz HTTP/1.1", &[], ""), BAD.0, BAD.1),
        ("half an escape", ask("GET /%4 HTTP/1.1", &[], ""), BAD.0, BAD.1),
        ("a star", ask("GET * HTTP/1.1", &[], ""), BAD.0, BAD.1),
    ];
    let scene = Scene::new().await;
    for (name, request, start, body) in cases {
        let mut got = Message::read(&scene.to_the_end(&request).await);
        assert_eq!((&*got.start, &*got.body), (start, body), "{name}");
        assert!(got.fields.iter().any(|field| field == CLOSE), "{name}: {got:?}");
        assert!(got.fields.iter().any(|field| field == TEXT), "{name}: {got:?}");
        // Gorouter sends neither of these here.
        got.fields.retain(|field| field != "Date: <date>" && *field != format!("Content-Length: {}", body.len()));
        assert_eq!(got.fields.len(), 2, "{name}: {got:?}");
    }
    nothing_passed(&scene).await;
}

#[tokio::test]
async fn an_unknown_expectation_is_refused_without_words() {
    let scene = Scene::new().await;
    let request = ask("POST /p HTTP/1.1", &["Expect: something", "Content-Length: 4"], "abcd");
    let got = Message::read(&scene.to_the_end(&request).await);
    assert_eq!((&*got.start, &*got.body), ("HTTP/1.1 417 Expectation Failed", ""));
    assert_eq!(got.fields, [CLOSE, "Content-Length: 0", "Date: <date>"]);
    nothing_passed(&scene).await;
}

#[tokio::test]
async fn options_for_the_server_is_answered_by_the_router() {
    let scene = Scene::new().await;
    let (got, after) = scene.exchange(&ask("OPTIONS * HTTP/1.1", &[], "")).await;
    assert_eq!((&*got.start, &*got.body, after), ("HTTP/1.1 200 OK", "", After::Open));
    assert_eq!(got.fields, ["Content-Length: 0", "Date: <date>"]);
    nothing_passed(&scene).await;
}

/// What the parser below the gate refuses: the same status as Gorouter's or 400, the connection closed, nothing passed.
#[tokio::test]
async fn what_is_no_http_is_refused() {
    let scene = Scene::new().await;
    for (name, request) in [
        ("coding gzip", post(&["Transfer-Encoding: gzip"])),
        ("coding identity", post(&["Transfer-Encoding: identity"])),
        ("coding xchunked", post(&["Transfer-Encoding: xchunked"])),
        ("coding chunked;a=b", post(&["Transfer-Encoding: chunked;a=b"])),
        ("coding chunked,", post(&["Transfer-Encoding: chunked,"])),
        ("coding without a name", post(&["Transfer-Encoding:"])),
        ("coding in HTTP/1.0", ask("POST / HTTP/1.0", &["Transfer-Encoding: chunked"], "4\r\nabcd\r\n0\r\n\r\n")),
        ("different lengths", ask("POST / HTTP/1.1", &["Content-Length: 4", "Content-Length: 5"], "abcde")),
        ("a list of lengths", ask("POST / HTTP/1.1", &["Content-Length: 4, 4"], "abcd")),
        ("a negative length", ask("POST / HTTP/1.1", &["Content-Length: -4"], "abcd")),
        ("a signed length", ask("POST / HTTP/1.1", &["Content-Length: +4"], "abcd")),
        ("an empty length", ask("POST / HTTP/1.1", &["Content-Length:"], "")),
        ("a space before the colon", get(&["X-A : 1"])),
        ("a space in a name", get(&["X A: 1"])),
        ("a folded field", get(&["X-A: 1", " 2"])),
        ("a NUL in a value", get(&["X-A: a\0b"])),
        ("a lone CR in a value", get(&["X-A: a\rb"])),
        ("a field without a colon", get(&["X-A"])),
        ("HTTP/3.0", ask("GET / HTTP/3.0", &[], "")),
        ("HTTP/2.0", ask("GET / HTTP/2.0", &[], "")),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned()),
        ("bytes", "\u{0}\u{1}\u{2}\r\n\r\n".to_owned()),
    ] {
        let got = Message::read(&scene.to_the_end(&request).await);
        let status = got.start.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "501", "505"].contains(&status), "{name}: {got:?}");
        assert_eq!(got.start.split(' ').next(), Some("HTTP/1.1"), "{name}: {got:?}");
    }
    nothing_passed(&scene).await;
}

/// Where hyper reads on and Go does not, or the other way round, without harm to anyone: see `docs/compatibility.md`.
#[tokio::test]
async fn what_go_reads_otherwise_is_harmless() {
    let scene = Scene::new().await;
    for (name, request, target) in [
        ("line ends before the request", format!("\r\n\r\n{}", get(&[])), Some("/")),
        ("LF for line ends", "GET /lf HTTP/1.1\nHost: app.example.com\n\n".to_owned(), Some("/lf")),
        ("a fragment", ask("GET /a?b#c HTTP/1.1", &[], ""), Some("/a?b")),
        ("quotes in the path", ask("GET /a\"b HTTP/1.1", &[], ""), Some("/a\"b")),
        ("angle brackets in the path", ask("GET /<a>`b HTTP/1.1", &[], ""), None),
        ("a quote in the query", ask("GET /?a=\"b\" HTTP/1.1", &[], ""), None),
        ("angle brackets in the query", ask("GET /?a=<b> HTTP/1.1", &[], ""), None),
        ("HTTP/1.2", ask("GET / HTTP/1.2", &[], ""), None),
    ] {
        let before = scene.app.requests();
        let (response, _) = scene.send(&request, "GET").await.unwrap();
        assert_eq!(response.status, if target.is_some() { 200 } else { 400 }, "{name}");
        let got = (scene.app.requests() > before).then(|| scene.app.last().unwrap().target);
        assert_eq!(got.as_deref(), target, "{name}");
    }
}

#[tokio::test]
async fn a_head_beyond_the_limits_is_431() {
    let scene = Scene::new().await;
    let numbered = |count: usize| (0..count).map(|number| format!("X-{number}: v")).collect::<Vec<_>>();
    let many = |count: usize| {
        let lines = numbered(count);
        get(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let large = |bytes: usize| get(&[&format!("X-Large: {}", "x".repeat(bytes))]);
    for (name, request, status) in [
        ("127 fields beside Host", many(127), 200),
        ("128 fields beside Host", many(128), 431),
        ("100 KiB", large(100 * 1024), 200),
        ("200 KiB", large(200 * 1024), 431),
    ] {
        let before = scene.app.requests();
        assert_eq!(scene.send(&request, "GET").await.unwrap().0.status, status, "{name}");
        assert_eq!(scene.app.requests() - before, u64::from(status == 200), "{name}");
    }
}

/// Requests that smugglers send: whatever the router makes of them, the app gets at most one request for each answer
/// that the client gets, and none with the smuggled target.
#[tokio::test]
async fn nothing_can_be_smuggled_past_the_router() {
    const INNER: &str = "GET /smuggled HTTP/1.1\r\nHost: app.example.com\r\nX: x\r\n\r\n";
    let inner_length = format!("Content-Length: {}", INNER.len());
    let cases = [
        ("in a body", ask("POST / HTTP/1.1", &[&inner_length], INNER)),
        (
            "in a chunk",
            ask(
                "POST / HTTP/1.1",
                &["Transfer-Encoding: chunked"],
                &format!("{:x}\r\n{INNER}\r\n0\r\n\r\n", INNER.len()),
            ),
        ),
        (
            "behind a length of 0 and chunks",
            ask("POST / HTTP/1.1", &["Content-Length: 0", "Transfer-Encoding: chunked"], &format!("0\r\n\r\n{INNER}")),
        ),
        (
            "behind chunks and a length",
            ask("POST / HTTP/1.1", &["Transfer-Encoding: chunked", "Content-Length: 5"], &format!("0\r\n\r\n{INNER}")),
        ),
        (
            "behind an obfuscated coding",
            ask("POST / HTTP/1.1", &["Content-Length: 4", "Transfer-Encoding : chunked"], &format!("0\r\n\r\n{INNER}")),
        ),
        (
            "behind a coding with a tab",
            ask("POST / HTTP/1.1", &["Content-Length: 4", "Transfer-Encoding:\tx"], &format!("0\r\n\r\n{INNER}")),
        ),
        (
            "behind two codings",
            ask(
                "POST / HTTP/1.1",
                &["Transfer-Encoding: chunked", "Transfer-encoding: x"],
                &format!("0\r\n\r\n{INNER}"),
            ),
        ),
        (
            "behind a bare LF in a chunk",
            ask("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], &format!("1\n0\n0\n\n{INNER}")),
        ),
        (
            "behind a chunk size with a sign",
            ask("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], &format!("+0\r\n\r\n{INNER}")),
        ),
        (
            "behind a chunk size beyond 64 bits",
            ask("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], &format!("10000000000000000\r\n\r\n{INNER}")),
        ),
        (
            "in a chunk extension",
            ask("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], &format!("0;x=\n{INNER}\r\n\r\n")),
        ),
        (
            "in a trailer",
            ask("POST / HTTP/1.1", &["Transfer-Encoding: chunked"], &format!("0\r\nX-T: v\n\n{INNER}\r\n")),
        ),
        ("in a value, after a lone CR", get(&[&format!("X-A: b\r\r{}", INNER.replace("\r\n", "\r"))])),
        (
            "behind an upgrade that the app declines",
            ask("GET / HTTP/1.1", &["Connection: Upgrade", "Upgrade: x", &inner_length], INNER),
        ),
        (
            "behind a named coding",
            ask(
                "POST / HTTP/1.1",
                &["Connection: Transfer-Encoding", "Content-Length: 4", "Transfer-Encoding: chunked"],
                &format!("0\r\n\r\n{INNER}"),
            ),
        ),
    ];
    // Kept connections are where a smuggled request would wait for the next client.
    let scene = Scene::with(recorded().set("disable_keep_alives", false).set("go_max_procs", 1)).await;
    for (name, request) in cases {
        let before = scene.app.requests();
        let mut client = scene.client().await;
        client.send_raw(&request).await.unwrap();
        client.finish().await.unwrap();
        let mut got = Vec::new();
        while let Ok(piece) = client.reader.some().await {
            if piece.is_empty() {
                break;
            }
            got.extend_from_slice(&piece);
        }
        let got = String::from_utf8_lossy(&got).into_owned();
        let answers = got.matches("hello").count() as u64;
        let requests = scene.app.requests() - before;
        assert!(answers <= 1 && requests <= 1, "{name}: {requests} requests, {answers} answers: {got:?}");
        // The next client's request is the next that the app gets.
        let (_, after) = scene.exchange(&ask("GET /next HTTP/1.1", &[], "")).await;
        assert_eq!(after, After::Open);
        assert_eq!(scene.app.last().unwrap().target, "/next", "{name}");
    }
    assert!(scene.app.received().iter().all(|request| request.target != "/smuggled"));
}

/// A further request in a body stays part of the body; one that follows a body is answered after it.
#[tokio::test]
async fn a_request_after_a_body_is_one_of_its_own() {
    let scene = Scene::new().await;
    let first = ask("POST /1 HTTP/1.1", &["Content-Length: 4"], "abcd");
    let mut client = scene.client().await;
    client.send_raw([first, ask("GET /2 HTTP/1.1", &[], "")].concat()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.response().await.unwrap().text(), "hello");
    }
    let targets: Vec<String> = scene.app.received().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/1", "/2"]);
}

/// The app saw nothing, and the access log has no line but that of the request made here.
async fn nothing_passed(scene: &Scene) {
    assert_eq!((scene.app.connections(), scene.app.requests()), (0, 0));
    scene.exchange(&ask("GET /last HTTP/1.1", &[], "")).await;
    // Behind it stands the line of the probe that asks whether the connection is open.
    scene.access_log_line("probe.example.com").await;
    scene.access_log_line("GET /last ").await;
    let served = |line: &&String| !line.starts_with("probe.example.com ");
    assert_eq!(scene.access_log().iter().filter(served).count(), 1, "{:?}", scene.access_log());
}
