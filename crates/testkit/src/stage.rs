//! Where everything that plays the other end runs: one thread with one current-thread runtime per process.
//!
//! Promise: when [`Crew::stop`] (or the drop of a crew) returns, every task of the crew is gone and its sockets are
//! closed. Scripts run on this thread, so they must not block it, and must not drop a crew and expect the wait.

use std::future::Future;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// How long a stopping crew may take; a task that blocks the thread is the only reason to need any of it.
const STOP_LIMIT: Duration = Duration::from_secs(10);

struct Stage {
    handle: Handle,
    thread: ThreadId,
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let (tell, told) = channel();
        thread::Builder::new()
            .name("testkit-stage".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let _ = tell.send(runtime.handle().clone());
                runtime.block_on(std::future::pending::<()>());
            })
            .map(|thread| Stage { handle: told.recv().expect("the stage starts"), thread: thread.thread().id() })
            .expect("a thread can be started")
    })
}

/// Whether this is the thread on which scripts run, so that nothing here may wait for one.
pub(crate) fn is_here() -> bool {
    thread::current().id() == stage().thread
}

/// Tasks that live and end together.
#[derive(Debug)]
pub struct Crew {
    hands: Option<Hands>,
    finished: Mutex<Receiver<()>>,
}

/// Starts further tasks in a crew; every running task holds one.
#[derive(Debug, Clone)]
pub struct Hands {
    stop: CancellationToken,
    _alive: Sender<()>,
}

impl Crew {
    /// A crew of nobody.
    pub fn new() -> Self {
        let (alive, finished) = channel();
        let hands = Hands { stop: CancellationToken::new(), _alive: alive };
        Self { hands: Some(hands), finished: Mutex::new(finished) }
    }

    /// Starts a task on the stage.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(hands) = &self.hands {
            hands.spawn(task);
        }
    }

    /// What a task needs to start others of the same crew.
    pub fn hands(&self) -> Hands {
        self.hands.clone().expect("hands are given up only by stop, which takes the crew")
    }

    /// Ends every task and waits until they are gone.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(hands) = self.hands.take() else { return };
        hands.stop.cancel();
        drop(hands);
        if is_here() {
            return;
        }
        let finished = self.finished.get_mut().expect("nobody else holds the lock");
        if finished.recv_timeout(STOP_LIMIT) == Err(RecvTimeoutError::Timeout) && !thread::panicking() {
            panic!("a script blocks the thread of the peers, so they can't be stopped");
        }
    }
}

impl Default for Crew {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.end();
    }
}

impl Hands {
    /// Starts a task on the stage; it is dropped when the crew stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let hands = self.clone();
        stage().handle.spawn(async move {
            tokio::select! {
                () = hands.stop.cancelled() => {}
                () = task => {}
            }
            // Named here so that the block owns the whole value, sender included, until the task is dropped.
            drop(hands);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn stopping_waits_until_every_task_is_dropped() {
        let held = Arc::new(());
        let crew = Crew::new();
        for _ in 0..10 {
            let (held, hands) = (held.clone(), crew.hands());
            crew.spawn(async move {
                let inner = held.clone();
                hands.spawn(async move {
                    std::future::pending::<()>().await;
                    drop(inner);
                });
                std::future::pending::<()>().await;
                drop(held);
            });
        }
        crew.stop();
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
