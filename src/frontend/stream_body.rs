//! The body of an answer on a stream of HTTP/2, which knows how much of it the connection has taken.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CONNECTION, CONTENT_LENGTH},
};
use http_body::{Body, Frame, SizeHint};

use crate::{
    headers::hop_by_hop::is_of_connection, lifecycle::streams::Stream, proxy::body::ClientBody,
    upstream::reply::BodyError,
};

/// What may still wait when an answer is called finished. A finished one can no longer be taken back, however long
/// its client lets it wait.
const TAIL: usize = 16 * 1024;

/// A body, and the exchange that it answers.
pub struct StreamBody {
    body: Option<ClientBody>,
    stream: Arc<Stream>,
}

impl StreamBody {
    /// The response of `stream`. One to HEAD has no body, whoever made it.
    pub fn respond(response: Response<ClientBody>, stream: Arc<Stream>, to_head: bool) -> Response<Self> {
        let (mut head, body) = response.into_parts();
        // A stream ends without a word; a connection that is to end says so itself.
        head.headers.remove(CONNECTION);
        stream.answer(body.has_deadline());
        let bare = to_head && !body.is_end_stream();
        if bare && let Some(length) = body.size_hint().exact() {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        Response::from_parts(head, Self { body: (!bare).then_some(body), stream })
    }
}

impl Body for StreamBody {
    type Data = Held;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Held>, BodyError>>> {
        let Some(body) = &mut self.body else {
            return self.stream.poll_taken(TAIL).map(|()| None);
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        let ends = body.is_end_stream();
        match frame {
            Some(Ok(frame)) => {
                if ends {
                    self.body = None;
                }
                Poll::Ready(Some(Ok(self.hold(frame))))
            }
            Some(Err(error)) => {
                self.body = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.body = None;
                self.stream.poll_taken(TAIL).map(|()| None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Some(body) => body.is_end_stream(),
            None => self.stream.poll_taken(TAIL).is_ready(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl StreamBody {
    fn hold(&self, frame: Frame<Bytes>) -> Frame<Held> {
        match frame.into_data() {
            Ok(data) => {
                self.stream.hand(data.len());
                Frame::data(Held { data, stream: Arc::clone(&self.stream) })
            }
            Err(frame) => Frame::trailers(frame.into_trailers().map(without_connection).unwrap_or_default()),
        }
    }
}

/// HTTP/2 has no fields about the connection, and a client may take one for an attack.
fn without_connection(mut trailers: HeaderMap) -> HeaderMap {
    let is_one = |name: &&HeaderName| is_of_connection(name.as_str());
    for name in trailers.keys().filter(is_one).cloned().collect::<Vec<_>>() {
        trailers.remove(name);
    }
    trailers
}

/// A piece of a body on its way out; whatever is taken of it is told to its stream.
pub struct Held {
    data: Bytes,
    stream: Arc<Stream>,
}

impl Buf for Held {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        self.stream.taken(count);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.data.is_empty() {
            self.stream.taken(self.data.len());
        }
    }
}
