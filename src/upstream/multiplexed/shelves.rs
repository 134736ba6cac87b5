//! The shared connections of one worker, by peer.
//!
//! As with the idle ones of HTTP/1.1, a connection is used only for a peer equal to the one it was verified for, under
//! the trust it was verified with (invariant 2). However many requests ask at once, a connection is opened once.

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    STREAMS,
    channel::{Channel, Seat},
    open::{Opened, Way, open},
};
use crate::{
    failure::Failure,
    route::peer::Peer,
    upstream::{
        connection::Connection,
        dial::Timings,
        idle::{Digest, IDLE_TIMEOUT},
    },
};

/// A worker's shared connections. Only the worker's thread locks it.
#[derive(Clone, Default)]
pub struct Shelves(Arc<Mutex<HashMap<Peer, Shelf, BuildHasherDefault<Digest>>>>);

/// What is known about one peer under one trust.
#[derive(Default)]
struct Shelf {
    generation: u64,
    channels: Vec<Kept>,
    openings: Vec<Opening>,
    /// Until when the peer is believed to speak HTTP/1.1 only.
    http1_until: Option<Instant>,
}

/// How long an endpoint may say nothing at all while it has requests, before it is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(5);

/// A connection, the sweep at which it was last seen at work, and the one at which it had last said anything.
struct Kept {
    channel: Arc<Channel>,
    exchanges: u32,
    since: Instant,
    read: u64,
    heard: Instant,
}

/// A connection that is being made, and how many requests wait for it.
struct Opening {
    outcome: watch::Receiver<Outcome>,
    waiting: usize,
}

type Outcome = Option<Result<(), Arc<OpenFailed>>>;

/// Why no connection came about. All requests that waited for it share the reason.
#[derive(Debug)]
pub(super) struct OpenFailed {
    pub(super) failure: Arc<Failure>,
    pub(super) timings: Timings,
    unproven: AtomicBool,
}

/// How a request gets to its peer.
pub(super) enum Found {
    Seat(Seat),
    /// By HTTP/1.1, on this connection if one was just made.
    Http1(Option<Box<Connection>>),
}

enum Look {
    Found(Found),
    Wait(watch::Receiver<Outcome>),
}

impl OpenFailed {
    pub(super) fn new(failure: Failure, timings: Timings, unproven: bool) -> Self {
        Self { failure: Arc::new(failure), timings, unproven: AtomicBool::new(unproven) }
    }

    /// Whether the endpoint might have been refusing our certificate. Told once: however many requests waited, it was
    /// one connection that ended.
    pub(super) fn take_unproven(&self) -> bool {
        self.unproven.swap(false, Relaxed)
    }

    /// Whether the endpoint took no requests on this connection, and may on another.
    pub(super) fn is_sent_away(&self) -> bool {
        matches!(*self.failure, Failure::Declined(_))
    }

    /// `endpoint_timeout` passed first.
    pub(super) fn late() -> Self {
        Self::new(Failure::ConnectTimeout, Timings::default(), false)
    }
}

impl Kept {
    fn new(channel: Channel, now: Instant) -> Self {
        Self { channel: Arc::new(channel), exchanges: 0, since: now, read: 0, heard: now }
    }

    /// Looks whether it is at work, and whether the endpoint still says anything.
    fn look(&mut self, now: Instant) {
        let (exchanges, read, resting) = (self.channel.exchanges(), self.channel.read(), self.channel.is_resting());
        if !resting || exchanges != self.exchanges {
            (self.exchanges, self.since) = (exchanges, now);
        }
        if resting || read != self.read {
            (self.read, self.heard) = (read, now);
        } else if now.duration_since(self.heard) >= SILENCE {
            self.channel.doubt(now);
        }
    }
}

impl Shelf {
    fn seat(&mut self) -> Option<Seat> {
        self.channels.retain(|kept| kept.channel.is_open());
        self.channels.iter().find(|kept| kept.channel.has_room()).map(|kept| Seat::take(&kept.channel))
    }

    fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.openings.is_empty() && self.http1_until.is_none()
    }
}

impl Shelves {
    fn lock(&self) -> MutexGuard<'_, HashMap<Peer, Shelf, BuildHasherDefault<Digest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat on a connection to `peer` under the trust that `generation` tells, waiting for a new one if need be; or
    /// word that it speaks HTTP/1.1.
    pub(super) async fn find(
        &self,
        peer: &Peer,
        generation: impl Fn() -> u64,
        way: impl Fn() -> Way,
    ) -> Result<Found, Arc<OpenFailed>> {
        loop {
            // Asked again after each wait: who insisted on a former trust would clear the shelf of all others, and
            // they the one of it.
            match self.look(peer, generation(), &way) {
                Look::Found(found) => return Ok(found),
                Look::Wait(mut outcome) => match outcome.wait_for(Option::is_some).await.as_deref() {
                    Ok(Some(Err(failed))) => return Err(Arc::clone(failed)),
                    Ok(_) => {}
                    // The task that was at it is gone without a word: the worker ends.
                    Err(_) => return Err(Arc::new(OpenFailed::late())),
                },
            }
        }
    }

    fn look(&self, peer: &Peer, generation: u64, way: impl Fn() -> Way) -> Look {
        let mut shelves = self.lock();
        let shelf = shelves.entry(peer.clone()).or_default();
        if shelf.generation != generation {
            *shelf = Shelf { generation, ..Shelf::default() };
        }
        if shelf.http1_until.is_some_and(|until| Instant::now() < until) {
            return Look::Found(Found::Http1(None));
        }
        if let Some(seat) = shelf.seat() {
            return Look::Found(Found::Seat(seat));
        }
        // One whose task is gone without a word would fail all who wait for it.
        shelf.openings.retain(|opening| opening.outcome.has_changed().is_ok());
        if let Some(opening) = shelf.openings.iter_mut().find(|opening| opening.waiting < STREAMS) {
            opening.waiting += 1;
            return Look::Wait(opening.outcome.clone());
        }
        let (tell, outcome) = watch::channel(None);
        shelf.openings.push(Opening { outcome: outcome.clone(), waiting: 1 });
        // A task of its own: the request that asked first may be given up while others wait.
        tokio::spawn(self.clone().make(peer.clone(), way(), generation, tell));
        Look::Wait(outcome)
    }

    async fn make(self, peer: Peer, way: Way, generation: u64, tell: watch::Sender<Outcome>) {
        let opened = open(&peer, &way).await;
        let now = Instant::now();
        let mut shelves = self.lock();
        // Verified under a trust that is no longer ours, it is of no use to anybody.
        let shelf = shelves.get_mut(&peer).filter(|shelf| shelf.generation == generation);
        if let Some(shelf) = shelf {
            let ours = tell.subscribe();
            shelf.openings.retain(|opening| !opening.outcome.same_channel(&ours));
            match &opened {
                Ok(Opened::Http2(_)) => shelf.http1_until = None,
                Ok(Opened::Http1(_)) => shelf.http1_until = Some(now + IDLE_TIMEOUT),
                Err(_) => {}
            }
            let outcome = match opened {
                Ok(Opened::Http2(channel)) => {
                    shelf.channels.push(Kept::new(channel, now));
                    Ok(())
                }
                Ok(Opened::Http1(connection)) => {
                    way.home.put(*connection);
                    Ok(())
                }
                Err(failed) => Err(Arc::new(failed)),
            };
            drop(shelves);
            tell.send_replace(Some(outcome));
        } else {
            drop(shelves);
            tell.send_replace(Some(Ok(())));
        }
    }

    /// Drops what has been idle for too long, is closed, or was verified under another trust than `generation`, and
    /// asks after endpoints that have fallen silent. Requests under way go on.
    pub fn sweep(&self, now: Instant, generation: u64) {
        let mut gone = Vec::new();
        self.lock().retain(|_, shelf| {
            if shelf.generation != generation {
                gone.append(&mut shelf.channels);
                return false;
            }
            gone.extend(shelf.channels.extract_if(.., |kept| {
                kept.look(now);
                !kept.channel.is_open() || now.duration_since(kept.since) >= IDLE_TIMEOUT
            }));
            shelf.http1_until = shelf.http1_until.filter(|until| now < *until);
            !shelf.is_empty()
        });
        drop(gone);
    }

    /// Drops all of them.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut *self.lock());
        drop(gone);
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().values().map(|shelf| shelf.channels.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::TcpListener, task::Poll};

    use futures_util::poll;
    use trueroute_identity::{Dialer, DialerSettings, ExpectedName, Trust};

    use super::*;
    use crate::{
        route::peer::Identity,
        upstream::{
            dial::DialTerms,
            dialers::Dialers,
            idle::{Home, Limits},
        },
    };

    #[tokio::test]
    async fn who_waits_while_the_trust_is_replaced_asks_again_under_the_new_one() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let peer = Peer::new("127.0.0.1", nobody.port(), Identity::Tls(ExpectedName::new("x")));
        let dialer = Dialer::new(Trust::new(&[], false).unwrap(), None, DialerSettings::default()).unwrap();
        let dialers = Arc::new(Dialers::new(Arc::new(dialer)));
        let way = || Way {
            dialers: Arc::clone(&dialers),
            times: DialTerms { dial: Duration::from_secs(10), probe_interval: None, barred: Arc::default() },
            home: Home::new(Limits { total: 0, per_peer: 0 }),
            max_head: 1024,
            counts: None,
        };
        let (shelves, generation) = (Shelves::default(), Cell::new(1));
        {
            let mut found = std::pin::pin!(shelves.find(&peer, || generation.get(), way));
            assert!(matches!(poll!(&mut found), Poll::Pending));
            generation.set(2);
            assert!(matches!(shelves.look(&peer, 2, way), Look::Wait(_)));
            assert!(found.await.is_err());
        }
        assert_eq!(shelves.lock().get(&peer).map(|shelf| shelf.generation), Some(2), "and takes nobody else's shelf");
    }
}
