//! The body of a response on a shared connection, read as the client takes it.
//!
//! The endpoint may send on only as far as frames were handed to the client, so that a slow client holds up its own
//! stream and nobody else's.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use tokio::time::timeout_at;

use super::call::{Call, soon};
use crate::upstream::{reply::BodyError, response::Framing};

/// A response body on its way to the client. Dropped before its end, it is cancelled at the endpoint.
pub struct SharedBody<B: Body<Data = Bytes> + Unpin + Send + 'static> {
    exchange: Option<Exchange<B>>,
    /// What is missing of an announced length.
    left: Option<u64>,
    uploaded: u64,
    unwanted: bool,
    ended: bool,
}

struct Exchange<B> {
    call: Box<Call<B>>,
    stream: RecvStream,
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> SharedBody<B> {
    pub(super) fn new(mut call: Box<Call<B>>, stream: RecvStream, framing: Framing) -> Self {
        let unwanted = call.keep_unwanted_body();
        let left = match framing {
            Framing::Length(length) => Some(length),
            Framing::Empty => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let mut body = Self { exchange: Some(Exchange { call, stream }), left, uploaded: 0, unwanted, ended: false };
        if framing == Framing::Empty {
            body.finish();
        }
        body
    }

    /// Bytes of the request's body that came from the client so far.
    pub fn uploaded(&self) -> u64 {
        self.exchange.as_ref().map_or(self.uploaded, |exchange| exchange.call.upload.body().received())
    }

    /// Whether reading on will tell of a deadline once it has passed.
    pub fn has_deadline(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.call.deadline.is_some())
    }

    /// Whether the client's body stays unread, since the endpoint answered instead of asking for it.
    pub fn leaves_body_unread(&self) -> bool {
        self.unwanted
    }

    /// Whether all that the head announced was handed over.
    pub fn is_complete(&self) -> bool {
        self.ended || self.left == Some(0)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(Exchange { call, stream }) = &mut self.exchange else { return Poll::Ready(None) };
        if call.poll_deadline(cx).is_ready() {
            return Poll::Ready(Some(Err(BodyError::Timeout)));
        }
        // A client that breaks off its upload is noticed by its own connection.
        let _ = call.poll_upload(cx);
        if let Some(data) = ready!(stream.poll_data(cx)) {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if self.left.is_some_and(|left| left > 0) {
            return Poll::Ready(Some(Err(BodyError::Truncated)));
        }
        Poll::Ready(ready!(stream.poll_trailers(cx))?.map(|fields| Ok(Frame::trailers(fields))))
    }

    /// The response is complete. An endpoint that did not wait for the request's end gets no more of it.
    fn finish(&mut self) {
        self.ended = true;
        let Some(Exchange { mut call, mut stream }) = self.exchange.take() else { return };
        self.uploaded = call.upload.body().received();
        call.upload.break_off();
        // The frame that ends the stream may come after the last byte. To give up before it would tell the app of a
        // client that left.
        if !stream.is_end_stream() && tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(timeout_at(soon(), async move {
                while let Some(Ok(_)) = poll_fn(|cx| stream.poll_data(cx)).await {}
                drop(call);
            }));
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Body for SharedBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.poll_next(cx));
        match &frame {
            Some(Err(_)) => self.exchange = None,
            Some(Ok(frame)) if frame.is_trailers() || self.exchange_ended() => self.finish(),
            None => self.finish(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.ended => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> SharedBody<B> {
    fn exchange_ended(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.stream.is_end_stream())
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Drop for SharedBody<B> {
    /// Nobody asks for more once an announced length is there.
    fn drop(&mut self) {
        if self.left == Some(0) {
            self.finish();
        }
    }
}
