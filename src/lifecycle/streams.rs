//! The exchanges of a connection that can have several at once.
//!
//! Each knows how much of its answer waits for the client, and since when none of it has gone. So a client that takes
//! nothing is told apart from an endpoint that has nothing to give: a stream of events may be silent for ever.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use super::roster::{Seat, outworn};

/// Members that may be gone before the list is cleared of them.
const SLACK: usize = 32;
/// Exchanges that a client may give up before it is asked whether it ever takes an answer.
const GIVEN_UP: u32 = 500;

/// All exchanges of one connection.
#[derive(Debug)]
pub struct Streams {
    seat: Arc<Seat>,
    open: AtomicU32,
    given_up: AtomicU32,
    answered: AtomicU32,
    members: Mutex<Vec<Weak<Stream>>>,
}

/// One exchange, from its request to the last byte of its answer that the connection has taken.
#[derive(Debug)]
pub struct Stream {
    streams: Arc<Streams>,
    /// Bytes that were handed over and not taken.
    held: AtomicUsize,
    /// The second in which bytes were last taken, or in which the first were handed over.
    since: AtomicU32,
    /// Whether the answer has a deadline.
    deadline: AtomicBool,
    answered: AtomicBool,
    cut: AtomicBool,
    /// Who waits until no more than this is held, less one; 0 if nobody does.
    awaited: AtomicUsize,
    task: OnceLock<Waker>,
}

impl Streams {
    /// No exchange yet; `seat` is quiet whenever there is none.
    #[must_use]
    pub fn new(seat: Arc<Seat>) -> Arc<Self> {
        Arc::new_cyclic(|streams| {
            seat.look_after(Weak::clone(streams));
            Self {
                seat,
                open: AtomicU32::new(0),
                given_up: AtomicU32::new(0),
                answered: AtomicU32::new(0),
                members: Mutex::default(),
            }
        })
    }

    fn members(&self) -> MutexGuard<'_, Vec<Weak<Stream>>> {
        match self.members.lock() {
            Ok(members) => members,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// A request has come.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Arc<Stream> {
        let stream = Arc::new(Stream {
            streams: Arc::clone(self),
            held: AtomicUsize::new(0),
            since: AtomicU32::new(0),
            deadline: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            awaited: AtomicUsize::new(0),
            task: OnceLock::new(),
        });
        let open = self.open.load(Relaxed) + 1;
        self.open.store(open, Relaxed);
        self.seat.begin();
        let mut members = self.members();
        if members.len() >= open as usize + SLACK {
            members.retain(|member| member.strong_count() > 0);
        }
        members.push(Arc::downgrade(&stream));
        stream
    }

    /// How many exchanges there are.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Whether the client gives up nearly everything that it asks for. Each such request costs an endpoint its work
    /// and us a connection to it, and the client nothing (CVE-2023-44487).
    #[must_use]
    pub fn are_a_flood(&self) -> bool {
        let given_up = self.given_up.load(Relaxed);
        given_up >= GIVEN_UP && given_up > self.answered.load(Relaxed)
    }

    /// A second has passed in which the connection could take nothing from any of them: it counts for nobody. It is not
    /// worth less for that.
    pub(super) fn wait(&self, now: u32) -> bool {
        for stream in self.members().iter().filter_map(Weak::upgrade) {
            stream.since.store(now, Relaxed);
        }
        false
    }

    /// A second has passed: cuts those off that have taken nothing for longer than `stall`, or than `answer` if they
    /// have a deadline. Whether that is all of them, so that the connection is not worth keeping.
    pub(super) fn tick(&self, stall: Option<u32>, answer: Option<u32>, now: u32) -> bool {
        let members: Vec<_> = self.members().iter().filter_map(Weak::upgrade).collect();
        let mut stalled = 0;
        for stream in &members {
            let most = if stream.deadline.load(Relaxed) { stall.into_iter().chain(answer).min() } else { stall };
            if stream.held.load(Relaxed) > 0 && outworn(most, stream.since.load(Relaxed), now) {
                stalled += 1;
                stream.cut.store(true, Relaxed);
                stream.wake();
            }
        }
        stalled > 0 && stalled == members.len()
    }
}

impl Stream {
    /// Whether its task is to end. The waker of `cx` is told when that changes; a task's waker stays the same for its
    /// life, so only the first one is kept.
    pub fn is_cut(&self, cx: &Context<'_>) -> bool {
        if self.task.get().is_none() {
            let _ = self.task.set(cx.waker().clone());
        }
        self.cut.load(Relaxed)
    }

    fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Its answer has come, and has a deadline or none.
    pub fn answer(&self, has_deadline: bool) {
        self.deadline.store(has_deadline, Relaxed);
        self.answered.store(true, Relaxed);
    }

    /// So many bytes are there for the client.
    pub fn hand(&self, bytes: usize) {
        let held = self.held.load(Relaxed);
        if held == 0 {
            self.since.store(self.streams.seat.now(), Relaxed);
        }
        self.held.store(held + bytes, Relaxed);
    }

    /// The connection has taken so many of them.
    pub fn taken(&self, bytes: usize) {
        let held = self.held.load(Relaxed).saturating_sub(bytes);
        self.held.store(held, Relaxed);
        self.since.store(self.streams.seat.now(), Relaxed);
        if held < self.awaited.load(Relaxed) {
            self.awaited.store(0, Relaxed);
            self.wake();
        }
    }

    /// Waits until no more than `most` bytes are held. To be called in the task that asks [`Stream::is_cut`].
    pub fn poll_taken(&self, most: usize) -> Poll<()> {
        if self.held.load(Relaxed) <= most {
            return Poll::Ready(());
        }
        self.awaited.store(most + 1, Relaxed);
        Poll::Pending
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let streams = &self.streams;
        let count = if self.answered.load(Relaxed) { &streams.answered } else { &streams.given_up };
        count.store(count.load(Relaxed).saturating_add(1), Relaxed);
        let open = streams.open.load(Relaxed).saturating_sub(1);
        streams.open.store(open, Relaxed);
        if open == 0 {
            streams.seat.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::roster::{Asked, Patience, Roster, Seated};

    const PATIENCE: Patience =
        Patience { quiet: Some(100), silent: None, head: None, answer: Some(1), stall: Some(3), stuck: Some(9) };

    fn connection() -> (Roster, Seated, Arc<Streams>) {
        let roster = Roster::default();
        let seated = roster.sit_down();
        let streams = Streams::new(Arc::clone(seated.seat()));
        (roster, seated, streams)
    }

    fn tick(roster: &Roster, seconds: usize) {
        (0..seconds).for_each(|_| roster.tick(PATIENCE));
    }

    fn is_cut(stream: &Stream) -> bool {
        stream.is_cut(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_connection_is_quiet_from_the_end_of_its_last_exchange() {
        let (roster, seated, streams) = connection();
        let (one, other) = (streams.begin(), streams.begin());
        tick(&roster, 200);
        drop(one);
        tick(&roster, 200);
        assert_eq!(seated.seat().asked(Waker::noop()), Asked::Stay, "one goes on");
        drop(other);
        tick(&roster, 100);
        assert_eq!(seated.seat().asked(Waker::noop()), Asked::Stay);
        tick(&roster, 1);
        assert_eq!(seated.seat().asked(Waker::noop()), Asked::Finish, "a request may be on its way");
    }

    #[test]
    fn only_who_takes_nothing_is_cut_off() {
        let (roster, seated, streams) = connection();
        let (stalled, slow, waiting) = (streams.begin(), streams.begin(), streams.begin());
        stalled.hand(1000);
        slow.hand(1000);
        waiting.hand(10);
        waiting.taken(10);
        for _ in 0..4 {
            slow.taken(1);
            tick(&roster, 1);
        }
        assert_eq!([&stalled, &slow, &waiting].map(|stream| is_cut(stream)), [true, false, false]);
        tick(&roster, 100);
        assert!(is_cut(&slow) && !is_cut(&waiting), "there is nothing for it to take");
        assert_eq!(seated.seat().asked(Waker::noop()), Asked::Stay, "one exchange is in order");
    }

    #[test]
    fn no_stream_is_cut_off_for_a_socket_that_takes_nothing() {
        let (roster, seated, streams) = connection();
        let both = [streams.begin(), streams.begin()];
        both.iter().for_each(|stream| stream.hand(1));
        seated.seat().is_stuck();
        tick(&roster, 9);
        assert_eq!(seated.seat().asked(Waker::noop()), Asked::Stay);
        seated.seat().moves_on();
        tick(&roster, 3);
        assert!(both.iter().all(|stream| !is_cut(stream)), "their time begins when the socket takes something");
        tick(&roster, 1);
        assert!(both.iter().all(|stream| is_cut(stream)));
        seated.seat().is_stuck();
        tick(&roster, 10);
        assert_eq!(seated.seat().asked(Waker::noop()), Asked::Leave);
    }

    #[test]
    fn an_answer_with_a_deadline_may_stall_no_longer_than_that() {
        let (roster, _seated, streams) = connection();
        let (bounded, _other) = (streams.begin(), streams.begin());
        bounded.answer(true);
        bounded.hand(1);
        tick(&roster, 1);
        assert!(!is_cut(&bounded));
        tick(&roster, 1);
        assert!(is_cut(&bounded));
    }

    #[test]
    fn a_connection_on_which_all_stall_goes() {
        let (roster, seated, streams) = connection();
        let both = [streams.begin(), streams.begin()];
        both.iter().for_each(|stream| stream.hand(1));
        tick(&roster, 4);
        assert_eq!(seated.seat().asked(Waker::noop()), Asked::Leave);
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (_roster, _seated, streams) = connection();
        let stays = streams.begin();
        (0..10_000).for_each(|_| drop(streams.begin()));
        assert!(streams.members().len() <= SLACK + 2);
        assert_eq!(streams.open(), 1);
        drop(stays);
    }

    #[test]
    fn a_client_that_gives_nearly_everything_up_is_a_flood() {
        let (_roster, _seated, streams) = connection();
        (1..GIVEN_UP).for_each(|_| drop(streams.begin()));
        assert!(!streams.are_a_flood());
        drop(streams.begin());
        assert!(streams.are_a_flood());
        for _ in 0..GIVEN_UP {
            streams.begin().answer(false);
        }
        assert!(!streams.are_a_flood(), "half of it is taken");
    }

    #[test]
    fn the_end_waits_until_nearly_all_is_taken() {
        let (_roster, _seated, streams) = connection();
        let stream = streams.begin();
        stream.hand(100);
        assert!(stream.poll_taken(10).is_pending());
        stream.taken(89);
        assert!(stream.poll_taken(10).is_pending());
        stream.taken(1);
        assert!(stream.poll_taken(10).is_ready());
    }
}
