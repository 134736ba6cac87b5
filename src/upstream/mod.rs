//! One request to one peer: from an idle connection or a new one, and back a response or a failure that
//! says what is known about delivery.

pub mod chunked;
pub mod connection;
pub mod dial;
pub mod dialers;
pub mod gather;
pub mod idle;
pub mod multiplexed;
pub mod replay;
pub mod reply;
pub mod request;
pub mod response;
pub mod stream;
pub mod upload;

#[cfg(test)]
mod tests;

use std::{future::poll_fn, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use self::{
    connection::{Call, CallFailed, Connection, Terms},
    dial::{DialTerms, Offer, Timings},
    dialers::Dialers,
    idle::{Home, Limits},
    multiplexed::{Sent, Shelves},
    replay::Replayable,
    reply::{ReplyBody, SoleBody},
    request::RequestHead,
    response::Head,
    stream::Stream,
};
use crate::{
    failure::Failure,
    observe::metrics::Shard,
    route::{peer::Peer, proof::Proof},
};

/// A worker's way to the endpoints: its idle connections and what it takes to make new ones.
#[derive(Clone)]
pub struct Upstream {
    home: Home,
    shelves: Shelves,
    dialers: Arc<Dialers>,
    times: DialTerms,
    counts: Option<Shard>,
}

/// An answer.
pub enum Reply<B: Body<Data = Bytes> + Unpin + Send + 'static> {
    /// A response; its body is read as it is asked for.
    Response(Head, ReplyBody<B>),
    /// The endpoint switched protocols: its stream, and what it sent already.
    Switched(Head, Stream, BytesMut),
}

/// What a successful attempt tells beside its answer, or a failed one beside its failure.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// A connection was there.
    pub connected: bool,
    /// It had served before.
    pub reused: bool,
    /// The whole head was handed to it.
    pub head_out: bool,
    /// The endpoint might still have been refusing our certificate when the attempt ended.
    pub unproven: bool,
    /// How the connection came about, or how far that came.
    pub origin: Option<Arc<Timings>>,
}

impl Facts {
    /// Those of an attempt that brought an answer.
    fn answered(reused: bool, origin: &Arc<Timings>) -> Self {
        Self { connected: true, reused, head_out: true, unproven: false, origin: Some(Arc::clone(origin)) }
    }

    /// What making the connection took for this attempt: no time at all where it was there already.
    #[must_use]
    pub fn timings(&self) -> Timings {
        match self.origin.as_deref() {
            Some(origin) if self.reused => Timings { local: origin.local, ..Timings::default() },
            Some(origin) => *origin,
            None => Timings::default(),
        }
    }

    /// What the endpoint has proven, where the connection was made for this attempt.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        self.origin.as_deref().filter(|_| !self.reused)?.proof
    }
}

/// An attempt that brought no answer.
pub struct SendFailed<B> {
    /// Why.
    pub failure: Failure,
    /// The body, if all that was taken of it is still at hand: then the request may be sent elsewhere.
    pub body: Option<Replayable<B>>,
    /// How far the attempt came.
    pub facts: Facts,
    /// Bytes of the request's body that have come from the client so far, in all attempts.
    pub received: u64,
}

impl Upstream {
    /// No connections yet; new ones are verified by the current one of `dialers`.
    #[must_use]
    pub fn new(dialers: Arc<Dialers>, times: DialTerms, limits: Limits) -> Self {
        Self { home: Home::new(limits), shelves: Shelves::default(), dialers, times, counts: None }
    }

    /// The same, counting its handshakes on the worker's `shard`.
    #[must_use]
    pub fn counting(self, shard: Shard) -> Self {
        Self { counts: Some(shard), ..self }
    }

    /// The idle connections, for the worker's regular sweep.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Drops idle connections that are old, closed, or verified under a trust that is no longer ours.
    pub fn sweep(&self) {
        let (now, generation) = (Instant::now(), self.dialers.generation());
        self.home.sweep(now, generation);
        self.shelves.sweep(now, generation);
    }

    /// Drops all connections that are not in use.
    pub fn clear(&self) {
        self.home.clear();
        self.shelves.clear();
    }

    /// Sends one request to `peer`.
    ///
    /// A connection that was idle may have died unnoticed; then the next one is used, silently, as long as
    /// the request cannot have been acted on: nothing of it was written, or it is `replayable`.
    ///
    /// # Errors
    /// The failure, and the body if the request may still go to another peer.
    pub async fn send<B>(
        &self,
        peer: &Peer,
        head: &RequestHead<'_>,
        mut body: Replayable<B>,
        terms: &Terms,
        replayable: bool,
    ) -> Result<(Reply<B>, Facts), SendFailed<B>>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
    {
        let mut fresh = None;
        if terms.http2 && peer.is_tls() && !matches!(head.connection, request::Connection::Upgrade(_)) {
            match Box::pin(multiplexed::send(self, peer, head, body, terms, replayable)).await {
                Sent::Http2(outcome) => return outcome,
                Sent::Http1(unsent, connection) => (body, fresh) = (unsent, connection),
            }
        }
        if let Some(connection) = fresh {
            let sent = self.exchange(*connection, head, body, terms).await;
            return sent.map_err(|failed| failed.into_send_failed(false));
        }
        while let Some(connection) = self.take(peer, replayable) {
            let reused = connection.exchanges > 0;
            match self.exchange(connection, head, body, terms).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => {
                    let again = failed.died_idle && (replayable || !failed.begun) && failed.body.can_start_over();
                    if !again {
                        return Err(failed.into_send_failed(reused));
                    }
                    body = failed.body;
                }
            }
        }
        // Dialling is rare; boxed, it does not weigh on every client connection's memory.
        let connection = match Box::pin(self.connect(peer, terms)).await {
            Ok(connection) => connection,
            Err((failure, timings)) => {
                let received = body.received();
                let body = body.can_start_over().then_some(body);
                let facts = Facts { origin: Some(Arc::new(timings)), ..Facts::default() };
                return Err(SendFailed { failure, body, facts, received });
            }
        };
        self.exchange(connection, head, body, terms).await.map_err(|failed| failed.into_send_failed(false))
    }

    /// Sends one request on `connection` and waits for the head of its answer.
    async fn exchange<B>(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        body: Replayable<B>,
        terms: &Terms,
    ) -> Result<(Reply<B>, Facts), CallFailed<B>>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
    {
        let facts = Facts::answered(connection.exchanges > 0, &connection.timings);
        let mut call = Box::new(Call::new(connection, head, body, terms, self.home.clone()));
        match poll_fn(|cx| call.poll_head(cx)).await {
            Ok(answer) => Ok((reply(call, answer), facts)),
            Err(failure) => Err(call.fail(failure)),
        }
    }

    /// An idle connection that is, as far as can be told, still open, and on which the endpoint has said nothing:
    /// it would be read as the next answer. A request that must not be repeated is worth a system call to find
    /// out; for any other what the runtime has noticed must do, and a dead connection costs only another attempt.
    fn take(&self, peer: &Peer, replayable: bool) -> Option<Connection> {
        loop {
            let mut connection = self.home.take(peer, self.dialers.generation())?;
            let stream = &mut connection.stream;
            let usable = if replayable { stream.is_quiet() } else { stream.is_open_now() };
            if usable {
                return Some(connection);
            }
        }
    }

    async fn connect(&self, peer: &Peer, terms: &Terms) -> Result<Connection, (Failure, Timings)> {
        let mut timings = Timings::default();
        let offer = if terms.http2 { Offer::Http1 } else { Offer::Nothing };
        let dialer = self.dialers.current();
        let dial = dial::dial(peer, &dialer, &self.times, offer, &mut timings, self.counts.as_ref());
        let connected = match terms.deadline {
            Some(deadline) => timeout_at(deadline, dial).await.unwrap_or(Err(Failure::ConnectTimeout)),
            None => dial.await,
        };
        connected.map_err(|failure| (failure, timings))
    }
}

impl<B: Body<Data = Bytes> + Unpin> CallFailed<B> {
    fn into_send_failed(self, reused: bool) -> SendFailed<B> {
        let (head_out, unproven) = (self.head_out, self.unproven);
        let facts = Facts { connected: true, reused, head_out, unproven, origin: Some(self.timings) };
        let received = self.body.received();
        SendFailed { failure: self.failure, body: self.body.can_start_over().then_some(self.body), facts, received }
    }
}

fn reply<B: Body<Data = Bytes> + Unpin + Send + 'static>(call: Box<Call<B>>, head: Head) -> Reply<B> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let (stream, early) = call.into_tunnel();
        return Reply::Switched(head, stream, early);
    }
    let body = ReplyBody::Sole(SoleBody::new(call, head.framing, head.keep_alive));
    Reply::Response(head, body)
}
