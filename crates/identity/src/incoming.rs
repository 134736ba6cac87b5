//! What comes in over a TLS connection: text that nobody has asked for yet, and the end of all that will come.
//!
//! Both ends have a TLS of their own ([`Session`](crate::session::Session) where we dial, `Served` where we accept) and
//! read alike, because what a reader may rely on is the same: text comes before the failure behind it, a failure is told
//! each time that it is asked for, and what TLS says about one comes before what the socket says.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::Error;
use tokio::io::ReadBuf;

use crate::frame::Frames;

/// Wire bytes of one recv at most: eight records.
pub(crate) const SCRATCH: usize = 128 * 1024;

/// Wire bytes of one recv at least: a whole record, or a limit below it would split every one.
pub(crate) const SMALLEST_READ: usize = 17 * 1024;

/// What is read at most in search of an alert once writing has failed.
const LAST_WORDS: usize = 1024 * 1024;

/// What has come in, and whether more will.
pub(crate) struct Incoming {
    pub(crate) frames: Frames,
    /// Text that was decrypted and not asked for yet.
    held: BytesMut,
    pub(crate) read_limit: usize,
    pub(crate) close_notified: bool,
    pub(crate) at_eof: bool,
    pub(crate) dead: Option<Dead>,
}

/// Why nothing more can be read. Kept, because the kernel tells of a reset once and then claims an EOF.
pub(crate) enum Dead {
    Tls(Error),
    Io(io::ErrorKind),
}

/// How a handshake ended badly.
#[derive(Debug)]
pub(crate) enum Broken {
    NotTls,
    Tls(Error),
    Io(io::Error),
}

impl Incoming {
    pub(crate) fn new(frames: Frames) -> Self {
        Self { frames, held: BytesMut::new(), read_limit: SCRATCH, close_notified: false, at_eof: false, dead: None }
    }

    /// Whether text waits that nobody has asked for.
    pub(crate) fn holds_text(&self) -> bool {
        !self.held.is_empty()
    }

    /// Why nothing more will come, if so.
    pub(crate) fn ended(&self) -> Option<io::Result<()>> {
        if let Some(dead) = &self.dead {
            return Some(Err(dead.error()));
        }
        if self.close_notified || (self.at_eof && self.frames.at_boundary()) {
            return Some(Ok(()));
        }
        self.at_eof.then(|| Err(io::ErrorKind::UnexpectedEof.into()))
    }

    /// The best account of a failure: what TLS found or was told comes before what the socket says.
    pub(crate) fn broken(&self, error: io::Error) -> Broken {
        if !self.frames.began_with_tls() {
            return Broken::NotTls;
        }
        match &self.dead {
            Some(Dead::Tls(cause)) => Broken::Tls(cause.clone()),
            _ => Broken::Io(error),
        }
    }

    fn take_held(&mut self) -> BytesMut {
        // What is left behind has no buffer: a quiet tunnel keeps none.
        std::mem::take(&mut self.held)
    }
}

impl Dead {
    pub(crate) fn error(&self) -> io::Error {
        match self {
            Self::Tls(cause) => io::Error::new(io::ErrorKind::InvalidData, cause.clone()),
            Self::Io(kind) => (*kind).into(),
        }
    }
}

/// A TLS connection, as far as reading goes.
pub(crate) trait Receive {
    fn incoming(&mut self) -> &mut Incoming;

    /// One recv of about `limit` bytes, and everything in it decrypted into `text`.
    fn poll_recv(&mut self, cx: &mut Context<'_>, limit: usize, text: &mut BytesMut) -> Poll<io::Result<()>>;

    /// Sends what the socket takes now. It registers no waker, so that a reading task never takes the
    /// place of a writing one; an error shows at the next read.
    fn send_what_goes(&mut self);

    /// Does `work` with the text that is held at hand, to add to it.
    fn with_held<T>(&mut self, work: impl FnOnce(&mut Self, &mut BytesMut) -> T) -> T {
        let mut held = self.incoming().take_held();
        let result = work(self, &mut held);
        self.incoming().held = held;
        result
    }

    /// One recv in a handshake that goes on. What follows it in the same packets is held.
    fn poll_recv_early(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let received = match self.incoming().ended() {
            Some(end) => Err(end.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
            None => ready!(self.with_held(|session, held| session.poll_recv(cx, SCRATCH, held))),
        };
        Poll::Ready(received.map_err(|error| self.incoming().broken(error)))
    }

    fn poll_read_buf(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        if self.incoming().holds_text() {
            let held = self.incoming().take_held();
            into.extend_from_slice(&held);
            return Poll::Ready(Ok(held.len()));
        }
        self.send_what_goes();
        loop {
            if let Some(end) = self.incoming().ended() {
                return Poll::Ready(end.map(|()| 0));
            }
            let (before, limit) = (into.len(), self.incoming().read_limit);
            let received = self.poll_recv(cx, limit, into);
            let count = into.len() - before;
            if count > 0 {
                return Poll::Ready(Ok(count)); // what failed after it is told by the next call
            }
            ready!(received)?;
        }
    }

    /// For the traits: through a buffer of the connection, and no more of it than the caller has room for.
    fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.incoming().holds_text() && out.remaining() > 0 {
            let limit = std::mem::replace(&mut self.incoming().read_limit, out.remaining());
            let mut text = BytesMut::new();
            let read = self.poll_read_buf(cx, &mut text);
            self.incoming().read_limit = limit;
            ready!(read)?;
            self.incoming().held = text;
        }
        let mut held = self.incoming().take_held();
        let count = held.len().min(out.remaining());
        out.put_slice(&held[..count]);
        held.advance(count);
        if !held.is_empty() {
            self.incoming().held = held;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads on after a failed write until nothing is left: the reason for the failure is often there.
    fn hear_last_words(&mut self, cx: &mut Context<'_>) {
        self.with_held(|session, held| {
            let most = held.len() + LAST_WORDS;
            while session.incoming().ended().is_none() && held.len() < most {
                match session.poll_recv(cx, SCRATCH, held) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) | Poll::Pending => break,
                }
            }
        });
    }
}
