//! Closing a connection so that its last words arrive.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long whoever has been refused may take to hear so.
const LONGEST: Duration = Duration::from_millis(500);
/// How much of what is still coming is read meanwhile. A socket that closes with unread bytes is reset, and the reset
/// overtakes what was written.
const MOST: u64 = 256 * 1024;

/// Ends our direction, then reads on for a while before the socket closes.
pub(super) async fn linger(mut tcp: TcpStream) {
    let rest = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut (&mut tcp).take(MOST), &mut tokio::io::sink()).await
    };
    // Whatever becomes of it, there is nobody left to tell.
    let _ = timeout(LONGEST, rest).await;
}
