//! A client's connection: the door it comes in by, its place among the worker's clients, and what a panic costs.
//!
//! [`super::h1`] and [`super::h2`] speak with it.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::body::Incoming;
use tokio::net::TcpStream;

use super::{
    deadlines::Deadlines,
    entry::{Entered, Entry},
    h1, h2, handshakes,
};
use crate::{
    lifecycle::{DrainToken, Stopping, roster::Roster},
    observe::{exchange::Client, metrics::Tally, panics},
    proxy::{Proxy, body::ClientBody},
};

/// Which way a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Plain HTTP.
    Plain,
    /// HTTPS.
    Tls,
    /// The router itself, with requests for its own apps.
    Inner,
}

/// A connection on its way to a worker.
#[derive(Debug)]
pub struct Arrival {
    /// The socket, non-blocking, registered nowhere.
    pub socket: std::net::TcpStream,
    /// The client's address.
    pub from: SocketAddr,
    /// Which way it came in.
    pub door: Door,
    /// Counts it until it ends.
    pub token: DrainToken,
}

/// What a worker's connections have in common.
pub struct Doorway {
    /// The request path.
    pub proxy: Arc<Proxy>,
    /// What is asked of whoever comes in.
    pub entry: Arc<Entry>,
    /// How long clients may take.
    pub deadlines: Deadlines,
    /// What HTTP/1 clients may send.
    pub h1: h1::Limits,
    /// What HTTP/2 clients may send.
    pub h2: h2::Limits,
    /// Asked when idle connections are to close.
    pub closing: Stopping,
    /// Who is connected.
    pub roster: Roster,
}

/// Serves one client to its end. Whatever goes wrong costs this client alone.
pub async fn serve(doorway: Arc<Doorway>, arrival: Arrival) {
    let Arrival { socket, from, door, token: _token } = arrival;
    let Ok(tcp) = TcpStream::from_std(socket) else { return };
    let entered = doorway.entry.admit(tcp, from, door).await;
    if let Some(how) = handshakes::ended(&entered) {
        doorway.proxy.recorder.shard.client_handshake(how);
    }
    match entered {
        Ok(Entered::Plain(stream, client)) => h1::serve(&doorway, stream, Arc::new(client)).await,
        // Boxed, or every client would carry room for it.
        Ok(Entered::Tls(stream, client)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            Box::pin(h2::serve(&doorway, stream, Arc::new(client))).await;
        }
        Ok(Entered::Tls(stream, client)) => h1::serve(&doorway, stream, Arc::new(client)).await,
        Err(reason) => {
            doorway.proxy.recorder.shard.count(Tally::GateRefused);
            let client = SocketAddr::new(from.ip().to_canonical(), from.port());
            tracing::debug!(target: "router", %client, error = %reason, "client-turned-away");
        }
    }
}

/// The reply; a panic on the way to it becomes one as well.
pub(super) async fn answer(proxy: &Proxy, client: &Arc<Client>, request: Request<Incoming>) -> Response<ClientBody> {
    let handled = AssertUnwindSafe(proxy.handle(client, request)).catch_unwind().await;
    handled.unwrap_or_else(|_| {
        proxy.recorder.shard.count(Tally::Panic);
        panics::taken().log();
        unknown_failure()
    })
}

fn unknown_failure() -> Response<ClientBody> {
    let text = "502 Bad Gateway: Endpoint failed to handle the request.\n";
    let mut response = Response::new(ClientBody::own(Bytes::from_static(text.as_bytes()), None));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert("x-cf-routererror", HeaderValue::from_static("unknown_failure"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        time::{Duration, Instant},
    };

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use trueroute_identity::{Dialer, DialerSettings, Trust};

    use super::*;
    use crate::{
        headers::{client_cert::ClientCert, forwarded::ProtoPolicy},
        lifecycle::Drain,
        observe::{
            exchange::Recorder,
            metrics::{Buckets, Metrics},
        },
        proxy,
        route::mtls::Domains,
        table::{self, Sharding, Table},
        upstream::{Upstream, dial::DialTerms, dialers::Dialers, idle},
    };

    /// A doorway to an empty table.
    fn doorway() -> Arc<Doorway> {
        let table = table::Settings {
            stale_threshold: Duration::from_secs(120),
            empty_pool_grace: Duration::ZERO,
            sharding: Sharding::All,
            balancing: crate::route::balancing::Algorithm::RoundRobin,
        };
        let settings = proxy::Settings {
            max_attempts: 1,
            endpoint_timeout: proxy::EndpointTimeout::default(),
            pick: crate::route::pick::Limits::default(),
            one_request_per_connection: false,
            empty_pool_is_503: false,
            proto: ProtoPolicy::Keep,
            max_response_head: 1000,
            sessions: crate::headers::sticky::Rules { names: Vec::new(), negotiate: false, secure: false },
            max_response_lines: usize::MAX,
            domains: Domains::default(),
            rules: Arc::default(),
            services: Arc::default(),
        };
        let dialer = Dialer::new(Trust::new(&[], false).unwrap(), None, DialerSettings::default()).unwrap();
        let times = DialTerms { dial: Duration::MAX, probe_interval: None, barred: Arc::default() };
        let limits = idle::Limits { total: 0, per_peer: 0 };
        let proxy = Proxy {
            table: Arc::new(Table::new(table)),
            upstream: Upstream::new(Arc::new(Dialers::new(Arc::new(dialer))), times, limits),
            services: None,
            settings: Arc::new(settings),
            recorder: Arc::new(Recorder::counting(Metrics::new(1, Buckets::default()).shard(0))),
            bus: None,
            origin: Instant::now(),
            leaving: Stopping::new(),
            drain: Drain::new(),
        };
        let entry =
            Entry { proxy_lines: false, plain: ClientCert::Keep, tls: None, inner: None, domains: Domains::default() };
        Arc::new(Doorway {
            proxy: Arc::new(proxy),
            entry: Arc::new(entry),
            deadlines: Deadlines::default(),
            h1: h1::Limits::default(),
            h2: h2::Limits::default(),
            closing: Stopping::new(),
            roster: Roster::default(),
        })
    }

    fn here() -> Arc<Client> {
        Arc::new(Client::at(([127, 0, 0, 1], 1).into()))
    }

    #[tokio::test]
    async fn a_request_that_has_come_when_all_are_asked_to_finish_is_answered() {
        let doorway = doorway();
        let (mut client, server) = duplex(10_000);
        let mut serving = pin!(h1::serve(&doorway, server, here()));
        assert!(futures_util::poll!(&mut serving).is_pending());
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
        doorway.roster.finish_all();
        serving.await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer:?}");
        assert!(doorway.roster.is_empty());
    }
    #[tokio::test]
    async fn a_new_clients_first_request_is_waited_for() {
        let doorway = doorway();
        let (mut client, server) = duplex(10_000);
        let mut serving = pin!(h1::serve(&doorway, server, here()));
        assert!(futures_util::poll!(&mut serving).is_pending());
        doorway.roster.finish_all();
        assert!(futures_util::poll!(&mut serving).is_pending());
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
        serving.await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer:?}");
    }
}
