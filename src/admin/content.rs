//! The body of a page: made at once, or part by part as the client takes it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::sync::mpsc;

/// Parts that are made before the first of them is taken.
const AHEAD: usize = 2;

/// A body.
pub(super) enum Content {
    Whole(Full<Bytes>),
    Parts(mpsc::Receiver<Bytes>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl Content {
    pub(super) fn of(text: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(text.into()))
    }

    /// What `make` hands over, on a thread of its own. It is told when nobody wants more.
    pub(super) fn made(make: impl FnOnce(&mut dyn FnMut(Bytes) -> bool) + Send + 'static) -> Self {
        let (parts, taken) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || make(&mut |part| parts.blocking_send(part).is_ok()));
        Self::Parts(taken)
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(whole) => Pin::new(whole).poll_frame(cx),
            Self::Parts(parts) => parts.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Parts(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Parts(_) => SizeHint::default(),
        }
    }
}
