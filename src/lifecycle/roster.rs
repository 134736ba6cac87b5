//! A worker's clients, so that one look a second finds who has been idle too long, or takes too long for an answer.
//!
//! A timer per connection would be armed and disarmed on every request. Here a request costs a few plain
//! stores, and the worker does the counting for all its connections at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
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
    doing: AtomicU8,
    /// The second in which it began to be quiet, or to take its answer.
    since: AtomicU32,
    roster: Roster,
}

/// How many seconds a connection may take. None is as long as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// For its next request.
    pub quiet: Option<u32>,
    /// For its first one, if it is to be shorter.
    pub silent: Option<u32>,
    /// For an answer that has a deadline. The deadline itself is only seen by who reads on: a client that takes
    /// nothing more would hold the endpoint's connection for ever.
    pub answer: Option<u32>,
}

/// What a connection is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Stay,
    /// To end after the exchange that is under way.
    Finish,
    /// To end: it has taken too long.
    Leave,
}

const STAY: u32 = 0;
const FINISH: u32 = 1;
const LEAVE: u32 = 2;

/// No request has come yet.
const SILENT: u8 = 0;
/// A request is being worked on.
const BUSY: u8 = 1;
/// A reply with a deadline is on its way.
const ANSWERED: u8 = 2;
/// There was an exchange, and there is none.
const QUIET: u8 = 3;

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
            doing: AtomicU8::new(SILENT),
            since: AtomicU32::new(self.0.second.load(Relaxed)),
            roster: self.clone(),
        });
        let mut seats = self.seats();
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Arc::clone(&seat));
        Seated { seat, number }
    }

    /// A second has passed. Asks whoever has outworn the `patience` to leave.
    pub fn tick(&self, patience: Patience) {
        let now = self.0.second.fetch_add(1, Relaxed) + 1;
        if patience == Patience::default() {
            return;
        }
        let Patience { quiet, silent, answer } = patience;
        for seat in self.seats().taken.values() {
            let most = match seat.doing.load(Relaxed) {
                SILENT => silent.into_iter().chain(quiet).min(),
                BUSY => None,
                ANSWERED => answer,
                _ => quiet,
            };
            if most.is_some_and(|most| now.saturating_sub(seat.since.load(Relaxed)) > most) {
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
        self.doing.store(BUSY, Relaxed);
    }

    /// Whether a request has ever come.
    pub fn has_begun(&self) -> bool {
        self.doing.load(Relaxed) != SILENT
    }

    /// Its reply begins, and has a deadline.
    pub fn answer(&self) {
        self.turn_to(ANSWERED);
    }

    /// Its reply has been handed over.
    pub fn end(&self) {
        self.turn_to(QUIET);
    }

    fn turn_to(&self, doing: u8) {
        self.since.store(self.roster.0.second.load(Relaxed), Relaxed);
        self.doing.store(doing, Relaxed);
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

    const PATIENCE: Patience = Patience { quiet: Some(3), silent: None, answer: None };

    fn tick(roster: &Roster, seconds: usize, patience: Patience) {
        (0..seconds).for_each(|_| roster.tick(patience));
    }

    #[test]
    fn who_is_quiet_too_long_is_asked_to_leave() {
        let roster = Roster::default();
        let (idle, busy) = (roster.sit_down(), roster.sit_down());
        busy.seat().begin();
        tick(&roster, 3, PATIENCE);
        assert_eq!(idle.seat().asked(Waker::noop()), Asked::Stay);
        tick(&roster, 1, PATIENCE);
        assert_eq!(idle.seat().asked(Waker::noop()), Asked::Leave);
        assert_eq!(busy.seat().asked(Waker::noop()), Asked::Stay);
        busy.seat().end();
        tick(&roster, 1, PATIENCE);
        assert_eq!(busy.seat().asked(Waker::noop()), Asked::Stay, "quiet only from the end of its exchange");
        drop(idle);
        assert_eq!(roster.len(), 1);
    }

    #[test]
    fn who_has_said_nothing_yet_may_be_asked_sooner() {
        let roster = Roster::default();
        let (silent, quiet) = (roster.sit_down(), roster.sit_down());
        quiet.seat().begin();
        quiet.seat().end();
        tick(&roster, 2, Patience { silent: Some(1), ..PATIENCE });
        assert_eq!(silent.seat().asked(Waker::noop()), Asked::Leave);
        assert_eq!(quiet.seat().asked(Waker::noop()), Asked::Stay);
    }

    #[test]
    fn who_takes_too_long_for_an_answer_is_asked_to_leave() {
        let roster = Roster::default();
        let (slow, waiting) = (roster.sit_down(), roster.sit_down());
        let patience = Patience { quiet: Some(100), silent: None, answer: Some(3) };
        slow.seat().begin();
        waiting.seat().begin();
        tick(&roster, 9, patience);
        slow.seat().answer();
        tick(&roster, 3, patience);
        assert_eq!(slow.seat().asked(Waker::noop()), Asked::Stay);
        tick(&roster, 1, patience);
        assert_eq!(slow.seat().asked(Waker::noop()), Asked::Leave);
        assert_eq!(waiting.seat().asked(Waker::noop()), Asked::Stay, "the endpoint's time is not the client's");
    }

    #[test]
    fn everybody_can_be_asked_to_finish() {
        let roster = Roster::default();
        let one = roster.sit_down();
        roster.finish_all();
        assert_eq!(one.seat().asked(Waker::noop()), Asked::Finish);
    }
}
