//! One shared connection, and the places on it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use h2::{Ping, PingPong, client::SendRequest};

use super::{STREAMS, watched::Notes};
use crate::upstream::dial::Timings;

/// A connection whose endpoint has proven its name and speaks HTTP/2. Dropped, it ends once its requests have.
pub(super) struct Channel {
    sender: SendRequest<Bytes>,
    notes: Arc<Notes>,
    timings: Arc<Timings>,
    pings: Mutex<Option<PingPong>>,
    taken: AtomicUsize,
    exchanges: AtomicU32,
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
        Self { sender, notes, timings, pings: Mutex::new(pings), taken, exchanges }
    }

    /// Asks whether the endpoint is still there. Until it says anything the connection gets no further request: of one
    /// whose host has vanished the system tells after a quarter of an hour, and all requests would wait on it.
    pub(super) fn doubt(&self) {
        self.notes.doubt();
        if let Some(pings) = &mut *self.pings.lock().unwrap_or_else(PoisonError::into_inner) {
            // An answer to an earlier question makes room for another; while there is none, one question is enough.
            let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
            let _ = pings.send_ping(Ping::opaque());
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
    pub(super) fn doubt(&self) {
        self.channel.doubt();
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
