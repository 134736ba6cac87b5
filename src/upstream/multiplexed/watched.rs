//! The byte stream under a shared connection, watched: the frames above it tell too little of how it ended.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use trueroute_identity::Refusal;

use super::super::stream::Stream;
use crate::failure::BrokenConnection;

/// A stream that writes down what becomes of it.
pub(super) struct Watched {
    stream: Stream,
    notes: Arc<Notes>,
}

/// What became of a connection so far. Only the worker's own thread writes it.
#[derive(Debug)]
pub(super) struct Notes {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    written: AtomicU64,
    closed: AtomicBool,
    end: Mutex<Option<End>>,
    refusal: Mutex<Option<Refusal>>,
    unproven: AtomicBool,
}

/// How a connection ended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The endpoint closed it.
    Eof,
    /// An operation failed: `read` or `write`.
    Failed(&'static str, io::ErrorKind),
}

impl Notes {
    /// Bytes that the connection has taken, ever.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether nobody drives the connection any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Notes that nobody drives the connection any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// How the connection ended, if its end was seen here.
    pub(super) fn end(&self) -> Option<End> {
        *lock(&self.end)
    }

    /// The endpoint's refusal of our certificate, told once.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        lock(&self.refusal).take()
    }

    /// Whether the endpoint might have been refusing our certificate when the connection ended.
    pub(super) fn is_unproven(&self) -> bool {
        self.unproven.load(Relaxed)
    }

    /// The connection's end in the words that operators know.
    pub(super) fn broken(&self, operation: &'static str, kind: io::ErrorKind) -> BrokenConnection {
        BrokenConnection { operation, local: self.local, remote: self.remote, error: kind.into() }
    }
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    /// Watches `stream` from now on.
    pub(super) fn new(stream: Stream) -> (Self, Arc<Notes>) {
        let (local, remote) = stream.addresses();
        let notes = Arc::new(Notes {
            local,
            remote,
            written: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            end: Mutex::default(),
            refusal: Mutex::default(),
            unproven: AtomicBool::new(false),
        });
        (Self { stream, notes: Arc::clone(&notes) }, notes)
    }

    fn ended(&self, end: End) {
        let mut first = lock(&self.notes.end);
        if first.is_none() {
            *first = Some(end);
            *lock(&self.notes.refusal) = self.stream.late_refusal();
            self.notes.unproven.store(self.stream.may_still_refuse(), Relaxed);
        }
    }

    fn watch<T>(&self, operation: &'static str, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome {
            match error.kind() {
                io::ErrorKind::UnexpectedEof => self.ended(End::Eof),
                kind => self.ended(End::Failed(operation, kind)),
            }
        }
        outcome
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if matches!(outcome, Poll::Ready(Ok(()))) && room > 0 && buffer.filled().len() == before {
            self.ended(End::Eof);
        }
        self.watch("read", outcome)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = outcome {
            self.notes.written.fetch_add(count as u64, Relaxed);
        }
        self.watch("write", outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.stream.poll_flush(cx);
        self.watch("write", outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
