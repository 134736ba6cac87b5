//! One connection: `ClientHello`, then dial the app, then `ServerHello`, then relay.
//!
//! The app is dialled in the middle of the handshake (ordered dial, sidecar.md §3.4), so that a router learns that the
//! app is not there while it may still send its request elsewhere, whatever the method. Promises: no dial before a
//! complete `ClientHello`; a peer that is refused costs the app nothing but an accepted and closed connection; after the
//! deadline nothing of an unfinished handshake is left.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use bytes::BytesMut;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;
use trueroute_identity::{Accepted, Acceptor, Pending, accept::AcceptRefusal};

use crate::{
    access::{AccessLog, Line, Reached},
    admission::Place,
    dial::{DialError, dial},
    log::chain,
    origin,
    presented::Presented,
    relay::{End, Ends, LONG_CHUNK, Silence, Stream, relay},
    seldom::Seldom,
    settings::{Drain, Listener, OnRefused, ProxyProtocol},
    stats::{Event, Stats},
};

/// What all connections of one listener share.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) presented: Arc<Presented>,
    pub(crate) drain: Drain,
    pub(crate) stats: Arc<Stats>,
    pub(crate) seldom: Seldom,
    pub(crate) access: Option<Arc<AccessLog>>,
}

impl Stream for Accepted {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, most: usize) -> Poll<io::Result<usize>> {
        self.set_read_limit(most);
        self.poll_read_buf(cx, into)
    }

    fn reset_on_drop(&self) {
        self.socket().reset_on_drop();
    }
}

impl Door {
    /// Serves one accepted connection to its end, or until `cut`.
    pub(crate) async fn serve(&self, stream: TcpStream, peer: SocketAddr, place: Place, cut: &CancellationToken) {
        let lull = self.presented.lull();
        let began = self.access.as_ref().map(|_| (SystemTime::now(), Instant::now()));
        let mut reached = Reached::Nothing;
        // Boxed, or every relay would carry the room that its handshake needed.
        let Some((router, app)) = Box::pin(self.establish(stream, peer, place, &mut reached)).await else {
            self.write_line(began, reached, (0, 0));
            return;
        };
        let silence = Silence { idle: self.listener.timeouts.idle, draining: self.drain.idle };
        let _relayed = self.stats.relay();
        // Only a line needs to know what this one connection has carried.
        let own = began.map(|_| Stats::part_of(&self.stats));
        let stats = own.as_ref().unwrap_or(&self.stats);
        let event = match relay(router, app, silence, Ends { lull: &lull, cut }, stats).await {
            End::Finished => Event::RelayFinished,
            End::RouterReset | End::AppReset => Event::RelayReset,
            End::Idle => Event::RelayIdle,
            End::Drained | End::Cut => Event::RelayDrained,
        };
        self.stats.count(event);
        self.write_line(began, reached, own.map_or((0, 0), |own| own.bytes()));
    }

    /// Writes the line of a connection that has ended, where there is a log.
    fn write_line(&self, began: Option<(SystemTime, Instant)>, reached: Reached, carried: (u64, u64)) {
        if let (Some(access), Some((began, since))) = (&self.access, began) {
            let ((from_router, from_app), app) = (carried, &self.listener.app);
            access.write(&Line { began, took: since.elapsed(), from_router, from_app, app, reached });
        }
    }

    async fn establish(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        mut place: Place,
        reached: &mut Reached,
    ) -> Option<(Accepted, TcpStream)> {
        let Some(acceptor) = self.presented.acceptor() else {
            self.turn_away_unnamed(stream, &mut place).await;
            return None;
        };
        let shaking = self.shake_hands(acceptor, stream, peer, &mut place, reached);
        timeout(self.listener.timeouts.handshake, shaking).await.unwrap_or_else(|_| {
            self.stats.count(Event::HandshakeTimedOut);
            None
        })
    }

    /// There is no certificate yet. The reset waits for the router's first byte: one that came earlier would look to it
    /// like a dial that failed, and it would forget the instance instead of letting it rest.
    async fn turn_away_unnamed(&self, stream: TcpStream, place: &mut Place) {
        let mut first = [0];
        let event = tokio::select! {
            biased;
            spoke = timeout(self.listener.timeouts.handshake, stream.peek(&mut first)) => match spoke {
                Ok(Ok(1..)) => Event::NoIdentity,
                Ok(_) => Event::HelloAbandoned,
                Err(_) => Event::HandshakeTimedOut,
            },
            () = place.gave_way() => Event::GaveWay,
        };
        if event == Event::NoIdentity {
            stream.reset_on_drop();
        }
        self.stats.count(event);
    }

    async fn shake_hands(
        &self,
        acceptor: &Acceptor,
        stream: TcpStream,
        peer: SocketAddr,
        place: &mut Place,
        reached: &mut Reached,
    ) -> Option<(Accepted, TcpStream)> {
        let hello = tokio::select! {
            biased;
            hello = acceptor.start(stream) => hello,
            () = place.gave_way() => {
                self.stats.count(Event::GaveWay);
                return None;
            }
        };
        let pending = match hello {
            Ok(pending) => pending,
            Err(refusal) => {
                self.note_refusal(refusal, peer, Event::HelloAbandoned);
                return None;
            }
        };
        place.spoke();
        self.stats.count(Event::AppDialled);
        *reached = Reached::App;
        let mut app = match dial(&self.listener.app, self.listener.timeouts.dial).await {
            Ok(app) => app,
            Err(error) => {
                *reached = Reached::Refusal;
                self.turn_away(pending, &error).await;
                return None;
            }
        };
        let Some(finished) = place.while_it_answers(pending.finish()).await else {
            self.stats.count(Event::GaveWay);
            return None;
        };
        match finished {
            Ok(mut router) => {
                router.set_write_limit(LONG_CHUNK);
                self.stats.count(Event::HandshakeDone);
                let spoke = if router.speaks_tls13() { Event::SpokeTls13 } else { Event::SpokeTls12 };
                self.stats.count(spoke);
                if let Some(suite) = router.suite() {
                    self.stats.count_suite(suite);
                }
                if let Some(version) = self.listener.proxy_protocol {
                    self.introduce(version, &router, peer, &mut app).await;
                }
                Some((router, app))
            }
            Err(refusal) => {
                self.note_refusal(refusal, peer, Event::HandshakeFailed);
                None
            }
        }
    }

    /// Tells the app who calls. If that fails the app is gone, which the relay finds out and passes on.
    async fn introduce(&self, version: ProxyProtocol, router: &Accepted, peer: SocketAddr, app: &mut TcpStream) {
        if let Ok(local) = router.socket().local_addr() {
            let _ = app.write_all(&origin::header(version, peer, local)).await;
        }
    }

    /// Tells the router, before the handshake has gone on, that the app is not to be had.
    async fn turn_away(&self, pending: Pending, error: &DialError) {
        let event = match error {
            DialError::Refused(_) => Event::AppRefused,
            DialError::TimedOut => Event::AppTimedOut,
            DialError::OwnFault(_) => Event::AppDialFailed,
        };
        self.stats.count(event);
        if let Some(untold) = self.seldom.tell(event, Instant::now()) {
            tracing::warn!(app = %self.listener.app, problem = chain(error), untold, "Could not reach the app");
        }
        match (error, self.listener.on_refused) {
            (DialError::Refused(_), OnRefused::Alert) => pending.abandon_with_alert40().await,
            // While every instance is slow, none should be punished for it: an orderly close rests nobody.
            (DialError::Refused(_), OnRefused::Close) | (DialError::TimedOut, _) => drop(pending),
            (DialError::Refused(_), OnRefused::Reset) | (DialError::OwnFault(_), _) => pending.abandon_with_reset(),
        }
    }

    /// Counts a refusal under its cause; `otherwise` is what a closed or failed connection means at this point.
    fn note_refusal(&self, refusal: AcceptRefusal, peer: SocketAddr, otherwise: Event) {
        let event = match &refusal {
            AcceptRefusal::NotTls => Event::NotTls,
            AcceptRefusal::NoCertificate => Event::NoCertificate,
            AcceptRefusal::UnknownAuthority => Event::UnknownAuthority,
            AcceptRefusal::Expired { .. } => Event::OutsideValidity,
            AcceptRefusal::WrongName { .. } => Event::NameNotAllowed,
            AcceptRefusal::Silent => Event::HelloAbandoned,
            AcceptRefusal::Io(_) => otherwise,
            AcceptRefusal::Certificate(_) | AcceptRefusal::Alert(_) | AcceptRefusal::Tls(_) => Event::HandshakeFailed,
        };
        self.stats.count(event);
        // Health checks connect and leave every few seconds: not a word about them.
        if event != Event::HelloAbandoned
            && let Some(untold) = self.seldom.tell(event, Instant::now())
        {
            tracing::warn!(%peer, problem = chain(&refusal), untold, "Turned a connection away");
        }
    }
}

/// How long accepting should pause after `error`; `None` when the next connection may fare better at once.
pub(crate) fn pause_after(error: &io::Error) -> Option<Duration> {
    let of_one_connection = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::Interrupted,
    ];
    // Without descriptors or memory an immediate retry fails again, as fast as the processor goes.
    (!of_one_connection.contains(&error.kind())).then_some(Duration::from_millis(50))
}
