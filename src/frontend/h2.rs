//! HTTP/2 towards clients.
//!
//! hyper speaks it; this owns the limits, the place among the worker's clients, and the end of a stream whose client
//! takes nothing. Every stream is a task on the connection's own thread.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::FutureExt;
use hyper::{rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    connection::{Doorway, answer},
    h1::DEFAULT_HEAD,
    stream_body::StreamBody,
    watched::Watched,
};
use crate::{
    lifecycle::{
        roster::{Asked, Seat},
        streams::{Stream, Streams},
    },
    observe::{
        exchange::{Client, Recorder},
        metrics::Tally,
        panics,
    },
};

/// Largest header list by default, and smallest that can be asked for; each field counts 32 bytes more than it has
/// (RFC 9113 section 6.5.2).
const HEADERS: usize = 64 * 1024;
/// What the header lists of all streams of a connection may come to (engineering.md B7).
const ALL_HEADERS: usize = 16 * 1024 * 1024;
/// Most streams at once, as in Go.
const STREAMS: usize = 250;
/// What a client may send of one body before it is read: 5 MiB a second over 50 ms.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all bodies, and so what a connection may have in memory of them. Several times the window of one, or
/// an app that does not read would stop the uploads to all others.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Largest frame: small enough that one answer lets the others through.
const FRAME: u32 = 16 * 1024;
/// What one answer may have waiting beside the piece that is being sent; more would only be memory for clients that
/// do not read.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may reset before we have seen them (CVE-2023-44487).
const RESET_UNSEEN: usize = 20;
/// Streams that may break the rules in a connection's life (CVE-2025-8671). A load balancer brings many clients'
/// streams on one connection, so it is not few.
const RESET_BY_US: usize = 1024;
/// Seconds that a client has to answer the word that its connection ends, once it has nothing else to do.
const FAREWELL: u32 = 5;

/// What a client may send as a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest header list; somewhat beyond is 431, far beyond ends the connection.
    pub headers: u32,
    /// Most streams at once.
    pub streams: u32,
}

impl Limits {
    /// From `max_request_header_bytes`, whose value of 1 MiB stands for the default here as it does for HTTP/1
    /// ([`super::h1::Limits::of`]). What is larger leaves room for fewer streams: together they stay below 16 MiB.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        let headers = if bytes == DEFAULT_HEAD { HEADERS } else { bytes.clamp(HEADERS, DEFAULT_HEAD) };
        let streams = STREAMS.min(ALL_HEADERS / headers);
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { headers: narrow(headers), streams: narrow(streams) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(DEFAULT_HEAD)
    }
}

/// Serves one client to its end.
pub(super) async fn serve<S>(doorway: &Arc<Doorway>, stream: S, client: Arc<Client>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let proxy = &doorway.proxy;
    let seated = doorway.roster.sit_down();
    let seat = Arc::clone(seated.seat());
    let streams = Streams::new(Arc::clone(&seat));
    let spawner = Spawner::new(Arc::clone(&proxy.recorder));
    let service = service_fn(|request| {
        let stream = streams.begin();
        spawner.hand(Arc::clone(&stream));
        let (proxy, client) = (Arc::clone(proxy), Arc::clone(&client));
        async move {
            let to_head = request.method() == http::Method::HEAD;
            let response = answer(&proxy, &client, request).await;
            Ok::<_, Infallible>(StreamBody::respond(response, stream, to_head))
        }
    });
    let stream = TokioIo::new(Watched::with_frames(stream, Arc::clone(&seat)));
    let mut connection = pin!(builder(doorway.h2, spawner.clone()).serve_connection(stream, service));
    let mut parting = Parting::default();
    let ended = poll_fn(|cx| {
        match parting.next(&seat, &streams, proxy.leaving.is_asked(), cx) {
            Step::Serve => {}
            Step::SayFarewell => connection.as_mut().graceful_shutdown(),
            Step::Drop => return Poll::Ready(Ok(())),
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(target: "router", client = &*client.address, %error, "client-connection-ended");
    }
}

fn builder(limits: Limits, spawner: Spawner) -> http2::Builder<Spawner> {
    let mut builder = http2::Builder::new(spawner);
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.headers)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(RESET_BY_US);
    builder
}

/// How far the end of a connection has come.
#[derive(Debug, Default)]
struct Parting {
    /// The second in which the client was told.
    said: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Serve,
    /// GOAWAY: what has come is served, what comes later goes elsewhere. No request is lost.
    SayFarewell,
    Drop,
}

impl Parting {
    fn next(&mut self, seat: &Seat, streams: &Streams, leaving: bool, cx: &Context<'_>) -> Step {
        let asked = seat.asked(cx.waker());
        // On HTTP/1 every answer says so from the beginning of a drain on.
        let over = asked != Asked::Stay || (leaving && !seat.expects_request());
        match self.said {
            None if over => {
                self.said = Some(seat.now());
                Step::SayFarewell
            }
            Some(said) if seat.now().saturating_sub(said) >= FAREWELL && may_drop(asked, streams) => Step::Drop,
            _ if streams.are_a_flood() => Step::Drop,
            _ => Step::Serve,
        }
    }
}

/// Whoever is asked to leave has outworn its time, whatever it does; whoever is to finish may, if it does anything.
fn may_drop(asked: Asked, streams: &Streams) -> bool {
    asked == Asked::Leave || streams.open() == 0
}

/// Sets streams to work, each with the exchange that its request began.
#[derive(Clone)]
struct Spawner {
    /// hyper asks the service first and hands the stream over right after.
    last: Arc<Mutex<Option<Arc<Stream>>>>,
    recorder: Arc<Recorder>,
}

impl Spawner {
    fn new(recorder: Arc<Recorder>) -> Self {
        Self { last: Arc::default(), recorder }
    }

    fn hand(&self, stream: Arc<Stream>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }
}

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let stream = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        let recorder = Arc::clone(&self.recorder);
        tokio::spawn(async move {
            let mut future = pin!(AssertUnwindSafe(future).catch_unwind());
            let until_cut = poll_fn(|cx| match &stream {
                // Dropped, hyper's part resets the stream.
                Some(stream) if stream.is_cut(cx) => Poll::Ready(Ok(())),
                _ => future.as_mut().poll(cx),
            });
            if until_cut.await.is_err() {
                recorder.shard.count(Tally::Panic);
                panics::taken().log();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::lifecycle::roster::{Patience, Roster};

    #[test]
    fn a_request_that_crosses_the_farewell_of_an_idle_connection_is_answered() {
        let patience = Patience { quiet: Some(1), stall: Some(3), ..Patience::default() };
        let roster = Roster::default();
        let seated = roster.sit_down();
        let streams = Streams::new(Arc::clone(seated.seat()));
        let mut parting = Parting::default();
        let mut look = |seconds: usize| {
            (0..seconds).for_each(|_| roster.tick(patience));
            parting.next(seated.seat(), &streams, false, &Context::from_waker(Waker::noop()))
        };
        assert_eq!(look(1), Step::Serve);
        assert_eq!(look(1), Step::SayFarewell);
        let crossing = streams.begin();
        assert_eq!(look(10), Step::Serve, "its app may take its time");
        drop(crossing);
        assert_eq!(look(0), Step::Drop, "there is nothing left to wait for");
        let stalls = streams.begin();
        stalls.hand(1);
        assert_eq!(look(4), Step::Drop);
    }

    #[test]
    fn header_lists_of_a_connection_stay_within_their_budget() {
        for (bytes, headers, streams) in [
            (1 << 20, 64 * 1024, 250),
            (1000, 64 * 1024, 250),
            (256 * 1024, 256 * 1024, 64),
            ((1 << 20) - 1, (1 << 20) - 1, 16),
        ] {
            let limits = Limits::of(bytes);
            assert_eq!(limits, Limits { headers, streams }, "{bytes}");
            assert!(limits.headers as usize * limits.streams as usize <= ALL_HEADERS);
        }
    }
}
