//! One direction of a relay.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::task::yield_now;

use super::{CHUNK, LONG_CHUNK, Stream};

/// How many chunks one direction moves before the other direction, and then other connections, have their turn. Peers
/// that keep up with us never make it wait otherwise. No exchange of usual size has so many, and where one has, a turn
/// costs little beside what it has moved.
const TURN: usize = 8;

thread_local! {
    static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(2 * CHUNK));
}

/// Lends the thread's scratch space, empty.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut BytesMut) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        work(scratch)
    })
}

/// The side of one direction that broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Source,
    Sink,
}

/// One direction.
pub(super) struct Way {
    /// What the sink has not taken yet: `held[taken..]`.
    pub(super) held: Vec<u8>,
    taken: usize,
    stage: Stage,
    /// The sink may have bytes of ours that it has not sent.
    unflushed: bool,
    moved: usize,
    /// What the next read may move.
    reach: usize,
}

impl Default for Way {
    fn default() -> Self {
        Self { held: Vec::new(), taken: 0, stage: Stage::default(), unflushed: false, moved: 0, reach: CHUNK }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The source has ended; the sink is to be told once it has everything.
    Ending,
    Ended,
}

impl Way {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && !self.unflushed
    }

    /// Bytes that were read since the last call.
    pub(super) fn take_moved(&mut self) -> usize {
        std::mem::take(&mut self.moved)
    }

    /// Ready once the source has ended and the sink knows it. Pending after a turn, too, and then to be polled soon.
    pub(super) fn poll<S, K>(&mut self, cx: &mut Context<'_>, source: &mut S, sink: &mut K) -> Poll<Result<(), Broken>>
    where
        S: Stream,
        K: Stream,
    {
        for _ in 0..TURN {
            ready!(self.poll_deliver(cx, sink)).map_err(|_| Broken::Sink)?;
            match self.stage {
                Stage::Ended => return Poll::Ready(Ok(())),
                Stage::Ending => {
                    ready!(Pin::new(&mut *sink).poll_shutdown(cx)).or_else(already_closed).map_err(|_| Broken::Sink)?;
                    self.stage = Stage::Ended;
                }
                Stage::Open => ready!(self.poll_forward(cx, source, sink))?,
            }
        }
        // Not a plain wake, after which the runtime would go on with us before it hears of other sockets.
        pin!(yield_now()).poll(cx).map(Ok)
    }

    /// As [`Way::poll`], but an end of the source is not passed on: after a reset was seen once, the system reports it
    /// as an orderly end.
    pub(super) fn poll_leftovers<S, K>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut K,
    ) -> Poll<Result<(), Broken>>
    where
        S: Stream,
        K: Stream,
    {
        loop {
            ready!(self.poll_deliver(cx, sink)).map_err(|_| Broken::Sink)?;
            if self.stage != Stage::Open {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_forward(cx, source, sink))?;
        }
    }

    /// Gets rid of everything held. While this is pending nothing is read: that is the back-pressure.
    pub(super) fn poll_deliver<K: Stream>(&mut self, cx: &mut Context<'_>, sink: &mut K) -> Poll<io::Result<()>> {
        while self.taken < self.held.len() {
            let written = Pin::new(&mut *sink).poll_write(cx, &self.held[self.taken..]);
            self.shorten(written.is_pending());
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.taken += n,
            }
        }
        if self.taken > 0 {
            // Not `clear`: an idle connection must not keep the memory.
            self.held = Vec::new();
            self.taken = 0;
        }
        if self.unflushed {
            let flushed = Pin::new(sink).poll_flush(cx);
            self.shorten(flushed.is_pending());
            ready!(flushed)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// A sink that can't keep up gets less at a time.
    fn shorten(&mut self, waits: bool) {
        if waits {
            self.reach = CHUNK;
        }
    }

    /// Reads one chunk and hands it to the sink, keeping what the sink does not take.
    fn poll_forward<S, K>(&mut self, cx: &mut Context<'_>, source: &mut S, sink: &mut K) -> Poll<Result<(), Broken>>
    where
        S: Stream,
        K: Stream,
    {
        with_scratch(|chunk| {
            let count = ready!(source.poll_chunk(cx, chunk, self.reach)).map_err(|_| Broken::Source)?;
            if count == 0 {
                self.stage = Stage::Ending;
                return Poll::Ready(Ok(()));
            }
            self.moved += count;
            self.unflushed = true;
            let taken = match Pin::new(sink).poll_write(cx, chunk) {
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Sink)),
                Poll::Pending => 0,
            };
            if taken < count {
                self.shorten(true);
                self.held = chunk[taken..].to_vec();
                self.taken = 0;
            } else if count >= self.reach {
                self.reach = (2 * self.reach).min(LONG_CHUNK);
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// A sink whose peer has closed both ways can't be shut down any more, and needs not be.
fn already_closed(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotConnected { Ok(()) } else { Err(error) }
}
