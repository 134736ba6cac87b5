//! A worker's clients, so that one look a second finds who has been idle too long, is slow to say what it wants, or
//! does not take its answer.
//!
//! A timer per connection would be armed and disarmed on every request. Here a request costs a few plain
//! stores, and the worker does the counting for all its connections at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    task::Waker,
};

use super::streams::Streams;

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
    /// The second in which it began to be quiet, to send a head, or to take its answer.
    since: AtomicU32,
    /// The second after the one in which its socket took no more; 0 while it takes what it is given.
    stuck: AtomicU32,
    /// Its exchanges, if it can have several at once.
    streams: OnceLock<Weak<Streams>>,
    roster: Roster,
}

/// How many seconds a connection may take. None is as long as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// For its next request.
    pub quiet: Option<u32>,
    /// For its first one, if it is to be shorter.
    pub silent: Option<u32>,
    /// For the head of a request, from its first byte; for the first one, from the beginning. If there is none, it is
    /// as for being quiet.
    pub head: Option<u32>,
    /// For an answer that has a deadline. The deadline itself is only seen by who reads on: a client that takes
    /// nothing more would hold the endpoint's connection for ever.
    pub answer: Option<u32>,
    /// For taking nothing at all of what is there for one of several exchanges.
    pub stall: Option<u32>,
    /// For a socket that takes nothing at all. It is more, because the system tells only when a third of what a socket
    /// holds is gone, which may be more than a megabyte.
    pub stuck: Option<u32>,
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
/// A first byte of a first request has come, and no request yet.
const OPENING: u8 = 4;
/// The same for a further request.
const ASKING: u8 = 5;

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
            since: AtomicU32::new(self.now()),
            stuck: AtomicU32::new(0),
            streams: OnceLock::new(),
            roster: self.clone(),
        });
        let mut seats = self.seats();
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Arc::clone(&seat));
        Seated { seat, number }
    }

    /// A second has passed. Asks whoever has outworn the `patience` to leave; or to finish, if all that it does is rest
    /// and a request may cross the word.
    pub fn tick(&self, patience: Patience) {
        let now = self.0.second.fetch_add(1, Relaxed) + 1;
        if patience == Patience::default() {
            return;
        }
        for seat in self.seats().taken.values() {
            match seat.outwears(patience, now) {
                STAY => {}
                what => seat.ask(what),
            }
        }
    }

    /// Seconds since the worker began.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.0.second.load(Relaxed)
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
    /// What it has to be asked.
    fn outwears(&self, patience: Patience, now: u32) -> u32 {
        let Patience { quiet, silent, head, answer, stall, stuck: most_stuck } = patience;
        let most = match self.doing.load(Relaxed) {
            SILENT => [silent, head, quiet].into_iter().flatten().min(),
            OPENING => silent.into_iter().chain(head.or(quiet)).min(),
            ASKING => head.or(quiet),
            BUSY => None,
            ANSWERED => answer,
            _ => quiet,
        };
        let (stuck, streams) = (self.stuck.load(Relaxed), self.streams.get());
        let stalls = match streams.and_then(Weak::upgrade) {
            _ if stuck > 0 && outworn(most_stuck, stuck - 1, now) => true,
            // None of them can take anything, and none is to blame.
            Some(streams) if stuck > 0 => streams.wait(now),
            Some(streams) => streams.tick(stall, answer, now),
            None => false,
        };
        match outworn(most, self.since.load(Relaxed), now) {
            _ if stalls => LEAVE,
            true if streams.is_some() => FINISH,
            true => LEAVE,
            false => STAY,
        }
    }

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

    /// Whether a request is on its way, as far as can be told: a new client's first one always is.
    pub fn expects_request(&self) -> bool {
        matches!(self.doing.load(Relaxed), SILENT | OPENING | ASKING)
    }

    /// Whether it may be closed without a word: there is no exchange and none is beginning, and, if a number is given,
    /// the last one ended more than so many seconds ago.
    pub fn rests(&self, seconds: Option<u32>) -> bool {
        let rested = || seconds.is_none() || outworn(seconds, self.since.load(Relaxed), self.now());
        self.doing.load(Relaxed) == QUIET && rested()
    }

    /// Bytes have come. Between two exchanges they are the beginning of a request.
    pub fn heard(&self) {
        match self.doing.load(Relaxed) {
            // Its time counts from the moment at which it sat down.
            SILENT => self.doing.store(OPENING, Relaxed),
            QUIET => self.turn_to(ASKING),
            _ => {}
        }
    }

    /// Its socket takes no more for now.
    pub fn is_stuck(&self) {
        if self.stuck.load(Relaxed) == 0 {
            self.stuck.store(self.now() + 1, Relaxed);
        }
    }

    /// Its socket has taken something.
    pub fn moves_on(&self) {
        if self.stuck.load(Relaxed) != 0 {
            self.stuck.store(0, Relaxed);
        }
    }

    /// The second of its worker.
    pub fn now(&self) -> u32 {
        self.roster.now()
    }

    /// Its exchanges are looked after too, from now on.
    pub(super) fn look_after(&self, streams: Weak<Streams>) {
        let _ = self.streams.set(streams);
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
        self.since.store(self.now(), Relaxed);
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

/// Whether more than `most` seconds lie between two of them.
pub(super) fn outworn(most: Option<u32>, since: u32, now: u32) -> bool {
    most.is_some_and(|most| now.saturating_sub(since) > most)
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

    const PATIENCE: Patience =
        Patience { quiet: Some(3), silent: None, head: None, answer: None, stall: None, stuck: None };

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
        let patience = Patience { quiet: Some(100), answer: Some(3), ..PATIENCE };
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
    fn a_head_has_a_time_of_its_own_from_its_first_byte() {
        let roster = Roster::default();
        let (first, further) = (roster.sit_down(), roster.sit_down());
        let patience = Patience { quiet: Some(100), head: Some(2), ..PATIENCE };
        further.seat().begin();
        further.seat().end();
        tick(&roster, 1, patience);
        first.seat().heard();
        tick(&roster, 2, patience);
        assert_eq!(first.seat().asked(Waker::noop()), Asked::Leave, "since it came");
        further.seat().heard();
        tick(&roster, 1, patience);
        further.seat().heard();
        tick(&roster, 1, patience);
        assert_eq!(further.seat().asked(Waker::noop()), Asked::Stay);
        assert!(!further.seat().rests(None));
        tick(&roster, 1, patience);
        assert_eq!(further.seat().asked(Waker::noop()), Asked::Leave, "a further byte gains no time");
    }

    #[test]
    fn without_a_time_for_heads_they_are_as_idleness_is() {
        let roster = Roster::default();
        let slow = roster.sit_down();
        slow.seat().begin();
        slow.seat().end();
        slow.seat().heard();
        tick(&roster, 3, PATIENCE);
        assert_eq!(slow.seat().asked(Waker::noop()), Asked::Stay);
        tick(&roster, 1, PATIENCE);
        assert_eq!(slow.seat().asked(Waker::noop()), Asked::Leave);
    }

    #[test]
    fn a_socket_that_takes_nothing_is_given_up() {
        let roster = Roster::default();
        let (stuck, slow) = (roster.sit_down(), roster.sit_down());
        let patience = Patience { stuck: Some(2), ..Patience::default() };
        for client in [&stuck, &slow] {
            client.seat().begin();
            client.seat().is_stuck();
        }
        tick(&roster, 2, patience);
        slow.seat().moves_on();
        slow.seat().is_stuck();
        tick(&roster, 1, patience);
        assert_eq!(stuck.seat().asked(Waker::noop()), Asked::Leave);
        assert_eq!(slow.seat().asked(Waker::noop()), Asked::Stay);
    }

    #[test]
    fn who_has_just_been_answered_does_not_rest_yet() {
        let roster = Roster::default();
        let client = roster.sit_down();
        assert!(!client.seat().rests(None), "its first request is on its way");
        client.seat().begin();
        assert!(!client.seat().rests(None));
        client.seat().answer();
        assert!(!client.seat().rests(None));
        client.seat().end();
        assert!(client.seat().rests(None) && !client.seat().rests(Some(1)));
        tick(&roster, 1, PATIENCE);
        assert!(!client.seat().rests(Some(1)));
        tick(&roster, 1, PATIENCE);
        assert!(client.seat().rests(Some(1)));
        client.seat().heard();
        assert!(!client.seat().rests(Some(1)));
    }

    #[test]
    fn everybody_can_be_asked_to_finish() {
        let roster = Roster::default();
        let one = roster.sit_down();
        roster.finish_all();
        assert_eq!(one.seat().asked(Waker::noop()), Asked::Finish);
    }
}
