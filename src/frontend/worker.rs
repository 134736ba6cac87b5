//! Workers: threads with a runtime each, on which a client's connection stays for its whole life.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    runtime::{Handle, Runtime},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::connection::{Arrival, Door, Doorway, serve};
use crate::{
    lifecycle::Drain,
    observe::{metrics::Tally, panics, runtimes::Runtimes},
};

/// How often a worker hands over log lines and looks at one thing or another.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two sweeps of the idle connections to endpoints.
const SWEEP_EVERY: u32 = 10;
/// How long a worker at its end waits for a look-up of a name: the resolver may take much longer.
const STUCK: Duration = Duration::from_millis(100);
/// All workers.
#[derive(Debug)]
pub struct Workers {
    hands: Vec<UnboundedSender<Arrival>>,
    next: AtomicUsize,
    connections: Drain,
    threads: Vec<JoinHandle<()>>,
    cut: CancellationToken,
}

impl Workers {
    /// Starts one thread per doorway, each with a runtime that is shown in `runtimes`. `connections` counts the clients' connections, from the moment they
    /// are accepted.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(doorways: Vec<Arc<Doorway>>, connections: Drain, runtimes: &Runtimes) -> io::Result<Self> {
        let cut = CancellationToken::new();
        let (mut hands, mut threads) = (Vec::new(), Vec::new());
        for (index, doorway) in doorways.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let name = format!("worker-{index}");
            runtimes.add(&name, runtime.handle());
            let (hand, arrivals) = unbounded_channel();
            let cut = cut.clone();
            let run = move || to_its_end(runtime, work(doorway, arrivals, cut));
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
            hands.push(hand);
        }
        Ok(Self { hands, next: AtomicUsize::new(0), connections, threads, cut })
    }

    /// Gives a connection to the next worker in turn.
    pub fn hand_over(&self, socket: TcpStream, from: SocketAddr, door: Door) {
        let next = self.next.fetch_add(1, Relaxed) % self.hands.len().max(1);
        let (before, from_next) = self.hands.split_at(next);
        let mut arrival = Arrival { socket, from, door, token: self.connections.token() };
        for hand in from_next.iter().chain(before) {
            match hand.send(arrival) {
                Ok(()) => return,
                // That worker has gone, which no client has to suffer from.
                Err(back) => arrival = back.0,
            }
        }
    }

    /// Cuts what is left and waits until the threads have ended, so that their last log lines are handed over.
    pub fn join(mut self) {
        self.cut.cancel();
        for thread in self.threads.drain(..) {
            // A worker that panicked has been counted and logged where it happened.
            let _ = thread.join();
        }
    }
}

/// Runs `work` and drops what is left on `runtime`, without waiting for threads that are stuck in the system.
fn to_its_end(runtime: Runtime, work: impl Future<Output = ()>) {
    runtime.block_on(work);
    runtime.shutdown_timeout(STUCK);
}

async fn work(doorway: Arc<Doorway>, mut arrivals: UnboundedReceiver<Arrival>, cut: CancellationToken) {
    doorway.proxy.recorder.shard.runs_on(Handle::current().metrics());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut count, mut closing) = (0_u32, false);
    loop {
        tokio::select! {
            () = cut.cancelled() => break,
            () = doorway.closing.asked(), if !closing => {
                closing = true;
                doorway.roster.finish_all();
            }
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => { tokio::spawn(confine(Arc::clone(&doorway), arrival)); }
                None => break,
            },
            _ = ticks.tick() => {
                count = count.wrapping_add(1);
                outlive(&doorway, || tick(&doorway, count));
            }
        }
    }
    doorway.proxy.upstream.clear();
    doorway.proxy.recorder.flush();
}

fn tick(doorway: &Doorway, count: u32) {
    doorway.proxy.recorder.flush();
    if count.is_multiple_of(SWEEP_EVERY) {
        doorway.proxy.upstream.sweep();
        let closing = doorway.closing.is_asked();
        doorway.roster.tick(doorway.deadlines.patience(doorway.proxy.settings.endpoint_timeout.longest(), closing));
        // Whoever came after everybody was asked is asked now.
        if closing {
            doorway.roster.finish_all();
        }
    }
}

/// Runs a part of the worker's own work; a panic in it is counted and logged, and the worker goes on.
fn outlive(doorway: &Doorway, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        doorway.proxy.recorder.shard.count(Tally::Panic);
        panics::taken().log();
    }
}

/// One connection; a panic in it ends it and nothing else.
async fn confine(doorway: Arc<Doorway>, arrival: Arrival) {
    let recorder = Arc::clone(&doorway.proxy.recorder);
    recorder.shard.connection_opened();
    if AssertUnwindSafe(serve(doorway, arrival)).catch_unwind().await.is_err() {
        recorder.shard.count(Tally::Panic);
        panics::taken().log();
    }
    recorder.shard.connection_closed();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_resolver_that_is_stuck_does_not_hold_up_the_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (free, stuck) = channel::<()>();
        let (begun, begins) = channel();
        runtime.spawn_blocking(move || (begun.send(()), stuck.recv().is_err()));
        begins.recv().unwrap();
        let (ended, ends) = channel();
        std::thread::spawn(move || (to_its_end(runtime, async {}), ended.send(())));
        ends.recv_timeout(Duration::from_secs(10)).expect("it ends");
        drop(free);
    }
}
