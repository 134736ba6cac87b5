//! Header blocks that no client should send, written frame by frame: none reaches an app, and none costs anybody else.

use trueroute_testkit::client_h2::raw::{Frame, Raw, block, flag, kind};

use super::scene::{HOST, Scene, router};

const OK: &str = "an answer";
const RESET: &str = "a reset";
/// What is no name, value or method at all ends the connection: the library gives up on the compressed state.
const END: &str = "the end of the connection";

type Field<'a> = (&'a [u8], &'a [u8]);

/// `:method`, `:scheme`, `:path` and `:authority`, then these.
fn with<'a>(fields: &[Field<'a>]) -> Vec<Field<'a>> {
    let usual: [Field<'a>; 4] =
        [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", HOST.as_bytes())];
    usual.iter().chain(fields).copied().collect()
}

/// The same without one of them, or with another value.
fn but<'a>(name: &'a [u8], value: Option<&'a [u8]>) -> Vec<Field<'a>> {
    let fields =
        with(&[]).into_iter().filter_map(|(n, v)| if n == name { value.map(|v| (n, v)) } else { Some((n, v)) });
    fields.collect()
}

async fn verdict(raw: &mut Raw, stream: u32) -> (&'static str, u16) {
    let frame = raw.verdict(stream).await.unwrap();
    match frame.kind {
        kind::HEADERS => (OK, status(&frame.payload)),
        kind::RST_STREAM => (RESET, 0),
        _ => (END, 0),
    }
}

/// The status of a header block as the router's library writes it: indexed, or a literal with an indexed name.
fn status(block: &[u8]) -> u16 {
    match block[0] {
        0x88 => 200,
        0x8c => 400,
        0x8d => 404,
        // 6 bits of index 8 with incremental indexing, then three digits, Huffman-coded in two bytes.
        _ => 0,
    }
}

#[tokio::test]
async fn malformed_blocks_reach_no_app() {
    let scene = Scene::new().await;
    let cases: Vec<(&str, Vec<Field<'_>>, (&str, u16))> = vec![
        ("nothing wrong", with(&[]), (OK, 200)),
        ("no method", but(b":method", None), (RESET, 0)),
        ("no scheme", but(b":scheme", None), (RESET, 0)),
        ("no path", but(b":path", None), (RESET, 0)),
        ("an empty path", but(b":path", Some(b"")), (RESET, 0)),
        ("a path without a slash", but(b":path", Some(b"x")), (RESET, 0)),
        ("a path with a blank", but(b":path", Some(b"/a b")), (RESET, 0)),
        ("a path with a line end", but(b":path", Some(b"/ HTTP/1.1\r\nX: y")), (RESET, 0)),
        ("a path with a broken escape", but(b":path", Some(b"/%zz")), (OK, 400)),
        ("a method with a blank", but(b":method", Some(b"GET / HTTP/1.1")), (END, 0)),
        ("an authority with userinfo", but(b":authority", Some(b"a@app.example.com")), (OK, 400)),
        ("an authority with a path", but(b":authority", Some(b"app.example.com/x")), (RESET, 0)),
        ("an authority with a blank", but(b":authority", Some(b"app.example.com x")), (RESET, 0)),
        ("two paths", with(&[(b":path", b"/other")]), (RESET, 0)),
        ("a pseudo-field after a field", with(&[(b"a", b"b"), (b":path", b"/")]), (RESET, 0)),
        ("an unknown pseudo-field", with(&[(b":host", b"x")]), (END, 0)),
        ("a status", with(&[(b":status", b"200")]), (RESET, 0)),
        ("CONNECT", vec![(b":method", b"CONNECT"), (b":authority", b"app.example.com:443")], (OK, 400)),
        (
            "an extended CONNECT",
            [but(b":method", Some(b"CONNECT")), vec![(b":protocol", b"websocket")]].concat(),
            (RESET, 0),
        ),
        ("a protocol without CONNECT", with(&[(b":protocol", b"websocket")]), (RESET, 0)),
        ("a host like the authority", with(&[(b"host", HOST.as_bytes())]), (OK, 200)),
        ("another host", with(&[(b"host", b"other.example.com")]), (OK, 400)),
        ("two hosts", with(&[(b"host", HOST.as_bytes()), (b"host", HOST.as_bytes())]), (OK, 400)),
        ("an upper-case name", with(&[(b"X-Upper", b"1")]), (END, 0)),
        ("an empty name", with(&[(b"", b"1")]), (END, 0)),
        ("a name with a blank", with(&[(b"a b", b"1")]), (END, 0)),
        ("a name with a colon", with(&[(b"a:b", b"1")]), (END, 0)),
        ("a name with a line end", with(&[(b"a\r\nb", b"1")]), (END, 0)),
        ("a value with a line end", with(&[(b"a", b"1\r\nb: 2")]), (END, 0)),
        ("a value with a bare line feed", with(&[(b"a", b"1\nb: 2")]), (END, 0)),
        ("a value with a NUL", with(&[(b"a", b"\0")]), (END, 0)),
        ("connection", with(&[(b"connection", b"close")]), (RESET, 0)),
        ("keep-alive", with(&[(b"keep-alive", b"1")]), (RESET, 0)),
        ("proxy-connection", with(&[(b"proxy-connection", b"close")]), (RESET, 0)),
        ("transfer-encoding", with(&[(b"transfer-encoding", b"chunked")]), (RESET, 0)),
        ("upgrade", with(&[(b"upgrade", b"websocket")]), (RESET, 0)),
        ("te: trailers", with(&[(b"te", b"trailers")]), (OK, 200)),
        ("te: gzip", with(&[(b"te", b"gzip")]), (RESET, 0)),
        ("a length without a body", with(&[(b"content-length", b"5")]), (RESET, 0)),
        ("a length that is no number", with(&[(b"content-length", b"+5")]), (RESET, 0)),
        ("two lengths", with(&[(b"content-length", b"0"), (b"content-length", b"1")]), (RESET, 0)),
        ("an expectation", with(&[(b"expect", b"something")]), (OK, 0)),
    ];
    let mut wrong = Vec::new();
    for (name, fields, expected) in &cases {
        let before = scene.app.requests();
        let mut raw = scene.raw(&[]).await;
        raw.headers(1, fields, true).await.unwrap();
        let got = verdict(&mut raw, 1).await;
        let reached = scene.app.requests() - before;
        if got != *expected || reached != u64::from(got == (OK, 200)) {
            wrong.push(format!("{name}: {got:?}, {reached} reached the app"));
        }
        if got.0 != END {
            raw.headers(3, &with(&[]), true).await.unwrap();
            assert_eq!(verdict(&mut raw, 3).await, (OK, 200), "{name}: it cost its stream alone");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_body_is_as_long_as_announced_or_its_stream_is_reset() {
    let scene = Scene::new().await;
    let mut raw = scene.raw(&[]).await;
    let post: Vec<Field<'_>> = [but(b":method", Some(b"POST")), vec![(b"content-length", b"5")]].concat();
    for (stream, body) in [(1, &b"four"[..]), (3, b"sixsix")] {
        raw.headers(stream, &post, false).await.unwrap();
        raw.send(&Frame::new(kind::DATA, flag::END_STREAM, stream, body)).await.unwrap();
        assert_eq!(verdict(&mut raw, stream).await.0, RESET, "{body:?}");
    }
    assert!(scene.app.received().iter().all(|request| !request.complete));
    raw.headers(5, &with(&[]), true).await.unwrap();
    assert_eq!(verdict(&mut raw, 5).await, (OK, 200));
}

#[tokio::test]
async fn a_header_list_beyond_the_limit_is_431_and_one_far_beyond_ends_the_connection() {
    let scene = Scene::new().await;
    let value = "v".repeat(30_000);
    let large = |count: usize| {
        let mut get = http::Request::get(format!("https://{HOST}/")).body(()).unwrap();
        for _ in 0..count {
            get.headers_mut().append("x-large", value.parse().unwrap());
        }
        get
    };
    let client = scene.h2().await;
    assert_eq!(client.ask(large(2)).await.unwrap().status, 200);
    assert_eq!(client.ask(large(3)).await.unwrap().status, 431);
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200, "it cost the one stream");

    // Header blocks without end (CVE-2024-27316).
    let mut raw = scene.raw(&[]).await;
    raw.send(&Frame::new(kind::HEADERS, flag::END_STREAM, 1, block(&with(&[])))).await.unwrap();
    let more = Frame::new(kind::CONTINUATION, 0, 1, block(&[("x", &value[..16_000])]));
    for _ in 0..1000 {
        if raw.send(&more).await.is_err() {
            break;
        }
    }
    let goaway = raw.next(kind::GOAWAY).await;
    assert!(goaway.map_or(true, |frame| frame.error_code() == Some(11)), "ENHANCE_YOUR_CALM, if it is still heard");
}

#[tokio::test]
async fn a_larger_header_list_can_be_asked_for_and_leaves_room_for_fewer_streams() {
    for (bytes, list, streams) in [(1 << 20, 64 * 1024, 250), (262_144, 262_144, 64)] {
        let scene = Scene::with(router().set("max_request_header_bytes", bytes)).await;
        let mut raw = scene.raw(&[]).await;
        let told = raw.next(kind::SETTINGS).await.unwrap().payload;
        let told: Vec<(u16, u32)> = told
            .chunks(6)
            .map(|s| (u16::from_be_bytes([s[0], s[1]]), u32::from_be_bytes([s[2], s[3], s[4], s[5]])))
            .collect();
        assert!(told.contains(&(6, list)) && told.contains(&(3, streams)), "{told:?}");
    }
}
