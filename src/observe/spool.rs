//! A bounded queue of lines in front of one thread that writes them.
//!
//! Who pushes never waits for the writing: the lock is held for a copy of what was pushed, never while a
//! write is on its way. A queue that is full, or a sink that fails, costs lines, and every lost line is counted.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes per chunk of the queue, and so the usual size of one write.
const CHUNK: usize = 64 * 1024;

/// Chunks kept for reuse once written.
const SPARE_CHUNKS: usize = 4;

/// How long the end of the process waits for a sink that takes nothing any more.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// The number of lines a queue has lost since the process began; shared by clones.
#[derive(Clone, Debug, Default)]
pub struct DropCount(Arc<AtomicU64>);

impl DropCount {
    /// Lines lost so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }
}

/// The error of a sink that knows how many of the lines it was given are lost.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0} lines are lost")]
pub(super) struct LostLines(pub(super) u64);

/// The pushing end; clones push to the same queue.
#[derive(Clone, Debug)]
pub(super) struct Spool(Arc<Shared>);

/// The writing end's life: when it is dropped, what was pushed before is written, and the thread ends.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// The thread waits here for chunks or the end.
    pushed: Condvar,
    /// Who flushes waits here.
    written: Condvar,
    capacity: usize,
    dropped: DropCount,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    spare: Vec<Vec<u8>>,
    /// Bytes in `chunks` and in the hands of the thread.
    bytes: usize,
    closed: bool,
    ended: bool,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

/// Starts the thread `name` that writes to `sink` what is pushed, holding at most about `capacity` bytes. `lost` is
/// called on the thread with the number of lines that were lost since its last call, and may write a line of its own.
///
/// # Errors
///
/// If the operating system refuses a thread.
pub(super) fn start<W: Write + Send + 'static>(
    name: &str,
    capacity: usize,
    sink: W,
    lost: impl FnMut(u64, &mut W) + Send + 'static,
) -> std::io::Result<(Spool, Writer)> {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        pushed: Condvar::new(),
        written: Condvar::new(),
        capacity,
        dropped: DropCount::default(),
    });
    let thread = Arc::clone(&shared);
    std::thread::Builder::new().name(name.into()).spawn(move || {
        // Set on unwinding too: nobody may wait for a thread that is gone.
        let _ending = Ending(&thread);
        write_all(&thread, sink, lost);
    })?;
    Ok((Spool(Arc::clone(&shared)), Writer(shared)))
}

impl Spool {
    /// Queues `bytes`, which are `lines` whole lines; drops and counts them when the queue is full or closed.
    pub(super) fn push(&self, bytes: &[u8], lines: u64) {
        let mut queue = self.0.lock();
        if queue.closed || queue.bytes + bytes.len() > self.0.capacity {
            drop(queue);
            self.0.dropped.add(lines);
            return;
        }
        queue.bytes += bytes.len();
        match queue.chunks.back_mut() {
            Some(last) if last.bytes.len() + bytes.len() <= last.bytes.capacity() => {
                last.bytes.extend_from_slice(bytes);
                last.lines += lines;
            }
            _ => {
                let mut chunk = queue.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
                chunk.extend_from_slice(bytes);
                queue.chunks.push_back(Chunk { bytes: chunk, lines });
            }
        }
        drop(queue);
        self.0.pushed.notify_one();
    }

    pub(super) fn dropped(&self) -> DropCount {
        self.0.dropped.clone()
    }
}

impl Writer {
    /// Waits until everything pushed so far has been written; false if that took longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        self.0.wait(patience, |queue| queue.bytes == 0 || queue.ended)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.pushed.notify_one();
        // Bounded, and the thread is left to its fate after that: a full pipe must not keep the process from exiting.
        self.0.wait(LAST_FLUSH, |queue| queue.ended);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration, until: impl Fn(&Queue) -> bool) -> bool {
        let waited = self.written.wait_timeout_while(self.lock(), patience, |queue| !until(queue));
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        until(&queue)
    }

    /// The chunk that has waited longest; none when the queue was closed and is empty.
    fn next(&self) -> Option<Chunk> {
        let waiting = |queue: &mut Queue| queue.chunks.is_empty() && !queue.closed;
        let mut queue = self.pushed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        queue.chunks.pop_front()
    }

    fn give_back(&self, mut chunk: Vec<u8>) {
        let mut queue = self.lock();
        queue.bytes -= chunk.len();
        if queue.spare.len() < SPARE_CHUNKS && chunk.capacity() <= 2 * CHUNK {
            chunk.clear();
            queue.spare.push(chunk);
        }
        drop(queue);
        self.written.notify_all();
    }
}

struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.ended = true;
        queue.closed = true;
        drop(queue);
        self.0.written.notify_all();
    }
}

/// How often losses are reported at most.
const REPORT_EVERY: Duration = Duration::from_secs(1);

fn write_all<W: Write>(shared: &Shared, mut sink: W, mut lost: impl FnMut(u64, &mut W)) {
    let mut reported = 0;
    let mut last_report: Option<Instant> = None;
    loop {
        let chunk = shared.next();
        let ended = chunk.is_none();
        if let Some(chunk) = chunk {
            if let Err(error) = sink.write_all(&chunk.bytes).and_then(|()| sink.flush()) {
                let known = error.get_ref().and_then(|error| error.downcast_ref::<LostLines>());
                shared.dropped.add(known.map_or(chunk.lines, |lost| lost.0));
            }
            shared.give_back(chunk.bytes);
        }
        let dropped = shared.dropped.lines();
        if dropped > reported && (ended || last_report.is_none_or(|at| at.elapsed() >= REPORT_EVERY)) {
            lost(dropped - reported, &mut sink);
            reported = dropped;
            last_report = Some(Instant::now());
        }
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
