//! What may end a relay besides its bytes: silence, a drain, the end of all.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{End, Pump, Silence, Stream};

/// What ends relays from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends<'t> {
    /// Connections between two requests are to be closed.
    pub(crate) lull: &'t CancellationToken,
    /// All connections are to be closed, whatever they do.
    pub(crate) cut: &'t CancellationToken,
}

/// The looks at one relay. Bytes flow without touching its timer; the timer finds out whether there was silence.
pub(super) struct Watch<'p, 't> {
    pub(super) silence: Silence,
    pub(super) draining: bool,
    pub(super) lull: Pin<&'p mut WaitForCancellationFuture<'t>>,
    pub(super) cut: Pin<&'p mut WaitForCancellationFuture<'t>>,
    pub(super) look: Pin<&'p mut Option<Sleep>>,
}

impl Watch<'_, '_> {
    /// Ready when the relay is to end. Pending wakes `cx` when there is reason to ask again.
    pub(super) fn poll<R, A>(&mut self, cx: &mut Context<'_>, pump: &Pump<'_, R, A>) -> Poll<End>
    where
        R: Stream,
        A: Stream,
    {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Cut);
        }
        if !self.draining && self.lull.as_mut().poll(cx).is_ready() {
            self.draining = true;
            if let Some(end) = pump.overdue(self.silence, true) {
                return Poll::Ready(end);
            }
        }
        loop {
            let over = self.look.as_mut().as_pin_mut().is_some_and(|look| look.poll(cx).is_ready());
            if over && let Some(end) = pump.overdue(self.silence, self.draining) {
                return Poll::Ready(end);
            }
            let Some(due) = pump.next_look(self.silence, self.draining) else {
                self.look.set(None);
                return Poll::Pending;
            };
            match self.look.as_mut().as_pin_mut() {
                // Never put off: what is due moves on with the bytes and the clock, and a look that comes too early
                // comes again.
                Some(look) if !over && look.deadline() <= due => return Poll::Pending,
                Some(look) => look.reset(due),
                None => self.look.set(Some(sleep_until(due))),
            }
        }
    }
}
