//! A close that lets the last words arrive.
//!
//! Closing a socket that holds unread bytes makes the kernel send a reset, which overtakes or destroys the
//! alert before it; up to a third of all alerts are lost that way (engineering.md §0, item 2).

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long the other side may take to notice.
const PATIENCE: Duration = Duration::from_millis(500);

/// How much of what it still sends is read: a client may be in the middle of an upload.
const MOST: u64 = 4 * 1024 * 1024;

/// Closes our half, reads on until the other side closes too or patience ends, and closes.
pub(super) async fn linger(mut io: TcpStream) {
    if io.shutdown().await.is_err() {
        return;
    }
    let drained = async {
        let mut rest = (&mut io).take(MOST);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // However it ends, it ends with the close.
    let _ = timeout(PATIENCE, drained).await;
}
