//! Vices above the handshake: the peer takes the connection and then fails the request.

use std::time::Duration;

use super::{Door, Line, Peer};

const OK_TEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";

/// Reads everything and says nothing.
pub fn never_answers(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        while line.request().await.is_some() {}
        line.drain().await;
    })
}

/// Reads the request's head and resets.
pub fn resets_after_headers(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.head().await;
        line.reset();
    })
}

/// Reads the whole request and closes without a word: end of stream where a response should be.
pub fn closes_after_request(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.request().await;
        line.hang_up().await;
    })
}

/// Answers the first request of each connection, as if to keep it alive, and closes at once.
pub fn closes_after_response(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.request().await;
        let _ = line.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        line.hang_up().await;
    })
}

/// Sends ten bytes fewer than it promised, then closes in order.
pub fn truncates_body(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.request().await;
        let _ = line.send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789").await;
        line.hang_up().await;
    })
}

/// Sends half of its body, then resets.
pub fn resets_mid_body(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.request().await;
        let _ = line.send(format!("{OK_TEN}01234")).await;
        // A reset overtakes bytes that the other side hasn't read yet.
        tokio::time::sleep(Duration::from_millis(50)).await;
        line.reset();
    })
}

/// Reads a body `step` bytes at a time with a pause before each, then says 200. [`Peer::bytes_in`] counts what it took
/// off the socket, in reads of up to 64 KiB.
pub fn slow_reader(door: impl Into<Door>, step: usize, pause: Duration) -> Peer {
    Peer::scripted(door, move |mut line: Line| async move {
        let Some(head) = line.head().await else { return };
        let mut left = declared_length(&head);
        while left > 0 {
            tokio::time::sleep(pause).await;
            let piece = line.some(step.min(left)).await;
            if piece.is_empty() {
                return;
            }
            left -= piece.len();
        }
        let _ = line.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        line.drain().await;
    })
}

/// Answers ten bytes, one at a time with a pause before each.
pub fn slow_writer(door: impl Into<Door>, pause: Duration) -> Peer {
    Peer::scripted(door, move |mut line: Line| async move {
        while line.request().await.is_some() {
            let _ = line.send(OK_TEN).await;
            for digit in b'0'..=b'9' {
                tokio::time::sleep(pause).await;
                if line.send([digit]).await.is_err() {
                    return;
                }
            }
        }
    })
}

/// Answers 413 with `Connection: close` as soon as the head is in, while the body is still coming; takes the rest off
/// for half a second so that no reset destroys the answer, then closes.
pub fn answers_413_early(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.head().await;
        let answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much";
        let _ = line.send(answer).await;
        line.hang_up().await;
    })
}

/// Answers what is no HTTP, then closes.
pub fn answers_garbage(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.request().await;
        let _ = line.send(b"\x00\xff\x13 no status line\r\n\r\n").await;
        line.hang_up().await;
    })
}

/// Answers with a head that never ends: one header line after another, as fast as they are taken.
pub fn answers_endless_head(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.request().await;
        let mut sent = line.send("HTTP/1.1 200 OK\r\n").await;
        let more = format!("X-More: {}\r\n", "x".repeat(8000));
        while sent.is_ok() {
            sent = line.send(&more).await;
        }
    })
}

/// Answers 101 to a request that asked for no upgrade, then sends bytes of another protocol.
pub fn unsolicited_101(door: impl Into<Door>) -> Peer {
    Peer::scripted(door, |mut line: Line| async move {
        line.request().await;
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nother bytes";
        let _ = line.send(switch).await;
        line.drain().await;
    })
}

fn declared_length(head: &str) -> usize {
    let length = crate::wire::Head::parse(head.as_bytes()).first("content-length").map(str::parse);
    length.and_then(Result::ok).unwrap_or(usize::MAX)
}
