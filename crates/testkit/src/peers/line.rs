//! What a script holds: one connection.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use super::Counts;
use crate::io::Io;
use crate::wire::{Framing, Head, Wire};

/// One connection of a scripted peer. Dropping it closes the connection.
#[derive(Debug)]
pub struct Line {
    wire: Wire<Io>,
    counts: Arc<Counts>,
}

impl Line {
    pub(crate) fn new(io: Io, counts: Arc<Counts>) -> Self {
        Self { wire: Wire::metered(io, counts.meter()), counts }
    }

    /// Reads a request head and counts it; `None` when the connection ends first.
    pub async fn head(&mut self) -> Option<String> {
        let head = self.wire.head().await.ok().flatten()?;
        self.counts.request();
        Some(String::from_utf8_lossy(&head).into_owned())
    }

    /// Reads a whole request, body and all, and counts it; gives the head.
    pub async fn request(&mut self) -> Option<String> {
        let head = self.head().await?;
        let framing = Head::parse(head.as_bytes()).framing().unwrap_or(Framing::Nothing);
        self.wire.body(framing, &mut |_| ()).await.ok()?;
        Some(head)
    }

    /// The next bytes, at most `limit`; empty at the end or after an error.
    pub async fn some(&mut self, limit: usize) -> Vec<u8> {
        self.wire.some(limit).await.map(|piece| piece.to_vec()).unwrap_or_default()
    }

    /// Counts a request that came otherwise than by [`Line::head`].
    pub(super) fn count_request(&self) {
        self.counts.request();
    }

    /// Forgets what was read so far.
    pub(super) fn forget(&mut self) {
        self.wire.remembered();
    }

    /// Reads and forgets until the other side closes.
    pub async fn drain(&mut self) {
        while !self.some(usize::MAX).await.is_empty() {
            self.wire.remembered();
        }
    }

    /// Writes these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.io.write_all(bytes.as_ref()).await?;
        self.wire.io.flush().await
    }

    /// Closes our direction (close_notify and FIN); reading goes on.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.wire.io.shutdown().await
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let _ = self.wire.io.tcp().set_zero_linger();
    }

    /// Ends the TCP connection in order, with unread bytes taken off first so that no reset comes of them, and
    /// without TLS's own close_notify.
    pub async fn hang_up(mut self) {
        let _ = socket2::SockRef::from(self.wire.io.tcp()).shutdown(std::net::Shutdown::Write);
        let limit = std::time::Duration::from_millis(500);
        let _ = tokio::time::timeout(limit, self.drain()).await;
    }
}
