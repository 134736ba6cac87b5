use proptest::prelude::*;

use super::*;

const ID: u128 = 0x1111_2222_3333_4444_8555_6666_7777_8888;
const DICE: Dice = Dice { id: ID, parent: 0xaaaa_bbbb_cccc_dddd };
const FRESH: &str = "11112222333344448555666677778888";
const FRESH_SPAN: &str = "8555666677778888";
const T: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const S: &str = "e457b5a2e4d86bd1";

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let field =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

/// The fields after `tracing` has worked on `sent`, sorted, and the request id.
fn stated(tracing: &Tracing, sent: &[(&'static str, &str)]) -> (Vec<String>, String) {
    let mut headers = fields(sent);
    let id = tracing.state(&mut headers, DICE).request;
    let mut lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    (lines, format!("{id:032x}"))
}

fn check(tracing: &Tracing, sent: &[(&'static str, &str)], expected: &[String], id: &str) {
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(stated(tracing, sent), (expected, id.to_owned()), "{sent:?}");
}

fn new_zipkin() -> Vec<String> {
    vec![format!("b3: {FRESH}-{FRESH_SPAN}"), format!("x-b3-spanid: {FRESH_SPAN}"), format!("x-b3-traceid: {FRESH}")]
}

#[test]
fn nothing_is_said_when_tracing_is_off() {
    let off = Tracing::new(false, false, "tenant");
    assert!(!off.is_on());
    check(&off, &[("b3", "x")], &["b3: x".into()], FRESH);
}

#[test]
fn a_zipkin_trace_is_taken_up_or_begun() {
    let zipkin = Tracing::new(true, false, "");
    assert!(zipkin.is_on());
    check(&zipkin, &[], &new_zipkin(), FRESH);
    for b3 in [format!("{T}-{S}"), format!("{T}-{S}-1"), format!("{T}-{S}-d"), format!("{T}-{S}-0-{S}")] {
        check(&zipkin, &[("b3", &b3)], &[format!("b3: {b3}")], T);
        let beside = [("b3", &*b3), ("x-b3-traceid", FRESH), ("x-b3-spanid", S)];
        let kept = [format!("b3: {b3}"), format!("x-b3-traceid: {FRESH}"), format!("x-b3-spanid: {S}")];
        check(&zipkin, &beside, &kept, T);
    }
    let several = [("x-b3-traceid", T), ("x-b3-spanid", S), ("x-b3-parentspanid", S)];
    let told = [
        format!("b3: {T}-{S}"),
        format!("x-b3-traceid: {T}"),
        format!("x-b3-spanid: {S}"),
        format!("x-b3-parentspanid: {S}"),
    ];
    check(&zipkin, &several, &told, T);
    // 16 digits make no UUID.
    let short = &T[16..];
    check(&zipkin, &[("b3", &format!("{short}-{S}"))], &[format!("b3: {short}-{S}")], FRESH);
    for sampling in ["0", "1", "d"] {
        check(&zipkin, &[("b3", sampling)], &[format!("b3: {sampling}")], FRESH);
    }
}

#[test]
fn what_is_no_zipkin_trace_is_replaced_in_one_field_and_left_alone_in_two() {
    let zipkin = Tracing::new(true, false, "");
    let zero = "0".repeat(32);
    for b3 in [
        "",
        "x",
        T,
        "2",
        &format!("{T}-"),
        &format!("{T}-{S}-2"),
        &format!("{T}-{S}-1-x"),
        &format!("{T}-{S}-1-{S}-1"),
        &format!("+{}-{S}", &T[1..]),
        &format!("{}-{S}", &T[1..]),
        &format!("{T}-{}", &S[1..]),
        &format!("{zero}-{S}"),
    ] {
        check(&zipkin, &[("b3", b3)], &new_zipkin(), FRESH);
    }
    let broken = [("x-b3-traceid", "x"), ("x-b3-spanid", S)];
    check(&zipkin, &broken, &["x-b3-traceid: x".into(), format!("x-b3-spanid: {S}")], FRESH);
    check(&zipkin, &[("x-b3-traceid", T)], &new_zipkin(), FRESH);
}

#[test]
fn a_w3c_trace_is_taken_up_or_begun() {
    let w3c = Tracing::new(false, true, "");
    let begun = [format!("traceparent: 00-{FRESH}-{FRESH_SPAN}-01"), format!("tracestate: gorouter={FRESH_SPAN}")];
    check(&w3c, &[], &begun, FRESH);
    for flags in ["00", "01", "ff"] {
        let sent = [("traceparent", &*format!("00-{T}-{S}-{flags}"))];
        let told =
            [format!("traceparent: 00-{T}-aaaabbbbccccdddd-{flags}"), "tracestate: gorouter=aaaabbbbccccdddd".into()];
        check(&w3c, &sent, &told, T);
    }
    for broken in [
        "",
        "00",
        &format!("01-{T}-{S}-01"),
        &format!("00-{T}-{S}-1"),
        &format!("00-{T}-{S}-011"),
        &format!("00-{T}-{S}-0x"),
        &format!("00-{}-{S}-01", T.to_uppercase()),
        &format!("00-{}-{S}-01", "0".repeat(32)),
        &format!("00-{T}-{}-01", "0".repeat(16)),
        &format!("00_{T}_{S}_01"),
        &format!("00-{T}{S}--01"),
    ] {
        check(&w3c, &[("traceparent", broken)], &begun, FRESH);
    }
}

#[test]
fn the_routers_entry_comes_first_in_the_state_and_only_once() {
    let long = format!("a={}", "x".repeat(2046));
    for (tenant, sent, told) in [
        ("", &["other=1"][..], ",other=1"),
        ("", &["a=1,gorouter=2 , b=3"], ",a=1,b=3"),
        ("", &["a=1", "b=2"], ",a=1,b=2"),
        ("", &["t@gorouter=1"], ",t@gorouter=1"),
        ("t", &["other=1,t@gorouter=old,gorouter=2"], ",other=1,gorouter=2"),
        ("t", &[",, ,"], ""),
        ("", &[&long], &format!(",{long}")),
        ("", &[&format!("{long}x")], ""),
        ("", &[&long, "b=1"], ""),
    ] {
        let parent = format!("00-{T}-{S}-01");
        let mut pairs = vec![("traceparent", &*parent)];
        pairs.extend(sent.iter().map(|value| ("tracestate", *value)));
        let key = if tenant.is_empty() { "gorouter".to_owned() } else { format!("{tenant}@gorouter") };
        let told =
            [format!("traceparent: 00-{T}-aaaabbbbccccdddd-01"), format!("tracestate: {key}=aaaabbbbccccdddd{told}")];
        check(&Tracing::new(false, true, tenant), &pairs, &told, T);
    }
}

#[test]
fn both_formats_and_the_request_share_their_ids() {
    let both = Tracing::new(true, true, "");
    let mut begun = new_zipkin();
    begun.push(format!("traceparent: 00-{FRESH}-{FRESH_SPAN}-01"));
    begun.push(format!("tracestate: gorouter={FRESH_SPAN}"));
    check(&both, &[], &begun, FRESH);
    let from_b3 =
        [format!("b3: {T}-{S}-1"), format!("traceparent: 00-{T}-{S}-01"), format!("tracestate: gorouter={S}")];
    check(&both, &[("b3", &format!("{T}-{S}-1"))], &from_b3, T);
    let short = &T[16..];
    let padded = [
        format!("b3: {short}-{S}"),
        format!("traceparent: 00-{}{short}-{S}-01", "0".repeat(16)),
        format!("tracestate: gorouter={S}"),
    ];
    check(&both, &[("b3", &format!("{short}-{S}"))], &padded, FRESH);
    let mut beside = new_zipkin();
    beside.push(format!("traceparent: 00-{T}-aaaabbbbccccdddd-01"));
    beside.push("tracestate: gorouter=aaaabbbbccccdddd".into());
    check(&both, &[("traceparent", &format!("00-{T}-{S}-01"))], &beside, FRESH);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(b3 in prop::collection::vec(32_u8..127, 0..80), bytes in prop::collection::vec(32_u8..127, 0..60)) {
        let mut headers = HeaderMap::new();
        set(&mut headers, &B3, &b3);
        set(&mut headers, &TRACEPARENT, &bytes);
        set(&mut headers, &TRACESTATE, &bytes);
        Tracing::new(true, true, "t").state(&mut headers, DICE);
        prop_assert!(traceparent(headers[&TRACEPARENT].as_bytes()).is_some());
        prop_assert!(headers[&TRACESTATE].as_bytes().starts_with(b"t@gorouter="));
    }

    #[test]
    fn what_is_written_can_be_read(id in 1_u128.., span in 1_u64..) {
        let mut headers = HeaderMap::new();
        let fresh = Ids { trace: id, whole: true, span };
        prop_assert_eq!(zipkin(&mut headers, fresh), Some(fresh));
        prop_assert_eq!(single(headers[&B3].as_bytes()), Some(Single::Ids(fresh)));
        w3c(&mut headers, "k", fresh, 1);
        prop_assert_eq!(traceparent(headers[&TRACEPARENT].as_bytes()), Some((id, 1)));
    }

    #[test]
    fn one_changed_byte_never_makes_another_trace_of_a_parent(at in 0_usize..55, byte in 0_u8..255) {
        let mut value = format!("00-{T}-{S}-01").into_bytes();
        value[at] = byte;
        if let Some((trace, _)) = traceparent(&value) {
            let told = format!("{trace:032x}");
            prop_assert_eq!(told.as_bytes(), &value[3..35]);
        }
    }
}
