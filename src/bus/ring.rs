//! The bounded queue between the connection and the table.
//!
//! Owns the messages that were heard and not yet applied. Promises: never more than the two limits, the
//! oldest first, what does not fit is dropped and counted, and nothing that was let in is lost at a stop.
//!
//! The client library has a queue of its own but counts nothing there; this one exists so that a flood
//! shows in `buffered_messages` and `total_dropped_messages` (gorouter.md sections 3 and 11).

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use async_nats::Message;
use bytes::Bytes;
use tokio::sync::Notify;

/// Most messages that wait.
pub const MAX_MESSAGES: usize = 131_072;
/// Most payload bytes that wait.
pub const MAX_BYTES: usize = 134_217_728;
/// Slots that an idle ring may keep; what a flood made it grow beyond is given back.
const IDLE_SLOTS: usize = 1024;

/// One message as heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The subject it was published on.
    pub subject: Box<str>,
    /// Its payload.
    pub payload: Bytes,
}

impl From<Message> for Heard {
    fn from(message: Message) -> Self {
        Self { subject: message.subject.as_str().into(), payload: message.payload }
    }
}

/// How full the ring is, and what did not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Messages that wait.
    pub buffered: usize,
    /// Messages dropped since the start.
    pub dropped: u64,
}

/// The queue. One side pushes, the other takes.
#[derive(Debug)]
pub struct Ring {
    inside: Mutex<Inside>,
    arrived: Notify,
    max_messages: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Inside {
    queue: VecDeque<Heard>,
    bytes: usize,
    dropped: u64,
    closed: bool,
}

impl Default for Ring {
    fn default() -> Self {
        Self::with_limits(MAX_MESSAGES, MAX_BYTES)
    }
}

impl Ring {
    /// A ring with limits of its own: messages, and payload bytes.
    #[must_use]
    pub fn with_limits(max_messages: usize, max_bytes: usize) -> Self {
        Self { inside: Mutex::default(), arrived: Notify::new(), max_messages, max_bytes }
    }

    /// Lets `heard` in if it fits, else drops and counts it.
    pub fn push(&self, heard: Heard) {
        let mut inside = self.inside();
        let bytes = inside.bytes.saturating_add(heard.payload.len());
        if inside.queue.len() >= self.max_messages || bytes > self.max_bytes {
            inside.dropped += 1;
            return;
        }
        inside.bytes = bytes;
        inside.queue.push_back(heard);
        drop(inside);
        self.arrived.notify_one();
    }

    /// Nothing more will be pushed; [`Ring::take`] hands out the rest and then `None`.
    pub fn close(&self) {
        self.inside().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for messages and takes up to `most` of them; `None` once the ring is closed and empty.
    pub async fn take(&self, most: usize) -> Option<Vec<Heard>> {
        loop {
            {
                let mut inside = self.inside();
                if !inside.queue.is_empty() {
                    return Some(inside.take(most));
                }
                if inside.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// How full it is.
    #[must_use]
    pub fn fill(&self) -> Fill {
        let inside = self.inside();
        Fill { buffered: inside.queue.len(), dropped: inside.dropped }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        match self.inside.lock() {
            Ok(inside) => inside,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

impl Inside {
    fn take(&mut self, most: usize) -> Vec<Heard> {
        let count = most.min(self.queue.len());
        let taken: Vec<Heard> = self.queue.drain(..count).collect();
        self.bytes -= taken.iter().map(|heard| heard.payload.len()).sum::<usize>();
        if self.queue.is_empty() && self.queue.capacity() > IDLE_SLOTS {
            self.queue = VecDeque::new();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(payload: &'static [u8]) -> Heard {
        Heard { subject: "router.register".into(), payload: Bytes::from_static(payload) }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_dropped_and_counted() {
        let ring = Ring::with_limits(3, 10);
        for payload in [b"aaaa".as_slice(), b"bbbb", b"too much", b"cc", b"", b"x"] {
            ring.push(heard(Box::leak(payload.to_vec().into_boxed_slice())));
        }
        assert_eq!(ring.fill(), Fill { buffered: 3, dropped: 3 });
        let taken = ring.take(2).await.unwrap();
        assert_eq!(taken.iter().map(|heard| &heard.payload[..]).collect::<Vec<_>>(), [b"aaaa", b"bbbb"]);
        ring.push(heard(b"eight by"));
        assert_eq!(ring.fill(), Fill { buffered: 2, dropped: 3 });
    }

    #[tokio::test]
    async fn a_closed_ring_hands_out_the_rest() {
        let ring = Ring::default();
        ring.push(heard(b"1"));
        ring.push(heard(b"2"));
        ring.close();
        assert_eq!(ring.take(1).await.unwrap().len(), 1);
        assert_eq!(ring.take(9).await.unwrap().len(), 1);
        assert!(ring.take(1).await.is_none());
    }

    #[tokio::test]
    async fn a_flood_stays_within_the_limits_and_is_given_back() {
        let ring = Ring::default();
        for _ in 0..1_000_000 {
            ring.push(heard(b"{}"));
        }
        let dropped = 1_000_000 - MAX_MESSAGES as u64;
        assert_eq!(ring.fill(), Fill { buffered: MAX_MESSAGES, dropped });
        assert!(ring.inside().queue.capacity() <= 2 * MAX_MESSAGES);
        while ring.fill().buffered > 0 {
            ring.take(4096).await.unwrap();
        }
        assert!(ring.inside().queue.capacity() <= IDLE_SLOTS);
        assert_eq!(ring.inside().bytes, 0);
        ring.push(heard(b"later"));
        assert_eq!(ring.take(1).await.unwrap().len(), 1);
    }
}
