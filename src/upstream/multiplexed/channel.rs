//! One shared connection, and the places on it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{Ping, PingPong, client::SendRequest};
use tokio::time::Instant;

use super::{STREAMS, watched::Notes};
use crate::upstream::dial::Timings;

/// A connection whose endpoint has proven its name and speaks HTTP/2. Dropped, it ends once its requests have.
pub(super) struct Channel {
    sender: SendRequest<Bytes>,
    notes: Arc<Notes>,
    timings: Arc<Timings>,
    questions: Mutex<Questions>,
    taken: AtomicUsize,
    exchanges: AtomicU32,
}

/// Time between two questions. gRPC's servers take a client that asks more than every five minutes, while they have
/// nothing to say, for an attacker, and end its connection with all that is on it.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(6 * 60);

/// How an endpoint is asked whether it is there, and when it last was.
struct Questions {
    pings: Option<PingPong>,
    asked: Option<Instant>,
}

/// One request's place on a connection, free again when dropped.
pub(super) struct Seat {
    channel: Arc<Channel>,
    sender: SendRequest<Bytes>,
    reused: bool,
}

impl Channel {
    pub(super) fn new(
        sender: SendRequest<Bytes>,
        notes: Arc<Notes>,
        timings: Arc<Timings>,
        pings: Option<PingPong>,
    ) -> Self {
        let (taken, exchanges) = (AtomicUsize::new(0), AtomicU32::new(0));
        let questions = Mutex::new(Questions { pings, asked: None });
        Self { sender, notes, timings, questions, taken, exchanges }
    }

    /// Asks whether the endpoint is still there. Until it says anything the connection gets no further request: of one
    /// whose host has vanished the system tells after a quarter of an hour, and all requests would wait on it.
    /// Without effect if it was asked a short while ago.
    pub(super) fn doubt(&self, now: Instant) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if !questions.is_due(now) {
            return;
        }
        questions.asked = Some(now);
        if let Some(pings) = &mut questions.pings {
            // The answer to the question before makes room for this one.
            let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
            if pings.send_ping(Ping::opaque()).is_ok() {
                self.notes.doubt();
            }
        }
    }

    /// Bytes that the endpoint has sent, ever.
    pub(super) fn read(&self) -> u64 {
        self.notes.read()
    }

    /// Whether it takes new requests: neither gone nor asked to go (GOAWAY).
    pub(super) fn is_open(&self) -> bool {
        is_open(&self.notes, &mut self.sender.clone())
    }

    /// Whether another request may go on it now.
    pub(super) fn has_room(&self) -> bool {
        !self.notes.is_doubted() && self.taken.load(Relaxed) < STREAMS.min(self.sender.current_max_send_streams())
    }

    /// Whether it carries no request.
    pub(super) fn is_resting(&self) -> bool {
        self.taken.load(Relaxed) == 0
    }

    /// Requests that it ever carried.
    pub(super) fn exchanges(&self) -> u32 {
        self.exchanges.load(Relaxed)
    }
}

impl Questions {
    fn is_due(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.duration_since(asked) >= BETWEEN_QUESTIONS)
    }
}

impl Seat {
    /// Takes a place on `channel`.
    pub(super) fn take(channel: &Arc<Channel>) -> Self {
        channel.taken.fetch_add(1, Relaxed);
        let reused = channel.exchanges.fetch_add(1, Relaxed) > 0;
        Self { sender: channel.sender.clone(), channel: Arc::clone(channel), reused }
    }

    /// Whether the connection had carried a request before.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether the connection had been idle before.
    pub(super) fn is_resting(&self) -> bool {
        self.reused && self.channel.taken.load(Relaxed) == 1
    }

    /// Whether the connection takes new requests.
    pub(super) fn is_open(&self) -> bool {
        self.channel.is_open()
    }

    /// Asks whether the endpoint is still there.
    pub(super) fn doubt(&self, now: Instant) {
        self.channel.doubt(now);
    }

    /// How the connection came about.
    pub(super) fn timings(&self) -> &Arc<Timings> {
        &self.channel.timings
    }

    /// What became of the connection so far.
    pub(super) fn notes(&self) -> &Arc<Notes> {
        &self.channel.notes
    }

    /// Where requests are handed in.
    pub(super) fn sender(&mut self) -> &mut SendRequest<Bytes> {
        &mut self.sender
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.channel.taken.fetch_sub(1, Relaxed);
    }
}

fn is_open(notes: &Notes, sender: &mut SendRequest<Bytes>) -> bool {
    let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
    !notes.is_closed() && !matches!(ready, Poll::Ready(Err(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_not_pestered_with_questions() {
        let begun = Instant::now();
        let mut questions = Questions { pings: None, asked: None };
        assert!(questions.is_due(begun));
        questions.asked = Some(begun);
        for (later, due) in [(0, false), (5 * 60, false), (6 * 60, true)] {
            assert_eq!(questions.is_due(begun + Duration::from_secs(later)), due, "{later}");
        }
    }
}
