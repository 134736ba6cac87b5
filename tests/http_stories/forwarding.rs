//! What an app is told about a request: Gorouter's words, field by field.

use trueroute_testkit::{Client, app::Reply, pki::Authority, tls::ClientTls};

use super::{
    message::{HELLO, Message, ask, hello, is_uuid, told},
    scene::{After, Scene, plain, raw, recorded},
};

/// A request, and the start line and fields that the app gets for it.
type Case = (&'static str, &'static [&'static str], &'static str, &'static str, &'static [&'static str]);

#[tokio::test]
async fn a_request_reaches_the_app_as_it_came() {
    let cases: &[Case] = &[
        ("plain", &[], "GET / HTTP/1.1", "GET / HTTP/1.1", &[]),
        ("query", &[], "GET /a/b?x=1&y=%20;z HTTP/1.1", "GET /a/b?x=1&y=%20;z HTTP/1.1", &[]),
        ("escapes", &[], "GET /a%2Fb/%C3%A9?q=%2f HTTP/1.1", "GET /a%2Fb/%C3%A9?q=%2f HTTP/1.1", &[]),
        ("odd query", &[], "GET /?%zz&&=?/ HTTP/1.1", "GET /?%zz&&=?/ HTTP/1.1", &[]),
        ("dots", &[], "GET /a/../b/./c HTTP/1.1", "GET /a/../b/./c HTTP/1.1", &[]),
        ("double slash", &[], "GET //x/y?b=2&a=1 HTTP/1.1", "GET //x/y?b=2&a=1 HTTP/1.1", &[]),
        (
            "absolute form",
            &[],
            "GET http://app.example.com/abs?q=1 HTTP/1.1",
            "GET http://app.example.com/abs?q=1 HTTP/1.1",
            &[],
        ),
        (
            "absolute form wins over Host",
            &["Host: other.example.com"],
            "GET http://app.example.com/abs HTTP/1.1",
            "GET http://app.example.com/abs HTTP/1.1",
            &[],
        ),
        ("HTTP/1.0", &[], "GET / HTTP/1.0", "GET / HTTP/1.1", &[]),
        ("HTTP/1.0 kept", &["Connection: keep-alive"], "GET / HTTP/1.0", "GET / HTTP/1.1", &[]),
        ("asked to close", &["Connection: close"], "GET / HTTP/1.1", "GET / HTTP/1.1", &[]),
        ("delete", &[], "DELETE /d HTTP/1.1", "DELETE /d HTTP/1.1", &[]),
        ("unusual method", &[], "PROPFIND /d HTTP/1.1", "PROPFIND /d HTTP/1.1", &[]),
        (
            "host with port",
            &["Host: APP.Example.COM:8080"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["Host: APP.Example.COM:8080"],
        ),
        (
            "wildcard",
            &["Host: any.wild.example.com"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["Host: any.wild.example.com"],
        ),
        (
            "deep wildcard",
            &["Host: a.b.wild.example.com"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["Host: a.b.wild.example.com"],
        ),
        (
            "context path",
            &["Host: path.example.com"],
            "GET /CTX/deeper?x HTTP/1.1",
            "GET /CTX/deeper?x HTTP/1.1",
            &["Host: path.example.com"],
        ),
        (
            "names become canonical",
            &["x-lower-case: 1", "X_UNDER: 2", "ETAG-thing: 3"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["X-Lower-Case: 1", "X_under: 2", "Etag-Thing: 3"],
        ),
        (
            "repeated fields stay apart",
            &["X-A: 1", "X-A: 2", "Cookie: a=1", "Cookie: b=2"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["X-A: 1", "X-A: 2", "Cookie: a=1", "Cookie: b=2"],
        ),
        (
            "nothing invented",
            &["Accept-Encoding: gzip", "User-Agent: me/1", "Referer: http://r/"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["Accept-Encoding: gzip", "User-Agent: me/1", "Referer: http://r/"],
        ),
        (
            "quotes and tabs",
            &["User-Agent: a\"b\\c\td"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["User-Agent: a\"b\\c\td"],
        ),
    ];
    tell(&Scene::new().await, cases).await;
}

#[tokio::test]
async fn an_app_learns_who_asked_and_through_what() {
    let cases: &[Case] = &[
        (
            "X-Forwarded-For goes on",
            &["X-Forwarded-For: 1.2.3.4"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["X-Forwarded-For: 1.2.3.4, 127.0.0.1"],
        ),
        (
            "two X-Forwarded-For become one",
            &["X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["X-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1"],
        ),
        (
            "X-Forwarded-Proto kept",
            &["X-Forwarded-Proto: https"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["X-Forwarded-Proto: https"],
        ),
        ("X-Forwarded-Proto empty", &["X-Forwarded-Proto:"], "GET / HTTP/1.1", "GET / HTTP/1.1", &[]),
        (
            "X-Forwarded-Client-Cert believed",
            &["X-Forwarded-Client-Cert: cert"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["X-Forwarded-Client-Cert: cert"],
        ),
        (
            "others of the kind untouched",
            &["X-Forwarded-Host: h", "Forwarded: for=1", "Via: 1.1 v"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["X-Forwarded-Host: h", "Forwarded: for=1", "Via: 1.1 v"],
        ),
        (
            "X-Request-Start kept",
            &["X-Request-Start: t=1"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["X-Request-Start: t=1"],
        ),
        ("the request's id is ours", &["X-Vcap-Request-Id: mine"], "GET / HTTP/1.1", "GET / HTTP/1.1", &[]),
        (
            "who the app is cannot be said by a client",
            &["X-CF-ApplicationID: a", "X-CF-InstanceID: b", "X-CF-InstanceIndex: c"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &[],
        ),
    ];
    tell(&Scene::new().await, cases).await;
}

#[tokio::test]
async fn what_belongs_to_a_connection_stays_there() {
    let cases: &[Case] = &[
        (
            "named by Connection",
            &[
                "Connection: X-Foo, keep-alive",
                "X-Foo: 1",
                "Keep-Alive: timeout=5",
                "Proxy-Connection: x",
                "TE: trailers, gzip",
            ],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["Te: trailers"],
        ),
        (
            "named by a second Connection",
            &["Connection:", "Connection: x-fOO", "X-Foo: 1"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &[],
        ),
        (
            "what the router says cannot be named away",
            &[
                "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Vcap-Request-Id, X-Request-Start, X-CF-InstanceID",
                "X-Forwarded-For: 1.2.3.4",
            ],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &[],
        ),
        ("Host cannot be named away", &["Connection: Host"], "GET / HTTP/1.1", "GET / HTTP/1.1", &[]),
        ("te: trailers", &["TE: trailers"], "GET / HTTP/1.1", "GET / HTTP/1.1", &["Te: trailers"]),
        ("any other te", &["TE: gzip"], "GET / HTTP/1.1", "GET / HTTP/1.1", &[]),
        (
            "proxy fields",
            &["Proxy-Authorization: x", "Proxy-Authenticate: y", "Authorization: Basic z"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &["Authorization: Basic z"],
        ),
        ("Upgrade without Connection", &["Upgrade: websocket"], "GET / HTTP/1.1", "GET / HTTP/1.1", &[]),
        (
            "h2c is not offered on",
            &["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
            "GET / HTTP/1.1",
            "GET / HTTP/1.1",
            &[],
        ),
    ];
    tell(&Scene::new().await, cases).await;
}

#[tokio::test]
async fn the_scheme_follows_the_configuration() {
    for (key, said, expected) in [
        ("sanitize_forwarded_proto", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"),
        ("force_forwarded_proto_https", "X-Forwarded-Proto: http", "X-Forwarded-Proto: https"),
        ("force_forwarded_proto_https", "X-A: 1", "X-Forwarded-Proto: https"),
    ] {
        let scene = Scene::with(recorded().set(key, true)).await;
        scene.exchange(&ask("GET / HTTP/1.1", &[said], "")).await;
        let got = scene.app_got();
        assert!(got.fields.iter().any(|field| field == expected), "{key}, {said}: {got:?}");
    }
}

#[tokio::test]
async fn a_client_over_tls_is_told_as_https() {
    let authority = Authority::new("front");
    let leaf = authority.localhost().issue();
    let router = recorded()
        .set("enable_ssl", true)
        .set("ssl_port", 0)
        .set("cipher_suites", "ECDHE-ECDSA-AES128-GCM-SHA256")
        .set("client_cert_validation", "none")
        .set("tls_pem", serde_json::json!([{"cert_chain": leaf.chain_pem, "private_key": leaf.key_pem}]));
    let scene = Scene::with(router).await;
    let tls = ClientTls::new(&authority, "localhost");
    let mut client = Client::connect_tls(scene.https(), &tls).await.unwrap();
    client.send_raw(ask("GET / HTTP/1.1", &[], "")).await.unwrap();
    assert_eq!(client.response().await.unwrap().text(), "hello");
    assert_eq!(scene.app_got(), told("GET / HTTP/1.1", &["X-Forwarded-Proto: https"], ""));
}

#[tokio::test]
async fn the_request_id_is_the_same_everywhere() {
    let scene = Scene::new().await;
    let (response, _) = scene.send(&ask("GET /id HTTP/1.1", &[], ""), "GET").await.unwrap();
    let told = scene.app.last().unwrap().header("x-vcap-request-id").unwrap().to_owned();
    assert!(is_uuid(&told), "{told}");
    assert_eq!(response.header("x-vcap-request-id"), Some(&*told));
    let line = scene.access_log_line("GET /id ").await;
    assert!(line.contains(&format!("vcap_request_id:\"{told}\"")), "{line}");

    scene.app_says(raw("HTTP/1.1 200 OK\r\nX-Vcap-Request-Id: mine\r\nContent-Length: 0\r\n\r\n"));
    let (response, _) = scene.send(&ask("GET / HTTP/1.1", &[], ""), "GET").await.unwrap();
    assert_eq!(response.headers_named("x-vcap-request-id"), ["mine"]);
}

#[tokio::test]
async fn an_instance_without_an_id_is_told_its_address() {
    let scene = Scene::new().await;
    let message = plain(scene.app.addr()).without("private_instance_id");
    scene.register(&message.uri("anonymous.example.com")).await;
    scene.exchange(&ask("GET / HTTP/1.1", &["Host: anonymous.example.com"], "")).await;
    let instance = format!("X-Cf-Instanceid: {}", scene.app.addr());
    assert_eq!(scene.app_got(), told("GET / HTTP/1.1", &["Host: anonymous.example.com", &instance], ""));
}

#[tokio::test]
async fn connections_to_the_app_are_kept_when_the_configuration_says_so() {
    let scene = Scene::with(recorded().set("disable_keep_alives", false)).await;
    scene.app_says(Reply::Raw(HELLO.into()));
    let mut client = scene.client().await;
    for _ in 0..3 {
        client.send_raw(ask("GET / HTTP/1.1", &[], "")).await.unwrap();
        assert_eq!(client.response().await.unwrap().text(), "hello");
        assert_eq!(scene.app_got(), told("GET / HTTP/1.1", &["!Connection"], ""));
    }
    assert_eq!((scene.app.requests(), scene.app.connections()), (3, 1));
}

async fn tell(scene: &Scene, cases: &[Case]) {
    for (name, fields, start, told_start, told_fields) in cases {
        let before = scene.app.requests();
        let request = ask(start, fields, "");
        let (got, after) = scene.exchange(&request).await;
        let mut expected = hello();
        let old = start.ends_with("1.0");
        if old {
            expected.start = "HTTP/1.0 200 OK".to_owned();
        }
        let says = |word: &str| fields.iter().any(|field| field.eq_ignore_ascii_case(&format!("connection: {word}")));
        if says("close") || (old && says("keep-alive")) {
            let said = if old { "Connection: keep-alive" } else { "Connection: close" };
            expected.fields.push(said.to_owned());
            expected.fields.sort();
        }
        assert_eq!(got, expected, "{name}");
        let stays = if old { says("keep-alive") } else { !says("close") };
        assert_eq!(after, if stays { After::Open } else { After::Closed }, "{name}");
        assert_eq!(scene.app.requests(), before + 1, "{name}");
        let expected: Message = told(told_start, told_fields, "");
        assert_eq!(scene.app_got(), expected, "{name}");
    }
}
