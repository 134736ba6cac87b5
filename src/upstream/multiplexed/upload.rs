//! The sending half of an exchange: a request's body, as fast as the endpoint takes it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use super::message::{self, NOTHING};
use crate::upstream::{replay::Replayable, request::BodyFraming};

/// The client's body broke off; that says nothing about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientLeft;

/// A request's body on its way.
pub(super) struct Upload<B> {
    body: Replayable<B>,
    sink: SendStream<Bytes>,
    /// Taken from the client, and not by the endpoint yet.
    data: Bytes,
    /// What is missing of an announced length.
    left: Option<u64>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The endpoint is to say first whether it wants the body.
    Held,
    Body,
    Done,
    /// The endpoint takes no more.
    Stopped,
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// Starts after the head has gone; with `held` the body waits for [`Self::release`].
    pub(super) fn new(mut body: Replayable<B>, sink: SendStream<Bytes>, held: bool) -> Self {
        body.start_over();
        let (left, stage) = match body.framing() {
            BodyFraming::None => (None, Stage::Done),
            BodyFraming::Length(length) => (Some(length), if held { Stage::Held } else { Stage::Body }),
            BodyFraming::Chunked => (None, if held { Stage::Held } else { Stage::Body }),
        };
        Self { body, sink, data: Bytes::new(), left, stage }
    }

    pub(super) fn release(&mut self) {
        if self.stage == Stage::Held {
            self.stage = Stage::Body;
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.stage == Stage::Held
    }

    pub(super) fn body(&self) -> &Replayable<B> {
        &self.body
    }

    pub(super) fn body_mut(&mut self) -> &mut Replayable<B> {
        &mut self.body
    }

    pub(super) fn into_body(self) -> Replayable<B> {
        self.body
    }

    /// Tells the endpoint that the rest will not come, since the answer is there: no error (RFC 9113 section 8.1).
    pub(super) fn break_off(&mut self) {
        if matches!(self.stage, Stage::Held | Stage::Body) {
            self.sink.send_reset(Reason::NO_ERROR);
            self.stage = Stage::Stopped;
        }
    }

    /// Moves on as far as client and endpoint allow. An endpoint that takes no more may still have answered; only a
    /// client that left is an error here.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientLeft>> {
        while self.stage == Stage::Body {
            if self.data.is_empty() {
                ready!(self.poll_fill(cx))?;
            } else {
                ready!(self.poll_flush(cx));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientLeft>> {
        match ready!(self.body.poll_next(cx)) {
            None if self.left.is_some_and(|left| left > 0) => return Poll::Ready(Err(self.cancel())),
            None => {
                let sent = self.sink_end();
                self.end(sent);
            }
            // Sent on as an end, half a body would be taken for a whole one.
            Some(Err(_)) => return Poll::Ready(Err(self.cancel())),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Poll::Ready(self.stage(data)),
                Err(frame) => {
                    let fields = message::trailers(frame.into_trailers().unwrap_or_default());
                    let sent = if fields.is_empty() { self.sink_end() } else { self.sink.send_trailers(fields) };
                    self.end(sent);
                }
            },
        }
        Poll::Ready(Ok(()))
    }

    fn stage(&mut self, data: Bytes) -> Result<(), ClientLeft> {
        if let Some(left) = self.left {
            let Some(left) = left.checked_sub(data.len() as u64) else { return Err(self.cancel()) };
            self.left = Some(left);
        }
        self.data = data;
        Ok(())
    }

    /// Hands over as much as the endpoint's window has room for.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sink.reserve_capacity(self.data.len());
        let room = match self.sink.capacity() {
            0 => match ready!(self.sink.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(_)) | None => {
                    self.stage = Stage::Stopped;
                    return Poll::Ready(());
                }
            },
            room => room,
        };
        let piece = self.data.split_to(room.min(self.data.len()));
        let last = self.data.is_empty() && self.left == Some(0);
        let sent = self.sink.send_data(piece, last);
        if last || sent.is_err() {
            self.end(sent);
        }
        Poll::Ready(())
    }

    fn sink_end(&mut self) -> Result<(), h2::Error> {
        self.sink.send_data(NOTHING, true)
    }

    fn end(&mut self, sent: Result<(), h2::Error>) {
        self.stage = if sent.is_ok() { Stage::Done } else { Stage::Stopped };
    }

    fn cancel(&mut self) -> ClientLeft {
        self.sink.send_reset(Reason::CANCEL);
        self.stage = Stage::Stopped;
        ClientLeft
    }
}
