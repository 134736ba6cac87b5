//! One client's connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::commands::{self, Command, End, Options, Refusal};
use super::router::{Outgoing, Router};
use super::subject;
use crate::stage::Hands;
use crate::wire::Wire;

const LONGEST_LINE: usize = 4096;

/// Takes the session off the list however it ends, death of the server included.
struct Seat {
    router: Arc<Router>,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.router.leave(self.id);
    }
}

pub(super) async fn run(mut tcp: TcpStream, router: Arc<Router>, tls: Option<TlsAcceptor>, hands: Hands) {
    let (out, queue) = unbounded_channel();
    let leave = CancellationToken::new();
    let seat = Seat { router: router.clone(), id: router.enter(out, leave.clone()) };
    let greeting = greeting(&router, seat.id, tls.is_some());
    let Some(tls) = tls else {
        router.answer(seat.id, greeting.as_bytes());
        return converse(tcp, seat, queue, leave, hands).await;
    };
    // The greeting is in the clear, and tells the client to begin the handshake.
    if tcp.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    let secured = tokio::select! {
        () = leave.cancelled() => return,
        secured = tls.accept(tcp) => secured,
    };
    if let Ok(secured) = secured {
        converse(secured, seat, queue, leave, hands).await;
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    seat: Seat,
    queue: UnboundedReceiver<Outgoing>,
    leave: CancellationToken,
    hands: Hands,
) {
    let (read, write) = tokio::io::split(stream);
    let router = seat.router.clone();
    let (last_words, farewell) = tokio::sync::oneshot::channel();
    let writer = write_all(write, queue, farewell, router.clone(), seat.id);
    let written = CancellationToken::new();
    let (done, thrown_out) = (written.clone().drop_guard(), leave.clone());
    hands.spawn(async move {
        tokio::select! {
            () = thrown_out.cancelled() => {}
            () = writer => {}
        }
        drop(done);
    });
    let mut reader = Reader { wire: Wire::new(read), router, id: seat.id, options: None };
    let end = tokio::select! {
        () = leave.cancelled() => End::Left,
        end = reader.obey() => end,
    };
    if let End::Refused(refusal) = end {
        let _ = last_words.send(refusal);
        // The writer may be stuck behind a client that doesn't read.
        let _ = tokio::time::timeout(Duration::from_secs(1), written.cancelled()).await;
    } else {
        drop(last_words);
    }
}

fn greeting(router: &Router, id: u64, tls: bool) -> String {
    let mut greeting = serde_json::json!({
        "server_id": "TRUEROUTETESTKIT",
        "server_name": "testkit",
        "version": "2.9.10",
        "proto": 1,
        "host": "127.0.0.1",
        "port": router.port,
        "headers": false,
        "max_payload": router.max_payload,
        "client_id": id,
        "client_ip": "127.0.0.1",
    });
    if router.login.is_some() {
        greeting["auth_required"] = true.into();
    }
    if tls {
        greeting["tls_required"] = true.into();
    }
    format!("INFO {greeting}\r\n")
}

/// Writes what is queued, in order; ends with the connection, after the last words if there are any.
async fn write_all<S: AsyncWrite>(
    mut io: WriteHalf<S>,
    mut queue: UnboundedReceiver<Outgoing>,
    mut farewell: tokio::sync::oneshot::Receiver<Refusal>,
    router: Arc<Router>,
    id: u64,
) {
    loop {
        let next = tokio::select! {
            biased;
            next = queue.recv() => next,
            refusal = &mut farewell => {
                if let Ok(refusal) = refusal {
                    let _ = io.write_all(refusal.line()).await;
                }
                break;
            }
        };
        let Some(next) = next else { break };
        if let Some(at) = next.not_before {
            tokio::time::sleep_until(at).await;
        }
        if io.write_all(&next.bytes).await.is_err() {
            break;
        }
        router.written(id, next.bytes.len());
    }
    let _ = io.shutdown().await;
}

struct Reader<S> {
    wire: Wire<ReadHalf<S>>,
    router: Arc<Router>,
    id: u64,
    /// Set once the client is let in.
    options: Option<Options>,
}

impl<S: AsyncRead> Reader<S> {
    async fn obey(&mut self) -> End {
        loop {
            if let Err(end) = self.step().await {
                return end;
            }
        }
    }

    async fn step(&mut self) -> Result<(), End> {
        let line = self.wire.line().await?;
        self.wire.remembered();
        if line.len() > LONGEST_LINE {
            return Err(End::Refused(Refusal::LineTooLong));
        }
        let command = commands::parse(&line).ok_or(End::Refused(Refusal::UnknownOperation))?;
        match command {
            Command::Connect(options) => self.connect(options)?,
            _ if self.router.login.is_some() && self.options.is_none() => {
                return Err(End::Refused(Refusal::Authorization));
            }
            Command::Ping => {
                self.router.answer(self.id, b"PONG\r\n");
                return Ok(());
            }
            Command::Pong => return Ok(()),
            Command::Publish { subject, reply, size } => return self.publish(&subject, reply.as_deref(), size).await,
            Command::Subscribe { subject, group, sid } => {
                if !subject::is_valid(&subject) {
                    self.router.answer(self.id, b"-ERR 'Invalid Subject'\r\n");
                    return Ok(());
                }
                self.router.subscribe(self.id, subject, group, sid);
            }
            Command::Unsubscribe { sid, max } => self.router.unsubscribe(self.id, &sid, max),
        }
        self.confirm();
        Ok(())
    }

    fn connect(&mut self, options: Options) -> Result<(), End> {
        if self.router.login.is_some() && options.login != self.router.login {
            return Err(End::Refused(Refusal::Authorization));
        }
        self.options = Some(options);
        self.router.let_in(self.id);
        Ok(())
    }

    async fn publish(&mut self, subject: &str, reply: Option<&str>, size: usize) -> Result<(), End> {
        if size > self.router.max_payload {
            return Err(End::Refused(Refusal::PayloadTooLarge));
        }
        let mut payload = Vec::with_capacity(size);
        self.wire.exactly(size as u64, &mut |piece| payload.extend_from_slice(piece)).await?;
        let end = self.wire.line().await?;
        self.wire.remembered();
        if !matches!(&end[..], b"\r\n" | b"\n") {
            return Err(End::Refused(Refusal::UnknownOperation));
        }
        self.confirm();
        let no_echo = self.options.as_ref().is_some_and(|options| !options.echo);
        self.router.publish(self.id, no_echo, subject, reply, &payload);
        Ok(())
    }

    /// A verbose client hears +OK.
    fn confirm(&self) {
        if self.options.as_ref().is_some_and(|options| options.verbose) {
            self.router.answer(self.id, b"+OK\r\n");
        }
    }
}
