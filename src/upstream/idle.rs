//! The idle connections of one worker, by peer.
//!
//! A connection comes out only for a peer equal to the one it was verified for, under the trust it was
//! verified with (invariant 2). The most recently used comes first: the others may then grow old and go.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use super::connection::Connection;
use crate::route::peer::Peer;

/// How long an idle connection is kept (gorouter.md section 6).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Bounds on idle connections of one worker.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Altogether.
    pub total: usize,
    /// For one peer.
    pub per_peer: usize,
}

/// A worker's idle connections. One worker's thread is the only one that ever locks it, so the lock is
/// never waited for; it is there because a response body must be `Send`.
#[derive(Clone)]
pub struct Home(Arc<Mutex<Shelves>>);

/// A connection and the sweep after which it was put down.
struct Idle {
    connection: Connection,
    since: Instant,
}

struct Shelves {
    by_peer: HashMap<Peer, Vec<Idle>, BuildHasherDefault<Digest>>,
    total: usize,
    limits: Limits,
    /// The time of the last sweep: exact enough for ages, and no clock is read per request.
    now: Instant,
}

/// Peers carry their hash with them.
#[derive(Default)]
pub(super) struct Digest(u64);

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

impl Home {
    /// No connections yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Shelves { by_peer: HashMap::default(), total: 0, limits, now: Instant::now() })))
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        match self.0.lock() {
            Ok(shelves) => shelves,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// The connection to `peer` that was used last and was verified under trust `generation`.
    #[must_use]
    pub fn take(&self, peer: &Peer, generation: u64) -> Option<Connection> {
        let mut shelves = self.shelves();
        let shelf = shelves.by_peer.get_mut(peer)?;
        let found = loop {
            match shelf.pop() {
                Some(stale) if stale.connection.generation != generation => {}
                found => break found.map(|idle| idle.connection),
            }
        };
        let left = shelf.len();
        if left == 0 && found.is_none() {
            shelves.by_peer.remove(peer);
        }
        let connection = found?;
        shelves.total = shelves.total.saturating_sub(1);
        Some(connection)
    }

    /// Keeps `connection` for the next request to its peer, if there is room.
    pub fn put(&self, connection: Connection) {
        let mut shelves = self.shelves();
        if shelves.total >= shelves.limits.total {
            return;
        }
        let (per_peer, since) = (shelves.limits.per_peer, shelves.now);
        let shelf = shelves.by_peer.entry(connection.peer.clone()).or_default();
        if shelf.len() < per_peer {
            shelf.push(Idle { connection, since });
            shelves.total += 1;
        }
    }

    /// Drops what is too old, closed by its peer, or verified under another trust than `generation`.
    pub fn sweep(&self, now: Instant, generation: u64) {
        let mut gone = Vec::new();
        let mut shelves = self.shelves();
        let last = std::mem::replace(&mut shelves.now, now);
        shelves.by_peer.retain(|_, shelf| {
            gone.extend(shelf.extract_if(.., |idle| {
                idle.connection.generation != generation
                    || now.duration_since(idle.since) >= IDLE_TIMEOUT
                    || !idle.connection.stream.is_quiet()
            }));
            // A connection in steady use keeps its buffer; one that rests needs none.
            for idle in shelf.iter_mut().filter(|idle| idle.since != last) {
                idle.connection.read = bytes::BytesMut::new();
            }
            !shelf.is_empty()
        });
        shelves.total = shelves.by_peer.values().map(Vec::len).sum();
        drop(shelves);
        drop(gone);
    }

    /// Drops all of them.
    pub fn clear(&self) {
        let mut shelves = self.shelves();
        shelves.by_peer.clear();
        shelves.total = 0;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelves().total
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
