//! One exchange on a shared connection, up to the head of its answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, client::ResponseFuture};
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{
    channel::Seat,
    faults, message,
    upload::{ClientLeft, Upload},
    watched::Notes,
};
use crate::{
    failure::{BadResponse, Failure, Http2Error},
    upstream::{
        Facts, SendFailed,
        connection::{CONTINUE_WAIT, MAX_INTERIM, Terms},
        dial::Timings,
        replay::Replayable,
        request::RequestHead,
        response::Head,
    },
};

/// An exchange under way. Dropped before its end, it is cancelled at the endpoint; the connection lives on.
pub(super) struct Call<B> {
    pub(super) upload: Upload<B>,
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    answer: ResponseFuture,
    seat: Seat,
    stream: u32,
    /// Bytes that the connection had taken when the request was handed in.
    before: u64,
    hold: Option<Pin<Box<Sleep>>>,
    interim: u8,
    heard: bool,
    to_head: bool,
    max_lines: usize,
}

/// An exchange that brought no response.
pub(super) struct CallFailed<B> {
    pub(super) failure: Failure,
    pub(super) body: Replayable<B>,
    begun: bool,
    reused: bool,
    heard: bool,
    timings: Arc<Timings>,
}

impl<B: Body<Data = Bytes> + Unpin> Call<B> {
    /// Hands the head in.
    pub(super) fn begin(
        mut seat: Seat,
        head: &RequestHead<'_>,
        mut body: Replayable<B>,
        terms: &Terms,
    ) -> Result<Self, Box<CallFailed<B>>> {
        // An endpoint may turn a request away as long as it has not answered.
        body.keep();
        let request = message::request(head, body.framing());
        let before = seat.notes().written();
        match seat.sender().send_request(request, body.is_empty()) {
            Ok((answer, sink)) => {
                let hold = (terms.expects_continue && !body.is_empty()).then(|| Box::pin(sleep(CONTINUE_WAIT)));
                Ok(Self {
                    stream: answer.stream_id().as_u32(),
                    upload: Upload::new(body, sink, hold.is_some()),
                    deadline: terms.deadline.map(|deadline| Box::pin(sleep_until(deadline))),
                    answer,
                    seat,
                    before,
                    hold,
                    interim: 0,
                    heard: false,
                    to_head: terms.to_head,
                    max_lines: terms.max_lines,
                })
            }
            Err(error) => {
                let failure = refused(&error, seat.notes());
                let (reused, timings) = (seat.is_reused(), Arc::clone(seat.timings()));
                Err(Box::new(CallFailed { failure, body, begun: false, reused, heard: false, timings }))
            }
        }
    }

    /// Waits for the head of the final response, while the body goes out.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Head, RecvStream), Failure>> {
        if self.poll_deadline(cx).is_ready() {
            return Poll::Ready(Err(Failure::Timeout));
        }
        self.poll_upload(cx)?;
        while let Poll::Ready(Some(interim)) = self.answer.poll_informational(cx) {
            let interim = interim.map_err(|error| self.explain(&error))?;
            self.note_interim(interim.status())?;
            self.poll_upload(cx)?;
        }
        let answer = match ready!(Pin::new(&mut self.answer).poll(cx)) {
            Ok(answer) => answer,
            Err(error) => return Poll::Ready(Err(self.explain(&error))),
        };
        self.heard = true;
        self.upload.body_mut().forget();
        let (parts, stream) = answer.into_parts();
        let ended = stream.is_end_stream();
        let head = message::response(http::Response::from_parts(parts, ()), ended, self.to_head);
        let head = head.map_err(Failure::BadResponse)?;
        if head.headers.len() > self.max_lines {
            return Poll::Ready(Err(Failure::TooManyHeaders));
        }
        Poll::Ready(Ok((head, stream)))
    }

    /// Moves the request's body on.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(hold) = &mut self.hold
            && hold.as_mut().poll(cx).is_ready()
        {
            self.hold = None;
            self.upload.release();
        }
        match self.upload.poll_send(cx) {
            Poll::Ready(Err(ClientLeft)) => Err(Failure::ClientGone),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.as_mut().map_or(Poll::Pending, |deadline| deadline.as_mut().poll(cx))
    }

    /// The endpoint has answered without asking for a body that waits for that: it gets none. Whether it was so.
    pub(super) fn keep_unwanted_body(&mut self) -> bool {
        let unwanted = self.upload.is_held();
        if unwanted {
            self.hold = None;
        }
        unwanted
    }

    /// Gives the body back from an exchange that failed with `failure`.
    pub(super) fn fail(self, failure: Failure) -> CallFailed<B> {
        if matches!(failure, Failure::Timeout) {
            self.seat.doubt(Instant::now());
        }
        CallFailed {
            failure,
            begun: self.seat.notes().written() > self.before,
            body: self.upload.into_body(),
            reused: self.seat.is_reused(),
            heard: self.heard,
            timings: Arc::clone(self.seat.timings()),
        }
    }

    fn note_interim(&mut self, status: http::StatusCode) -> Result<(), Failure> {
        self.heard = true;
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(Failure::BadResponse(BadResponse::Interim));
        }
        if status == http::StatusCode::CONTINUE {
            self.hold = None;
            self.upload.release();
        }
        Ok(())
    }

    fn explain(&self, error: &h2::Error) -> Failure {
        faults::of_request(error, self.seat.notes(), self.stream, self.before)
    }
}

/// Why a connection took no request at all.
fn refused(error: &h2::Error, notes: &Notes) -> Failure {
    if error.is_go_away() && error.is_remote() {
        let code = error.reason().unwrap_or(h2::Reason::NO_ERROR);
        return Failure::Declined(Http2Error::GoAway { code });
    }
    Failure::Unsent(notes.broken("write", std::io::ErrorKind::ConnectionAborted))
}

impl<B> CallFailed<B> {
    /// Whether the request may go to the same peer once more without a word: it was not acted on, or its repetition
    /// does no harm and it was a connection's end that it met and no answer.
    pub(super) fn may_be_repeated(&self, replayable: bool) -> bool {
        let died = self.reused && !self.heard;
        match self.failure {
            Failure::Declined(_) => true,
            Failure::Unsent(_) => died,
            Failure::Eof | Failure::Reset(_) | Failure::Broken(_) => died && replayable,
            _ => false,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> From<CallFailed<B>> for SendFailed<B> {
    fn from(failed: CallFailed<B>) -> Self {
        let facts = Facts {
            connected: true,
            reused: failed.reused,
            head_out: failed.begun,
            unproven: false,
            origin: Some(failed.timings),
        };
        let received = failed.body.received();
        let body = failed.body.can_start_over().then_some(failed.body);
        Self { failure: failed.failure, body, facts, received }
    }
}

/// When nothing more is read of an answer whose announced length is there.
pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}
