//! A client's connection, from its first byte to its last exchange.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::entry::{Entered, Entry};
use crate::{
    lifecycle::{
        DrainToken, Stopping,
        roster::{Asked, Roster, Seat},
    },
    observe::{exchange::Client, metrics::Tally},
    proxy::{Proxy, body::ClientBody},
};

/// Which way a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Plain HTTP.
    Plain,
    /// HTTPS.
    Tls,
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
    /// How long a connection may be idle between requests (`frontend_idle_timeout`).
    pub idle_timeout: Option<Duration>,
    /// Asked when idle connections are to close.
    pub closing: Stopping,
    /// Who is connected.
    pub roster: Roster,
}

/// Serves one client to its end. Whatever goes wrong costs this client alone.
pub async fn serve(doorway: Arc<Doorway>, arrival: Arrival) {
    let Arrival { socket, from, door, token: _token } = arrival;
    let Ok(tcp) = TcpStream::from_std(socket) else { return };
    match doorway.entry.admit(tcp, from, door).await {
        Ok(Entered::Plain(stream, client)) => exchange(&doorway, stream, Arc::new(client)).await,
        Ok(Entered::Tls(stream, client)) => exchange(&doorway, stream, Arc::new(client)).await,
        Err(reason) => {
            doorway.proxy.recorder.shard.count(Tally::GateRefused);
            tracing::debug!(target: "router", client = %from, error = %reason, "client-turned-away");
        }
    }
}

async fn exchange<S>(doorway: &Arc<Doorway>, stream: S, client: Arc<Client>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let proxy = &doorway.proxy;
    let seated = doorway.roster.sit_down();
    let seat = Arc::clone(seated.seat());
    let service = service_fn(|request| answer(Arc::clone(proxy), Arc::clone(&client), Arc::clone(&seat), request));
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true).half_close(false);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        match seat.asked(cx.waker()) {
            Asked::Stay => {}
            Asked::Finish if finishing => {}
            Asked::Finish => {
                // A request that has arrived is served, and one that is still on its way on a new connection is
                // waited for: hyper would close both unread.
                let ended = connection.as_mut().poll(cx);
                if ended.is_ready() {
                    return ended;
                }
                if seat.has_begun() {
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
            Asked::Leave => return Poll::Ready(Ok(())),
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(target: "router", client = &*client.address, %error, "client-connection-ended");
    }
}

/// The reply; a panic on the way to it becomes one as well.
async fn answer(
    proxy: Arc<Proxy>,
    client: Arc<Client>,
    seat: Arc<Seat>,
    request: Request<Incoming>,
) -> Result<Response<ClientBody>, Infallible> {
    seat.begin();
    let handled = AssertUnwindSafe(proxy.handle(&client, request)).catch_unwind().await;
    let mut response = handled.unwrap_or_else(|panic| {
        proxy.recorder.shard.count(Tally::Panic);
        let error = panic.downcast_ref::<&str>().map(ToString::to_string);
        let error = error.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(target: "proxy", client = &*client.address, error, "panic-check");
        unknown_failure()
    });
    response.body_mut().seat(seat);
    Ok(response)
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
    use std::time::Instant;

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
        upstream::{Upstream, dial::DialTimes, idle},
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
        };
        let dialer = Dialer::new(Trust::new(&[], false).unwrap(), None, DialerSettings::default()).unwrap();
        let times = DialTimes { dial: Duration::MAX, probe_interval: None };
        let limits = idle::Limits { total: 0, per_peer: 0 };
        let proxy = Proxy {
            table: Arc::new(Table::new(table)),
            upstream: Upstream::new(Arc::new(dialer), times, limits),
            settings: Arc::new(settings),
            recorder: Arc::new(Recorder { shard: Metrics::new(1, Buckets::default()).shard(0), sink: None }),
            origin: Instant::now(),
            leaving: Stopping::new(),
            drain: Drain::new(),
        };
        let entry = Entry { proxy_lines: false, plain: ClientCert::Keep, tls: None, domains: Domains::default() };
        let (closing, roster) = (Stopping::new(), Roster::default());
        Arc::new(Doorway { proxy: Arc::new(proxy), entry: Arc::new(entry), idle_timeout: None, closing, roster })
    }

    #[tokio::test]
    async fn a_request_that_has_come_when_all_are_asked_to_finish_is_answered() {
        let doorway = doorway();
        let (mut client, server) = duplex(10_000);
        let mut serving = pin!(exchange(&doorway, server, Arc::new(Client::at(([127, 0, 0, 1], 1).into()))));
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
        let mut serving = pin!(exchange(&doorway, server, Arc::new(Client::at(([127, 0, 0, 1], 1).into()))));
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
