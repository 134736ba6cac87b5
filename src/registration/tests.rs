use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parsed(message: &str) -> Registration {
    parse(message.as_bytes()).unwrap()
}

fn endpoint(message: &str) -> Endpoint {
    parsed(message).endpoint(None, true).unwrap()
}

const FULL: &str = r#"{
    "host": "10.0.0.1", "port": 8080, "tls_port": 8443, "uris": ["app.example.com", "App.example.com/api"],
    "app": "app-id", "private_instance_id": "instance-id", "private_instance_index": "3", "protocol": "http2",
    "server_cert_domain_san": "san", "route_service_url": "https://rs.example.com",
    "tags": {"component": "route-emitter", "app_id": "x"}, "stale_threshold_in_seconds": 60,
    "isolation_segment": "segment", "availability_zone": "z1", "endpoint_updated_at_ns": 7,
    "options": {"loadbalancing": "least-connection", "hash_balance": "1.5"}, "unknown": [1, {"a": null}]
}"#;

#[test]
fn every_field_reaches_the_endpoint() {
    let message = parsed(FULL);
    let endpoint = message.endpoint(None, true).unwrap();
    assert_eq!(endpoint.peer, Peer::of("10.0.0.1", 8443, Some("san")));
    let wanted = Facts {
        app_id: "app-id".into(),
        instance_id: "instance-id".into(),
        instance_index: "3".into(),
        protocol: Protocol::Http2,
        server_cert_domain_san: "san".into(),
        tags: Some([("app_id".into(), "x".into()), ("component".into(), "route-emitter".into())].into()),
        route_service_url: "https://rs.example.com".into(),
        isolation_segment: "segment".into(),
        availability_zone: "z1".into(),
        stale_threshold: Duration::from_secs(60),
        updated_at_ns: 7,
        options: Some(Arc::new(Options { loadbalancing: "least-connection".into(), ..Default::default() })),
        modification_tag: None,
    };
    assert_eq!(endpoint.facts(), wanted);
    let uris: Vec<_> = message.uris().map(|uri| uri.unwrap().as_str().to_owned()).collect();
    assert_eq!(uris, ["app.example.com", "app.example.com/api"]);
}

#[test]
fn silence_and_null_mean_empty() {
    let fields = [
        "host",
        "port",
        "tls_port",
        "uris",
        "app",
        "private_instance_id",
        "private_instance_index",
        "protocol",
        "server_cert_domain_san",
        "route_service_url",
        "tags",
        "stale_threshold_in_seconds",
        "isolation_segment",
        "availability_zone",
        "endpoint_updated_at_ns",
        "options",
    ];
    let nulls: serde_json::Map<_, _> = fields.iter().map(|field| ((*field).to_owned(), json!(null))).collect();
    for message in ["{}", "null", r#"{"options":{"loadbalancing":null}}"#, &json!(nulls).to_string()] {
        assert_eq!(parsed(message), Registration::default(), "{message}");
    }
    assert_eq!(endpoint(r#"{"host":"h","port":1}"#).facts(), Facts::default());
    assert_eq!(endpoint(r#"{"host":"h","port":1,"tags":{}}"#).facts().tags, Some([].into()));
    assert_eq!(endpoint(r#"{"host":"h","port":1,"tags":{"a":null}}"#).tag("a"), Some(""));
    let empty = parsed(r#"{"uris":[null,"app.example.com"]}"#);
    let uris: Vec<_> = empty.uris().map(|uri| uri.map(|key| key.as_str().to_owned())).collect();
    assert_eq!(uris, [Err(("", BadUri::NoHost)), Ok("app.example.com".to_owned())]);
}

#[test]
fn keys_match_in_any_case_and_the_last_wins() {
    for (message, app) in [
        (r#"{"APP":"a"}"#, "a"),
        (r#"{"app":"a","App":"b"}"#, "b"),
        (r#"{"App":"b","app":"a"}"#, "a"),
        (r#"{"app":"a","app":null}"#, "a"),
        (r#"{"\u0061pp":"a"}"#, "a"),
        (r#"{"app ":"a"}"#, ""),
    ] {
        assert_eq!(parsed(message).app, app, "{message}");
    }
    assert_eq!(parsed("{\"ho\u{17f}t\":\"h\"}").host, "h");
    assert_eq!(parsed(r#"{"Options":{"LoadBalancing":"x"},"options":{}}"#).loadbalancing, "x");
    assert_eq!(parsed(r#"{"uris":["a","b"],"uris":["c"]}"#).uris, ["c"]);
    assert_eq!(parsed(r#"{"uris":["a"],"uris":null}"#).uris, Vec::<String>::new());
    let tags = |message: &str| parsed(message).tags;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(tags(r#"{"tags":{"b":"1","a":"2","b":"3"}}"#), Some(vec![pair("a", "2"), pair("b", "3")]));
    assert_eq!(tags(r#"{"tags":{"a":"1"},"tags":{"b":"2"}}"#), Some(vec![pair("a", "1"), pair("b", "2")]));
    assert_eq!(tags(r#"{"tags":{"a":"1"},"tags":null}"#), None);
}

#[test]
fn any_value_of_another_type_rejects_the_message() {
    for message in [
        "",
        "{",
        "[]",
        "1",
        r#""text""#,
        "{} {}",
        r#"{"host":1}"#,
        r#"{"host":["h"]}"#,
        r#"{"port":"80"}"#,
        r#"{"port":65536}"#,
        r#"{"port":-1}"#,
        r#"{"port":80.0}"#,
        r#"{"port":8e1}"#,
        r#"{"port":true}"#,
        r#"{"tls_port":70000}"#,
        r#"{"uris":"app.example.com"}"#,
        r#"{"uris":[1]}"#,
        r#"{"uris":{}}"#,
        r#"{"app":{}}"#,
        r#"{"private_instance_index":0}"#,
        r#"{"tags":[]}"#,
        r#"{"tags":{"a":1}}"#,
        r#"{"tags":"x"}"#,
        r#"{"stale_threshold_in_seconds":"60"}"#,
        r#"{"stale_threshold_in_seconds":1.5}"#,
        r#"{"stale_threshold_in_seconds":9223372036854775808}"#,
        r#"{"endpoint_updated_at_ns":-9223372036854775809}"#,
        r#"{"options":[]}"#,
        r#"{"options":"x"}"#,
        r#"{"options":{"loadbalancing":1}}"#,
        r#"{"options":{"hash_header":1}}"#,
        r#"{"options":{"hash_balance":"1,5"}}"#,
        r#"{"options":{"hash_balance":"NaN"}}"#,
        r#"{"options":{"hash_balance":"inf"}}"#,
        r#"{"options":{"hash_balance":true}}"#,
        r#"{"options":{"hash_balance":[1]}}"#,
        r#"{"app":"\ud800"}"#,
        "{\"app\":\"a\nb\"}",
        r#"{"app":"a",}"#,
        "\u{feff}{}",
    ] {
        assert!(matches!(parse(message.as_bytes()), Err(Rejected::Json(_))), "{message:?}");
    }
    assert!(matches!(parse(b"{\"app\":\"\xff\"}"), Err(Rejected::Json(_))));
}

#[test]
fn the_options_of_hash_routing_are_for_hash_routing() {
    let asked = |options: &str| {
        let endpoint = endpoint(&format!(r#"{{"host":"h","port":1,"options":{options}}}"#));
        endpoint.options().map(|it| (it.loadbalancing.to_string(), it.hash_header.to_string(), it.hash_balance))
    };
    let some = |algorithm: &str, header: &str, balance| Some((algorithm.to_owned(), header.to_owned(), balance));
    for (options, wanted) in [
        ("{}", None),
        (r#"{"loadbalancing":""}"#, None),
        (r#"{"hash_header":"X-A","hash_balance":2}"#, None),
        (r#"{"loadbalancing":"round-robin","hash_header":"X-A","hash_balance":2}"#, some("round-robin", "", 0.0)),
        (r#"{"loadbalancing":"hash"}"#, some("hash", "", 0.0)),
        (r#"{"loadbalancing":"hash","hash_header":null,"hash_balance":2}"#, some("hash", "", 0.0)),
        (r#"{"loadbalancing":"hash","hash_header":"X-A"}"#, some("hash", "X-A", 0.0)),
        (r#"{"loadbalancing":"hash","hash_header":"X-A","hash_balance":2}"#, some("hash", "X-A", 2.0)),
        (r#"{"loadbalancing":"hash","hash_header":"X-A","hash_balance":1.25}"#, some("hash", "X-A", 1.25)),
        (r#"{"loadbalancing":"hash","hash_header":"X-A","hash_balance":"1.25"}"#, some("hash", "X-A", 1.25)),
        (r#"{"loadbalancing":"hash","hash_header":"X-A","hash_balance":""}"#, some("hash", "X-A", 0.0)),
        (r#"{"loadbalancing":"hash","hash_header":"X-A","hash_balance":null}"#, some("hash", "X-A", 0.0)),
        (r#"{"LoadBalancing":"hash","Hash_Header":"X-A","HASH_BALANCE":-1}"#, some("hash", "X-A", -1.0)),
        (r#"{"loadbalancing":"coin-toss"}"#, some("coin-toss", "", 0.0)),
    ] {
        assert_eq!(asked(options), wanted, "{options}");
    }
}

#[test]
fn extreme_numbers_are_accepted() {
    let message = parsed(
        r#"{"port":65535,"stale_threshold_in_seconds":-1,"endpoint_updated_at_ns":-9223372036854775808,"host":"h"}"#,
    );
    let endpoint = message.endpoint(None, false).unwrap();
    assert_eq!((endpoint.stale_threshold(), endpoint.updated_at_ns()), (Duration::ZERO, i64::MIN));
    let long = parsed(r#"{"port":1,"stale_threshold_in_seconds":9223372036854775807,"host":"h"}"#);
    assert_eq!(long.endpoint(None, false).unwrap().stale_threshold(), Duration::from_secs(i64::MAX as u64));
}

#[test]
fn a_route_service_has_to_be_https() {
    for url in ["", "https", "https://rs.example.com", "https:x"] {
        assert!(parse(json!({ "route_service_url": url }).to_string().as_bytes()).is_ok(), "{url}");
    }
    for url in ["http://rs.example.com", "HTTPS://rs.example.com", " https://x", "x"] {
        let why = parse(json!({ "route_service_url": url }).to_string().as_bytes()).unwrap_err();
        assert_eq!(why.to_string(), "Unable to validate message. route_service_url must be https", "{url}");
    }
}

#[test]
fn control_characters_stay_out_of_header_values() {
    for field in ["host", "app", "private_instance_id", "private_instance_index", "server_cert_domain_san", "protocol"]
    {
        for text in ["a\r\nX-Evil: 1", "a\0", "a\u{7f}", "\t"] {
            let why = parse(json!({ field: text }).to_string().as_bytes()).unwrap_err();
            assert_eq!(why.to_string(), format!("{field} holds a control character"));
        }
    }
    let tag = |name: &str| parse(json!({ "tags": { name: "a\nb" } }).to_string().as_bytes());
    assert!(matches!(tag("component"), Err(Rejected::Control { field: "tags" })));
    assert!(tag("space_name").is_ok(), "a tag that is only kept may hold anything");
}

#[test]
fn sizes_are_bounded() {
    let spaces = |count| format!("{{}}{}", " ".repeat(count));
    assert!(parse(spaces(MAX_MESSAGE - 2).as_bytes()).is_ok());
    assert!(matches!(parse(spaces(MAX_MESSAGE - 1).as_bytes()), Err(Rejected::TooLarge(_))));

    let uris = |count| parse(json!({ "uris": vec!["a"; count] }).to_string().as_bytes());
    assert!(uris(MAX_URIS).is_ok());
    assert!(matches!(uris(MAX_URIS + 1), Err(Rejected::TooMany { field: "uris", .. })));

    let tags = |count| {
        let tags: serde_json::Map<_, _> = (0..count).map(|n: usize| (n.to_string(), json!("v"))).collect();
        parse(json!({ "tags": tags }).to_string().as_bytes())
    };
    assert!(tags(MAX_TAGS).is_ok());
    assert!(matches!(tags(MAX_TAGS + 1), Err(Rejected::TooMany { field: "tags", .. })));

    let app = |length| parse(json!({ "app": "a".repeat(length) }).to_string().as_bytes());
    assert!(app(MAX_TEXT).is_ok());
    assert!(matches!(app(MAX_TEXT + 1), Err(Rejected::TooLong { field: "app" })));
    let tag = json!({ "tags": { "a".repeat(MAX_TEXT + 1): "" } }).to_string();
    assert!(matches!(parse(tag.as_bytes()), Err(Rejected::TooLong { field: "tags" })));
}

#[test]
fn a_policy_decides_which_port_is_dialled() {
    use Integrity::{Off, Strict, Tls};
    let both = r#"{"host":"10.0.0.1","port":80,"tls_port":443,"server_cert_domain_san":"i"}"#;
    let tls_only = r#"{"host":"10.0.0.1","tls_port":443,"server_cert_domain_san":"i"}"#;
    let plain_only = r#"{"host":"10.0.0.1","port":80,"server_cert_domain_san":"i"}"#;
    let nothing = r#"{"host":"10.0.0.1"}"#;
    let no_host = r#"{"port":80,"tls_port":443}"#;
    let tls = || Ok("10.0.0.1:443 as i".to_owned());
    let plain = || Ok("10.0.0.1:80".to_owned());
    for (message, policy, wanted) in [
        (both, None, tls()),
        (both, Some(Off), plain()),
        (both, Some(Tls), tls()),
        (both, Some(Strict), tls()),
        (tls_only, None, tls()),
        (tls_only, Some(Off), Err(Refused::TlsUnderOff)),
        (tls_only, Some(Tls), tls()),
        (plain_only, None, plain()),
        (plain_only, Some(Off), plain()),
        (plain_only, Some(Tls), Err(Refused::PlainUnderTls)),
        (plain_only, Some(Strict), Err(Refused::PlainUnderTls)),
        (nothing, None, Err(Refused::NoAddress)),
        (nothing, Some(Off), Err(Refused::NoAddress)),
        (nothing, Some(Tls), Err(Refused::NoAddress)),
        (no_host, None, Err(Refused::NoAddress)),
    ] {
        let made = parsed(message).endpoint(policy, true).map(|endpoint| format!("{:?}", endpoint.peer));
        assert_eq!(made, wanted, "{message} {policy:?}");
    }
    assert_eq!(format!("{:?}", endpoint(r#"{"host":"h","tls_port":1}"#).peer), "h:1 as h");
}

#[test]
fn a_host_is_an_address_or_a_name() {
    for (host, wanted) in [
        ("10.0.0.1", Ok("10.0.0.1:80")),
        ("backend-1.service.cf_internal", Ok("backend-1.service.cf_internal:80")),
        ("fd00::1", Ok("[fd00::1]:80")),
        ("[fd00::1]", Ok("[fd00::1]:80")),
        ("::ffff:10.0.0.1", Ok("[::ffff:10.0.0.1]:80")),
        ("fe80::1%eth0", Err(Refused::BadHost)),
        ("[10.0.0.1]", Err(Refused::BadHost)),
        ("10.0.0.1:80", Err(Refused::BadHost)),
        ("http://x", Err(Refused::BadHost)),
        ("a b", Err(Refused::BadHost)),
        ("user@x", Err(Refused::BadHost)),
        ("", Err(Refused::NoAddress)),
    ] {
        let message = parsed(&json!({ "host": host, "port": 80 }).to_string());
        let made = message.endpoint(None, true).map(|endpoint| endpoint.peer.address().to_owned());
        assert_eq!(made, wanted.map(str::to_owned), "{host}");
    }
}

#[test]
fn the_protocol_is_lowered_where_http2_is_off() {
    for (name, http2, wanted) in [
        ("", true, Protocol::Http1),
        ("http1", true, Protocol::Http1),
        ("http2", true, Protocol::Http2),
        ("http2", false, Protocol::Http1),
        ("h9", false, Protocol::Other("h9".into())),
    ] {
        let message = parsed(&json!({ "host": "h", "port": 1, "protocol": name }).to_string());
        assert_eq!(message.endpoint(None, http2).unwrap().protocol(), &wanted, "{name} {http2}");
    }
}

/// JSON of any shape, with the names of the message among its keys.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        (0..70_000_u32).prop_map(|value| json!(value)),
        ".{0,12}".prop_map(|value| json!(value)),
    ];
    let name = prop_oneof![
        prop::sample::select(
            &[
                "host",
                "port",
                "tls_port",
                "uris",
                "app",
                "tags",
                "options",
                "LoadBalancing",
                "hash_balance",
                "protocol"
            ][..]
        )
        .prop_map(str::to_owned),
        ".{0,8}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|values| json!(values)),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Whatever came in, an accepted message yields endpoints and routes without a panic.
fn use_up(bytes: &[u8]) -> bool {
    let Ok(message) = parse(bytes) else { return false };
    for policy in [None, Some(Integrity::Off), Some(Integrity::Tls), Some(Integrity::Strict)] {
        if let Ok(endpoint) = message.endpoint(policy, true) {
            assert_eq!(
                endpoint.peer.is_tls(),
                endpoint.peer.port() == message.tls_port && message.tls_port != 0 && policy != Some(Integrity::Off)
            );
        }
    }
    message.uris().for_each(drop);
    true
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use_up(&bytes);
    }

    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        let bytes = value.to_string();
        let accepted = use_up(bytes.as_bytes());
        prop_assert!(!accepted || value.is_object() || value.is_null());
    }

    #[test]
    fn no_damage_to_a_good_message_makes_it_panic(at in 0..FULL.len(), byte: u8, cut in 0..FULL.len()) {
        let mut bytes = FULL.as_bytes().to_vec();
        bytes[at] = byte;
        use_up(&bytes);
        use_up(&bytes[..cut]);
    }
}
