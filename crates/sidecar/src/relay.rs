//! Bytes both ways between a verified router and the app, and the ends of both ways.
//!
//! Owns the two streams of one connection from the end of the handshake until both are closed. Promises:
//!
//! - each direction ends by itself: a FIN is passed on as a FIN at once, and the other direction goes on;
//! - a reset is passed on as a reset, never as an orderly end, so that a cut answer can't look complete;
//! - what one side has not taken is not read from the other: at most one chunk waits per direction;
//! - a direction that never has to wait leaves the other one, and other connections, their turn;
//! - a connection that moves nothing holds no buffer. Chunks pass through one scratch space per thread, and only what
//!   the receiver did not take at once is copied and kept until it does.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

use crate::stats::Stats;

mod bell;
mod watch;
mod way;

use bell::Doorway;
pub(crate) use watch::Ends;
use watch::Watch;
use way::{Broken, Way, with_scratch};

/// About the most that one read moves: four full TLS records. More would be as much more memory behind every peer that
/// reads slowly ...
pub(crate) const CHUNK: usize = 64 * 1024;

/// ... and this is more, for a peer that takes whole chunks at once. The kernel's work for a body is mostly per call:
/// each read acknowledges, and each acknowledgement lets the app's side send on, at our expense.
pub(crate) const LONG_CHUNK: usize = 256 * 1024;

/// When the app resets within this time of speaking, it may have answered early (413 and gone, say) ...
const JUST_SPOKE: Duration = Duration::from_secs(1);

/// ... and the answer gets so long to reach the router before the reset does, because a reset discards what the kernel
/// still has to send.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How long an orderly close may take on a connection that nobody uses.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// One side of a relay.
pub(crate) trait Stream: AsyncWrite + Unpin {
    /// Reads at most about `most` bytes to the end of `into` and tells how many; 0 is the end of the stream.
    fn poll_chunk(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, most: usize) -> Poll<io::Result<usize>>;

    /// Makes the coming drop a reset. Failing to do so leaves an ordinary close.
    fn reset_on_drop(&self);
}

impl Stream for tokio::net::TcpStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, most: usize) -> Poll<io::Result<usize>> {
        into.reserve(most);
        pin!(self.read_buf(&mut into.limit(most))).poll(cx)
    }

    fn reset_on_drop(&self) {
        let _ = self.set_zero_linger();
    }
}

/// How long a relay may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// Ever; `None` for no limit.
    pub(crate) idle: Option<Duration>,
    /// While draining, after the app spoke last.
    pub(crate) draining: Duration,
}

/// Why a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both directions closed in order.
    Finished,
    /// The router reset the connection or broke TLS; the app was reset.
    RouterReset,
    /// The app reset the connection; the router was reset.
    AppReset,
    /// Nothing flowed for the idle timeout.
    Idle,
    /// Closed between two requests because the sidecar is draining.
    Drained,
    /// Closed with all others.
    Cut,
}

/// Relays until both directions have ended, or one side breaks, or silence has lasted too long, or `ends` says so.
/// Bytes are counted in `stats`.
pub(crate) async fn relay<R, A>(router: R, app: A, silence: Silence, ends: Ends<'_>, stats: &Stats) -> End
where
    R: Stream,
    A: Stream,
{
    let mut pump = Pump::new(router, app, stats);
    let mut doorway = Doorway::default();
    let (lull, cut, look) = (pin!(ends.lull.cancelled()), pin!(ends.cut.cancelled()), pin!(None));
    let mut watch = Watch { silence, draining: false, lull, cut, look };
    let end = poll_fn(|cx| {
        if let Poll::Ready(end) = pump.poll(cx) {
            return Poll::Ready(end);
        }
        match doorway.answer(cx) {
            Some(bell) => watch.poll(&mut Context::from_waker(bell), &pump),
            None => Poll::Pending,
        }
    })
    .await;
    // Words of farewell are cut too.
    let _ = ends.cut.run_until_cancelled(pump.close(end)).await;
    end
}

/// Which way the last bytes flowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoke {
    Nobody,
    Router,
    App,
}

struct Pump<'s, R, A> {
    router: R,
    app: A,
    upward: Way,
    downward: Way,
    last: (Spoke, Instant),
    app_spoke: Option<Instant>,
    stats: &'s Stats,
}

impl<'s, R, A> Pump<'s, R, A>
where
    R: Stream,
    A: Stream,
{
    fn new(router: R, app: A, stats: &'s Stats) -> Self {
        Self {
            stats,
            router,
            app,
            upward: Way::default(),
            downward: Way::default(),
            last: (Spoke::Nobody, Instant::now()),
            app_spoke: None,
        }
    }

    /// Moves what can be moved. Ready when there is nothing more to move, ever.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        // The app first: what it said before it went away must be on its way before its end is judged.
        let down = self.downward.poll(cx, &mut self.app, &mut self.router);
        let moved = self.downward.take_moved();
        if moved > 0 {
            self.stats.count_downward(moved);
            let now = Instant::now();
            (self.last, self.app_spoke) = ((Spoke::App, now), Some(now));
        }
        match down {
            Poll::Ready(Err(Broken::Source)) => return Poll::Ready(End::AppReset),
            Poll::Ready(Err(Broken::Sink)) => return Poll::Ready(End::RouterReset),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        let up = self.upward.poll(cx, &mut self.router, &mut self.app);
        let moved = self.upward.take_moved();
        if moved > 0 {
            self.stats.count_upward(moved);
            self.last = (Spoke::Router, Instant::now());
        }
        match up {
            Poll::Ready(Err(Broken::Source)) => Poll::Ready(End::RouterReset),
            Poll::Ready(Err(Broken::Sink)) => Poll::Ready(End::AppReset),
            Poll::Ready(Ok(())) if down.is_ready() => Poll::Ready(End::Finished),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// When to ask again whether the silence has lasted too long.
    fn next_look(&self, silence: Silence, draining: bool) -> Option<Instant> {
        let (_, since) = self.last;
        let idle = silence.idle.map(|idle| since + idle);
        if !draining {
            return idle;
        }
        // Who speaks last changes without notice, so a connection that may not be closed now is looked at again.
        let now = Instant::now();
        let lull = if since + silence.draining > now { since } else { now } + silence.draining;
        Some(idle.map_or(lull, |idle| idle.min(lull)))
    }

    /// How the relay ends if the silence has lasted too long.
    fn overdue(&self, silence: Silence, draining: bool) -> Option<End> {
        let (spoke, since) = self.last;
        let lasted = since.elapsed();
        // After the router spoke, the app may be thinking: only the idle timeout may cut that.
        if draining && spoke != Spoke::Router && self.downward.is_empty() && lasted >= silence.draining {
            return Some(End::Drained);
        }
        silence.idle.is_some_and(|idle| lasted >= idle).then_some(End::Idle)
    }

    /// Closes both streams in the way that tells each what happened.
    async fn close(mut self, end: End) {
        match end {
            End::Finished | End::Cut => {}
            End::RouterReset => {
                self.app.reset_on_drop();
                self.router.reset_on_drop();
            }
            End::AppReset => {
                let listening = poll_fn(|cx| self.poll_last_words(cx));
                let _ = timeout(LAST_WORDS, listening).await;
                self.router.reset_on_drop();
            }
            End::Idle | End::Drained => {
                let _ = timeout(CLOSE_LIMIT, self.router.shutdown()).await;
                let _ = self.app.shutdown().await;
            }
        }
    }

    /// Delivers what the app left behind while the router still sends into the void. Ready when there is nothing to
    /// deliver, or the router closes.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // An error here only says again that the app is gone. Its last words may still lie unread: a failed write can
        // tell of the reset before any read does, and before the runtime knows that there is something to read.
        let all_delivered = self.downward.poll_leftovers(cx, &mut self.app, &mut self.router).is_ready();
        let moved = self.downward.take_moved();
        if moved > 0 {
            self.stats.count_downward(moved);
            self.app_spoke = Some(Instant::now());
        }
        if all_delivered && self.app_spoke.is_none_or(|at| at.elapsed() >= JUST_SPOKE) {
            return Poll::Ready(());
        }
        loop {
            let thrown_away = with_scratch(|scratch| self.router.poll_chunk(cx, scratch, CHUNK));
            if !ready!(thrown_away).is_ok_and(|count| count > 0) {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
