//! The dialer of the moment: whom all workers believe, and what they show. Replaced whole.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use trueroute_identity::Dialer;

/// The dialer that new connections are made with. Connections made with a former one live on until what they carry has
/// ended, and serve nothing new.
#[derive(Debug)]
pub struct Dialers {
    current: ArcSwap<Dialer>,
    /// That of the current dialer's trust, or of its forerunner for a moment. Each request looks at it.
    generation: AtomicU64,
}

impl Dialers {
    /// This one, until it is replaced.
    #[must_use]
    pub fn new(first: Arc<Dialer>) -> Self {
        let generation = AtomicU64::new(first.trust().generation());
        Self { current: ArcSwap::new(first), generation }
    }

    /// The dialer to make a connection with.
    #[must_use]
    pub fn current(&self) -> Arc<Dialer> {
        self.current.load_full()
    }

    /// The generation that a kept connection must be of.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// From now on connections are made with `next`.
    pub fn replace(&self, next: Arc<Dialer>) {
        let generation = next.trust().generation();
        // In this order: whoever asks for a connection of the new generation must not make one with the former dialer.
        self.current.store(next);
        self.generation.store(generation, Ordering::Release);
    }
}
