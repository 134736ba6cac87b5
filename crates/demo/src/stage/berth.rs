//! A thread with a runtime of its own for each router and each sidecar, as if each were a process.

use std::{future::Future, thread::JoinHandle};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::Failed;

/// One running thing. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Berth {
    stop: CancellationToken,
    kill: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Berth {
    /// Runs `open` on a thread called `name`: what others may know of the thing is returned here, the future is driven
    /// there until it ends. It is expected to end soon after the token that `open` gets is cancelled.
    pub(crate) async fn start<K, R, F>(
        name: String,
        open: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Result<(Self, K), Failed>
    where
        K: Send + 'static,
        R: Future<Output = ()>,
        F: Future<Output = Result<(K, R), Failed>>,
    {
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let (stopped, killed) = (stop.clone(), kill.clone());
        let (tell, told) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failed::scene(format!("start {name}")))?;
        let life = move || {
            runtime.block_on(killed.run_until_cancelled(async {
                let (known, run) = match Box::pin(open(stopped)).await {
                    Ok((known, run)) => (Ok(known), Some(run)),
                    Err(failed) => (Err(failed), None),
                };
                // Nobody listens when the demo is on its way out already; then it has cancelled `killed`.
                let _ = tell.send(known);
                if let Some(run) = run {
                    Box::pin(run).await;
                }
            }));
            // Whatever still runs here, connections and listeners included, goes with the runtime and says no goodbye.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(life);
        let thread = thread.map_err(Failed::scene(format!("start {name}")))?;
        let berth = Self { stop, kill, thread: Some(thread) };
        match told.await {
            Ok(known) => Ok((berth, known?)),
            Err(_) => Err(Failed::Untrue(format!("{name} ended while it started"))),
        }
    }

    /// Whether it was neither stopped nor killed.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.is_some()
    }

    /// Asks it to end in its own good time.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed where it happened, and a check has missed what it did.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Ends it at once, wherever it is, and waits until its sockets are closed.
    pub(crate) fn kill(&mut self) {
        self.kill.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.kill();
    }
}
