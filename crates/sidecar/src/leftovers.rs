//! Memory that closed connections have left behind.
//!
//! The allocator keeps what a thread frees at hand for that thread, up to a few MiB of it, until the thread allocates
//! again. A sidecar whose last routers have gone may not do so for hours, and the memory is the app's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tikv_jemalloc_ctl::{Access, AsName};
use tokio::time::sleep;

/// How long after a connection has ended its memory is given back, together with that of all others until then.
const AFTER: Duration = Duration::from_secs(1);

/// Gives memory back some time after connections have ended. Clones share one timer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leftovers {
    expected: Arc<AtomicBool>,
}

impl Leftovers {
    /// A connection of this thread has ended. Needs a tokio runtime.
    pub(crate) fn add(&self) {
        if self.expected.swap(true, Relaxed) {
            return;
        }
        let expected = Arc::clone(&self.expected);
        tokio::spawn(async move {
            sleep(AFTER).await;
            expected.store(false, Relaxed);
            give_back();
        });
    }
}

/// Gives what this thread holds back to its arena, which returns it to the system by its own clock. Where the
/// allocator is another one, this changes nothing.
fn give_back() {
    let cache = b"thread.tcache.enabled\0".name();
    // Turned off, it gives back everything; turned on again it begins empty.
    for on in [false, true] {
        let _ = cache.write(on);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_many_connections_leave_is_given_back_once() {
        let leftovers = Leftovers::default();
        leftovers.add();
        leftovers.clone().add();
        assert!(leftovers.expected.load(Relaxed));
        sleep(AFTER + Duration::from_millis(1)).await;
        assert!(!leftovers.expected.load(Relaxed));
        let enabled: bool = b"thread.tcache.enabled\0".name().read().unwrap();
        assert!(enabled);
    }
}
