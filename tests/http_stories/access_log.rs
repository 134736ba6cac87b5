//! The access log, line by line as Gorouter writes it.

use serde_json::json;
use trueroute_testkit::{App, app::Reply, eventually};

use super::{
    message::{HELLO, ask, is_uuid, without_local_port},
    scene::{APP_ID, INSTANCE_ID, Scene, plain, raw, recorded},
    support::{self, PATIENCE},
};

/// A line with what changes from run to run replaced: times, the request's id, the client's port, the app's address.
fn steady(line: &str, app: &App) -> String {
    let (before, rest) = line.split_once(" - [").unwrap();
    let (time, rest) = rest.split_once(']').unwrap();
    assert_eq!(time.len(), "2006-01-02T15:04:05.000000000Z".len(), "{line}");
    assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
    let mut rest =
        rest.replace(&format!("\"{}\"", app.addr()), "\"<app>\"").replace(&format!("{}:", app.addr()), "<app>:");
    for name in ["response_time:", "gorouter_time:"] {
        let (left, right) = rest.split_once(name).unwrap();
        let (value, right) = right.split_once(' ').unwrap();
        let (whole, fraction) = value.split_once('.').unwrap();
        assert!(fraction.len() == 6 && whole.parse::<u64>().is_ok(), "{line}");
        rest = format!("{left}{name}<s> {right}");
    }
    let (left, right) = rest.split_once("vcap_request_id:\"").unwrap();
    let (id, right) = right.split_once('"').unwrap();
    assert!(is_uuid(id), "{line}");
    rest = format!("{left}vcap_request_id:\"<uuid>\"{right}");
    let (left, right) = rest.split_once("\"127.0.0.1:").unwrap();
    let port = right.find('"').unwrap();
    assert!(right[..port].parse::<u16>().is_ok(), "{line}");
    format!("{before} - [<time>]{left}\"<client>\"{}", without_local_port(&right[port + 1..]))
}

/// The end of a line: who served.
fn served(error: &str) -> String {
    format!(
        "x_forwarded_for:\"127.0.0.1\" x_forwarded_proto:\"http\" vcap_request_id:\"<uuid>\" response_time:<s> \
         gorouter_time:<s> app_id:\"{APP_ID}\" app_index:\"0\" instance_id:\"{INSTANCE_ID}\" x_cf_routererror:\"{error}\""
    )
}

/// The end of a line when nobody served.
fn unserved(error: &str) -> String {
    format!(
        "x_forwarded_for:\"-\" x_forwarded_proto:\"-\" vcap_request_id:\"<uuid>\" response_time:<s> gorouter_time:<s> \
         app_id:\"-\" app_index:\"-\" instance_id:\"-\" x_cf_routererror:\"{error}\""
    )
}

#[tokio::test]
async fn each_exchange_leaves_its_line() {
    let scene = Scene::new().await;
    let app = |start: &str, error: &str| format!("{start} \"<client>\" \"<app>\" {}", served(error));
    let none = |start: &str, error: &str| format!("{start} \"<client>\" \"-\" {}", unserved(error));
    let cases = [
        (
            ask("GET / HTTP/1.1", &[], ""),
            raw(HELLO),
            app("app.example.com - [<time>] \"GET / HTTP/1.1\" 200 0 5 \"-\" \"-\"", "-"),
        ),
        (
            ask("POST /p HTTP/1.1", &["Content-Length: 4"], "abcd"),
            raw(HELLO),
            app("app.example.com - [<time>] \"POST /p HTTP/1.1\" 200 4 5 \"-\" \"-\"", "-"),
        ),
        (
            ask("POST /p HTTP/1.1", &["Transfer-Encoding: chunked"], "4\r\nabcd\r\n0\r\n\r\n"),
            raw(HELLO),
            app("app.example.com - [<time>] \"POST /p HTTP/1.1\" 200 4 5 \"-\" \"-\"", "-"),
        ),
        (
            ask("HEAD / HTTP/1.1", &[], ""),
            raw(HELLO),
            app("app.example.com - [<time>] \"HEAD / HTTP/1.1\" 200 0 0 \"-\" \"-\"", "-"),
        ),
        (
            ask("GET http://app.example.com/abs?q=1 HTTP/1.1", &[], ""),
            raw(HELLO),
            app("app.example.com - [<time>] \"GET /abs?q=1 HTTP/1.1\" 200 0 5 \"-\" \"-\"", "-"),
        ),
        (
            ask("GET / HTTP/1.0", &["Host: APP.Example.COM:8080"], ""),
            raw(HELLO),
            app("APP.Example.COM:8080 - [<time>] \"GET / HTTP/1.0\" 200 0 5 \"-\" \"-\"", "-"),
        ),
        (
            ask("GET / HTTP/1.1", &["User-Agent: a\"b\\c\td", "Referer: http://r/\u{1b}[31m"], ""),
            raw(HELLO),
            String::new(),
        ),
        (
            ask("GET / HTTP/1.1", &["User-Agent: a\"b\\c\td", "Referer: http://r/"], ""),
            raw(HELLO),
            app("app.example.com - [<time>] \"GET / HTTP/1.1\" 200 0 5 \"http://r/\" \"a\\\"b\\\\c\\td\"", "-"),
        ),
        (
            ask("GET / HTTP/1.1", &[], ""),
            raw("HTTP/1.1 404 X\r\nContent-Length: 2\r\nX-Cf-Routererror: fake\r\n\r\nno"),
            app("app.example.com - [<time>] \"GET / HTTP/1.1\" 404 0 2 \"-\" \"-\"", "fake"),
        ),
        (
            ask("GET / HTTP/1.1", &[], ""),
            Reply::Close,
            app("app.example.com - [<time>] \"GET / HTTP/1.1\" 502 0 67 \"-\" \"-\"", "endpoint_failure (EOF)"),
        ),
        (
            ask("POST / HTTP/1.1", &["Content-Length: 2"], "ab"),
            Reply::Close,
            app("app.example.com - [<time>] \"POST / HTTP/1.1\" 502 2 67 \"-\" \"-\"", "endpoint_failure (EOF)"),
        ),
        (
            ask("GET / HTTP/1.1", &[], ""),
            Reply::Reset,
            app(
                "app.example.com - [<time>] \"GET / HTTP/1.1\" 502 0 67 \"-\" \"-\"",
                "endpoint_failure (read tcp 127.0.0.1:<port>-><app>: read: connection reset by peer)",
            ),
        ),
        (
            ask("GET / HTTP/1.1", &[], ""),
            raw("HTTP/1.1 99 X\r\n\r\n"),
            app(
                "app.example.com - [<time>] \"GET / HTTP/1.1\" 502 0 67 \"-\" \"-\"",
                "endpoint_failure (net/http: HTTP/1.x transport connection broken: malformed HTTP status code \\\"99\\\")",
            ),
        ),
        (
            ask("GET / HTTP/1.1", &["Host: nowhere.example.com"], ""),
            raw(HELLO),
            none("nowhere.example.com - [<time>] \"GET / HTTP/1.1\" 404 0 71 \"-\" \"-\"", "unknown_route"),
        ),
        (
            ask("GET / HTTP/1.1", &["Host:"], ""),
            raw(HELLO),
            none(" - [<time>] \"GET / HTTP/1.1\" 400 0 47 \"-\" \"-\"", "empty_host"),
        ),
        (
            ask("GET / HTTP/1.0", &["!Host"], ""),
            raw(HELLO),
            none(" - [<time>] \"GET / HTTP/1.0\" 400 0 47 \"-\" \"-\"", "empty_host"),
        ),
        (
            ask("GET / HTTP/1.1", &["Host: 127.0.0.1"], ""),
            raw(HELLO),
            none("127.0.0.1 - [<time>] \"GET / HTTP/1.1\" 400 0 47 \"-\" \"-\"", "empty_host"),
        ),
    ];
    let mut count = 0;
    for (request, says, expected) in cases {
        scene.app_says(says);
        let method = request.split(' ').next().unwrap();
        let answer = scene.send(&request, method).await.unwrap().0;
        if expected.is_empty() {
            assert_eq!(answer.status, 400, "a control character in a value");
            continue;
        }
        count += 1;
        let lines = scene.lines(count).await;
        assert_eq!(steady(lines.last().unwrap(), &scene.app), expected);
        assert_eq!(lines.len(), count);
    }
}

#[tokio::test]
async fn forwarded_fields_are_logged_as_the_app_got_them() {
    let scene = Scene::new().await;
    for (request, logged) in [
        (
            ask("GET / HTTP/1.1", &["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"], ""),
            "x_forwarded_for:\"1.2.3.4, 127.0.0.1\" x_forwarded_proto:\"https\"",
        ),
        (
            ask("GET / HTTP/1.1", &["Host: nowhere.example.com", "X-Forwarded-For: 1.2.3.4"], ""),
            "x_forwarded_for:\"1.2.3.4\" x_forwarded_proto:\"-\"",
        ),
    ] {
        scene.exchange(&request).await;
        scene.access_log_line(logged).await;
    }
}

#[tokio::test]
async fn a_dead_endpoint_is_named() {
    let scene = Scene::new().await;
    let dead = trueroute_testkit::peers::refuses_connections();
    scene.register(&plain(dead.addr()).uri("dead.example.com")).await;
    scene.exchange(&ask("GET / HTTP/1.1", &["Host: dead.example.com"], "")).await;
    let line = scene.access_log_line("dead.example.com - ").await;
    let error = format!("endpoint_failure (dial tcp {0}: connect: connection refused)", dead.addr());
    let end = format!("\"{}\" {}", dead.addr(), served(&error).replace(&dead.addr().to_string(), "<dead>"));
    let line = steady(&line, &scene.app).replace(&format!("tcp {}", dead.addr()), "tcp <dead>");
    let expected = format!("dead.example.com - [<time>] \"GET / HTTP/1.1\" 502 0 67 \"-\" \"-\" \"<client>\" {end}");
    assert_eq!(line, expected);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_499() {
    let scene = Scene::with(recorded().set("endpoint_timeout", "20s")).await;
    scene.app_says(Reply::text("late").after_release());
    let mut client = scene.client().await;
    client.send_raw(ask("GET /gone HTTP/1.1", &[], "")).await.unwrap();
    eventually(PATIENCE, async || scene.app.requests() == 1).await;
    drop(client);
    let line = scene.access_log_line("GET /gone ").await;
    let expected = format!(
        "app.example.com - [<time>] \"GET /gone HTTP/1.1\" 499 0 22 \"-\" \"-\" \"<client>\" \"<app>\" {}",
        served("endpoint_failure (context canceled)")
    );
    assert_eq!(steady(&line, &scene.app), expected);
    // The endpoint is not to blame: it still gets requests.
    scene.app_says(raw(HELLO));
    assert_eq!(scene.get("app.example.com", "/").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_is_cut_leaves_no_line() {
    let scene = Scene::by_path(recorded().set("endpoint_timeout", "20s")).await;
    // By the client.
    let mut client = scene.client().await;
    client.send_raw(ask("GET /stream/100000000 HTTP/1.1", &[], "")).await.unwrap();
    client.reader.head().await.unwrap();
    drop(client);
    eventually(PATIENCE, async || scene.app.open_connections() == 0).await;
    // By the app.
    let mut client = scene.client().await;
    client.send_raw(ask("GET /events/2 HTTP/1.1", &[], "")).await.unwrap();
    client.reader.head().await.unwrap();
    scene.app.hang_up();
    // Whether the end comes as a reset is for the network to say; a clean end of the body it is not.
    let rest = client.reader.to_end().await.unwrap_or_default();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    scene.exchange(&ask("GET / HTTP/1.1", &["Host: probe.example.com"], "")).await;
    scene.access_log_line("probe.example.com").await;
    assert!(scene.access_log().iter().all(|line| line.starts_with("probe.example.com ")), "{:?}", scene.access_log());
}

#[tokio::test]
async fn a_tunnel_leaves_its_line_when_it_ends() {
    let scene = Scene::by_path(recorded()).await;
    let mut client = scene.client().await;
    let request = ask("GET /ws HTTP/1.1", &["Connection: Upgrade", "Upgrade: websocket"], "");
    client.send_raw(request).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 101);
    client.send_raw("ping").await.unwrap();
    assert_eq!(client.reader.exactly(4).await.unwrap(), b"ping");
    assert_eq!(scene.access_log(), [""; 0]);
    client.finish().await.unwrap();
    assert!(client.reader.closed().await);
    let line = scene.access_log_line("GET /ws ").await;
    let expected = format!(
        "app.example.com - [<time>] \"GET /ws HTTP/1.1\" 101 0 0 \"-\" \"-\" \"<client>\" \"<app>\" {}",
        served("-")
    );
    assert_eq!(steady(&line, &scene.app), expected);
}

#[tokio::test]
async fn fields_of_the_request_are_logged_by_name() {
    let router = recorded().set("extra_headers_to_log", json!(["X-A", "Accept", "X-Vcap-Request-Id"]));
    let scene = Scene::with(router).await;
    for (request, logged) in [
        (
            ask("GET /1 HTTP/1.1", &["Accept: */*", "X-A: one", "X-A: two", "X-Vcap-Request-Id: made up"], ""),
            "x_cf_routererror:\"-\" x_a:\"one\" accept:\"*/*\" x_vcap_request_id:\"<uuid>\"",
        ),
        (
            ask("GET /2 HTTP/1.1", &["Host: nowhere.example.com", "X-A: a\"b"], ""),
            "x_cf_routererror:\"unknown_route\" x_a:\"a\\\"b\" accept:\"-\" x_vcap_request_id:\"<uuid>\"",
        ),
        (
            // As it came, though the app does not get it.
            ask("GET /3 HTTP/1.1", &["Connection: X-A", "X-A: one"], ""),
            "x_cf_routererror:\"-\" x_a:\"one\" accept:\"-\" x_vcap_request_id:\"<uuid>\"",
        ),
    ] {
        scene.exchange(&request).await;
        let line = scene.access_log_line(request.split(' ').nth(1).unwrap()).await;
        let (line, id) = line.strip_suffix('"').unwrap().rsplit_once('"').unwrap();
        assert!(is_uuid(id) && line.contains(&format!(" vcap_request_id:\"{id}\" ")), "{line}");
        let line = format!("{line}\"<uuid>\"");
        assert!(line.ends_with(logged), "{logged} does not end {line}");
    }
}

#[tokio::test]
async fn what_is_private_stays_out_of_the_log() {
    let router = recorded()
        .set("logging", json!({"redact_query_params": "hash", "disable_log_forwarded_for": true}))
        .set("logging.disable_log_source_ip", true);
    let scene = Scene::with(router).await;
    let private = |start: &str, error: &str| {
        let end = served(error).replace("x_forwarded_for:\"127.0.0.1\"", "x_forwarded_for:\"-\"");
        format!("app.example.com - [<time>] \"{start} HTTP/1.1\" 200 0 5 \"-\" \"-\" \"-\" \"<app>\" {end}")
    };
    for (count, (start, logged)) in [
        ("GET /", "GET /"),
        ("GET /a/b?x=1&y=%20", "GET /a/b?hash=5b4cfdb9567e216660e8877d2a667ed9a64121ad"),
        ("POST /?secret=1", "POST /?secret=1"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = ask(&format!("{start} HTTP/1.1"), &["X-Forwarded-For: 1.2.3.4", "Content-Length: 0"], "");
        assert_eq!(scene.send(&request, "GET").await.unwrap().0.status, 200);
        let lines = scene.lines(count + 1).await;
        // The place of the client's address is the one that `steady` looks for.
        let line = lines[count].replacen(" \"-\" \"-\" \"-\" ", " \"-\" \"-\" \"127.0.0.1:1\" ", 1);
        assert_eq!(steady(&line, &scene.app).replace("\"<client>\"", "\"-\""), private(logged, "-"));
        assert!(!lines[count].contains("1.2.3.4"), "{}", lines[count]);
        assert_eq!(scene.app_got().start, format!("{start} HTTP/1.1"));
    }
    // The router's own answers are no exception.
    scene.exchange(&ask("GET /?q=1 HTTP/1.1", &["Host: nowhere.example.com", "X-Forwarded-For: 1.2.3.4"], "")).await;
    let line = scene.access_log_line("nowhere.example.com").await;
    assert!(line.contains("GET /?hash=") && line.contains(" \"-\" \"-\" \"-\" \"-\" x_forwarded_for:\"-\" "), "{line}");
}

#[tokio::test]
async fn no_query_at_all_is_logged_where_that_is_asked_for() {
    let scene = Scene::with(recorded().set("logging", json!({"redact_query_params": "all"}))).await;
    scene.exchange(&ask("GET /a?secret=1 HTTP/1.1", &[], "")).await;
    let line = scene.access_log_line("app.example.com").await;
    assert!(line.contains("] \"GET /a HTTP/1.1\" 200 "), "{line}");
    assert_eq!(scene.app_got().start, "GET /a?secret=1 HTTP/1.1");
}

/// The value of `name:` in a line.
fn value<'l>(line: &'l str, name: &str) -> &'l str {
    let (_, rest) = line.split_once(&format!(" {name}:")).unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split(' ').next().unwrap()
}

fn is_time(text: &str) -> bool {
    text.split_once('.').is_some_and(|(whole, rest)| whole.parse::<u64>().is_ok() && rest.len() == 6)
}

#[tokio::test]
async fn what_the_attempts_cost_is_logged() {
    let names = ["dial_time", "tls_time", "nonsense", "failed_attempts", "failed_attempts_time", "backend_time"];
    let names = [&names[..], &["dns_time", "local_address"]].concat();
    let router = recorded().set("disable_keep_alives", false).set("go_max_procs", 1);
    let router = router.set("logging", json!({"extra_access_log_fields": names}));
    let scene = Scene::with(router).await;
    let line = async |path: &str| {
        assert_eq!(scene.get("app.example.com", path).await.status, 200);
        scene.access_log_line(&format!("GET {path} ")).await
    };
    let first = line("/first").await;
    let order: Vec<usize> = names.iter().filter_map(|name| first.find(&format!(" {name}:"))).collect();
    assert!(order.len() == 7 && order.is_sorted() && !first.contains("nonsense"), "{first}");
    assert!(is_time(value(&first, "dial_time")) && is_time(value(&first, "backend_time")), "{first}");
    let rest = ["tls_time", "dns_time", "failed_attempts_time", "failed_attempts"].map(|name| value(&first, name));
    assert_eq!(rest, ["\"-\"", "\"-\"", "\"-\"", "0"], "{first}");
    assert!(value(&first, "local_address").starts_with("\"127.0.0.1:"), "{first}");
    // On a connection that was there already nothing is dialled.
    scene.app_says(Reply::text("again"));
    line("/second").await;
    let third = line("/third").await;
    assert_eq!((value(&third, "dial_time"), value(&third, "failed_attempts")), ("\"-\"", "0"), "{third}");
    assert!(value(&third, "local_address").starts_with("\"127.0.0.1:"), "{third}");
    // An endpoint that is gone costs an attempt.
    let gone = trueroute_testkit::peers::refuses_connections();
    scene.register(&plain(gone.addr()).uri("gone.example.com")).await;
    assert_eq!(scene.get("gone.example.com", "/gone").await.status, 502);
    let line = scene.access_log_line("GET /gone ").await;
    assert!(
        value(&line, "failed_attempts").parse::<u32>().unwrap() > 0 && is_time(value(&line, "failed_attempts_time"))
    );
    assert_eq!(["dial_time", "backend_time", "local_address"].map(|name| value(&line, name)), ["\"-\""; 3], "{line}");
}

#[tokio::test]
async fn the_cost_of_a_proof_is_logged() {
    let router = support::Scene::new().router().set("logging", json!({"extra_access_log_fields": ["tls_time"]}));
    let router = router.start().await;
    let _instance = router.instance("app").uri("app.example.com").register().await;
    assert_eq!(router.get("app.example.com", "/").await.status, 200);
    let line = router.access_log_line("app.example.com").await;
    assert!(is_time(value(&line, "tls_time")), "{line}");
}

#[tokio::test]
async fn lines_go_to_a_file_that_may_be_moved_and_to_syslog() {
    let server = tokio::net::UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let router = recorded().set("access_log.enable_streaming", true).set("logging.syslog_addr", address);
    let scene = Scene::with(router.set("logging.syslog", "vcap.gorouter").set("logging.syslog_truncate", 40)).await;
    assert_eq!(scene.get("app.example.com", "/one").await.status, 200);
    let mut got = [0; 2048];
    let size = tokio::time::timeout(PATIENCE, server.recv(&mut got)).await.unwrap().unwrap();
    let sent = str::from_utf8(&got[..size]).unwrap();
    let (head, line) = sent.split_once('\u{feff}').unwrap();
    assert!(head.starts_with("<14>1 20") && head.contains(" vcap.gorouter ") && head.ends_with(" - "), "{head:?}");
    assert!(line.starts_with("app.example.com - [20") && line.len() == 40, "{line:?}");

    assert_eq!(scene.lines(1).await.len(), 1);
    let moved = scene.access_log_file().with_extension("1");
    std::fs::rename(scene.access_log_file(), &moved).unwrap();
    assert_eq!(scene.get("app.example.com", "/two").await.status, 200);
    let lines = scene.lines(1).await;
    assert!(lines[0].contains("\"GET /two HTTP/1.1\""), "{lines:?}");
    assert!(std::fs::read_to_string(moved).unwrap().lines().count() == 1);
}
