//! The body that a client sends.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

use crate::observe::exchange::Client;

/// What is read of a body that nobody wants any more, as in Go.
const MOST: usize = 256 * 1024;
/// How long its rest may take to come.
const LONGEST: Duration = Duration::from_secs(5);

/// A request's body.
///
/// An answer may be there before all of it has come. hyper then closes the client's connection without a word, so
/// that the client sees its next request fail, or the write of this one before it has read the answer. So a body that
/// is dropped before its end is read on for a while, and only one that is too large or too slow costs the connection.
pub struct RequestBody {
    body: Option<Incoming>,
    /// Whether the client will send it without being asked to.
    coming: bool,
    source: Source,
}

/// What a body comes by, and with it what its end means.
#[derive(Clone, Debug)]
pub enum Source {
    /// It has as many bytes as were announced, or is none.
    Sized,
    /// Chunks on a connection: it is over when the last of them has come, not when the connection has ended.
    Chunked(Arc<Client>),
    /// A stream.
    Http2,
}

impl Source {
    /// That of a request from `client`.
    #[must_use]
    pub fn of(http2: bool, chunked: bool, client: &Arc<Client>) -> Self {
        match (http2, chunked) {
            (true, _) => Self::Http2,
            (false, true) => Self::Chunked(Arc::clone(client)),
            (false, false) => Self::Sized,
        }
    }
}

/// A body that is not going to be whole.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// hyper says so.
    #[error("{0}")]
    Hyper(#[from] hyper::Error),
    /// No more of it comes, though it is not over.
    #[error("the body ends before its end")]
    Short,
}

impl RequestBody {
    /// The body of a request; the client waits to be asked for it if it `expects_continue`.
    #[must_use]
    pub fn new(body: Incoming, expects_continue: bool, source: Source) -> Self {
        Self { body: Some(body), coming: !expects_continue, source }
    }
}

/// Whether a body of which hyper brings no more has been cut off. hyper does not tell when the connection was dropped
/// or the stream was reset without an error; the endpoint would take a part for the whole.
fn is_short(body: &Incoming, source: &Source) -> bool {
    match source {
        Source::Sized => false,
        Source::Chunked(client) => client.gone.load(Relaxed),
        Source::Http2 => !body.is_end_stream(),
    }
}

/// Whether it is what came that is wrong, and not that no more came.
fn is_malformed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        // hyper asks the client for the body as soon as somebody asks hyper.
        self.coming = true;
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None if is_short(body, &this.source) => Some(Err(Broken::Short)),
            frame => frame.map(|frame| frame.map_err(Broken::from)),
        };
        if let (Some(Err(Broken::Hyper(error))), Source::Chunked(client)) = (&frame, &this.source)
            && is_malformed(error)
        {
            client.garbled.store(true, Relaxed);
        }
        if !matches!(frame, Some(Ok(_))) {
            this.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && self.coming
            // A stream is reset alone; the connection does not depend on it.
            && !matches!(self.source, Source::Http2)
            && !body.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(LONGEST, discard(body)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut read = 0;
    while read <= MOST {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}
