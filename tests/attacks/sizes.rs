//! B3-11: heads of many fields and many bytes, at half of each limit, at it, and one beyond it.

use trueroute_testkit::{
    app::{Received, Reply},
    client_h2::{self, Client},
};

use super::{
    canary::{Canary, HOST, settings},
    secure::with_tls,
};

/// Limits that an operator has set.
const FIELDS: usize = 50;
const BYTES: usize = 20_000;

/// Sends so many fields of a value of this many bytes; gives the status.
async fn status(canary: &Canary, fields: usize, bytes: usize) -> u16 {
    let lines: String = (0..fields).map(|number| format!("X-{number:04}: {}\r\n", "v".repeat(bytes))).collect();
    let mut client = canary.client().await;
    let _ = client.send_raw(format!("GET /size HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n")).await;
    client.response().await.map_or(0, |answer| answer.status)
}

/// The largest count that is served, between one that is and one that is not.
async fn limit(served: usize, refused: usize, serves: impl AsyncFn(usize) -> u16) -> usize {
    let (mut low, mut high) = (served, refused);
    assert_eq!((serves(low).await, serves(high).await), (200, 431));
    while high - low > 1 {
        let middle = low.midpoint(high);
        match serves(middle).await {
            200 => low = middle,
            431 => high = middle,
            other => panic!("{other} at {middle}"),
        }
    }
    low
}

/// Whatever the limits are, all below is served, all beyond is 431, and nothing in between is cut or closed bare.
#[tokio::test]
async fn each_limit_is_a_431_and_nothing_else() {
    let (settings_with_tls, tls) = with_tls(settings());
    let canary = Canary::with(settings_with_tls, |_: &Received| Reply::text("ok")).await;
    let fields = limit(1, 2000, async |count| status(&canary, count, 1).await).await;
    let bytes = limit(1, 2_000_000, async |count| status(&canary, 1, count).await).await;
    assert!((100..=256).contains(&fields), "{fields} fields");
    assert!((100_000..=(1 << 20)).contains(&bytes), "{bytes} bytes");
    assert_eq!((status(&canary, fields / 2, 1).await, status(&canary, 1, bytes / 2).await), (200, 200));
    let crumbs = format!("GET /size HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n", "Cookie: a=b\r\n".repeat(fields + 1));
    let mut client = canary.client().await;
    client.send_raw(crumbs).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 431);

    // A stream's limit costs no other stream.
    let client = Client::connect(canary.https(), &tls).await.unwrap();
    let ask = async |count: usize, length: usize| {
        let value = http::HeaderValue::from_str(&"v".repeat(length)).unwrap();
        let mut request = client_h2::get(HOST, "/size");
        for number in 0..count {
            let name = http::HeaderName::from_bytes(format!("x-{number:04}").as_bytes()).unwrap();
            request.headers_mut().append(name, value.clone());
        }
        client.ask(request).await.unwrap().status.as_u16()
    };
    // RFC 9113 counts 32 bytes more per field.
    let list = limit(1, 70_000, async |length| ask(1, length).await).await;
    assert!((50_000..=64 * 1024).contains(&list), "{list}");
    let count = limit(1, 1900, async |count| ask(count, 1).await).await;
    assert!((100..=64 * 1024 / 39).contains(&count), "{count}");
    assert_eq!((ask(count / 2, 1).await, ask(1, list / 2).await), (200, 200));
    assert_eq!(client.get(HOST, "/size").await.unwrap().status, 200);
    assert!(canary.got().await.iter().all(|request| request.target == "/size"));
    canary.is_well("large heads").await;
}

/// The same with limits of the operator's, as Gorouter counts: the start line and each line with its ends, the router's
/// own request id included.
#[tokio::test]
async fn the_operators_limits_hold_to_the_byte_and_the_line() {
    let set = settings().set("max_request_headers", FIELDS).set("max_request_header_bytes", BYTES);
    let canary = Canary::with(set, |_: &Received| Reply::text("ok")).await;
    // One line is the request id's.
    for (count, expected) in [(FIELDS / 2, 200), (FIELDS - 1, 200), (FIELDS, 431), (FIELDS + 1, 431), (FIELDS * 2, 431)]
    {
        assert_eq!(status(&canary, count, 1).await, expected, "{count} fields");
    }
    let around =
        "GET/sizeHTTP/1.1".len() + 4 + HOST.len() + 8 + "X-Vcap-Request-Id".len() + 36 + 4 + "X-0000".len() + 4;
    for (bytes, expected) in [(BYTES / 2, 200), (BYTES - 1, 200), (BYTES, 431), (BYTES + 1, 431), (BYTES * 2, 431)] {
        assert_eq!(status(&canary, 1, bytes - around).await, expected, "{bytes} bytes");
    }
    canary.is_well("limits").await;
}
