//! HTTP/2 towards endpoints: connections that carry many requests at once.
//!
//! Only endpoints that registered the protocol `http2` and an identity are asked for it, by ALPN in the handshake that
//! proves their name; there is no h2c. One that agrees on HTTP/1.1 instead gets that. The frames are the `h2` crate's;
//! what is ours is which connection a request may use, how far a failed one came, and how much of everything is held.
//!
//! A connection is shared by the requests to one peer under one trust (invariant 2) and carries none before the
//! endpoint's SETTINGS have come: in TLS 1.3 they are the first sign that it took our certificate, so that a refusal is
//! met while nothing of any request is written (engineering.md B4, rule 5). That costs one round trip per connection.

mod body;
mod call;
mod channel;
mod faults;
mod message;
mod open;
mod shelves;
mod upload;
mod watched;

pub use self::{body::SharedBody, shelves::Shelves};

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use self::{
    call::{Call, CallFailed},
    channel::Seat,
    open::{Opened, Way},
    shelves::{Found, OpenFailed},
};
use super::{
    Facts, Reply, SendFailed, Upstream,
    connection::{self, Terms},
    replay::Replayable,
    reply::ReplyBody,
    request::{Connection, RequestHead},
};
use crate::{failure::Failure, route::peer::Peer};

/// Requests on one connection at once; an endpoint may allow fewer. Beyond it another connection is opened.
const STREAMS: usize = 100;

/// Sendings to one peer before a request that its connections keep turning away is taken elsewhere.
const SENDINGS: u32 = 3;

/// What became of a request that was meant for HTTP/2.
pub enum Sent<B: Body<Data = Bytes> + Unpin + Send + 'static> {
    /// It was sent, or could not be.
    Http2(Result<(Reply<B>, Facts), SendFailed<B>>),
    /// The endpoint speaks HTTP/1.1, on this new connection if there is one; nothing was sent.
    Http1(Replayable<B>, Option<Box<connection::Connection>>),
}

/// Sends one request to `peer` by HTTP/2, if that is what it speaks.
///
/// A connection may go under requests that nobody has acted on: the endpoint says so (GOAWAY, REFUSED_STREAM), nothing
/// was written, or the connection died and the request is `replayable`. They are sent again, silently, a few times.
pub async fn send<B>(
    upstream: &Upstream,
    peer: &Peer,
    head: &RequestHead<'_>,
    mut body: Replayable<B>,
    terms: &Terms,
    replayable: bool,
) -> Sent<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let mut sendings = 0;
    loop {
        let seat = match within(terms.deadline, find(upstream, peer, head, terms)).await {
            Ok(Found::Seat(seat)) => seat,
            Ok(Found::Http1(connection)) => return Sent::Http1(body, connection),
            Err(failed) if failed.is_sent_away() && sendings < SENDINGS => {
                sendings += 1;
                continue;
            }
            Err(failed) => return Sent::Http2(Err(unsent(&failed, body))),
        };
        if !replayable && seat.is_resting() {
            // The runtime looks at the sockets before it comes back here: an end that has come by now is noticed.
            tokio::task::yield_now().await;
            if !seat.is_open() {
                continue;
            }
        }
        sendings += 1;
        match exchange(seat, head, body, terms).await {
            Ok(sent) => return Sent::Http2(Ok(sent)),
            Err(failed) => {
                let again = sendings < SENDINGS && failed.may_be_repeated(replayable) && failed.body.can_start_over();
                if !again {
                    return Sent::Http2(Err(failed.into()));
                }
                body = failed.body;
            }
        }
    }
}

/// A seat on a connection to `peer`: on one of its own if the endpoint is to be told that no other follows.
async fn find(
    upstream: &Upstream,
    peer: &Peer,
    head: &RequestHead<'_>,
    terms: &Terms,
) -> Result<Found, Arc<OpenFailed>> {
    let way = || Way {
        dialers: Arc::clone(&upstream.dialers),
        times: upstream.times.clone(),
        home: upstream.home.clone(),
        max_head: terms.max_head,
        counts: upstream.counts.clone(),
    };
    if head.connection != Connection::Close {
        return upstream.shelves.find(peer, || upstream.dialers.generation(), way).await;
    }
    match open::open(peer, &way()).await {
        Ok(Opened::Http2(channel)) => Ok(Found::Seat(Seat::take(&Arc::new(channel)))),
        Ok(Opened::Http1(connection)) => Ok(Found::Http1(Some(connection))),
        Err(failed) => Err(Arc::new(failed)),
    }
}

async fn within(
    deadline: Option<Instant>,
    found: impl Future<Output = Result<Found, Arc<OpenFailed>>>,
) -> Result<Found, Arc<OpenFailed>> {
    match deadline {
        Some(deadline) => timeout_at(deadline, found).await.unwrap_or_else(|_| Err(Arc::new(OpenFailed::late()))),
        None => found.await,
    }
}

fn unsent<B: Body<Data = Bytes> + Unpin>(failed: &Arc<OpenFailed>, body: Replayable<B>) -> SendFailed<B> {
    let received = body.received();
    SendFailed {
        failure: Failure::Shared(Arc::clone(&failed.failure)),
        body: body.can_start_over().then_some(body),
        facts: Facts { unproven: failed.take_unproven(), origin: Some(Arc::new(failed.timings)), ..Facts::default() },
        received,
    }
}

async fn exchange<B>(
    seat: Seat,
    head: &RequestHead<'_>,
    body: Replayable<B>,
    terms: &Terms,
) -> Result<(Reply<B>, Facts), CallFailed<B>>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let facts = Facts::answered(seat.is_reused(), seat.timings());
    let mut call = Box::new(Call::begin(seat, head, body, terms).map_err(|failed| *failed)?);
    match poll_fn(|cx| call.poll_head(cx)).await {
        Ok((answer, stream)) => {
            let body = SharedBody::new(call, stream, answer.framing);
            Ok((Reply::Response(answer, ReplyBody::Shared(Box::new(body))), facts))
        }
        Err(failure) => Err(call.fail(failure)),
    }
}
