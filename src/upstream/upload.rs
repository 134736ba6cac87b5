//! The sending half of an exchange: head and body of one request, written to one connection.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::Body;

use super::{
    replay::Replayable,
    request::{BodyFraming, RequestHead, canonical_name, write_head},
    stream::Stream,
};
use crate::headers::trailers::may_trail;

/// What stops an upload.
#[derive(Debug)]
pub enum UploadError {
    /// The endpoint no longer takes bytes.
    Endpoint(io::Error),
    /// The client's body broke off; says nothing about the endpoint.
    Client,
}

/// A request on its way.
pub struct Upload<B> {
    body: Replayable<B>,
    framing: BodyFraming,
    /// Head, chunk sizes and trailers that are not written yet.
    out: Vec<u8>,
    out_at: usize,
    /// The body bytes that follow `out`, and what follows them.
    data: Bytes,
    tail: &'static [u8],
    left: u64,
    stage: Stage,
    written: u64,
    head_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Only the head may be sent; the endpoint is to say first whether it wants the body.
    HeadOnly,
    Body,
    /// All is in `out`, `data` and `tail`.
    Last,
    Done,
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// Starts with the head; with `head_only` the body waits for [`Self::release_body`].
    pub fn new(head: &RequestHead<'_>, mut body: Replayable<B>, head_only: bool) -> Self {
        let framing = body.framing();
        let mut out = Vec::with_capacity(1024);
        write_head(&mut out, head, framing);
        body.start_over();
        let (left, stage) = match framing {
            BodyFraming::None => (0, Stage::Last),
            BodyFraming::Length(length) => (length, if head_only { Stage::HeadOnly } else { Stage::Body }),
            BodyFraming::Chunked => (0, if head_only { Stage::HeadOnly } else { Stage::Body }),
        };
        let head_len = out.len();
        Self { body, framing, out, out_at: 0, data: Bytes::new(), tail: b"", left, stage, written: 0, head_len }
    }

    /// Lets the body follow a head that was sent alone.
    pub fn release_body(&mut self) {
        if self.stage == Stage::HeadOnly {
            self.stage = Stage::Body;
        }
    }

    /// Whether the body still waits for [`Self::release_body`].
    pub fn holds_body(&self) -> bool {
        self.stage == Stage::HeadOnly
    }

    /// Whether everything was handed to the connection.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether the connection took any byte of the request.
    pub fn has_begun(&self) -> bool {
        self.written > 0
    }

    /// Whether the connection took the whole head.
    pub fn head_is_out(&self) -> bool {
        self.written >= self.head_len as u64
    }

    /// The body, to send it elsewhere or to count it.
    pub fn into_body(self) -> Replayable<B> {
        self.body
    }

    /// The body.
    pub fn body(&self) -> &Replayable<B> {
        &self.body
    }

    /// The body.
    pub fn body_mut(&mut self) -> &mut Replayable<B> {
        &mut self.body
    }

    /// Writes as much as client and endpoint allow; ready when all is written and flushed.
    pub fn poll_send(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        loop {
            let starved = self.poll_fill(cx)?.is_pending();
            while self.pending_bytes() > 0 {
                let parts = [&self.out[self.out_at..], &self.data, self.tail];
                let wrote = ready!(stream.poll_write_parts(cx, parts)).map_err(UploadError::Endpoint)?;
                if wrote == 0 {
                    return Poll::Ready(Err(UploadError::Endpoint(io::ErrorKind::WriteZero.into())));
                }
                self.advance(wrote);
            }
            if self.stage == Stage::Done {
                return Poll::Ready(Ok(()));
            }
            ready!(stream.poll_flush(cx)).map_err(UploadError::Endpoint)?;
            if self.stage == Stage::Last {
                self.stage = Stage::Done;
                self.out = Vec::new();
                return Poll::Ready(Ok(()));
            }
            if starved || self.stage == Stage::HeadOnly {
                return Poll::Pending;
            }
        }
    }

    /// Takes the next frame from the client if there is room for it.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        if self.stage != Stage::Body || !self.data.is_empty() || !self.tail.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.body.poll_next(cx)) {
            None => self.finish(None)?,
            Some(Err(_)) => return Poll::Ready(Err(UploadError::Client)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => self.stage_data(data)?,
                Err(frame) => self.finish(frame.into_trailers().ok().as_ref())?,
            },
        }
        Poll::Ready(Ok(()))
    }

    fn stage_data(&mut self, data: Bytes) -> Result<(), UploadError> {
        match self.framing {
            BodyFraming::None => return Ok(()),
            BodyFraming::Length(_) => {
                // A client body longer than its announced length cannot come out of a correct parser; sent
                // on, its surplus would be read by the endpoint as another request.
                self.left = self.left.checked_sub(data.len() as u64).ok_or(UploadError::Client)?;
                if self.left == 0 {
                    self.stage = Stage::Last;
                }
            }
            BodyFraming::Chunked => {
                self.out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                self.tail = b"\r\n";
            }
        }
        self.data = data;
        Ok(())
    }

    fn finish(&mut self, trailers: Option<&http::HeaderMap>) -> Result<(), UploadError> {
        if self.framing == BodyFraming::Chunked {
            self.out.extend_from_slice(b"0\r\n");
            // An app that merges trailers into its headers must not be told there what only the router may say.
            for (name, value) in trailers.into_iter().flatten().filter(|(name, _)| may_trail(name.as_str())) {
                canonical_name(&mut self.out, name.as_str());
                self.out.extend_from_slice(b": ");
                self.out.extend_from_slice(value.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
            self.out.extend_from_slice(b"\r\n");
        } else if self.left > 0 {
            return Err(UploadError::Client);
        }
        self.stage = Stage::Last;
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        self.out.len() - self.out_at + self.data.len() + self.tail.len()
    }

    fn advance(&mut self, mut wrote: usize) {
        self.written += wrote as u64;
        let from_out = wrote.min(self.out.len() - self.out_at);
        self.out_at += from_out;
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
        }
        wrote -= from_out;
        let from_data = wrote.min(self.data.len());
        self.data.advance(from_data);
        wrote -= from_data;
        self.tail = &self.tail[wrote..];
    }
}
