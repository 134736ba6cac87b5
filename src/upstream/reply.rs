//! The body of a response, read from the endpoint as the client takes it.
//!
//! On a connection that carries one exchange at a time it owns the exchange. When the last byte is out the connection goes back to the idle ones by itself;
//! dropped before that, the connection is closed, because what is left on it belongs to nobody else.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{
    chunked::{BadChunk, Chunked, Step},
    connection::Call,
    multiplexed::SharedBody,
    response::Framing,
};

/// Largest piece read at once. Larger pieces save system calls; beyond this they only cost memory.
const PIECE: usize = 64 * 1024;
/// Smallest room made for a read.
const LEAST: usize = 8 * 1024;

/// A response body on its way to the client.
pub enum ReplyBody<B: Body<Data = Bytes> + Unpin + Send + 'static> {
    /// The connection is this exchange's alone.
    Sole(SoleBody<B>),
    /// The connection carries others too.
    Shared(Box<SharedBody<B>>),
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> ReplyBody<B> {
    /// Bytes of the request's body that came from the client so far.
    pub fn uploaded(&self) -> u64 {
        match self {
            Self::Sole(body) => body.uploaded(),
            Self::Shared(body) => body.uploaded(),
        }
    }

    /// Whether reading on will tell of a deadline once it has passed.
    pub fn has_deadline(&self) -> bool {
        match self {
            Self::Sole(body) => body.call.as_ref().is_some_and(|call| call.deadline.is_some()),
            Self::Shared(body) => body.has_deadline(),
        }
    }

    /// Whether the client's body stays unread, since the endpoint answered instead of asking for it. What the
    /// client sends next on its connection could be that body or another request, so nothing may come next.
    pub fn leaves_body_unread(&self) -> bool {
        match self {
            Self::Sole(body) => body.unwanted,
            Self::Shared(body) => body.leaves_body_unread(),
        }
    }

    /// Whether all that the head announced was handed over.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Sole(body) => body.is_end_stream(),
            Self::Shared(body) => body.is_complete(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Body for ReplyBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Sole(body) => Pin::new(body).poll_frame(cx),
            Self::Shared(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Sole(body) => body.is_end_stream(),
            Self::Shared(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Sole(body) => body.size_hint(),
            Self::Shared(body) => body.size_hint(),
        }
    }
}

/// A body on a connection that carries one exchange at a time.
pub struct SoleBody<B: Body<Data = Bytes> + Unpin + Send + 'static> {
    call: Option<Box<Call<B>>>,
    framing: Left,
    keep_alive: bool,
    uploaded: u64,
    unwanted: bool,
}

enum Left {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Nothing,
}

/// A body that broke off. The client must notice, so its connection is cut, not ended.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The endpoint closed before the end.
    #[error("unexpected EOF")]
    Truncated,
    /// The endpoint's chunked coding is broken.
    #[error("{0}")]
    Chunk(#[from] BadChunk),
    /// Reading failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// `endpoint_timeout` passed.
    #[error("context deadline exceeded")]
    Timeout,
    /// The endpoint gave the stream up, or its connection ended.
    #[error("http2: {0}")]
    Http2(#[from] h2::Error),
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> SoleBody<B> {
    pub(super) fn new(mut call: Box<Call<B>>, framing: Framing, keep_alive: bool) -> Self {
        let framing = match framing {
            Framing::Empty => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunked(Chunked::default()),
            Framing::UntilClose => Left::UntilClose,
        };
        let unwanted = call.keep_unwanted_body();
        let mut body = Self { call: Some(call), framing, keep_alive, uploaded: 0, unwanted };
        if matches!(body.framing, Left::Nothing) {
            body.finish();
        }
        body
    }

    fn uploaded(&self) -> u64 {
        self.call.as_ref().map_or(self.uploaded, |call| call.upload.body().received())
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        if call.poll_deadline(cx).is_ready() {
            return Poll::Ready(Some(Err(BodyError::Timeout)));
        }
        // A client that breaks off its upload is noticed by its own connection.
        let _ = call.poll_upload(cx);
        loop {
            if let Some(frame) = take_frame(&mut self.framing, &mut call.connection.read)? {
                return Poll::Ready(frame.map(Ok));
            }
            let wanted = match self.framing {
                Left::Length(left) => usize::try_from(left).unwrap_or(PIECE).clamp(LEAST, PIECE),
                Left::Chunked(_) | Left::UntilClose | Left::Nothing => PIECE,
            };
            call.connection.read.reserve(wanted);
            if ready!(call.connection.stream.poll_read_buf(cx, &mut call.connection.read))? == 0 {
                return Poll::Ready(match self.framing {
                    Left::UntilClose | Left::Nothing => None,
                    Left::Length(_) | Left::Chunked(_) => Some(Err(BodyError::Truncated)),
                });
            }
        }
    }

    /// The response is complete: the connection may serve again if nothing on it is left over.
    fn finish(&mut self) {
        self.framing = Left::Nothing;
        let Some(call) = self.call.take() else { return };
        self.uploaded = call.upload.body().received();
        if !self.keep_alive || !call.connection.read.is_empty() || call.upload_stopped() {
            return;
        }
        if call.upload.is_done() {
            let Call { connection, home, .. } = *call;
            home.put(connection);
        } else if tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(finish_upload(call));
        }
    }
}

/// An endpoint that answers early without closing wants the rest of the request all the same (RFC 9112
/// section 9.3): it gets it, so that client and endpoint can both keep their connections.
async fn finish_upload<B: Body<Data = Bytes> + Unpin + Send + 'static>(mut call: Box<Call<B>>) {
    let whole = std::future::poll_fn(|cx| {
        if call.poll_deadline(cx).is_ready() || call.poll_upload(cx).is_err() || call.upload_stopped() {
            return Poll::Ready(false);
        }
        if call.upload.is_done() { Poll::Ready(true) } else { Poll::Pending }
    });
    if whole.await {
        let Call { connection, home, .. } = *call;
        home.put(connection);
    }
}

/// The next frame that is complete in `buffer`; `Some(None)` at the end of the body.
#[expect(clippy::option_option, reason = "not yet, the end, a frame")]
fn take_frame(left: &mut Left, buffer: &mut BytesMut) -> Result<Option<Option<Frame<Bytes>>>, BodyError> {
    match left {
        Left::Nothing => Ok(Some(None)),
        _ if buffer.is_empty() => Ok(None),
        Left::UntilClose => Ok(Some(Some(Frame::data(buffer.split().freeze())))),
        Left::Length(left) => {
            let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
            *left -= take as u64;
            Ok(Some(Some(Frame::data(buffer.split_to(take).freeze()))))
        }
        Left::Chunked(decoder) => match decoder.step(buffer)? {
            Step::More => Ok(None),
            Step::Data(data) => Ok(Some(Some(Frame::data(data)))),
            Step::End(trailers) => {
                *left = Left::Nothing;
                Ok(Some(trailers.map(Frame::trailers)))
            }
        },
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Body for SoleBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.poll_data(cx));
        match &frame {
            Some(Err(_)) => self.call = None,
            // The caller stops asking once the announced length is there, so the end is noticed here.
            Some(Ok(_)) if matches!(self.framing, Left::Length(0) | Left::Nothing) => self.finish(),
            None => self.finish(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.framing, Left::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Left::Nothing => SizeHint::with_exact(0),
            Left::Length(left) => SizeHint::with_exact(left),
            Left::Chunked(_) | Left::UntilClose => SizeHint::default(),
        }
    }
}
