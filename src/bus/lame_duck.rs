//! Where to go when a server says that it is about to close.
//!
//! A NATS server that an operator takes out of service (lame duck mode) tells its clients, refuses new ones, and
//! cuts those that are left some time later. Who leaves earlier loses less; but only for a server that is there: a
//! connection that still works is not given up for a guess.

use std::time::Duration;

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::turns::Turns;

/// Longest wait for one server's greeting.
const PATIENCE: Duration = Duration::from_secs(1);
/// As much of a greeting as is looked at.
const GREETING: u64 = 4096;

/// The number of the first other server that greets, if one does.
pub(super) async fn refuge(turns: &Turns) -> Option<usize> {
    for turn in turns.others() {
        let host = &turns.hosts()[turn];
        if timeout(PATIENCE, greets(&host.name, host.port)).await == Ok(true) {
            return Some(turn);
        }
    }
    None
}

/// Whether a server greets there, and does not say that it is about to close itself. The greeting comes in the clear,
/// also where TLS follows.
async fn greets(name: &str, port: u16) -> bool {
    let Ok(stream) = TcpStream::connect((name, port)).await else { return false };
    let mut stream = stream.take(GREETING);
    let mut heard = Vec::new();
    while !heard.contains(&b'\n') {
        match stream.read_buf(&mut heard).await {
            Ok(1..) => {}
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&heard);
    text.starts_with("INFO ") && !text.contains("\"ldm\":true")
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn a_refuge_is_a_server_that_greets_and_stays() {
        let cases = [
            ("INFO {\"server_id\":\"a\"}\r\n", true),
            ("INFO {\"server_id\":\"a\",\"ldm\":true}\r\n", false),
            ("HTTP/1.1 400 Bad Request\r\n", false),
            ("", false),
        ];
        for (greeting, good) in cases {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(greeting.as_bytes()).await.unwrap();
            };
            let turns = Turns::new(&[("127.0.0.1".into(), 1), ("127.0.0.1".into(), port)]);
            let (found, ()) = tokio::join!(refuge(&turns), serve);
            assert_eq!(found.is_some(), good, "{greeting}");
        }
    }
}
