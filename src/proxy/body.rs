//! The body that a client gets, and with it the end of the exchange.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::request_body::RequestBody;
use crate::{
    lifecycle::roster::Seat,
    observe::{access_log::Aborted, exchange::Exchange},
    upstream::reply::{BodyError, ReplyBody},
};

/// A response body. It holds the exchange, so that the record is written when the last byte is handed over.
pub struct ClientBody {
    source: Source,
    exchange: Option<Box<Exchange>>,
    seat: Option<Arc<Seat>>,
    sent: u64,
    /// Why the endpoint's answer broke off, while what came before is on its way out.
    broken: Option<BodyError>,
}

enum Source {
    /// The router's own words.
    Own(Option<Bytes>),
    /// An endpoint's.
    Endpoint(ReplyBody<RequestBody>),
}

impl ClientBody {
    /// The router's own answer.
    #[must_use]
    pub fn own(text: Bytes, mut exchange: Option<Box<Exchange>>) -> Self {
        let sent = text.len() as u64;
        if let Some(exchange) = &mut exchange {
            exchange.sent(sent);
        }
        Self { source: Source::Own((!text.is_empty()).then_some(text)), exchange, seat: None, sent, broken: None }
    }

    /// An endpoint's answer.
    #[must_use]
    pub fn endpoint(body: ReplyBody<RequestBody>, exchange: Box<Exchange>) -> Self {
        Self { source: Source::Endpoint(body), exchange: Some(exchange), seat: None, sent: 0, broken: None }
    }

    /// Whether it is bounded by a deadline that only shows when it is read on.
    #[must_use]
    pub fn has_deadline(&self) -> bool {
        matches!(&self.source, Source::Endpoint(body) if body.has_deadline())
    }

    /// Tells `seat` that a reply with a deadline begins, and when a reply has been handed over.
    pub fn seat(&mut self, seat: Arc<Seat>) {
        if self.has_deadline() {
            seat.answer();
        }
        self.seat = Some(seat);
    }
}

/// Why an answer broke off.
fn how(error: &BodyError) -> Aborted {
    match error {
        BodyError::Timeout => Aborted::AnswerTimedOut,
        BodyError::Truncated | BodyError::Chunk(_) | BodyError::Io(_) | BodyError::Http2(_) => Aborted::AnswerCut,
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match &mut this.source {
            Source::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Source::Endpoint(body) => {
                if let Some(error) = this.broken.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                match Pin::new(body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        this.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                        Poll::Ready(Some(Ok(frame)))
                    }
                    // At an error hyper closes at once and throws away what it has not written yet, up to the whole
                    // answer; while there is nothing to read it writes. The client gets what the endpoint sent.
                    Poll::Ready(Some(Err(error))) => {
                        if let Some(exchange) = &mut this.exchange {
                            exchange.cut(how(&error));
                        }
                        this.broken = Some(error);
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                    other => other,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(text) => text.is_none(),
            Source::Endpoint(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Source::Endpoint(body) => body.size_hint(),
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            seat.end();
        }
        let Some(exchange) = &mut self.exchange else { return };
        if let Source::Endpoint(body) = &self.source {
            exchange.received_bytes(body.uploaded());
            exchange.sent(self.sent);
            if !body.is_complete() {
                exchange.cut(Aborted::ClientLeft);
            }
        }
    }
}
