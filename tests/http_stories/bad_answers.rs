//! Answers that are none, are odd, or break off: what may be forwarded, and what the client is told instead.

use trueroute_testkit::{
    app::Reply,
    peers::{self, Door},
};

use super::{
    message::{Message, answered, ask, bad_gateway, failed, told},
    scene::{After, Scene, plain, raw, recorded},
};

#[tokio::test]
async fn answers_with_two_readings_are_502_in_gos_words() {
    let scene = Scene::new().await;
    for (name, says, why) in [
        ("garbage", "nonsense\r\n\r\n", r#"malformed HTTP response "nonsense""#),
        (
            "a leading line end",
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            r#"malformed HTTP response """#,
        ),
        ("status 99", "HTTP/1.1 99 X\r\nContent-Length: 2\r\n\r\nok", r#"malformed HTTP status code "99""#),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            r#"http: message cannot contain multiple Content-Length headers; got ["5" "6"]"#,
        ),
        ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", r#"bad Content-Length "5, 5""#),
        (
            "coding gzip",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            r#"unsupported transfer encoding: "gzip""#,
        ),
        (
            "coding identity",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
            r#"unsupported transfer encoding: "identity""#,
        ),
        (
            "two codings",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            r#"too many transfer encodings: ["chunked" "chunked"]"#,
        ),
        (
            "a head that breaks off",
            "HTTP/1.1 200 OK\r\nContent-Le",
            r#"malformed MIME header: missing colon: "Content-Le""#,
        ),
    ] {
        scene.app_says(raw(says));
        let got = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
        let error = format!("net/http: HTTP/1.x transport connection broken: {why}");
        assert_eq!(got, (bad_gateway(&error), After::Open), "{name}");
        assert_eq!(scene.app_got(), told("GET / HTTP/1.1", &[], ""), "{name}");
    }
}

#[tokio::test]
async fn odd_answers_pass_with_gos_reason_phrases() {
    let scene = Scene::new().await;
    for (name, says, start, fields) in [
        ("no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK", &[][..]),
        ("another reason", "HTTP/1.1 200 Very Fine\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK", &[]),
        ("status 299", "HTTP/1.1 299 X\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 299 status code 299", &[]),
        ("status 600", "HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 600 status code 600", &[]),
        ("status 418", "HTTP/1.1 418 X\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 418 I'm a teapot", &[]),
        ("status 413", "HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 413 Request Entity Too Large", &[]),
        (
            "status 416",
            "HTTP/1.1 416 X\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 416 Requested Range Not Satisfiable",
            &[],
        ),
        (
            "status 203",
            "HTTP/1.1 203 X\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 203 Non-Authoritative Information",
            &[],
        ),
        ("status 207", "HTTP/1.1 207 X\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 207 Multi-Status", &[]),
        ("status 425", "HTTP/1.1 425 X\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 425 Too Early", &[]),
        ("status 506", "HTTP/1.1 506 X\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 506 Variant Also Negotiates", &[]),
        (
            "a folded field",
            "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK",
            &["X-A: 1 2"],
        ),
        ("a space in a name", "HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK", &[]),
        ("LF for line ends", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK", &[]),
    ] {
        scene.app_says(raw(says));
        let got = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
        let fields = [fields, &["Content-Length: 2"]].concat();
        assert_eq!(got, (answered(start, &fields, "ok"), After::Open), "{name}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_cuts_the_client() {
    let scene = Scene::new().await;
    for (name, says, fields, body) in [
        ("less than announced", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "Content-Length: 50", "hello"),
        (
            "in a chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "Transfer-Encoding: chunked",
            "3\r\nhel\r\n",
        ),
        (
            "between chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
            "Transfer-Encoding: chunked",
            "3\r\nhel\r\n",
        ),
        (
            "in a broken chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nxyz\r\n",
            "Transfer-Encoding: chunked",
            "3\r\nhel\r\n",
        ),
    ] {
        scene.app_says(raw(says));
        let got = Message::read(&scene.to_the_end(&ask("GET / HTTP/1.1", &[], "")).await);
        // All that the app said, and no end.
        assert_eq!(got, answered("HTTP/1.1 200 OK", &[fields], body), "{name}");
    }
    scene.exchange(&ask("GET / HTTP/1.1", &["Host: probe.example.com"], "")).await;
    scene.access_log_line("probe.example.com").await;
    let lines = scene.access_log();
    assert!(lines.iter().all(|line| line.starts_with("probe.example.com ")), "no line for what was cut: {lines:?}");
}

#[tokio::test]
async fn a_silent_app_is_cut_off_by_the_endpoint_timeout() {
    let scene = Scene::with(recorded().set("endpoint_timeout", "300ms").set("backends.max_attempts", 1)).await;
    scene.app_says(Reply::text("late").after_release());
    let got = scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await;
    assert_eq!(got, (bad_gateway("context deadline exceeded"), After::Open));

    // In the middle of a body there is nothing left to say.
    scene.app_says(Reply::Events(1));
    let got = Message::read(&scene.to_the_end(&ask("GET / HTTP/1.1", &[], "")).await);
    assert_eq!((&*got.start, &*got.body), ("HTTP/1.1 200 OK", ""));
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_502() {
    let scene = Scene::new().await;
    let app = scene.app.addr();
    for (request, reply, error) in [
        (ask("GET / HTTP/1.1", &[], ""), Reply::Close, "EOF".to_owned()),
        (ask("POST / HTTP/1.1", &["Content-Length: 2"], "ab"), Reply::Close, "EOF".to_owned()),
        (
            ask("GET / HTTP/1.1", &[], ""),
            Reply::Reset,
            format!("read tcp 127.0.0.1:<port>->{app}: read: connection reset by peer"),
        ),
    ] {
        scene.app_says(reply);
        assert_eq!(scene.exchange(&request).await, (bad_gateway(&error), After::Open), "{request:?}");
    }
}

#[tokio::test]
async fn what_has_no_request_in_it_never_becomes_an_answer() {
    let scene = Scene::with(recorded().set("max_response_header_bytes", 4096)).await;
    let vices = [
        (peers::closes_at_accept(), vec!["EOF".to_owned()]),
        (
            peers::answers_endless_head(Door::Plain),
            vec![
                "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded 4096 \
                 bytes; aborted"
                    .to_owned(),
            ],
        ),
        (peers::refuses_connections(), vec![]),
    ];
    for (number, (peer, errors)) in vices.into_iter().enumerate() {
        let host = format!("vice{number}.example.com");
        scene.register(&plain(peer.addr()).uri(&host)).await;
        let (got, after) = scene.exchange(&ask("GET / HTTP/1.1", &[&format!("Host: {host}")], "")).await;
        // Closed at accept: whether the request meets the end of the stream or a reset is for the kernel to say.
        let reset = format!("read tcp 127.0.0.1:<port>->{}: read: connection reset by peer", peer.addr());
        let refused = format!("dial tcp {}: connect: connection refused", peer.addr());
        let errors = if errors.is_empty() { vec![refused] } else { [errors, vec![reset]].concat() };
        assert!(errors.iter().any(|error| got == bad_gateway(error)), "{got:?}, not {errors:?}");
        assert_eq!(after, After::Open);
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_502() {
    let scene = Scene::new().await;
    scene.app_says(raw(&"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(9)));
    let error = "net/http: HTTP/1.x transport connection broken: net/http: too many 1xx informational responses";
    assert_eq!(scene.exchange(&ask("GET / HTTP/1.1", &[], "")).await.0, bad_gateway(error));
}

/// Gorouter hands interim answers on; hyper's server can't, see `docs/compatibility.md`. The final answer must not suffer.
#[tokio::test]
async fn an_interim_answer_is_dropped_and_the_final_one_passes() {
    let scene = Scene::new().await;
    for interim in ["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        scene.app_says(raw(&format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
        let (response, mut client) = scene.send(&ask("GET / HTTP/1.1", &[], ""), "GET").await.unwrap();
        assert_eq!((response.status, response.text(), &*response.interim), (200, "ok", &[][..]));
        assert_eq!(scene.state(&mut client).await, After::Open);
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_a_bare_502() {
    let scene = Scene::new().await;
    scene.app_says(raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nother bytes"));
    for fields in [&[][..], &["Upgrade: x"], &["Connection: Upgrade", "Upgrade: h2c"]] {
        let (got, after) = scene.exchange(&ask("GET / HTTP/1.1", fields, "")).await;
        assert_eq!((&*got.start, &*got.body, after), ("HTTP/1.1 502 Bad Gateway", "", After::Open), "{fields:?}");
        assert_eq!(got.fields, ["Content-Length: 0", "Date: <date>"], "{fields:?}");
    }
}

#[tokio::test]
async fn who_cannot_prove_itself_is_told_apart() {
    let scene = Scene::with(recorded().set("backends.max_attempts", 1)).await;
    let (pki, host) = (&scene.scene.pki, |name: &str| format!("{name}.example.com"));
    let id = trueroute_testkit::pki::InstanceId::random();
    let registered = |addr, name: &str| {
        trueroute_testkit::Registration::tls(addr, &id.instance).app(&id.app).index(0).uri(&host(name))
    };
    let stranger = peers::certificate_of_another_instance(&pki.instances);
    scene.register(&registered(stranger.addr(), "stranger")).await;
    let plain = peers::plain_where_tls_is_expected();
    scene.register(&registered(plain.addr(), "plain")).await;
    let untrusted = peers::unknown_ca(&id);
    scene.register(&registered(untrusted.addr(), "untrusted")).await;

    let get =
        async |name: &str| scene.exchange(&ask("GET / HTTP/1.1", &[&format!("Host: {}", host(name))], "")).await.0;
    let got = get("stranger").await;
    let error = got.fields.iter().find_map(|field| field.strip_prefix("X-Cf-Routererror: ")).unwrap().to_owned();
    assert!(error.starts_with("endpoint_failure (tls: failed to verify certificate: x509: certificate is valid for "));
    assert!(error.ends_with(&format!(", not {})", id.instance)), "{error}");
    assert_eq!(got, failed("HTTP/1.1 503 Service Unavailable", &error, "503 Service Unavailable\n"));

    let got = get("untrusted").await;
    let error = got.fields.iter().find_map(|field| field.strip_prefix("X-Cf-Routererror: ")).unwrap().to_owned();
    assert!(
        error.starts_with(
            "endpoint_failure (tls: failed to verify certificate: x509: certificate signed by unknown authority"
        ),
        "{error}"
    );
    assert_eq!(got, failed("HTTP/1.1 526 status code 526", &error, "526 Invalid SSL Certificate\n"));

    let error = "endpoint_failure (tls: first record does not look like a TLS handshake)";
    assert_eq!(get("plain").await, failed("HTTP/1.1 525 status code 525", error, "525 SSL Handshake Failed\n"));
}
