//! Tells whether a relay was woken by bytes or by something that seldom happens.
//!
//! A relay is woken twice per request, for bytes. To ask its timer and its ends each time, of which each takes a lock,
//! costs a tenth of what the relay itself does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

/// The waker of everything but bytes. Wakes the relay too, and remembers that it did.
#[derive(Debug)]
pub(super) struct Bell {
    rung: AtomicBool,
    relay: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the wake, so that the relay finds it.
        self.rung.store(true, Ordering::Release);
        self.relay.wake_by_ref();
    }
}

/// Where the relay runs, with its bell.
#[derive(Debug, Default)]
pub(super) struct Doorway(Option<(Arc<Bell>, Waker)>);

impl Doorway {
    /// The waker to ask everything seldom with, if there is reason to: the bell was rung, or hangs newly.
    pub(super) fn answer(&mut self, cx: &Context<'_>) -> Option<&Waker> {
        let hangs = self.0.as_ref().is_some_and(|(bell, _)| bell.relay.will_wake(cx.waker()));
        if !hangs {
            let bell = Arc::new(Bell { rung: AtomicBool::new(false), relay: cx.waker().clone() });
            self.0 = Some((Arc::clone(&bell), bell.into()));
        }
        let (bell, waker) = self.0.as_ref()?;
        // Looked at before it is written to: it is hardly ever rung.
        let rung = bell.rung.load(Ordering::Acquire) && bell.rung.swap(false, Ordering::AcqRel);
        (rung || !hangs).then_some(waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_bell_is_answered_when_it_hangs_newly_and_then_once_per_ring() {
        let woken = Arc::new(Counting(0.into()));
        let relay = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&relay);
        let mut doorway = Doorway::default();
        let bell = doorway.answer(&cx).cloned().unwrap();
        assert!(doorway.answer(&cx).is_none());
        bell.wake_by_ref();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(doorway.answer(&cx).is_some());
        assert!(doorway.answer(&cx).is_none());
    }

    #[test]
    fn a_relay_that_moves_takes_its_bell_along() {
        let (here, there) = (Arc::new(Counting(0.into())), Arc::new(Counting(0.into())));
        let (first, second) = (Waker::from(Arc::clone(&here)), Waker::from(Arc::clone(&there)));
        let mut doorway = Doorway::default();
        doorway.answer(&Context::from_waker(&first)).unwrap();
        let bell = doorway.answer(&Context::from_waker(&second)).cloned().unwrap();
        bell.wake();
        assert_eq!((here.0.load(Ordering::Relaxed), there.0.load(Ordering::Relaxed)), (0, 1));
    }
}
