//! B3-2: chunks that two parsers may read differently, extensions, and trailers that pose as fields of the head.

use trueroute_testkit::eventually;

use super::{
    canary::{Canary, HOST, statuses},
    support::PATIENCE,
};

/// A body of chunks, and what the canary gets of it: the whole body, or nothing that is complete. `~` stands for a
/// hidden request.
type Case = (&'static str, String, Option<&'static str>);

fn cases() -> Vec<Case> {
    let fixed = |name, body: &str, passes| (name, body.to_owned(), passes);
    vec![
        fixed("plain", "4\r\nabcd\r\n0\r\n\r\n", Some("abcd")),
        fixed("zeros before the size", "0004\r\nabcd\r\n000\r\n\r\n", Some("abcd")),
        fixed("capitals", "A\r\n0123456789\r\n0\r\n\r\n", Some("0123456789")),
        fixed("one byte each", "1\r\na\r\n1\r\nb\r\n0\r\n\r\n", Some("ab")),
        fixed("an extension", "4;a=b\r\nabcd\r\n0;c\r\n\r\n", Some("abcd")),
        fixed("a quoted extension", "4;a=\"b;c\"\r\nabcd\r\n0\r\n\r\n", Some("abcd")),
        fixed("blanks before an extension", "4 ;a\r\nabcd\r\n0\r\n\r\n", Some("abcd")),
        fixed("blanks after the size", "4  \r\nabcd\r\n0\r\n\r\n", Some("abcd")),
        ("extensions of 1000 bytes", format!("4;{}\r\nabcd\r\n0\r\n\r\n", "x".repeat(1000)), Some("abcd")),
        ("extensions without an end", format!("4;{}\r\nabcd\r\n0\r\n\r\n~", "x".repeat(100_000)), None),
        (
            "more extension than body",
            format!("{}0\r\n\r\n~", format!("1;{}\r\na\r\n", "x".repeat(100)).repeat(1000)),
            None,
        ),
        fixed("a request in an extension", "4;~\r\nabcd\r\n0\r\n\r\n", None),
        fixed("LF after an extension", "4;a\nabcd\r\n0\r\n\r\n~", None),
        fixed("LF in an extension", "4;a\nb\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("CR in an extension", "4;a\rb\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("LF after the size", "4\nabcd\r\n0\r\n\r\n~", None),
        fixed("LF after the data", "4\r\nabcd\n0\r\n\r\n~", None),
        fixed("CR after the data", "4\r\nabcd\r0\r\n\r\n~", None),
        fixed("nothing after the data", "4\r\nabcd0\r\n\r\n~", None),
        fixed("two bytes of something after the data", "4\r\nabcdXX0\r\n\r\n~", None),
        fixed("CR CR LF after the size", "4\r\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("CR alone after the size", "4\rXabcd\r\n0\r\n\r\n~", None),
        fixed("LF after the last chunk", "4\r\nabcd\r\n0\n\r\n~", None),
        fixed("more data than announced", "3\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("less data than announced", "5\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a size with 0x", "0x4\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a size with a sign", "+4\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a negative size", "-4\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a size with an underscore", "0_4\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("no size", "\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("an extension without a size", ";a\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a size that is no number", "zz\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a size with a comma", "4,4\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("two sizes", "4 4\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a blank before the size", " 4\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a tab before the size", "\t4\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a size with a NUL", "4\0\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a size beyond 64 bits", "10000000000000004\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a size of many digits", "00000000000000000000000000000004\r\nabcd\r\n0\r\n\r\n", Some("abcd")),
        fixed("letters like digits", "\u{ff14}\r\nabcd\r\n0\r\n\r\n~", None),
        fixed("a space before a trailer's colon", "0\r\nX-T : v\r\n\r\n~", None),
        fixed("a trailer without a colon", "0\r\nX-T\r\n\r\n~", None),
        fixed("a NUL in a trailer", "0\r\nX-T: a\0b\r\n\r\n~", None),
        fixed("a CR in a trailer", "0\r\nX-T: a\rb\r\n\r\n~", None),
        fixed("a folded trailer", "0\r\nX-T: a\r\n b\r\n\r\n~", None),
    ]
}

/// Bodies behind `/c<number>`, each with `/next<number>` after it.
async fn send(canary: &Canary, number: usize, body: &str) -> Vec<u16> {
    let inner = format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let body = body.replace('~', &inner);
    let head = format!("POST /c{number} HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let next = format!("GET /next{number} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    statuses(&canary.send(format!("{head}{body}{next}")).await)
}

#[tokio::test]
async fn chunks_have_one_reading_or_cost_the_connection() {
    let (canary, cases) = (Canary::new().await, cases());
    let mut wrong = Vec::new();
    for (number, (name, body, passes)) in cases.iter().enumerate() {
        let got = send(&canary, number, body).await;
        let right = match passes {
            Some(_) => got == [200, 200],
            None => got == [400],
        };
        if !right {
            wrong.push(format!("{name}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let got = canary.got().await;
    for (number, (name, _, passes)) in cases.iter().enumerate() {
        let of = |target: String| got.iter().filter(|request| request.target == target).collect::<Vec<_>>();
        let (bodies, nexts) = (of(format!("/c{number}")), of(format!("/next{number}")));
        match passes {
            Some(body) => {
                assert_eq!((bodies.len(), nexts.len()), (1, 1), "{name}");
                assert_eq!((bodies[0].complete, &*bodies[0].body), (true, body.as_bytes()), "{name}");
            }
            None => {
                assert!(bodies.len() <= 1 && bodies.iter().all(|body| !body.complete) && nexts.is_empty(), "{name}")
            }
        }
    }
    assert!(got.iter().all(|request| request.target != "/smuggled"));
    canary.is_well("the corpus").await;
}

/// Sizes that no client sends, but which have one reading: what follows is data, for as long as the client stays.
#[tokio::test]
async fn a_huge_chunk_holds_no_request() {
    let canary = Canary::new().await;
    for (number, size) in ["100000004", "ffffffff", "7fffffffffffffff", "ffffffffffffffff"].iter().enumerate() {
        let mut client = canary.client().await;
        let head = format!("POST /huge{number} HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let hidden = format!("0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        client.send_raw(format!("{head}{size}\r\nabcd\r\n{hidden}")).await.unwrap();
        eventually(PATIENCE, async || canary.app.requests() == number as u64 + 1).await;
        drop(client);
    }
    let got = canary.got().await;
    assert!(got.iter().all(|request| !request.complete && request.target.starts_with("/huge")), "{got:?}");
    canary.is_well("huge chunks").await;
}

/// The end of a body is where fields of another kind stand; an app that merges them into the head must not be told
/// there what only the router, or only the head, may say.
#[tokio::test]
async fn trailers_never_become_fields_of_the_head() {
    let canary = Canary::new().await;
    for (number, name) in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Request-Start",
        "X-Vcap-Request-Id",
        "X-Cf-ApplicationId",
        "X-Cf-InstanceId",
        "X-Cf-InstanceIndex",
        "X-Cf-App-Instance",
        "X-Forwarded-Client-Cert",
        "Authorization",
        "Cookie",
        "Content-Encoding",
        "Expect",
        "Upgrade",
        "Te",
    ]
    .iter()
    .enumerate()
    {
        let got = send(&canary, number, &format!("1\r\na\r\n0\r\n{name}: evil\r\nX-T: v\r\n\r\n")).await;
        assert_eq!(got, [200, 200], "{name}");
        let got = canary.got().await;
        let request = got.iter().find(|request| request.target == format!("/c{number}")).unwrap();
        assert!(request.headers.iter().all(|(_, value)| value != "evil"), "{name}: {request:?}");
        let trailers = request.trailers.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>();
        assert_eq!(trailers, [("X-T", "v")], "{name}");
    }
    // Endless trailers are no way to fill memory either.
    let endless: String = (0..200_000).map(|number| format!("X-{number}: v\r\n")).collect();
    let got = send(&canary, 1000, &format!("0\r\n{endless}\r\n")).await;
    assert!(matches!(got[..], [] | [400]), "{got:?}");
    canary.is_well("trailers").await;
}
