//! HTTP/1 towards clients.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    num::NonZeroUsize,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    connection::{Doorway, answer},
    watched::Watched,
};
use crate::{
    lifecycle::roster::{Asked, Seat},
    observe::exchange::Client,
};

/// `max_request_header_bytes` unless it is set; see [`Limits::of`].
pub(super) const DEFAULT_HEAD: usize = 1 << 20;
/// Largest head by default.
const HEAD: usize = 128 * 1024;
/// Smallest one that can be asked for: large cookies are real.
const LEAST_HEAD: usize = 64 * 1024;
/// Room for what hyper counts and the configured limit does not, so that a request beyond that limit is still read
/// and its refusal logged.
const MARGIN: usize = 16 * 1024;
/// Fields of a head by default. hyper takes two pieces of memory of 32 bytes per field for each request if the number
/// is not its own 100; up to this many the allocator has them at hand, and twice as many cost one percent of a request.
const FIELDS: usize = 128;
/// Most fields that can be asked for.
const MOST_FIELDS: usize = 16 * 1024;

/// What a client may send as a head; beyond it is 431.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest head, in bytes.
    pub head: usize,
    /// Most fields.
    pub fields: usize,
}

impl Limits {
    /// From `max_request_header_bytes` and `max_request_headers`.
    ///
    /// The first is 1 MiB in every file that does not say otherwise, and Gorouter takes it by its word. Here it is
    /// also what an upload may have in memory, and an answer that its client does not read; so it stands for the
    /// default of 128 KiB, and another value for itself.
    #[must_use]
    pub fn of(bytes: usize, fields: Option<NonZeroUsize>) -> Self {
        let head = if bytes == DEFAULT_HEAD { HEAD } else { bytes.clamp(LEAST_HEAD, DEFAULT_HEAD) + MARGIN };
        let fields = fields.map_or(FIELDS, |fields| fields.get().saturating_add(1).clamp(FIELDS, MOST_FIELDS));
        Self { head, fields }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: HEAD, fields: FIELDS }
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
    let service = service_fn(|request| {
        let (proxy, client, seat) = (Arc::clone(proxy), Arc::clone(&client), Arc::clone(&seat));
        async move {
            seat.begin();
            let mut response = answer(&proxy, &client, request).await;
            response.body_mut().seat(seat);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true).half_close(false);
    builder.max_headers(doorway.h1.fields).max_buf_size(doorway.h1.head);
    let stream = TokioIo::new(Watched::with_heads(stream, Arc::clone(&seat)));
    let mut connection = pin!(builder.serve_connection(stream, service).with_upgrades());
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        match seat.asked(cx.waker()) {
            Asked::Stay => {}
            Asked::Finish if finishing => {}
            Asked::Finish => {
                // A request that has arrived is served, and one that is still on its way on a new connection is
                // waited for: hyper would close both unread. Whoever is answered from now on is told that it was the
                // last time; whoever was told nothing may be about to send another request, and has a while for it.
                let ended = connection.as_mut().poll(cx);
                if ended.is_ready() {
                    return ended;
                }
                if seat.rests(doorway.deadlines.last_word) {
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
            Asked::Leave => {
                // An upload may still be read by somebody else; to them its end here must not look like the body's.
                client.gone.store(true, Relaxed);
                return Poll::Ready(Ok(()));
            }
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        note_unread(doorway, &seat, &client, &error);
        tracing::debug!(target: "router", client = &*client.address, %error, "client-connection-ended");
    }
}

/// Notes what came instead of a request, where that is logged. hyper has answered what it could not read.
fn note_unread(doorway: &Doorway, seat: &Seat, client: &Client, error: &hyper::Error) {
    let recorder = &doorway.proxy.recorder;
    if error.is_parse() {
        recorder.never_read(client, Some(if error.is_parse_too_large() { 431 } else { 400 }));
    } else if error.is_incomplete_message() && seat.expects_request() {
        recorder.never_read(client, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_head_is_a_budget_unless_it_is_asked_for() {
        for (bytes, head) in [
            (1 << 20, 128 * 1024),
            (1, 80 * 1024),
            (100_000, 100_000 + MARGIN),
            ((1 << 20) - 1, (1 << 20) - 1 + MARGIN),
        ] {
            assert_eq!(Limits::of(bytes, None).head, head, "{bytes}");
        }
        for (asked, fields) in [(None, 128), (NonZeroUsize::new(10), 128), (NonZeroUsize::new(1000), 1001)] {
            assert_eq!(Limits::of(1 << 20, asked).fields, fields, "{asked:?}");
        }
    }
}
