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
///
/// A write that fails is not told: an endpoint that closes has often said why before, in a GOAWAY that tells which
/// requests it never looked at, and the frames above would give up before they read it. What is written from then on
/// goes nowhere; reading tells of the end, which on such a connection comes at once.
pub(super) struct Watched {
    stream: Stream,
    notes: Arc<Notes>,
    deaf: bool,
}

/// What became of a connection so far. Only the worker's own thread writes it.
#[derive(Debug)]
pub(super) struct Notes {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    written: AtomicU64,
    read: AtomicU64,
    /// What was read when the connection came in doubt, and one more; 0 if it never did.
    doubted: AtomicU64,
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

    /// Bytes that the endpoint has sent, ever.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Puts it in doubt whether the endpoint is still there, until it says anything.
    pub(super) fn doubt(&self) {
        self.doubted.store(self.read() + 1, Relaxed);
    }

    /// Whether nothing has come since it was put in doubt that the endpoint is there.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Relaxed) == self.read() + 1
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
            read: AtomicU64::new(0),
            doubted: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            end: Mutex::default(),
            refusal: Mutex::default(),
            unproven: AtomicBool::new(false),
        });
        (Self { stream, notes: Arc::clone(&notes), deaf: false }, notes)
    }

    fn ended(&self, end: End) {
        let mut first = lock(&self.notes.end);
        if first.is_none() {
            *first = Some(end);
            *lock(&self.notes.refusal) = self.stream.late_refusal();
            self.notes.unproven.store(self.stream.may_still_refuse(), Relaxed);
        }
    }

    fn note(&self, operation: &'static str, error: &io::Error) {
        self.ended(match error.kind() {
            io::ErrorKind::UnexpectedEof => End::Eof,
            kind => End::Failed(operation, kind),
        });
    }

    /// A write failed: what the endpoint said before is read next.
    fn hush(&mut self, error: &io::Error, cx: &Context<'_>) {
        self.note("write", error);
        self.deaf = true;
        cx.waker().wake_by_ref();
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.notes.read.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        if matches!(outcome, Poll::Ready(Ok(()))) && room > 0 && buffer.filled().len() == before {
            self.ended(End::Eof);
        }
        if let Poll::Ready(Err(error)) = &outcome {
            self.note("read", error);
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(Ok(count)) => {
                self.notes.written.fetch_add(count as u64, Relaxed);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => {
                self.hush(&error, cx);
                Poll::Ready(Ok(bytes.len()))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        match self.stream.poll_flush(cx) {
            Poll::Ready(Err(error)) => {
                self.hush(&error, cx);
                Poll::Ready(Ok(()))
            }
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
