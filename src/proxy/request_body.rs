//! The body that a client sends.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

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
}

impl RequestBody {
    /// The body of a request; the client waits to be asked for it if it `expects_continue`.
    #[must_use]
    pub fn new(body: Incoming, expects_continue: bool) -> Self {
        Self { body: Some(body), coming: !expects_continue }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // hyper asks the client for the body as soon as somebody asks hyper.
        self.coming = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
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
