//! A small HTTP/1 server: one page per request, limits on everything.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{content::Content, secure::Renewed};

/// What one port and one connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From a connection's accept, or the end of its last exchange, to the end of the next request's head.
    pub read: Duration,
    /// From a response's first byte that the peer does not take to the response's last byte.
    pub write: Duration,
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
}

impl Default for Limits {
    /// Ten seconds to read, ten to write (§10), 256 connections.
    fn default() -> Self {
        Self { read: Duration::from_secs(10), write: Duration::from_secs(10), connections: 256 }
    }
}

/// A bound port, and on what terms it is served.
pub struct Port {
    /// Where clients come in.
    pub listener: TcpListener,
    /// TLS towards them, if any.
    pub tls: Option<Renewed>,
    /// What they may take.
    pub limits: Limits,
    /// Ends the service.
    pub stop: CancellationToken,
}

/// How long a response that is on its way may still take once the port closes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long to wait when accepting fails: the cause, usually a lack of descriptors, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) type Page = Response<Content>;

/// A request's body, among the extensions of its head.
#[derive(Clone)]
pub(super) struct ShortBody(pub(super) Bytes);

/// What a port answers.
pub(super) trait Site: Send + Sync + 'static {
    /// Bytes of a request's body that it wants to see, as [`ShortBody`]; a longer one is refused. With 0 no body is
    /// waited for.
    const BODY: usize = 0;

    fn answer(&self, request: &request::Parts) -> impl Future<Output = Page> + Send;
}

/// Serves `site` until the port is told to stop, then closes the listener and lets responses on their way end.
pub(super) async fn serve<S: Site>(port: Port, site: S) {
    let Port { listener, tls, limits, stop } = port;
    let site = Arc::new(site);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(welcome(stream, tls.as_ref().map(Renewed::current), Arc::clone(&site), limits, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "status-connection-not-accepted");
                    tokio::select! { () = stop.cancelled() => break, () = sleep(ACCEPT_PAUSE) => {} }
                }
            },
        }
    }
    drop(listener);
    let farewell = async { while connections.join_next().await.map(report).is_some() {} };
    _ = timeout(LAST_WORDS, farewell).await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %error, "status-connection-panicked");
    }
}

async fn welcome<S: Site>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    site: Arc<S>,
    limits: Limits,
    stop: CancellationToken,
) {
    let Some(tls) = tls else { return converse(stream, site, limits, stop).await };
    match timeout(limits.read, tls.accept(stream)).await {
        Ok(Ok(secured)) => converse(secured, site, limits, stop).await,
        Ok(Err(error)) => tracing::debug!(error = %error, "status-handshake-failed"),
        Err(_) => tracing::debug!("status-handshake-timed-out"),
    }
}

async fn converse<S: Site, T>(stream: T, site: Arc<S>, limits: Limits, stop: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move {
            let (mut head, body) = request.into_parts();
            if S::BODY > 0 {
                let collected = timeout(limits.read, Limited::new(body, S::BODY).collect()).await;
                let Ok(Ok(body)) = collected else {
                    return Ok(error(StatusCode::PAYLOAD_TOO_LARGE, "413 Payload Too Large\n"));
                };
                head.extensions.insert(ShortBody(body.to_bytes()));
            }
            Ok::<_, Infallible>(site.answer(&head).await)
        }
    });
    let stream = TokioIo::new(WriteDeadline { stream, patience: limits.write, deadline: None });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read)
        .serve_connection(stream, answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Probes that hang up and clients that stall are daily bread.
        tracing::debug!(error = %error, "status-connection-failed");
    }
}

/// A page of plain text.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Content::of(body));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    page
}

/// A status and nothing else.
pub(super) fn empty(status: StatusCode) -> Page {
    let mut page = Page::default();
    *page.status_mut() = status;
    page
}

/// An error as plain text that no browser may take for anything else.
pub(super) fn error(status: StatusCode, body: impl Into<Bytes>) -> Page {
    let mut page = text(status, body);
    page.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    page
}

/// The page is there, for other methods.
pub(super) fn other_methods(allowed: &'static str) -> Page {
    let mut page = error(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed\n");
    page.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    page
}

/// A page of JSON, or of plain text.
pub(super) fn told(status: StatusCode, content_type: &'static str, body: String) -> Page {
    let mut page = Response::new(Content::of(body));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    page.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    page
}

pub(super) fn not_found() -> Page {
    error(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// A page that `make` takes long to write: it runs on a thread of its own, so that the control plane goes on.
pub(super) async fn made(content_type: &'static str, make: impl FnOnce() -> String + Send + 'static) -> Page {
    match tokio::task::spawn_blocking(make).await {
        Ok(body) => {
            let mut page = Response::new(Content::of(body));
            page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            page
        }
        Err(failed) => {
            report(Err(failed));
            error(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n")
        }
    }
}

/// A page that `make` hands over part by part, on a thread of its own, as fast as the client takes it.
pub(super) fn streamed(
    content_type: &'static str,
    make: impl FnOnce(&mut dyn FnMut(Bytes) -> bool) + Send + 'static,
) -> Page {
    let mut page = Response::new(Content::made(make));
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    page
}

/// A stream whose peer must take what is written within a time: from the first write that it does not take until
/// everything is flushed.
struct WriteDeadline<T> {
    stream: T,
    patience: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<T> WriteDeadline<T> {
    fn watch<W>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<W>>) -> Poll<io::Result<W>> {
        if written.is_pending() {
            let patience = self.patience;
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(patience)));
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteDeadline<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.deadline = None;
        }
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
