//! Small messages leave by one plain call.
//!
//! A message comes as several slices, its head apart from its body. For a small one, copying them together
//! costs less than the system's vectored write; beyond `GATHER` bytes it costs more.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{io::AsyncWrite, net::TcpStream};

/// Messages up to this size are copied together.
const GATHER: usize = 4 * 1024;

thread_local! {
    /// Used within one call only; a buffer on the stack would be cleared on every one.
    static TOGETHER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(GATHER));
}

/// Writes from `slices` in order; returns how many bytes were taken.
pub fn poll_write(tcp: &mut TcpStream, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    if let Some(only) = slices.iter().find(|slice| slice.len() == total) {
        return Pin::new(tcp).poll_write(cx, only);
    }
    if total > GATHER {
        return Pin::new(tcp).poll_write_vectored(cx, slices);
    }
    TOGETHER.with_borrow_mut(|together| {
        together.clear();
        slices.iter().for_each(|slice| together.extend_from_slice(slice));
        Pin::new(tcp).poll_write(cx, together)
    })
}
