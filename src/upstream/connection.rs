//! One connection to one peer, and one exchange on it.
//!
//! Both directions move at once: an endpoint may answer before it has read the whole request, and the rest
//! of the request must neither hold the answer up nor be taken for the next request.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{
    dial::Timings,
    idle::Home,
    replay::Replayable,
    request::RequestHead,
    response::{self, Head},
    stream::Stream,
    upload::{Upload, UploadError},
};
use crate::{
    failure::{BadResponse, BrokenConnection, Failure},
    route::peer::Peer,
};

/// Room made for a head and a small body before each read.
const HEAD_ROOM: usize = 8 * 1024;
/// How long an endpoint may think about `Expect: 100-continue` before it gets the body anyway.
pub(super) const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// Interim responses before an endpoint is taken to be stuck in them, as in Go.
pub(super) const MAX_INTERIM: u8 = 5;

/// An open connection, verified for `peer`.
pub struct Connection {
    pub(super) stream: Stream,
    pub(super) peer: Peer,
    /// The trust under which the peer was verified; another generation means verify again.
    pub(super) generation: u64,
    pub(super) read: BytesMut,
    pub(super) exchanges: u32,
    /// How it came about.
    pub(super) timings: Arc<Timings>,
    /// Kept from exchange to exchange: a deadline that is only moved ahead needs no timer of its own.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// A connection on which nothing was sent yet.
    pub fn new(stream: Stream, peer: Peer, generation: u64, timings: Arc<Timings>) -> Self {
        Self { stream, peer, generation, read: BytesMut::new(), exchanges: 0, timings, timer: None }
    }

    fn poll_deadline(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    fn broken(&self, operation: &'static str, error: io::Error) -> BrokenConnection {
        let (local, remote) = self.stream.addresses();
        // A socket that was reset no longer knows its peer.
        BrokenConnection { operation, local, remote: remote.or_else(|| self.peer.socket()), error }
    }
}

/// What an exchange needs to know beside the request.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The request is HEAD.
    pub to_head: bool,
    /// The client waits for the app's word before it sends the body.
    pub expects_continue: bool,
    /// When the exchange must be over, body included.
    pub deadline: Option<Instant>,
    /// Largest head of a response, in bytes.
    pub max_head: usize,
    /// Most fields of a response.
    pub max_lines: usize,
    /// Whether the app speaks HTTP/2, as registered.
    pub http2: bool,
}

/// An exchange under way.
pub struct Call<B> {
    pub(super) connection: Connection,
    pub(super) upload: Upload<B>,
    pub(super) deadline: Option<Instant>,
    pub(super) home: Home,
    to_head: bool,
    max_head: usize,
    max_lines: usize,
    searched: usize,
    interim: u8,
    heard: bool,
    hold: Option<Pin<Box<Sleep>>>,
    stopped: Option<io::Error>,
}

/// An exchange that brought no response.
pub struct CallFailed<B> {
    /// Why.
    pub failure: Failure,
    /// The request's body, with what was kept of it.
    pub body: Replayable<B>,
    /// Whether the connection took any byte of the request.
    pub begun: bool,
    /// Whether the connection took the whole head.
    pub head_out: bool,
    /// Whether this was the connection's end as an idle one: it had served before, and said nothing now.
    pub died_idle: bool,
    /// Whether the endpoint might still have been refusing our certificate.
    pub unproven: bool,
    /// How the connection came about.
    pub timings: Arc<Timings>,
}

impl<B: Body<Data = Bytes> + Unpin> Call<B> {
    /// Prepares the exchange; nothing is written before the first poll.
    pub fn new(
        mut connection: Connection,
        head: &RequestHead<'_>,
        mut body: Replayable<B>,
        terms: &Terms,
        home: Home,
    ) -> Self {
        connection.exchanges += 1;
        if connection.exchanges == 1 && connection.stream.may_still_refuse() {
            body.keep();
        }
        let hold = (terms.expects_continue && !body.is_empty()).then(|| Box::pin(sleep(CONTINUE_WAIT)));
        let upload = Upload::new(head, body, hold.is_some());
        Self {
            connection,
            upload,
            deadline: terms.deadline,
            home,
            to_head: terms.to_head,
            max_head: terms.max_head,
            max_lines: terms.max_lines,
            searched: 0,
            interim: 0,
            heard: false,
            hold,
            stopped: None,
        }
    }

    /// The bare stream, and what the endpoint sent after its head.
    pub fn into_tunnel(self) -> (Stream, BytesMut) {
        (self.connection.stream, self.connection.read)
    }

    /// Gives the body back from an exchange that failed with `failure`.
    pub fn fail(self, failure: Failure) -> CallFailed<B> {
        let (begun, head_out) = (self.upload.has_begun(), self.upload.head_is_out());
        let silent = matches!(failure, Failure::Eof | Failure::Reset(_) | Failure::Unsent(_) | Failure::Broken(_));
        let died_idle = self.connection.exchanges > 1 && !self.heard && silent;
        let unproven = self.connection.exchanges == 1 && self.connection.stream.may_still_refuse();
        let timings = self.connection.timings;
        CallFailed { failure, body: self.upload.into_body(), begun, head_out, died_idle, unproven, timings }
    }

    /// Sends the request and waits for the head of the final response.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        if self.poll_deadline(cx).is_ready() {
            return Poll::Ready(Err(Failure::Timeout));
        }
        self.poll_upload(cx)?;
        loop {
            let end = response::end_of_head(&self.connection.read, &mut self.searched);
            if end.unwrap_or(self.connection.read.len()) > self.max_head {
                return Poll::Ready(Err(Failure::BadResponse(BadResponse::TooLarge(self.max_head))));
            }
            if let Some(end) = end {
                let head = self.connection.read.split_to(end).freeze();
                self.searched = 0;
                let head = response::parse(head, self.to_head).map_err(Failure::BadResponse)?;
                if !head.status.is_informational() || head.status == http::StatusCode::SWITCHING_PROTOCOLS {
                    if head.headers.len() > self.max_lines {
                        return Poll::Ready(Err(Failure::TooManyHeaders));
                    }
                    return Poll::Ready(Ok(head));
                }
                self.note_interim(&head)?;
                self.poll_upload(cx)?;
                continue;
            }
            self.connection.read.reserve(HEAD_ROOM);
            match ready!(self.connection.stream.poll_read_buf(cx, &mut self.connection.read)) {
                Ok(0) => return Poll::Ready(Err(self.ended())),
                Ok(_) => {
                    self.heard = true;
                    self.upload.body_mut().forget();
                }
                Err(error) => return Poll::Ready(Err(self.broke(error))),
            }
        }
    }

    /// Moves the request's body on. An endpoint that no longer takes it may still have answered, so that is
    /// only remembered here; what is read next decides.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(hold) = &mut self.hold
            && hold.as_mut().poll(cx).is_ready()
        {
            self.hold = None;
            self.upload.release_body();
        }
        if self.upload.is_done() || self.stopped.is_some() {
            return Ok(());
        }
        match self.upload.poll_send(&mut self.connection.stream, cx) {
            Poll::Ready(Err(UploadError::Client)) => {
                // Asked once more, a body that broke off says that it has ended: never ask, or the endpoint
                // takes half a body for a whole one.
                self.stopped = Some(io::ErrorKind::ConnectionAborted.into());
                Err(Failure::ClientGone)
            }
            Poll::Ready(Err(UploadError::Endpoint(error))) => {
                self.stopped = Some(error);
                Ok(())
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.deadline {
            Some(deadline) => self.connection.poll_deadline(deadline, cx),
            None => Poll::Pending,
        }
    }

    /// The endpoint has answered without waiting for a body that it was to ask for first: it gets none. Sent all
    /// the same, the body would be asked of a client that was told not to send it. Whether it was so.
    pub(super) fn keep_unwanted_body(&mut self) -> bool {
        let unwanted = self.upload.holds_body();
        if unwanted {
            self.hold = None;
            self.stopped = Some(io::ErrorKind::ConnectionAborted.into());
        }
        unwanted
    }

    /// Whether the request's body can no longer be delivered on this connection.
    pub(super) fn upload_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    fn note_interim(&mut self, head: &Head) -> Result<(), Failure> {
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(Failure::BadResponse(BadResponse::Interim));
        }
        if head.status == http::StatusCode::CONTINUE {
            self.hold = None;
            self.upload.release_body();
        }
        Ok(())
    }

    /// The endpoint closed the connection before the head was complete.
    fn ended(&mut self) -> Failure {
        if let Some(refusal) = self.connection.stream.late_refusal() {
            return Failure::RefusedLate(refusal);
        }
        if let Some(bad) = response::truncated(&self.connection.read) {
            return Failure::BadResponse(bad);
        }
        match self.stopped.take() {
            Some(error) => self.classify(self.connection.broken("write", error)),
            None => Failure::Eof,
        }
    }

    fn broke(&mut self, error: io::Error) -> Failure {
        if let Some(refusal) = self.connection.stream.late_refusal() {
            return Failure::RefusedLate(refusal);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.ended();
        }
        match self.stopped.take() {
            Some(first) => self.classify(self.connection.broken("write", first)),
            None => self.classify(self.connection.broken("read", error)),
        }
    }

    fn classify(&self, broken: BrokenConnection) -> Failure {
        if !self.upload.head_is_out() {
            return Failure::Unsent(broken);
        }
        match broken.error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Failure::Reset(broken)
            }
            _ => Failure::Broken(broken),
        }
    }
}
