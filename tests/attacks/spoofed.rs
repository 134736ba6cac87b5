//! B3-8, and what else a client may say about itself (B2, B8): addresses, schemes, queries.

use trueroute_testkit::app::{Received, Reply};

use super::canary::{Canary, HOST, settings};

/// What the app is told when the client sends these lines.
async fn told(canary: &Canary, target: &str, lines: &[&str]) -> Received {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let mut client = canary.client().await;
    client.send_raw(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n")).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 200, "{lines:?}");
    canary.app.last().unwrap()
}

#[tokio::test]
async fn the_peers_address_is_always_the_last() {
    let canary = Canary::new().await;
    for (lines, expected) in [
        (&[][..], "127.0.0.1"),
        (&["X-Forwarded-For: 1.2.3.4"], "1.2.3.4, 127.0.0.1"),
        (&["X-Forwarded-For: 1.2.3.4, 5.6.7.8"], "1.2.3.4, 5.6.7.8, 127.0.0.1"),
        (&["X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8"], "1.2.3.4, 5.6.7.8, 127.0.0.1"),
        (&["x-forwarded-for: 1.2.3.4", "X-FORWARDED-FOR: 5.6.7.8"], "1.2.3.4, 5.6.7.8, 127.0.0.1"),
        (&["X-Forwarded-For: 127.0.0.1"], "127.0.0.1, 127.0.0.1"),
        (&["X-Forwarded-For: ::1"], "::1, 127.0.0.1"),
        (&["X-Forwarded-For: evil\"><script>"], "evil\"><script>, 127.0.0.1"),
        (&["Connection: X-Forwarded-For", "X-Forwarded-For: 1.2.3.4"], "127.0.0.1"),
        (&["X-Real-Ip: 6.6.6.6", "Forwarded: for=6.6.6.6", "True-Client-Ip: 6.6.6.6"], "127.0.0.1"),
    ] {
        let request = told(&canary, "/", lines).await;
        assert_eq!(request.headers_named("x-forwarded-for"), [expected], "{lines:?}");
    }
    let empty = told(&canary, "/", &["X-Forwarded-For:"]).await;
    assert!(empty.header("x-forwarded-for").unwrap().ends_with("127.0.0.1"));
    let long = format!("X-Forwarded-For: {}", vec!["1.2.3.4"; 1000].join(", "));
    assert!(told(&canary, "/", &[&long]).await.header("x-forwarded-for").unwrap().ends_with(", 127.0.0.1"));
}

#[tokio::test]
async fn the_scheme_is_the_clients_word_only_where_the_operator_says_so() {
    let said = [
        &["X-Forwarded-Proto: https"][..],
        &["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"],
        &["X-Forwarded-Proto: http, https"],
        &["x-forwarded-proto: wss"],
        &["X-Forwarded-Proto:"],
        &[],
    ];
    for (key, expected) in [
        (Some("sanitize_forwarded_proto"), [&["http"][..]; 6]),
        (Some("force_forwarded_proto_https"), [&["https"]; 6]),
        (None, [&["https"], &["https"], &["http, https"], &["wss"], &["http"], &["http"]]),
    ] {
        let settings = key.into_iter().fold(settings(), |settings, key| settings.set(key, true));
        let canary = Canary::with(settings, |_: &Received| Reply::text("ok")).await;
        for (lines, expected) in said.iter().zip(expected) {
            let request = told(&canary, "/", lines).await;
            assert_eq!(request.headers_named("x-forwarded-proto"), expected, "{key:?} {lines:?}");
        }
    }
}

/// Two parsers of one query see two sets of parameters; a router that rewrites one decides for the app which.
#[tokio::test]
async fn a_query_reaches_the_app_as_it_came() {
    let canary = Canary::new().await;
    for query in [
        "a=1&a=2&a=3",
        "a=1;b=2",
        "a;b;c",
        ";",
        "&&&",
        "a=%zz",
        "a=%",
        "%61=%2e%2e%2f",
        "a=b=c",
        "=&=",
        "a=1&a%00=2",
        "a=\\..\\",
        "a=1?b=2",
        "a[]=1&a[]=2",
        "a={}|^",
        "",
    ] {
        for path in ["/", "/x/../y", "/x//y", "/%2e%2e/x", "/x;a=b/y"] {
            let target = format!("{path}?{query}");
            assert_eq!(told(&canary, &target, &[]).await.target, target);
        }
    }
}

/// The client's and the endpoint's words that end up in the router's own answers are text, which no browser runs, and
/// never a field of their own.
#[tokio::test]
async fn the_routers_own_answers_hold_no_markup() {
    let canary = Canary::with(settings(), |_: &Received| {
        Reply::RawThenClose(b"HTTP/1.1 <script>\x1b[31m\r\nSet-Cookie: evil\r\n\r\n".into())
    })
    .await;
    for (host, target, fields, status) in [
        ("nowhere.example", "/<script>", "", 400),
        ("nowhere.example", "/%3Cscript%3E", "", 404),
        ("nowhere'(alert)&.example", "/", "", 404),
        ("<script>.example", "/", "", 400),
        ("nowhere.example", "/", "X-CF-App-Instance: <script>alert(1)</script>\r\n", 400),
        (HOST, "/", "", 502),
    ] {
        let mut client = canary.client().await;
        client.send_raw(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await.unwrap();
        let answer = client.response().await.unwrap();
        assert_eq!(answer.status, status, "{host} {target}");
        let kind = answer.header("content-type");
        assert!(answer.body.is_empty() || kind == Some("text/plain; charset=utf-8"), "{host} {target}: {kind:?}");
        let guarded = answer.header("x-content-type-options") == Some("nosniff");
        assert!(answer.body.is_empty() || guarded || status == 400, "{host} {target}");
        assert!(answer.header("set-cookie").is_none(), "{host} {target}");
        assert!(!answer.text().contains("<script>"), "{host} {target}: {}", answer.text());
        assert!(answer.raw_head.iter().all(|byte| *byte != 0x1b), "{host} {target}");
    }
}

/// What one client sends changes nothing for the next one on the same connection to the app (CVE-2020-5401).
#[tokio::test]
async fn one_clients_fields_are_no_other_clients() {
    let canary = Canary::new().await;
    // What changes from request to request.
    let steady = |request: Received| {
        let own = |name: &str| ["X-Vcap-Request-Id", "X-Request-Start"].contains(&name);
        (request.target, request.headers.into_iter().filter(|(name, _)| !own(name)).collect::<Vec<_>>())
    };
    let plain = steady(told(&canary, "/plain", &[]).await);
    let ask = async |client: &mut trueroute_testkit::Client| client.get(HOST, "/plain").await.unwrap();
    let usual = ask(&mut canary.client().await).await;
    for line in [
        "X-Odd: \u{fffd}\u{e9}",
        "X-Odd:",
        "X-Odd: \t a \t ",
        "X-Odd: a, \"b, c",
        "X_Odd: 1",
        "!#$%&'*+-.^_`|~: 1",
        "X-Vcap-Request-Id: evil",
        "X-Cf-RouterError: evil",
        "Cache-Control: no-store\r\nPragma: no-cache\r\nX-Forwarded-Host: evil.example",
        "Content-Type: text/html\r\nSet-Cookie: evil",
        "Connection: close",
        "Connection: X-Vcap-Request-Id",
        "Accept-Encoding: gzip\r\nRange: bytes=0-0\r\nIf-None-Match: *",
    ] {
        let mut one = canary.client().await;
        one.send_raw(format!("GET /odd HTTP/1.1\r\nHost: {HOST}\r\n{line}\r\n\r\n")).await.unwrap();
        assert_eq!(one.response().await.unwrap().status, 200, "{line:?}");
        let answer = ask(&mut canary.client().await).await;
        assert_eq!(steady(canary.app.last().unwrap()), plain, "{line:?}");
        let named = |answer: &trueroute_testkit::client::Response| {
            answer.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        assert_eq!((answer.status, named(&answer), &answer.body), (200, named(&usual), &usual.body), "{line:?}");
    }
    assert_eq!(canary.app.connections(), 1, "all of them went one way");
    canary.is_well("odd fields").await;
}
