//! A request body that may have to be sent twice.
//!
//! An endpoint that refuses the router's certificate under TLS 1.3 does so after the first bytes of the
//! request are on their way. Nothing was delivered, so another endpoint may get the request; for that the
//! frames that were taken from the client are kept, up to [`KEEP`] bytes, until the first response byte. So are the
//! trailers that ended it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};

use super::request::BodyFraming;

/// Bytes of a body that are kept for a second sending.
pub const KEEP: usize = 64 * 1024;

/// A request body with the frames that were already taken from it.
#[derive(Debug)]
pub struct Replayable<B> {
    body: Option<B>,
    framing: BodyFraming,
    kept: Vec<Bytes>,
    replayed: usize,
    keeping: bool,
    received: u64,
    /// The trailers, once the client has sent some. Rare, so their room is not a part of every body.
    trailers: Option<Box<Trailers>>,
}

#[derive(Debug)]
struct Trailers {
    /// None if they were not kept.
    fields: Option<HeaderMap>,
    /// Whether they were handed out since the last start.
    taken: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Replayable<B> {
    /// Wraps a body of which nothing was taken. `length` is the length that the client announced.
    pub fn new(body: B, length: Option<u64>) -> Self {
        let framing = match length {
            _ if body.is_end_stream() => BodyFraming::None,
            Some(length) => BodyFraming::Length(length),
            None => BodyFraming::Chunked,
        };
        let body = (framing != BodyFraming::None).then_some(body);
        Self { body, framing, kept: Vec::new(), replayed: 0, keeping: false, received: 0, trailers: None }
    }

    /// How the body is framed towards an endpoint.
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// Whether there is no body at all.
    pub fn is_empty(&self) -> bool {
        self.framing == BodyFraming::None
    }

    /// Bytes that came from the client so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Starts keeping frames, unless some were taken and not kept before.
    pub fn keep(&mut self) {
        self.keeping = self.can_start_over();
    }

    /// Stops keeping and forgets what was kept: the request has been delivered.
    pub fn forget(&mut self) {
        if self.keeping {
            self.keeping = false;
            if self.replayed >= self.kept.len() {
                self.kept = Vec::new();
            }
            if let Some(trailers) = &mut self.trailers
                && trailers.taken
            {
                trailers.fields = None;
            }
        }
    }

    /// Whether all that was taken from the client is still at hand.
    pub fn can_start_over(&self) -> bool {
        self.received == self.kept.iter().map(|frame| frame.len() as u64).sum::<u64>()
            && self.trailers.as_ref().is_none_or(|trailers| trailers.fields.is_some())
    }

    /// Makes the next poll begin with the first frame again; call only where [`Self::can_start_over`] holds.
    pub fn start_over(&mut self) {
        debug_assert!(self.can_start_over());
        self.replayed = 0;
        if let Some(trailers) = &mut self.trailers {
            trailers.taken = false;
        }
    }

    /// The next frame: a kept one, or a new one from the client.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.kept.get(self.replayed) {
            self.replayed += 1;
            let frame = frame.clone();
            if !self.keeping && self.replayed == self.kept.len() {
                self.kept = Vec::new();
                self.replayed = 0;
            }
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if let Some(trailers) = &mut self.trailers {
            let fields = if trailers.taken { None } else { trailers.fields.clone() };
            trailers.taken = true;
            return Poll::Ready(fields.map(|fields| Ok(Frame::trailers(fields))));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            if let Some(data) = frame.data_ref() {
                self.received += data.len() as u64;
                if self.keeping {
                    self.remember(data);
                }
            } else if let Some(fields) = frame.trailers_ref() {
                // Their size is bounded where they are read, as that of a head is.
                let kept = self.keeping.then(|| fields.clone());
                self.trailers = Some(Box::new(Trailers { fields: kept, taken: true }));
            }
        }
        Poll::Ready(frame)
    }

    fn remember(&mut self, data: &Bytes) {
        let kept: usize = self.kept.iter().map(Bytes::len).sum();
        if kept + data.len() > KEEP {
            self.keeping = false;
            self.kept = Vec::new();
            self.replayed = 0;
        } else {
            self.kept.push(data.clone());
            self.replayed = self.kept.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible};

    use super::*;

    struct Frames(VecDeque<Bytes>, HeaderMap);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let trailers = std::mem::take(&mut self.1);
            if let Some(data) = self.0.pop_front() {
                self.1 = trailers;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Poll::Ready((!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers))))
        }
        fn is_end_stream(&self) -> bool {
            self.0.is_empty() && self.1.is_empty()
        }
    }

    fn body(frames: &[usize]) -> Replayable<Frames> {
        Replayable::new(
            Frames(frames.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect(), HeaderMap::new()),
            None,
        )
    }

    fn take(body: &mut Replayable<Frames>) -> Option<usize> {
        match body.poll_next(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(frame) => frame.map(|frame| frame.unwrap().into_data().unwrap().len()),
            Poll::Pending => panic!("frames are at hand"),
        }
    }

    #[test]
    fn kept_frames_come_again() {
        let mut body = body(&[3, 4, 5]);
        body.keep();
        assert_eq!((take(&mut body), take(&mut body)), (Some(3), Some(4)));
        assert!(body.can_start_over());
        body.start_over();
        assert_eq!(
            (take(&mut body), take(&mut body), take(&mut body), take(&mut body)),
            (Some(3), Some(4), Some(5), None)
        );
        assert_eq!(body.received(), 12);
    }

    #[test]
    fn a_body_beyond_the_bound_or_not_kept_cannot_start_over() {
        let mut large = body(&[KEEP, 1]);
        large.keep();
        take(&mut large);
        assert!(large.can_start_over());
        take(&mut large);
        assert!(!large.can_start_over());

        let mut loose = body(&[1, 1]);
        take(&mut loose);
        assert!(!loose.can_start_over());
        loose.keep();
        take(&mut loose);
        assert!(!loose.can_start_over(), "the first frame is gone for good");
    }

    #[test]
    fn kept_trailers_come_again_and_lost_ones_forbid_a_second_start() {
        for keep in [true, false] {
            let mut ended = body(&[3]);
            ended.body.as_mut().unwrap().1.insert("x-end", http::HeaderValue::from_static("1"));
            if keep {
                ended.keep();
            }
            let next = |body: &mut Replayable<Frames>| match body
                .poll_next(&mut Context::from_waker(std::task::Waker::noop()))
            {
                Poll::Ready(frame) => frame.map(|frame| frame.unwrap().into_trailers().ok()),
                Poll::Pending => panic!("frames are at hand"),
            };
            let turn = |body: &mut _| {
                assert_eq!(next(body), Some(None));
                assert_eq!(next(body).unwrap().unwrap()["x-end"], "1");
                assert_eq!(next(body), None);
            };
            turn(&mut ended);
            assert_eq!(ended.can_start_over(), keep);
            if keep {
                ended.start_over();
                turn(&mut ended);
                ended.forget();
                assert!(!ended.can_start_over());
            }
        }
    }

    #[test]
    fn delivered_frames_are_forgotten() {
        let mut body = body(&[3, 4]);
        body.keep();
        take(&mut body);
        body.forget();
        assert!(!body.can_start_over());
        assert_eq!(take(&mut body), Some(4));
    }
}
