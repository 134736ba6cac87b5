//! One HTTP/2 connection of an app: requests side by side, each answered by the app's rule.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::received::Received;
use super::reply::Reply;
use super::serve::State;
use crate::io::Io;

const PIECE: usize = 16 * 1024;

/// Which connection this is, and who is at its other end.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) number: u64,
    pub(super) certificate: Option<Vec<u8>>,
}

/// Serves until the client leaves, or until an answer closes the connection.
pub(super) async fn connection(io: Io, state: Arc<State>, origin: Origin) {
    let metered = Metered { io, arrived: state.counts.meter() };
    let mut builder = Builder::new();
    if let Some(streams) = state.max_streams {
        builder.max_concurrent_streams(streams);
    }
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(metered).await else { return };
    let (close, going, tasks) = (CancellationToken::new(), state.going_away(), TaskTracker::new());
    let mut asked = false;
    loop {
        tokio::select! {
            () = close.cancelled() => return,
            () = going.cancelled(), if !asked => {
                asked = true;
                connection.graceful_shutdown();
            }
            next = connection.accept() => match next {
                Some(Ok((request, respond))) => {
                    let (state, close, origin) = (state.clone(), close.clone(), origin.clone());
                    tasks.spawn(async move { exchange(request, respond, &state, &close, origin).await });
                }
                Some(Err(_)) | None => break,
            },
        }
    }
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    state: &State,
    close: &CancellationToken,
    origin: Origin,
) {
    state.counts.request();
    let (parts, mut body) = request.into_parts();
    let mut got = Received::of_http2(&parts);
    got.connection = origin.number;
    got.client_certificate = origin.certificate;
    if got.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        let mut go_on = Response::new(());
        *go_on.status_mut() = http::StatusCode::CONTINUE;
        let _ = respond.send_informational(go_on);
    }
    got.complete = read(&mut body, &mut got).await.is_ok();
    state.keep(got.clone());
    if got.complete {
        answer(&mut respond, state, &got, close).await;
    }
}

async fn read(body: &mut RecvStream, got: &mut Received) -> Result<(), h2::Error> {
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        got.append(&piece);
    }
    for (name, value) in body.trailers().await?.into_iter().flatten() {
        let name = name.map(|name| name.to_string()).unwrap_or_default();
        got.trailers.push((name, String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    Ok(())
}

async fn answer(respond: &mut SendResponse<Bytes>, state: &State, got: &Received, close: &CancellationToken) {
    let mut reply = (state.rule)(got);
    while let Reply::AfterRelease(inner) = reply {
        tokio::select! {
            () = state.released() => {}
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return state.cancelled(),
        }
        reply = *inner;
    }
    if let Reply::Echo = reply {
        reply = Reply::echo(&state.name, &state.instance, got);
    }
    let silent = got.method == "HEAD";
    let head = |status: u16| {
        Response::builder().status(status).header("x-app", &state.name).header("x-instance", &state.instance)
    };
    let sent = match reply {
        Reply::Full { status, headers, body } => {
            let made = headers.iter().fold(head(status), |made, (name, value)| made.header(name, value));
            let made = made.header("content-length", body.len());
            send(respond, made, if silent { Bytes::new() } else { body.into() }).await
        }
        Reply::Stream { bytes, chunked } => {
            let made = if chunked { head(200) } else { head(200).header("content-length", bytes) };
            stream(respond, state, made, if silent { 0 } else { bytes }).await
        }
        Reply::Trickle { bytes, step, pause } => {
            let made = head(200).header("content-length", bytes);
            trickle(respond, made, if silent { 0 } else { bytes }, step, pause).await
        }
        Reply::Events(count) => {
            let made = head(200).header("content-type", "text/event-stream").header("cache-control", "no-cache");
            events(respond, state, made, count).await
        }
        Reply::WithTrailers { body, trailers } => with_trailers(respond, head(200), body, &trailers).await,
        Reply::Close => return close.cancel(),
        // What cannot be said in HTTP/2.
        Reply::Tunnel => return respond.send_reset(Reason::HTTP_1_1_REQUIRED),
        Reply::Raw(_) | Reply::RawThenClose(_) | Reply::Reset => {
            return respond.send_reset(Reason::INTERNAL_ERROR);
        }
        Reply::Echo | Reply::AfterRelease(_) => unreachable!("resolved above"),
    };
    if sent.is_err() {
        state.cancelled();
    }
}

fn begin(
    respond: &mut SendResponse<Bytes>,
    head: http::response::Builder,
    ended: bool,
) -> Result<SendStream<Bytes>, h2::Error> {
    respond.send_response(head.body(()).expect("a reply's fields are fields"), ended)
}

async fn send(respond: &mut SendResponse<Bytes>, head: http::response::Builder, body: Bytes) -> Result<(), h2::Error> {
    let mut sink = begin(respond, head, body.is_empty())?;
    if body.is_empty() { Ok(()) } else { push(&mut sink, body, true).await }
}

/// Sends a piece as the client's window has room for it.
async fn push(sink: &mut SendStream<Bytes>, mut piece: Bytes, last: bool) -> Result<(), h2::Error> {
    while !piece.is_empty() {
        sink.reserve_capacity(piece.len());
        let room = match sink.capacity() {
            0 => match poll_fn(|cx| sink.poll_capacity(cx)).await {
                Some(room) => room?,
                None => return Err(Reason::CANCEL.into()),
            },
            room => room,
        };
        let now = piece.split_to(room.min(piece.len()));
        sink.send_data(now, last && piece.is_empty())?;
    }
    Ok(())
}

async fn stream(
    respond: &mut SendResponse<Bytes>,
    state: &State,
    head: http::response::Builder,
    bytes: u64,
) -> Result<(), h2::Error> {
    let mut sink = begin(respond, head, bytes == 0)?;
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        left -= now as u64;
        push(&mut sink, piece.slice(..now), left == 0).await?;
        state.bytes_out.fetch_add(now as u64, Relaxed);
    }
    Ok(())
}

async fn trickle(
    respond: &mut SendResponse<Bytes>,
    head: http::response::Builder,
    bytes: usize,
    step: usize,
    pause: std::time::Duration,
) -> Result<(), h2::Error> {
    let mut sink = begin(respond, head, bytes == 0)?;
    let mut left = bytes;
    while left > 0 {
        tokio::time::sleep(pause).await;
        let now = left.min(step.max(1));
        left -= now;
        push(&mut sink, vec![b'x'; now].into(), left == 0).await?;
    }
    Ok(())
}

async fn events(
    respond: &mut SendResponse<Bytes>,
    state: &State,
    head: http::response::Builder,
    count: u64,
) -> Result<(), h2::Error> {
    let mut sink = begin(respond, head, false)?;
    for number in 0..count {
        tokio::select! {
            () = state.released() => {}
            _ = poll_fn(|cx| sink.poll_reset(cx)) => return Err(Reason::CANCEL.into()),
        }
        push(&mut sink, format!("data: {number}\n\n").into(), false).await?;
    }
    sink.send_data(Bytes::new(), true)
}

async fn with_trailers(
    respond: &mut SendResponse<Bytes>,
    head: http::response::Builder,
    body: Vec<u8>,
    trailers: &[(String, String)],
) -> Result<(), h2::Error> {
    let names: Vec<&str> = trailers.iter().map(|(name, _)| name.as_str()).collect();
    let mut sink = begin(respond, head.header("trailer", names.join(", ")), false)?;
    push(&mut sink, body.into(), false).await?;
    let mut fields = http::HeaderMap::new();
    for (name, value) in trailers {
        let name: http::HeaderName = name.parse().expect("a trailer's name is a field's name");
        fields.append(name, value.parse().expect("a trailer's value is a field's value"));
    }
    sink.send_trailers(fields)
}

/// Counts what comes in.
struct Metered {
    io: Io,
    arrived: Arc<AtomicU64>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.arrived.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
