//! Opening a shared connection: TCP, the proof of identity, and the endpoint's first word.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason,
    client::{Builder, Connection as Driver, SendRequest},
};
use tokio::time::timeout;
use trueroute_identity::Refusal;

use super::{
    channel::Channel,
    faults,
    shelves::OpenFailed,
    watched::{End, Notes, Watched},
};
use crate::{
    failure::{Failure, Http2Error},
    observe::metrics::Shard,
    route::peer::Peer,
    upstream::{
        connection::Connection,
        dial::{self, DialTerms, Offer, Timings},
        dialers::Dialers,
        idle::Home,
    },
};

/// How long an endpoint that agreed on HTTP/2 may take for its SETTINGS.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// What is received for one request before the client has taken it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all requests of a connection: room for each, so that a client that takes nothing stops no other.
#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * super::STREAMS as u32;
/// What is held for one request that the endpoint does not take.
const SEND_BUFFER: usize = 64 * 1024;
/// Largest frame that an endpoint may send.
const FRAME: u32 = 16 * 1024;
/// Requests that were given up and whose last frames are still awaited; and those that the endpoint's own errors
/// make us give up before the connection goes.
const GIVEN_UP: usize = 100;

/// All that it takes to open a connection.
#[derive(Clone)]
pub(super) struct Way {
    /// Who proves names.
    pub dialers: Arc<Dialers>,
    /// Deadlines of a dial.
    pub times: DialTerms,
    /// Where a connection goes that turned out to speak HTTP/1.1.
    pub home: Home,
    /// Largest head of a response, in bytes.
    pub max_head: usize,
    /// Where handshakes are counted.
    pub counts: Option<Shard>,
}

/// A new connection.
pub(super) enum Opened {
    Http2(Channel),
    Http1(Box<Connection>),
}

/// Dials `peer`. What comes back for HTTP/2 has heard from the endpoint.
pub(super) async fn open(peer: &Peer, way: &Way) -> Result<Opened, OpenFailed> {
    let mut timings = Timings::default();
    let dialer = way.dialers.current();
    let dialled = dial::dial(peer, &dialer, &way.times, Offer::Http2, &mut timings, way.counts.as_ref()).await;
    let connection = dialled.map_err(|failure| OpenFailed::new(failure, timings, false))?;
    if !dial::speaks_http2(&connection.stream) {
        return Ok(Opened::Http1(Box::new(connection)));
    }
    let (stream, notes) = Watched::new(connection.stream);
    let greeted = match timeout(FIRST_WORD, greet(stream, way.max_head, &notes)).await {
        Ok(greeted) => greeted,
        Err(_) => Err(Failure::NoHttp2(Http2Error::Silent)),
    };
    let (sender, mut driver) = greeted.map_err(|failure| OpenFailed::new(failure, timings, notes.is_unproven()))?;
    let pings = driver.ping_pong();
    tokio::spawn(drive(driver, Arc::clone(&notes)));
    Ok(Opened::Http2(Channel::new(sender, notes, connection.timings, pings)))
}

/// Says what we take, and waits for the endpoint to do the same.
async fn greet(
    stream: Watched,
    max_head: usize,
    notes: &Notes,
) -> Result<(SendRequest<Bytes>, Driver<Watched>), Failure> {
    let greeted = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(GIVEN_UP)
        .max_local_error_reset_streams(Some(GIVEN_UP))
        // None until the endpoint has said how many it takes: that is how its SETTINGS are noticed.
        .initial_max_send_streams(0)
        .handshake(stream)
        .await;
    let (mut sender, mut driver) = greeted.map_err(|error| before_anything(&error, notes))?;
    let ended = poll_fn(|cx| poll_settings(&mut driver, notes, cx)).await;
    ended.map_err(|failure| sent_away(&mut sender).unwrap_or(failure))?;
    Ok((sender, driver))
}

fn poll_settings(driver: &mut Driver<Watched>, notes: &Notes, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    let ended = Pin::new(&mut *driver).poll(cx);
    match ended {
        Poll::Ready(Err(error)) => Poll::Ready(Err(before_anything(&error, notes))),
        Poll::Ready(Ok(())) => Poll::Ready(Err(closed(notes))),
        Poll::Pending if driver.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    }
}

/// The endpoint has ended the connection as an app does that is about to stop or restart: no fault, and another
/// connection may lead to its successor.
fn sent_away(sender: &mut SendRequest<Bytes>) -> Option<Failure> {
    let Poll::Ready(Err(error)) = sender.poll_ready(&mut Context::from_waker(Waker::noop())) else { return None };
    let code = error.reason().filter(|code| *code == Reason::NO_ERROR && error.is_go_away() && error.is_remote())?;
    Some(Failure::Declined(Http2Error::GoAway { code }))
}

/// The connection ended before it carried a request.
fn before_anything(error: &h2::Error, notes: &Notes) -> Failure {
    if error.is_io() { closed(notes) } else { Failure::NoHttp2(faults::of_connection(error)) }
}

fn closed(notes: &Notes) -> Failure {
    if let Some(refusal) = notes.take_refusal() {
        return Failure::RefusedLate(refusal);
    }
    Failure::Refused(match notes.end() {
        Some(End::Failed(_, kind)) if faults::is_reset(kind) => Refusal::Reset,
        Some(End::Failed(_, kind)) => Refusal::from_io(kind.into()),
        Some(End::Eof) | None => Refusal::Eof,
    })
}

/// Runs the connection to its end.
async fn drive(driver: Driver<Watched>, notes: Arc<Notes>) {
    if let Err(error) = driver.await {
        tracing::debug!(target: "proxy", %error, "http2-connection-ended");
    }
    notes.close();
}
