//! One connection of an app: read a request, decide, answer, again.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::http2::{self, Origin};
use super::received::{KEPT, Received};
use super::reply::Reply;
use crate::io::Io;
use crate::peers::{Counts, ReadyDoor};
use crate::wire::{Framing, Head, Wire};

const PIECE: usize = 64 * 1024;

pub(super) type Rule = dyn Fn(&Received) -> Reply + Send + Sync;

pub(super) struct State {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) counts: Arc<Counts>,
    pub(super) bytes_out: AtomicU64,
    pub(super) received: Mutex<VecDeque<Received>>,
    /// One permit lets one waiting step go on; closed lets all of them.
    pub(super) gate: Semaphore,
    pub(super) hang_up: Mutex<CancellationToken>,
    /// Told to go elsewhere: the HTTP/2 connections that are open now.
    pub(super) go_away: Mutex<CancellationToken>,
    pub(super) cancelled: AtomicU64,
    pub(super) max_streams: Option<u32>,
    pub(super) rule: Box<Rule>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("name", &self.name).field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(name: String, instance: String, rule: Box<Rule>, max_streams: Option<u32>) -> Self {
        Self {
            name,
            instance,
            counts: Arc::default(),
            bytes_out: AtomicU64::new(0),
            received: Mutex::default(),
            gate: Semaphore::new(0),
            hang_up: Mutex::default(),
            go_away: Mutex::default(),
            cancelled: AtomicU64::new(0),
            max_streams,
            rule,
        }
    }

    pub(super) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    pub(super) fn going_away(&self) -> CancellationToken {
        self.go_away.lock().expect("no holder panics").clone()
    }

    pub(super) fn keep(&self, request: Received) {
        let mut received = self.received.lock().expect("no holder panics");
        if received.len() == KEPT {
            received.pop_front();
        }
        received.push_back(request);
    }

    pub(super) async fn released(&self) {
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
    }
}

/// Whether the connection takes another request.
enum Next {
    Another,
    Over,
}

pub(super) async fn connection(tcp: TcpStream, door: Arc<ReadyDoor>, state: Arc<State>) {
    let _here = state.counts.arrive();
    let number = state.counts.connections();
    let hang_up = state.hang_up.lock().expect("no holder panics").clone();
    let talk = async {
        let Ok(io) = door.admit(tcp, &state.counts).await else { return };
        let certificate = io.peer_certificate();
        if io.speaks_http2() {
            return http2::connection(io, state.clone(), Origin { number, certificate }).await;
        }
        let mut wire = Wire::metered(io, state.counts.meter());
        loop {
            match exchange(&mut wire, &state, number, certificate.as_deref()).await {
                Ok(Next::Another) => {}
                Ok(Next::Over) => break drop(wire.io.shutdown().await),
                // A reset to send must not be preceded by an orderly end.
                Err(_) => break,
            }
        }
    };
    tokio::select! {
        () = hang_up.cancelled() => {}
        () = talk => {}
    }
}

async fn exchange(wire: &mut Wire<Io>, state: &State, number: u64, certificate: Option<&[u8]>) -> io::Result<Next> {
    let Some(raw) = wire.head().await? else { return Ok(Next::Over) };
    state.counts.request();
    let head = Head::parse(&raw);
    let framing = head.framing().unwrap_or(Framing::Nothing);
    let mut request = Received::of(head);
    request.connection = number;
    request.client_certificate = certificate.map(<[u8]>::to_vec);
    if request.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
        send(wire, "HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let trailers = wire.body(framing, &mut |piece| request.append(piece)).await;
    request.raw = wire.remembered();
    request.complete = trailers.is_ok();
    let outcome = trailers.map(|trailers| request.trailers = trailers);
    state.keep(request.clone());
    outcome?;
    let reply = (state.rule)(&request);
    answer(wire, state, &request, reply).await
}

async fn answer(wire: &mut Wire<Io>, state: &State, request: &Received, mut reply: Reply) -> io::Result<Next> {
    while let Reply::AfterRelease(inner) = reply {
        tokio::select! {
            () = state.released() => {}
            () = gone(wire) => return Ok(Next::Over),
        }
        reply = *inner;
    }
    if let Reply::Echo = reply {
        reply = Reply::echo(&state.name, &state.instance, request);
    }
    let again = if request.keeps_alive() { Next::Another } else { Next::Over };
    let silent = request.method == "HEAD";
    match reply {
        Reply::Full { status, headers, body } => {
            let mut head = status_line(state, status);
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
            let body = if silent { &[][..] } else { &body[..] };
            send(wire, [head.as_bytes(), body].concat()).await?;
        }
        Reply::Raw(bytes) => send(wire, bytes).await?,
        Reply::RawThenClose(bytes) => {
            send(wire, bytes).await?;
            return Ok(Next::Over);
        }
        Reply::Stream { bytes, chunked } => stream(wire, state, bytes, chunked, silent).await?,
        Reply::Trickle { bytes, step, pause } => {
            send(wire, status_line(state, 200) + &format!("Content-Length: {bytes}\r\n\r\n")).await?;
            let mut left = if silent { 0 } else { bytes };
            while left > 0 {
                tokio::time::sleep(pause).await;
                let now = left.min(step.max(1));
                send(wire, vec![b'x'; now]).await?;
                left -= now;
            }
        }
        Reply::Events(count) => events(wire, state, count).await?,
        Reply::WithTrailers { body, trailers } => {
            let names: Vec<&str> = trailers.iter().map(|(name, _)| name.as_str()).collect();
            let head = format!("Trailer: {}\r\nTransfer-Encoding: chunked\r\n\r\n", names.join(", "));
            send(wire, status_line(state, 200) + &head).await?;
            let mut rest = format!("{:x}\r\n", body.len()).into_bytes();
            rest.extend_from_slice(&body);
            let fields = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            rest.extend_from_slice(format!("\r\n0\r\n{}\r\n", fields.collect::<String>()).as_bytes());
            if !silent {
                send(wire, rest).await?;
            }
        }
        Reply::Tunnel => {
            tunnel(wire, state, request.header("upgrade").unwrap_or("echo")).await?;
            return Ok(Next::Over);
        }
        Reply::Close => return Ok(Next::Over),
        Reply::Reset => {
            let _ = wire.io.tcp().set_zero_linger();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Reply::Echo | Reply::AfterRelease(_) => unreachable!("resolved above"),
    }
    Ok(again)
}

fn status_line(state: &State, status: u16) -> String {
    let reason = if status == 200 { "OK" } else { "Status" };
    format!("HTTP/1.1 {status} {reason}\r\nx-app: {}\r\nx-instance: {}\r\n", state.name, state.instance)
}

async fn send(wire: &mut Wire<Io>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    wire.io.write_all(bytes.as_ref()).await?;
    wire.io.flush().await
}

async fn stream(wire: &mut Wire<Io>, state: &State, bytes: u64, chunked: bool, silent: bool) -> io::Result<()> {
    let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {bytes}") };
    send(wire, status_line(state, 200) + &framing + "\r\n\r\n").await?;
    if silent {
        return Ok(());
    }
    let piece = vec![b'x'; PIECE];
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        if chunked {
            send(wire, format!("{now:x}\r\n")).await?;
        }
        wire.io.write_all(&piece[..now]).await?;
        if chunked {
            send(wire, "\r\n").await?;
        }
        state.bytes_out.fetch_add(now as u64, Relaxed);
        left -= now as u64;
    }
    if chunked {
        send(wire, "0\r\n\r\n").await?;
    }
    wire.io.flush().await
}

async fn events(wire: &mut Wire<Io>, state: &State, count: u64) -> io::Result<()> {
    let head = "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
    send(wire, status_line(state, 200) + head).await?;
    for number in 0..count {
        tokio::select! {
            () = state.released() => {}
            () = gone(wire) => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        let event = format!("data: {number}\n\n");
        send(wire, format!("{:x}\r\n{event}\r\n", event.len())).await?;
    }
    send(wire, "0\r\n\r\n").await
}

async fn tunnel(wire: &mut Wire<Io>, state: &State, protocol: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nx-app: {}\r\nx-instance: {}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n",
        state.name, state.instance
    );
    send(wire, head).await?;
    loop {
        let piece = wire.some(PIECE).await?;
        wire.remembered();
        if piece.is_empty() {
            return Ok(());
        }
        send(wire, &piece).await?;
        state.bytes_out.fetch_add(piece.len() as u64, Relaxed);
    }
}

/// Ends when the client does; what it sends meanwhile stays for the next request.
async fn gone(wire: &mut Wire<Io>) {
    while wire.fill().await.is_ok_and(|count| count > 0) {}
}
