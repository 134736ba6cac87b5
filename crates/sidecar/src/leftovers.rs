//! Memory that nobody uses any more.
//!
//! The allocator keeps what a thread frees at hand for that thread, up to a few MiB of it, and what it has taken from the
//! system until somebody allocates again. A sidecar whose last routers have gone may not do so for hours, and the memory
//! is the app's. The allocator has a thread of its own for this, which the sidecar does without: in a process with one
//! thread the system neither counts who uses a descriptor nor asks, at each call, whether the thread was cancelled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tikv_jemalloc_ctl::{Access, AsName};
use tokio::time::sleep;

use crate::stats::Stats;

/// How long after a connection has begun or ended what it has left behind is given back, together with that of all
/// others until then.
const AFTER: Duration = Duration::from_secs(1);

/// How long pages that nobody uses stay at hand while there is work, in place of ten seconds.
const KEEP_UNUSED_MS: isize = 500;

/// For how long the arena of this thread, which does all the work, keeps pages that nobody uses; ms.
const OWN_DECAY: &[u8] = b"arena.0.dirty_decay_ms\0";

/// Has the allocator keep little that nobody uses. Where it is another one, this changes nothing.
pub fn keep_little() {
    for setting in [OWN_DECAY, b"arenas.dirty_decay_ms\0"] {
        // Without it memory goes back later.
        let _ = setting.name().write(KEEP_UNUSED_MS);
    }
}

/// Gives memory back some time after connections have begun or ended. Clones share one timer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leftovers {
    expected: Arc<AtomicBool>,
    carried: Arc<AtomicU64>,
}

impl Leftovers {
    /// A connection of this thread has begun, which costs most at its begin, or has ended. Needs a tokio runtime.
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

    /// Gives memory back if bytes have flowed since the last call: what waited for a slow reader was freed without the
    /// end of a connection.
    pub(crate) fn look(&self, stats: &Stats) {
        let (up, down) = stats.bytes();
        let carried = up.wrapping_add(down);
        if self.carried.swap(carried, Relaxed) != carried {
            give_back();
        }
    }
}

/// Gives what this thread holds back to its arena, and what the arena holds back to the system.
fn give_back() {
    let cache = b"thread.tcache.enabled\0".name();
    // Turned off, it gives back everything; turned on again it begins empty.
    for on in [false, true] {
        let _ = cache.write(on);
    }
    // To keep pages for no time gives back all that there are now.
    for kept_ms in [0, KEEP_UNUSED_MS] {
        let _ = OWN_DECAY.name().write(kept_ms);
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
        let kept_ms: isize = OWN_DECAY.name().read().unwrap();
        assert_eq!(kept_ms, KEEP_UNUSED_MS);
    }

    #[test]
    fn a_look_remembers_what_had_flowed() {
        let (leftovers, stats) = (Leftovers::default(), Stats::default());
        stats.count_upward(3);
        stats.count_downward(4);
        leftovers.look(&stats);
        assert_eq!(leftovers.carried.load(Relaxed), 7);
    }
}
