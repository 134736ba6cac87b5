//! Waiting for a condition, with a deadline, instead of sleeping and hoping.

use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(3);

/// Asks `probe` again and again until it says true; panics at the caller's line when `deadline` passes first.
///
/// Real time decides, so it is of no use on a runtime whose clock is paused.
#[track_caller]
pub fn eventually<F, A>(deadline: Duration, mut probe: F) -> impl Future<Output = ()>
where
    F: FnMut() -> A,
    A: Future<Output = bool>,
{
    let (caller, started) = (Location::caller(), Instant::now());
    async move {
        while !probe().await {
            assert!(started.elapsed() < deadline, "not true within {deadline:?}, asked at {caller}");
            tokio::time::sleep(STEP).await;
        }
    }
}

/// The same for a test that blocks its thread.
#[track_caller]
pub fn until(deadline: Duration, mut probe: impl FnMut() -> bool) {
    let started = Instant::now();
    while !probe() {
        assert!(started.elapsed() < deadline, "not true within {deadline:?}");
        std::thread::park_timeout(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_the_condition() {
        let mut left = 3;
        eventually(Duration::from_secs(5), || {
            left -= 1;
            let done = left == 0;
            async move { done }
        })
        .await;
        assert_eq!(left, 0);
    }

    #[tokio::test]
    #[should_panic(expected = "poll.rs")]
    async fn tells_where_it_was_asked() {
        eventually(Duration::from_millis(10), || async { false }).await;
    }

    #[test]
    #[should_panic(expected = "not true within")]
    fn the_blocking_form_gives_up_too() {
        until(Duration::from_millis(10), || false);
    }
}
