//! B3-5: requests over HTTP/2 that would become something else on their way to an app that speaks HTTP/1. What the
//! gate makes of each header block has its table in `http2_front` (`malformed`); here the canary tells what it got.

use trueroute_testkit::client_h2::raw::{Frame, Raw, flag, kind};

use super::{
    canary::{Canary, HOST, settings},
    secure::with_tls,
};

type Field = (Vec<u8>, Vec<u8>);

/// A header block and the body behind it.
struct Block {
    name: &'static str,
    fields: Vec<Field>,
    body: Option<Vec<u8>>,
}

/// `POST` for `path` at the canary, with these fields, of which those whose name begins with a colon replace the usual
/// ones. `-name` leaves one out.
fn block(name: &'static str, path: &str, fields: &[(&str, &str)], body: Option<&str>) -> Block {
    let usual = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", path)];
    let given = |name: &str| fields.iter().any(|(other, _)| other.trim_start_matches('-') == name);
    let kept = usual.iter().filter(|(name, _)| !given(name));
    let fields = kept.chain(fields.iter().filter(|(name, _)| !name.starts_with('-')));
    let mut fields: Vec<Field> = fields.map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
    fields.sort_by_key(|(name, _)| !name.starts_with(b":"));
    Block { name, fields, body: body.map(|body| body.as_bytes().to_vec()) }
}

fn blocks() -> Vec<Block> {
    let hidden = format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let chunks = format!("0\r\n\r\n{hidden}");
    let (length, hidden, chunks) = (hidden.len().to_string(), &*hidden, &*chunks);
    let injected = |prefix: &str| format!("{prefix}\r\nTransfer-Encoding: chunked\r\nX: y");
    let p = "/down";
    vec![
        block("nothing wrong", p, &[], Some(hidden)),
        block("its length", p, &[("content-length", &length)], Some(hidden)),
        block("a length of 0", p, &[("content-length", "0")], Some(hidden)),
        block("a length that is short", p, &[("content-length", "5")], Some(hidden)),
        block("a length that is long", p, &[("content-length", "5000")], Some(hidden)),
        block("two lengths", p, &[("content-length", "0"), ("content-length", &length)], Some(hidden)),
        block("the length twice", p, &[("content-length", &length), ("content-length", &length)], Some(hidden)),
        block("a list of lengths", p, &[("content-length", &format!("{length}, {length}"))], Some(hidden)),
        block("a signed length", p, &[("content-length", &format!("+{length}"))], Some(hidden)),
        block("an empty length", p, &[("content-length", "")], Some(hidden)),
        block("a length beyond 64 bits", p, &[("content-length", "18446744073709551616")], Some(hidden)),
        block("chunked", p, &[("transfer-encoding", "chunked")], Some(chunks)),
        block("chunked and a length", p, &[("transfer-encoding", "chunked"), ("content-length", "5")], Some(chunks)),
        block("identity", p, &[("transfer-encoding", "identity")], Some(chunks)),
        block("chunked with an underscore", p, &[("transfer_encoding", "chunked")], Some(chunks)),
        block("te: chunked", p, &[("te", "chunked")], Some(chunks)),
        block("te: trailers, chunked", p, &[("te", "trailers, chunked")], Some(chunks)),
        block("a coding in a value", p, &[("x", &injected("a"))], Some(chunks)),
        block("a coding behind a line feed", p, &[("x", "a\nTransfer-Encoding: chunked")], Some(chunks)),
        block("a coding behind a CR", p, &[("x", "a\rTransfer-Encoding: chunked")], Some(chunks)),
        block("a coding in a name", p, &[("x: y\r\ntransfer-encoding", "chunked")], Some(chunks)),
        block("a colon in a name", p, &[("transfer-encoding:", "chunked")], Some(chunks)),
        block("a blank behind a name", p, &[("transfer-encoding ", "chunked")], Some(chunks)),
        block("a request in a path", p, &[(":path", &format!("/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n{hidden}"))], None),
        block("a version in a path", p, &[(":path", "/down HTTP/1.1")], None),
        block("a tab in a path", p, &[(":path", "/down\tHTTP/1.1")], None),
        block("a NUL in a path", p, &[(":path", "/down\0")], None),
        block("a whole URL for a path", p, &[(":path", "http://evil.example/")], None),
        block("a star for a path", p, &[(":path", "*")], None),
        block("a path without a slash", p, &[(":path", "smuggled")], None),
        block("a request in a method", p, &[(":method", "GET /smuggled HTTP/1.1\r\nX:")], None),
        block("a blank in a method", p, &[(":method", "GET /smuggled")], None),
        block("an empty method", p, &[(":method", "")], None),
        block("a tunnel", p, &[(":method", "CONNECT")], Some(hidden)),
        block("a URL in a scheme", p, &[(":scheme", "http://canary.example/smuggled?")], None),
        block("an unknown scheme", p, &[(":scheme", "ftp")], None),
        block("a field in an authority", p, &[(":authority", &injected(HOST))], Some(chunks)),
        block("a path in an authority", p, &[(":authority", "canary.example/smuggled?")], None),
        block("a user in an authority", p, &[(":authority", "canary.example@evil.example")], None),
        block("two ports in an authority", p, &[(":authority", "canary.example:80:81")], None),
        block("an empty authority", p, &[(":authority", "")], None),
        block("no authority and a host", p, &[("-:authority", ""), ("host", HOST)], None),
        block("neither authority nor host", p, &[("-:authority", "")], None),
        block("another host", p, &[("host", "evil.example")], None),
        block("another host first", p, &[("host", "evil.example"), ("host", HOST)], None),
        block("a fold in a value", p, &[("x", "a\r\n b")], None),
        block("a NUL in a value", p, &[("x", "a\0b")], None),
        block("connection", p, &[("connection", "x-forwarded-for")], None),
        block("an upgrade", p, &[("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")], Some(hidden)),
        block("an expectation", p, &[("expect", "100-continue"), ("content-length", &length)], Some(hidden)),
        block("crumbs", p, &[("cookie", "a=b"), ("cookie", "c=d")], None),
    ]
}

/// Sends a block and its body on a connection of its own; whether a 200 came of it.
async fn send(canary: &Canary, tls: &trueroute_testkit::tls::ClientTls, block: &Block) -> bool {
    let mut raw = Raw::connect(canary.https(), tls, &[]).await.unwrap();
    let _ = raw.headers(1, &block.fields, block.body.is_none()).await;
    if let Some(body) = &block.body {
        let _ = raw.send(&Frame::new(kind::DATA, flag::END_STREAM, 1, body.clone())).await;
    }
    match raw.verdict(1).await {
        Ok(frame) if frame.kind == kind::HEADERS => frame.payload.first() == Some(&0x88),
        Ok(_) => false,
        Err(error) => {
            assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{}: no answer at all", block.name);
            false
        }
    }
}

#[tokio::test]
async fn nothing_becomes_another_request_on_its_way_to_http1() {
    let (settings, tls) = with_tls(settings());
    let canary = Canary::with(settings, |_| trueroute_testkit::app::Reply::text("ok")).await;
    let mut served = 0;
    for block in blocks() {
        let before = canary.app.received().len();
        let is_served = send(&canary, &tls, &block).await;
        // Every request that came has one reading, see there.
        let got = canary.got().await.split_off(before);
        let whole: Vec<_> = got.iter().filter(|request| request.complete).collect();
        assert!(whole.len() <= 1 && whole.len() >= usize::from(is_served), "{}: {whole:?}", block.name);
        for request in got {
            assert_eq!((&*request.method, &*request.target), ("POST", "/down"), "{}", block.name);
            assert_eq!(request.header("host"), Some(HOST), "{}", block.name);
            assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"), "{}", block.name);
            // A head that says that nothing follows is a whole request, and gone before what follows is seen and
            // resets the stream.
            let empty = request.header("content-length") == Some("0");
            if request.complete && (is_served || !empty) {
                assert_eq!(request.body, block.body.clone().unwrap_or_default(), "{}", block.name);
            }
        }
        served += usize::from(is_served);
    }
    assert!((4..15).contains(&served), "{served} of the blocks are served");
    let crumbs = canary.app.last().unwrap();
    assert_eq!(crumbs.headers_named("cookie"), ["a=b; c=d"], "one field, as HTTP/1 has it");
    canary.is_well("the blocks").await;
}

/// Trailers over HTTP/2 are no better than those in chunks.
#[tokio::test]
async fn trailers_of_a_stream_pose_as_nothing() {
    let (settings, tls) = with_tls(settings());
    let canary = Canary::with(settings, |_| trueroute_testkit::app::Reply::text("ok")).await;
    let mut raw = Raw::connect(canary.https(), &tls, &[]).await.unwrap();
    let head = block("", "/down", &[], None).fields;
    raw.headers(1, &head, false).await.unwrap();
    raw.send(&Frame::new(kind::DATA, 0, 1, *b"body")).await.unwrap();
    let trailers = [("x-t", "v"), ("x-forwarded-for", "evil"), ("x-forwarded-client-cert", "evil"), ("cookie", "evil")];
    raw.headers(1, &trailers, true).await.unwrap();
    assert_eq!(raw.verdict(1).await.unwrap().payload.first(), Some(&0x88));
    let [request] = &canary.got().await[..] else { panic!("one request") };
    assert_eq!(request.trailers, [("X-T".to_owned(), "v".to_owned())]);
    // A block in the place of trailers that is none: its stream is reset, or it says nothing to the app.
    for (stream, fields) in [(3, [(":path", "/smuggled")]), (5, [("transfer-encoding", "chunked")])] {
        let mut raw = Raw::connect(canary.https(), &tls, &[]).await.unwrap();
        raw.headers(stream, &head, false).await.unwrap();
        raw.send(&Frame::new(kind::DATA, 0, stream, *b"body")).await.unwrap();
        let _ = raw.headers(stream, &fields, true).await;
        raw.verdict(stream).await.unwrap();
    }
    for request in canary.got().await.split_off(1) {
        assert_eq!((&*request.target, request.trailers.len()), ("/down", 0));
    }
    canary.is_well("trailers").await;
}
