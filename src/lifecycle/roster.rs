//! A worker's clients, so that one look a second finds who has been idle too long.
//!
//! A timer per connection would be armed and disarmed on every request. Here a request costs two plain
//! stores, and the worker does the counting for all its connections at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::Waker,
};

/// Everybody who is connected to one worker.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seats: Mutex<Seats>,
    /// Seconds since the worker began.
    second: AtomicU32,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Arc<Seat>>,
}

/// One connection's place.
#[derive(Debug)]
pub struct Seat {
    waker: OnceLock<Waker>,
    asked: AtomicU32,
    busy: AtomicBool,
    quiet_since: AtomicU32,
    roster: Roster,
}

/// What a connection is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Stay,
    /// To end after the exchange that is under way.
    Finish,
    /// To end: it has been idle too long.
    Leave,
}

const STAY: u32 = 0;
const FINISH: u32 = 1;
const LEAVE: u32 = 2;

/// Keeps the place; the roster forgets it on drop.
#[derive(Debug)]
pub struct Seated {
    seat: Arc<Seat>,
    number: u64,
}

impl Roster {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        match self.0.seats.lock() {
            Ok(seats) => seats,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// A place for a new connection.
    #[must_use]
    pub fn sit_down(&self) -> Seated {
        let seat = Arc::new(Seat {
            waker: OnceLock::new(),
            asked: AtomicU32::new(STAY),
            busy: AtomicBool::new(false),
            quiet_since: AtomicU32::new(self.0.second.load(Relaxed)),
            roster: self.clone(),
        });
        let mut seats = self.seats();
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Arc::clone(&seat));
        Seated { seat, number }
    }

    /// A second has passed. Asks whoever has been quiet for `most` seconds to leave.
    pub fn tick(&self, most: Option<u32>) {
        let now = self.0.second.fetch_add(1, Relaxed) + 1;
        let Some(most) = most else { return };
        for seat in self.seats().taken.values() {
            if !seat.busy.load(Relaxed) && now.saturating_sub(seat.quiet_since.load(Relaxed)) > most {
                seat.ask(LEAVE);
            }
        }
    }

    /// Asks everybody to finish.
    pub fn finish_all(&self) {
        for seat in self.seats().taken.values() {
            seat.ask(FINISH);
        }
    }

    /// How many are connected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats().taken.len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Seat {
    fn ask(&self, what: u32) {
        self.asked.fetch_max(what, Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// A request has come.
    pub fn begin(&self) {
        self.busy.store(true, Relaxed);
    }

    /// Its reply has been handed over.
    pub fn end(&self) {
        self.quiet_since.store(self.roster.0.second.load(Relaxed), Relaxed);
        self.busy.store(false, Relaxed);
    }

    /// What the connection is asked, woken by `waker` when that changes. A task's waker stays the same for
    /// its life, so only the first one is kept.
    pub fn asked(&self, waker: &Waker) -> Asked {
        if self.waker.get().is_none() {
            let _ = self.waker.set(waker.clone());
        }
        match self.asked.load(Relaxed) {
            STAY => Asked::Stay,
            FINISH => Asked::Finish,
            _ => Asked::Leave,
        }
    }
}

impl Seated {
    /// The place.
    #[must_use]
    pub fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seat.roster.seats().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_quiet_too_long_is_asked_to_leave() {
        let roster = Roster::default();
        let (idle, busy) = (roster.sit_down(), roster.sit_down());
        busy.seat().begin();
        for _ in 0..3 {
            roster.tick(Some(3));
        }
        assert_eq!(idle.seat().asked(Waker::noop()), Asked::Stay);
        roster.tick(Some(3));
        assert_eq!(idle.seat().asked(Waker::noop()), Asked::Leave);
        assert_eq!(busy.seat().asked(Waker::noop()), Asked::Stay);
        busy.seat().end();
        roster.tick(Some(3));
        assert_eq!(busy.seat().asked(Waker::noop()), Asked::Stay, "quiet only from the end of its exchange");
        drop(idle);
        assert_eq!(roster.len(), 1);
    }

    #[test]
    fn everybody_can_be_asked_to_finish() {
        let roster = Roster::default();
        let one = roster.sit_down();
        roster.finish_all();
        assert_eq!(one.seat().asked(Waker::noop()), Asked::Finish);
    }
}
