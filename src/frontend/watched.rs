//! A client's stream that tells the client's seat what moves on it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
};

use crate::lifecycle::roster::Seat;

/// A stream and the seat of whoever is at its other end.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    seat: Arc<Seat>,
    /// Whether what comes between two exchanges is the head of a request, and nothing else.
    heads: bool,
    /// Whether anything has come.
    begun: bool,
}

/// Turns of the runtime's budget that a read of frames costs beside its own. A frame of nine bytes is as much work as
/// one of 16 KiB: without this, a flood of the smallest ones keeps a worker's other clients waiting for half a million
/// bytes of them.
const FRAMES_COST: usize = 7;

/// Lets others on the worker go first, the sooner.
fn spend(cx: &mut Context<'_>) {
    for _ in 0..FRAMES_COST {
        match coop::poll_proceed(cx) {
            Poll::Ready(turn) => turn.made_progress(),
            Poll::Pending => return,
        }
    }
}

/// What a client says first that believes to be talking HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// hyper leaves a connection that begins in HTTP/2 without a word, for somebody else to take it up. Nobody does here,
/// and a bare close looks like a router that is down; so what it sees is a request that it refuses.
fn spoil_preface(first: &mut [u8]) {
    if first.starts_with(PREFACE) {
        first[0] = b'p';
    }
}

impl<S> Watched<S> {
    /// Of a client that can have one exchange at a time.
    pub fn with_heads(stream: S, seat: Arc<Seat>) -> Self {
        Self { stream, seat, heads: true, begun: false }
    }

    /// Of a client whose bytes may be anything.
    pub fn with_frames(stream: S, seat: Arc<Seat>) -> Self {
        Self { stream, seat, heads: false, begun: false }
    }

    fn note<T>(&self, wrote: Poll<T>) -> Poll<T> {
        if wrote.is_pending() {
            self.seat.is_stuck();
        } else {
            self.seat.moves_on();
        }
        wrote
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.heads && buffer.filled().len() > before {
            self.seat.heard();
            if !self.begun {
                self.begun = true;
                spoil_preface(&mut buffer.filled_mut()[before..]);
            }
        }
        if !self.heads && read.is_ready() {
            spend(cx);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
