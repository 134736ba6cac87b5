//! A client's socket that sends small answers by one plain call.
//!
//! hyper hands head and body over as two slices. For a small answer, copying them together costs less than
//! the system's vectored write; beyond [`GATHER`] bytes it costs more.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Answers up to this size are copied together.
const GATHER: usize = 4 * 1024;

thread_local! {
    /// Used within one call only; a buffer on the stack would be cleared on every one.
    static TOGETHER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(GATHER));
}

/// A TCP stream that gathers small vectored writes.
#[derive(Debug)]
pub struct Gather(pub TcpStream);

impl AsyncRead for Gather {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Gather {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total > GATHER {
            return Pin::new(&mut self.0).poll_write_vectored(cx, slices);
        }
        TOGETHER.with_borrow_mut(|together| {
            together.clear();
            slices.iter().for_each(|slice| together.extend_from_slice(slice));
            Pin::new(&mut self.0).poll_write(cx, together)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
