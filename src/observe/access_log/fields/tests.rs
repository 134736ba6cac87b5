use http::{HeaderMap, HeaderValue};

use super::*;
use crate::observe::access_log::{format::Formatter, tests::proxied};

/// The line of `entry` with these fields.
fn line(fields: &Fields, entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    Formatter::showing(fields.clone().into()).line(entry, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn queries_of_get_requests_are_shown_as_far_as_they_may_be() {
    for (redact, method, target, shown) in [
        (Redact::Nothing, "GET", "/a/b?x=1&y=%20;z", "/a/b?x=1&y=%20;z"),
        (Redact::All, "GET", "/a/b?x=1&y=%20;z", "/a/b"),
        (Redact::Hash, "GET", "/a/b?x=1&y=%20;z", "/a/b?hash=35bd8a2d097a2498d0057bf6165c881b60dfffa1"),
        (Redact::Hash, "GET", "/?a?b", "/?hash=c644e1a4ff342fc6853ca057c84ae4b022c8678d"),
        (Redact::All, "GET", "/plain", "/plain"),
        (Redact::Hash, "GET", "/plain", "/plain"),
        (Redact::All, "GET", "/empty?", "/empty?"),
        (Redact::Hash, "GET", "/empty?", "/empty?"),
        (Redact::All, "POST", "/?secret=1", "/?secret=1"),
        (Redact::Hash, "HEAD", "/?secret=1", "/?secret=1"),
        (Redact::All, "get", "/?secret=1", "/?secret=1"),
    ] {
        let fields = Fields::new(Privacy { redact, ..Privacy::default() });
        let entry = Entry { method, target: target.as_bytes(), ..proxied() };
        let expected = format!("] \"{method} {shown} HTTP/1.1\" ");
        assert!(
            line(&fields, &entry).contains(&expected),
            "{redact:?}: {expected} is not in {}",
            line(&fields, &entry)
        );
    }
}

#[test]
fn who_asked_is_hidden_where_the_configuration_says_so() {
    for (source, forwarded, shown) in [
        (false, false, r#" "127.0.0.1:1234" "127.0.0.1:23101" x_forwarded_for:"127.0.0.1" "#),
        (true, false, r#" "-" "127.0.0.1:23101" x_forwarded_for:"127.0.0.1" "#),
        (false, true, r#" "127.0.0.1:1234" "127.0.0.1:23101" x_forwarded_for:"-" "#),
        (true, true, r#" "-" "127.0.0.1:23101" x_forwarded_for:"-" "#),
    ] {
        let fields =
            Fields::new(Privacy { hides_source: source, hides_forwarded_for: forwarded, ..Privacy::default() });
        let line = line(&fields, &proxied());
        assert!(line.contains(shown), "{shown} is not in {line}");
    }
}

#[test]
fn request_fields_follow_the_usual_ones_in_the_order_of_the_configuration() {
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-a", "one"), ("x-a", "two"), ("accept", "*/*"), ("x-quote", "a\"b\tc"), ("x-empty", "")] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers.insert("x-vcap-request-id", HeaderValue::from_static("made up"));
    headers.insert("x-forwarded-proto", HeaderValue::from_static("made up"));
    let removed = [("x-named", "away"), ("x-a", "never")];
    let removed = removed.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let entry = Entry { headers: &headers, removed: &removed, request_id: b"ours", ..proxied() };
    for (names, shown) in [
        (&["X-A", "Accept"][..], r#" x_cf_routererror:"-" x_a:"one" accept:"*/*""#),
        (&["accept", "x-a"], r#" x_cf_routererror:"-" accept:"*/*" x_a:"one""#),
        (&["X-A", "x-a", "Accept"], r#" x_cf_routererror:"-" x_a:"one" accept:"*/*""#),
        (&["X-Quote"], r#" x_cf_routererror:"-" x_quote:"a\"b\tc""#),
        (&["X-Empty", "X-Absent", "no name"], r#" x_cf_routererror:"-" x_empty:"-" x_absent:"-" no name:"-""#),
        (&["X-Named", "X-A"], r#" x_cf_routererror:"-" x_named:"away" x_a:"one""#),
        (&["X-Vcap-Request-Id"], r#" x_cf_routererror:"-" x_vcap_request_id:"ours""#),
        (&["X-Forwarded-Proto"], r#" x_cf_routererror:"-" x_forwarded_proto:"http""#),
        (&[], r#" x_cf_routererror:"-""#),
    ] {
        let fields = Fields::default().and_headers(names.iter().copied());
        let line = line(&fields, &entry);
        assert!(line.ends_with(&format!("{shown}\n")), "{shown} does not end {line}");
    }
}

#[test]
fn facts_about_the_attempts_stand_before_the_error() {
    let answered = Cost {
        failed: 2,
        failed_time: Duration::from_millis(1500),
        backend: Some(Duration::from_micros(7)),
        dns: Some(Duration::ZERO),
        dial: Some(Duration::from_millis(3)),
        tls: None,
        local: Some(([127, 0, 0, 1], 4321).into()),
    };
    let all = ["backend_time", "dial_time", "dns_time", "failed_attempts", "failed_attempts_time", "local_address"];
    for (names, cost, shown) in [
        (
            &all[..],
            answered,
            concat!(
                r#" backend_time:0.000007 dial_time:0.003000 dns_time:0.000000 failed_attempts:2 "#,
                r#"failed_attempts_time:1.500000 local_address:"127.0.0.1:4321" x_cf_routererror:"#
            ),
        ),
        (
            &all,
            Cost::default(),
            concat!(
                r#" backend_time:"-" dial_time:"-" dns_time:"-" failed_attempts:0 failed_attempts_time:"-" "#,
                r#"local_address:"-" x_cf_routererror:"#
            ),
        ),
        (
            &["tls_time"],
            Cost { tls: Some(Duration::from_millis(2)), ..answered },
            " tls_time:0.002000 x_cf_routererror:",
        ),
        (&["tls_time", "failed_attempts"], answered, r#" tls_time:"-" failed_attempts:2 x_cf_routererror:"#),
        (
            &["local_address", "nonsense", "failed_attempts", "local_address"],
            answered,
            r#" local_address:"127.0.0.1:4321" failed_attempts:2 x_cf_routererror:"#,
        ),
    ] {
        let fields = Fields::default().and_extras(names.iter().copied());
        let line = line(&fields, &Entry { cost: Some(&cost), ..proxied() });
        let expected = format!("instance_id:\"0a1b2c3d-0000-4000-8000-000000000005\"{shown}");
        assert!(line.contains(&expected), "{expected} is not in {line}");
    }
}

#[test]
fn what_is_not_asked_for_changes_nothing() {
    let mut plain = Vec::new();
    crate::observe::access_log::format(&proxied(), &mut plain);
    assert_eq!(line(&Fields::default(), &proxied()).into_bytes(), plain);
}
