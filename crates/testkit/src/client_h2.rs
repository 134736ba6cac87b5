//! An HTTP/2 client: [`Client`] for whole exchanges on the `h2` crate, [`raw::Raw`] for frames that no library sends.
//!
//! Both run on the caller's runtime, and give up after a while instead of hanging.

pub mod raw;

use std::{fmt, future::poll_fn, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request, StatusCode};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub use h2::{Error, Reason, RecvStream, SendStream, client::Builder};

use crate::tls::ClientTls;

const PATIENCE: Duration = Duration::from_secs(10);

/// One connection, over TLS with ALPN `h2`. Dropping it ends the connection.
pub struct Client {
    /// Opens streams; clones share the connection.
    pub send: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), Error>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("h2::Client").finish_non_exhaustive()
    }
}

/// An exchange under way.
#[derive(Debug)]
pub struct Call {
    /// The answer's head, when it comes.
    pub response: ResponseFuture,
    /// The request's body, unless the head ended the stream. Dropping it does not reset the stream as long as
    /// `response` is there.
    pub body: SendStream<Bytes>,
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// Fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
    /// Trailers, empty if none came.
    pub trailers: HeaderMap,
}

impl Response {
    /// The first value of a field; panics if it is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("the field is text"))
    }

    /// The body as text; panics if it isn't UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON; panics, showing the body, if it isn't.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// `GET https://<host><path>`.
pub fn get(host: &str, path: &str) -> Request<()> {
    request("GET", host, path)
}

/// A request without fields; add what is needed.
pub fn request(method: &str, host: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("https://{host}{path}")).body(()).expect("a method, a host, a path")
}

impl Client {
    /// Connects; `tls` needs no ALPN of its own. Fails if the server does not choose `h2`.
    pub async fn connect(addr: SocketAddr, tls: &ClientTls) -> io::Result<Self> {
        Self::connect_with(addr, tls, &Builder::new()).await
    }

    /// The same with settings of one's own: windows, limits, and so on.
    pub async fn connect_with(addr: SocketAddr, tls: &ClientTls, settings: &Builder) -> io::Result<Self> {
        let stream = connect_tls(addr, tls).await?;
        let (send, connection) = in_time(settings.handshake(stream)).await?.map_err(io::Error::other)?;
        Ok(Self { send, driver: tokio::spawn(connection) })
    }

    /// Sends a head, and ends the stream with it if nothing follows. Waits until the server allows another stream.
    pub async fn start(&self, request: Request<()>, is_all: bool) -> Result<Call, Error> {
        let mut send = late(self.send.clone().ready()).await?;
        let (response, body) = send.send_request(request, is_all)?;
        Ok(Call { response, body })
    }

    /// A whole exchange with a request that has no body.
    pub async fn ask(&self, request: Request<()>) -> Result<Response, Error> {
        self.start(request, true).await?.whole().await
    }

    /// A GET.
    pub async fn get(&self, host: &str, path: &str) -> Result<Response, Error> {
        self.ask(get(host, path)).await
    }

    /// A whole exchange with a body, sent as fast as it is taken.
    pub async fn send(&self, request: Request<()>, body: impl Into<Bytes>) -> Result<Response, Error> {
        let mut call = self.start(request, false).await?;
        call.body.send_data(body.into(), true)?;
        call.whole().await
    }

    /// Waits until the connection has ended, as it does after GOAWAY; the error if it did not end in order.
    pub async fn ended(self) -> Result<(), Error> {
        let Self { send, driver } = self;
        let ended = late(driver).await.expect("the driver does not panic");
        drop(send);
        match ended {
            // Our own last word came when the server, which had said its own, was gone.
            Err(error) if error.get_io().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => Ok(()),
            ended => ended,
        }
    }

    /// Cuts the connection without a word of HTTP/2.
    pub async fn cut(self) {
        self.driver.abort();
        let _ = self.driver.await;
    }
}

impl Call {
    /// The head; its body is read by [`data`] and [`rest`].
    pub async fn head(self) -> Result<http::Response<RecvStream>, Error> {
        late(self.response).await
    }

    /// The whole answer.
    pub async fn whole(self) -> Result<Response, Error> {
        let Self { response, body: _body } = self;
        let (head, mut incoming) = late(response).await?.into_parts();
        let (body, trailers) = rest(&mut incoming).await?;
        Ok(Response { status: head.status, headers: head.headers, body, trailers: trailers.unwrap_or_default() })
    }
}

/// The next piece of a body, which is given back to the server's windows; none at the end.
pub async fn data(body: &mut RecvStream) -> Result<Option<Bytes>, Error> {
    let Some(piece) = late(body.data()).await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(piece.len())?;
    Ok(Some(piece))
}

/// All that comes of a body until its end, and the trailers.
pub async fn rest(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), Error> {
    let mut all = Vec::new();
    while let Some(piece) = data(body).await? {
        all.extend_from_slice(&piece);
    }
    Ok((all, late(body.trailers()).await?))
}

/// Sends `piece` as the server's windows open.
pub async fn send_data(body: &mut SendStream<Bytes>, mut piece: Bytes, is_last: bool) -> Result<(), Error> {
    while !piece.is_empty() {
        body.reserve_capacity(piece.len());
        while body.capacity() == 0 {
            match late(poll_fn(|cx| body.poll_capacity(cx))).await {
                Some(room) => room?,
                None => return Err(Reason::STREAM_CLOSED.into()),
            };
        }
        let part = piece.split_to(body.capacity().min(piece.len()));
        body.send_data(part, is_last && piece.is_empty())?;
    }
    Ok(())
}

/// A TLS connection on which `h2` was agreed.
pub(crate) async fn connect_tls(addr: SocketAddr, tls: &ClientTls) -> io::Result<TlsStream<TcpStream>> {
    let tls = tls.clone().alpn(&["h2"]);
    let tcp = in_time(TcpStream::connect(addr)).await??;
    tcp.set_nodelay(true)?;
    let stream = in_time(TlsConnector::from(tls.config()).connect(tls.server_name(), tcp)).await??;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not choose h2"));
    }
    Ok(stream)
}

async fn in_time<T>(step: impl Future<Output = T>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("nothing within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, step).await.map_err(late)
}

/// As [`in_time`], where the error says nothing about the clock.
async fn late<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step).await.unwrap_or_else(|_| panic!("nothing within {PATIENCE:?}"))
}
