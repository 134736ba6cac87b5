//! Vices below HTTP: the connection or the handshake goes wrong.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::{Counts, Door, Line, Peer};
use crate::house::House;
use crate::port::ReservedPort;

/// Refuses every connection: nothing listens, and nobody else gets the port.
pub fn refuses_connections() -> Peer {
    Peer::at(House::new(ReservedPort::new()), Arc::default())
}

/// Never completes a TCP connection: its queue is full, so a dial runs into its timeout.
pub fn never_accepts() -> Peer {
    let port = ReservedPort::new();
    let queue = port.listen_short().expect("the reserved port can be listened on");
    let crowd = crowd(port.addr());
    let mut peer = Peer::at(House::new(port), Arc::new(Counts::default()));
    (peer._queue, peer._crowd) = (Some(queue), crowd);
    peer
}

/// Connects until nobody gets in any more.
fn crowd(addr: SocketAddr) -> Vec<TcpStream> {
    let mut inside = Vec::new();
    while let Ok(tcp) = TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
        inside.push(tcp);
        assert!(inside.len() < 100, "the accept queue of {addr} has no end");
    }
    inside
}

/// Accepts and resets at once.
pub fn resets_at_accept() -> Peer {
    Peer::scripted(Door::Plain, |line| async move { line.reset() })
}

/// Accepts and closes at once (FIN).
pub fn closes_at_accept() -> Peer {
    Peer::scripted(Door::Plain, |line| async move { drop(line) })
}

/// Resets as soon as the first bytes, a ClientHello with a TLS client, are in.
pub fn resets_during_handshake() -> Peer {
    Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.some(usize::MAX).await;
        line.reset();
    })
}

/// Closes (FIN) as soon as the first bytes, a ClientHello with a TLS client, are in.
pub fn closes_during_handshake() -> Peer {
    Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.some(usize::MAX).await;
        line.hang_up().await;
    })
}

/// Takes the ClientHello and stays silent; the connection stays open.
pub fn never_handshakes() -> Peer {
    Peer::scripted(Door::Plain, |mut line: Line| async move { line.drain().await })
}

/// Answers the ClientHello in plain HTTP.
pub fn plain_where_tls_is_expected() -> Peer {
    Peer::scripted(Door::Plain, |mut line: Line| async move {
        line.some(usize::MAX).await;
        let _ = line.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        line.hang_up().await;
    })
}

/// Answers the ClientHello with this fatal alert, in clear, and closes: 40 handshake_failure, 42 bad_certificate, 45
/// certificate_expired, 46 certificate_unknown, 48 unknown_ca, 49 access_denied, 80 internal_error, 116
/// certificate_required (RFC 8446 section 6).
pub fn sends_alert(description: u8) -> Peer {
    Peer::scripted(Door::Plain, move |mut line: Line| async move {
        line.some(usize::MAX).await;
        let _ = line.send([0x15, 3, 3, 0, 2, 2, description]).await;
        line.hang_up().await;
    })
}

/// Speaks before it is asked: sends `bytes` on every connection, then reads on in silence. Through a TLS door after
/// the handshake.
pub fn talks_first(door: impl Into<Door>, bytes: impl AsRef<[u8]>) -> Peer {
    let bytes: Arc<[u8]> = bytes.as_ref().into();
    Peer::scripted(door, move |mut line: Line| {
        let bytes = bytes.clone();
        async move {
            let _ = line.send(bytes).await;
            line.drain().await;
        }
    })
}
