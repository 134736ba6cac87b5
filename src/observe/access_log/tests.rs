use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use chrono::{DateTime, Local};
use proptest::prelude::*;

use super::*;

const RECEIVED: Duration = Duration::from_nanos(1_732_100_000_000_000_042);

pub(in crate::observe) fn proxied() -> Entry<'static> {
    Entry {
        host: b"app.example.com",
        received: UNIX_EPOCH + RECEIVED,
        method: "GET",
        target: b"/",
        protocol: "HTTP/1.1",
        status: Some(200),
        request_bytes: 0,
        response_bytes: 5,
        referer: b"",
        user_agent: b"",
        remote_addr: "127.0.0.1:1234",
        backend_addr: "127.0.0.1:23101",
        x_forwarded_for: b"127.0.0.1",
        x_forwarded_proto: b"http",
        request_id: b"7b2c1a52-0000-4000-8000-0123456789ab",
        response_time: Some(Duration::from_millis(1)),
        gorouter_time: Some(Duration::from_micros(100)),
        app_id: "0a1b",
        app_index: "0",
        instance_id: "0a1b2c3d-0000-4000-8000-000000000005",
        router_error: b"",
        cost: None,
        headers: NO_FIELDS.get_or_init(HeaderMap::new),
        removed: &[],
        aborted: None,
    }
}

static NO_FIELDS: OnceLock<HeaderMap> = OnceLock::new();

fn unrouted() -> Entry<'static> {
    Entry {
        host: b"nowhere.example.com",
        status: Some(404),
        response_bytes: 71,
        backend_addr: "",
        x_forwarded_for: b"",
        x_forwarded_proto: b"",
        gorouter_time: Some(Duration::ZERO),
        app_id: "",
        app_index: "",
        instance_id: "",
        router_error: b"unknown_route",
        ..proxied()
    }
}

fn line(entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    format(entry, &mut out);
    String::from_utf8(out).unwrap()
}

/// What Gorouter prints for the time of [`proxied`] on this machine.
pub(super) fn time() -> String {
    DateTime::<Local>::from(UNIX_EPOCH + RECEIVED).format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

#[test]
fn a_proxied_request_prints_as_recorded() {
    let expected = concat!(
        r#"app.example.com - [<time>] "GET / HTTP/1.1" 200 0 5 "-" "-" "127.0.0.1:1234" "127.0.0.1:23101" "#,
        r#"x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" vcap_request_id:"7b2c1a52-0000-4000-8000-0123456789ab" "#,
        r#"response_time:0.001000 gorouter_time:0.000100 app_id:"0a1b" app_index:"0" "#,
        r#"instance_id:"0a1b2c3d-0000-4000-8000-000000000005" x_cf_routererror:"-""#,
        "\n"
    );
    assert_eq!(line(&proxied()), expected.replace("<time>", &time()));
    assert!(time().ends_with(".000000042Z"));
}

#[test]
fn an_unknown_route_prints_as_recorded() {
    let expected = concat!(
        r#"nowhere.example.com - [<time>] "GET / HTTP/1.1" 404 0 71 "-" "-" "127.0.0.1:1234" "-" "#,
        r#"x_forwarded_for:"-" x_forwarded_proto:"-" vcap_request_id:"7b2c1a52-0000-4000-8000-0123456789ab" "#,
        r#"response_time:0.001000 gorouter_time:0.000000 app_id:"-" app_index:"-" instance_id:"-" "#,
        r#"x_cf_routererror:"unknown_route""#,
        "\n"
    );
    assert_eq!(line(&unrouted()), expected.replace("<time>", &time()));
}

#[test]
fn every_field_keeps_the_rules_for_its_kind() {
    let went_wrong = r#"endpoint_failure (malformed HTTP status code "99")"#;
    for (entry, contains) in [
        (Entry { user_agent: b"a\"b\\c\td", ..proxied() }, r#" "-" "a\"b\\c\td" "127.0.0.1:1234""#),
        (Entry { referer: b"http://r/", ..proxied() }, r#" 5 "http://r/" "-" "#),
        (
            Entry { router_error: went_wrong.as_bytes(), ..proxied() },
            r#"x_cf_routererror:"endpoint_failure (malformed HTTP status code \"99\")""#,
        ),
        (Entry { target: b"/a?b=\"c\"", ..proxied() }, r#""GET /a?b=\"c\" HTTP/1.1""#),
        (Entry { status: None, ..proxied() }, r#" HTTP/1.1" "-" 0 5 "#),
        (Entry { status: Some(0), ..proxied() }, r#" HTTP/1.1" "-" 0 5 "#),
        (Entry { status: Some(101), response_bytes: 0, ..proxied() }, r#" HTTP/1.1" 101 0 0 "#),
        (Entry { request_bytes: u64::MAX, ..proxied() }, r#" 200 18446744073709551615 5 "#),
        (
            Entry { response_time: None, gorouter_time: None, ..proxied() },
            r#" response_time:"-" gorouter_time:"-" app_id"#,
        ),
        (Entry { response_time: Some(Duration::new(61, 499)), ..proxied() }, " response_time:61.000000 "),
        (Entry { response_time: Some(Duration::new(61, 500)), ..proxied() }, " response_time:61.000001 "),
        (Entry { response_time: Some(Duration::new(1, 999_999_700)), ..proxied() }, " response_time:2.000000 "),
        (Entry { remote_addr: "", ..proxied() }, r#" "-" "-" "-" "127.0.0.1:23101""#),
        (Entry { request_id: b"", ..proxied() }, r#" vcap_request_id:"-" "#),
        (Entry { x_forwarded_for: b"1.2.3.4, 127.0.0.1", ..proxied() }, r#" x_forwarded_for:"1.2.3.4, 127.0.0.1" "#),
    ] {
        let line = line(&entry);
        assert!(line.contains(contains), "{contains} is not in {line}");
    }
    assert!(line(&Entry { host: b"", ..proxied() }).starts_with(" - ["));
}

#[test]
fn text_is_quoted_as_go_quotes_it() {
    for (text, quoted) in [
        (&b"plain ~!"[..], "plain ~!"),
        (b"\x07\x08\x0c\n\r\t\x0b", r"\a\b\f\n\r\t\v"),
        (b"\x00\x1b\x1f\x7f", r"\x00\x1b\x1f\x7f"),
        (b"'", "'"),
        ("käse → 🦀 e\u{301}".as_bytes(), "käse → 🦀 e\u{301}"),
        ("\u{301}".as_bytes(), "\u{301}"),
        ("\u{fffd}".as_bytes(), "\u{fffd}"),
        ("a\u{a0}b\u{85}\u{200b}\u{2028}\u{feff}".as_bytes(), r"a\u00a0b\u0085\u200b\u2028\ufeff"),
        ("\u{e0001}\u{10ffff}".as_bytes(), r"\U000e0001\U0010ffff"),
        (b"\xff\xc3(\xe2\x82", r"\xff\xc3(\xe2\x82"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
    ] {
        let line = line(&Entry { user_agent: text, ..proxied() });
        let expected = format!(" 5 \"-\" \"{quoted}\" \"127.0.0.1:1234\"");
        assert!(line.contains(&expected), "{expected} is not in {line}");
    }
}

/// The bytes that a quoted field stands for, and what follows its closing quote.
fn unquote(text: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    let mut chars = text.char_indices();
    let code = |chars: &mut std::str::CharIndices<'_>, digits| {
        let hex: String = chars.take(digits).map(|(_, char)| char).collect();
        u32::from_str_radix(&hex, 16).unwrap()
    };
    while let Some((at, char)) = chars.next() {
        let unescaped = match char {
            '"' => return (bytes, &text[at + 1..]),
            '\\' => match chars.next().unwrap().1 {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                'x' => {
                    bytes.push(u8::try_from(code(&mut chars, 2)).unwrap());
                    continue;
                }
                'u' => char::from_u32(code(&mut chars, 4)).unwrap(),
                'U' => char::from_u32(code(&mut chars, 8)).unwrap(),
                same => same,
            },
            plain => plain,
        };
        bytes.extend_from_slice(unescaped.encode_utf8(&mut [0; 4]).as_bytes());
    }
    panic!("no closing quote in {text}");
}

proptest! {
    #[test]
    fn nothing_from_the_wire_leaves_its_field(text: Vec<u8>) {
        prop_assume!(!text.is_empty());
        let line = line(&Entry { user_agent: &text, ..proxied() });
        prop_assert_eq!(line.matches(char::is_control).collect::<Vec<_>>(), ["\n"]);
        let field = line.split_once(" 5 \"-\" \"").unwrap().1;
        let (unquoted, rest) = unquote(field);
        prop_assert_eq!(unquoted, text);
        prop_assert!(rest.starts_with(" \"127.0.0.1:1234\" "));
    }

    #[test]
    fn a_target_stays_between_its_quotes(target: String) {
        let line = line(&Entry { target: target.as_bytes(), ..proxied() });
        let (request, rest) = unquote(line.split_once("] \"").unwrap().1);
        prop_assert_eq!(request, format!("GET {target} HTTP/1.1").into_bytes());
        prop_assert!(rest.starts_with(" 200 0 5 "));
    }
}

#[test]
fn lines_of_all_workers_reach_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    std::fs::write(&path, "kept\n").unwrap();
    let log = AccessLog::new().file(&path).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let sink = log.sink();
            scope.spawn(move || (0..1000).for_each(|_| sink.push(&proxied())));
        }
    });
    let idle = log.sink();
    idle.push(&unrouted());
    idle.flush();
    assert!(log.flush(Duration::from_secs(10)));
    let content = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = content.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 1 + 3000 + 1);
    assert_eq!(lines[0], "kept\n");
    assert_eq!(lines.iter().filter(|text| ***text == line(&proxied())).count(), 3000);
    assert_eq!(lines.iter().filter(|text| ***text == line(&unrouted())).count(), 1);
    assert_eq!(log.dropped().map(|count| count.lines()).sum::<u64>(), 0);
}

#[test]
fn dropping_the_log_writes_what_was_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::new().file(&path).unwrap();
    let sink = log.sink();
    sink.push(&proxied());
    drop(sink);
    drop(log);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line(&proxied()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o133, 0);
}

#[test]
fn a_full_disk_costs_lines_and_counts_them() {
    let log = AccessLog::new().file("/dev/full").unwrap();
    let sink = log.sink();
    sink.push(&proxied());
    sink.push(&proxied());
    sink.flush();
    assert!(log.flush(Duration::from_secs(10)));
    assert_eq!(log.dropped().map(|count| count.lines()).sum::<u64>(), 2);
}

#[test]
fn a_syslog_server_that_stops_reading_costs_lines_and_no_worker_waits() {
    let server = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = server.local_addr().unwrap().to_string();
    let syslog = Syslog { address, network: syslog::Network::Tcp, tag: "t".into(), truncate: 0 };
    let log = AccessLog::new().syslog(syslog).unwrap();
    let sink = log.sink();
    let long = "x".repeat(60_000);
    let mut pushed = 0;
    // It takes the connection and nothing else. Who pushes would never come back if it had to wait.
    while log.dropped().all(|count| count.lines() == 0) {
        sink.push(&Entry { user_agent: long.as_bytes(), ..proxied() });
        pushed += 1;
        assert!(pushed < 10_000, "the queue is bounded");
    }
    // The other end goes, so that the last line need not be waited for.
    drop(server);
}

#[test]
fn a_file_that_can_not_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("access.log");
    let error = AccessLog::new().file(&path).unwrap_err();
    assert!(
        matches!(&error, OpenError::File { path: named, cause } if *named == path && cause.kind() == io::ErrorKind::NotFound)
    );
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_sink_goes_where_its_worker_goes() {
    fn is_send<T: Send + 'static>(_: T) {}
    let folder = tempfile::tempdir().unwrap();
    is_send(AccessLog::new().file(folder.path().join("access.log")).unwrap().sink());
}
