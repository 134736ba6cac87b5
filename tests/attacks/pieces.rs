//! B3-2, the other half: where the bytes are cut on their way changes nothing about what they say.

use std::time::Duration;

use super::canary::{Canary, HOST, answers, statuses};

/// What is fed, the answers, and the requests that the canary gets.
fn feeds() -> Vec<(String, Vec<u16>, Vec<&'static str>)> {
    let next = format!("GET /next HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let chunked = format!("POST /body HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    vec![
        (format!("GET /first HTTP/1.1\r\nHost: {HOST}\r\n\r\n{next}"), vec![200, 200], vec!["/first", "/next"]),
        (
            format!("POST /body HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nGET /{next}"),
            vec![200, 200],
            vec!["/body", "/next"],
        ),
        (
            format!("{chunked}3;x=y\r\nGET\r\n2\r\n /\r\n0\r\nX-T: v\r\n\r\n{next}"),
            vec![200, 200],
            vec!["/body", "/next"],
        ),
        (format!("{chunked}3\r\nGET\n0\r\n\r\n{next}"), vec![400], vec![]),
        (
            format!(
                "POST /body HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{next}"
            ),
            vec![200],
            vec!["/body"],
        ),
        (
            format!("POST /body HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{next}"),
            vec![400],
            vec![],
        ),
    ]
}

/// Sends the pieces with a breath between them, so that they are read apart.
async fn feed(canary: &Canary, pieces: impl Iterator<Item = &[u8]>) -> Vec<u16> {
    let mut client = canary.client().await;
    for piece in pieces {
        if client.send_raw(piece).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    statuses(&answers(&mut client).await)
}

/// The whole requests of the canary.
async fn whole(canary: &Canary) -> Vec<String> {
    let got = canary.got().await;
    got.into_iter().filter(|request| request.complete).map(|request| request.target).collect()
}

#[tokio::test]
async fn a_cut_anywhere_changes_nothing() {
    for (bytes, answers, targets) in feeds() {
        let canary = Canary::new().await;
        let bytes = bytes.as_bytes();
        let cuts = (1..bytes.len()).map(async |cut| {
            let (before, after) = bytes.split_at(cut);
            assert_eq!(feed(&canary, [before, after].into_iter()).await, answers, "cut at {cut}");
        });
        futures_util::future::join_all(cuts).await;
        let mut expected = targets.repeat(bytes.len() - 1);
        expected.sort_unstable();
        let mut got = whole(&canary).await;
        got.sort_unstable();
        assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn a_byte_at_a_time_changes_nothing() {
    let feeds = feeds();
    let fed = feeds.iter().map(async |(bytes, answers, targets)| {
        let canary = Canary::new().await;
        assert_eq!(feed(&canary, bytes.as_bytes().chunks(1)).await, *answers, "{bytes:?}");
        assert_eq!(whole(&canary).await, *targets, "{bytes:?}");
    });
    futures_util::future::join_all(fed).await;
}
