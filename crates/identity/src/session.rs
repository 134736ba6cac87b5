//! One TLS session over a socket: the engine under [`Secured`](crate::Secured).
//!
//! rustls takes about one record per read; a 1 MiB body then costs 70 system calls. Here one recv fills a
//! buffer that the thread's sessions share, and every record in it is decrypted at once, so that an idle
//! session holds no buffer and a large body costs few calls. A short recv is never followed by another
//! one: tokio takes it as the end of readiness.
//!
//! Every fatal alert is noted, also the one that hides behind a failed write: a peer that refuses our
//! certificate in TLS 1.3 says so after its handshake is over for us, and closes (engineering.md B4).

use std::{
    cell::RefCell,
    io::{self, BufRead, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use rustls::{AlertDescription, Connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    frame::Frames,
    incoming::{Broken, Dead, Incoming, Receive, SCRATCH, SMALLEST_READ},
};

mod wire;

use wire::{Now, Waiting};

thread_local! {
    static WIRE: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

pub(crate) struct Session {
    io: TcpStream,
    tls: Box<Connection>,
    incoming: Incoming,
    app_bytes_in: u64,
    wire_bytes_out: u64,
    alert: Option<AlertDescription>,
    close_notify_sent: bool,
}

impl Session {
    pub(crate) fn new(io: TcpStream, tls: Connection, frames: Frames) -> Self {
        Self {
            io,
            tls: Box::new(tls),
            incoming: Incoming::new(frames),
            app_bytes_in: 0,
            wire_bytes_out: 0,
            alert: None,
            close_notify_sent: false,
        }
    }

    pub(crate) fn tls(&self) -> &Connection {
        &self.tls
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.io
    }

    pub(crate) fn alert(&self) -> Option<AlertDescription> {
        self.alert
    }

    pub(crate) fn app_bytes_in(&self) -> u64 {
        self.app_bytes_in
    }

    pub(crate) fn close_notified(&self) -> bool {
        self.incoming.close_notified
    }

    pub(crate) fn set_read_limit(&mut self, bytes: usize) {
        self.incoming.read_limit = bytes;
    }

    /// Whether text waits that nobody has asked for.
    pub(crate) fn holds_text(&self) -> bool {
        self.incoming.holds_text()
    }

    /// Why nothing more will come, if so.
    pub(crate) fn ended(&self) -> Option<io::Result<()>> {
        self.incoming.ended()
    }

    /// Runs the handshake. What we send last stays in the buffer in TLS 1.3 if `hold_last_flight`, to ride
    /// with the first request in one packet; any read or write sends it.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>, hold_last_flight: bool) -> Poll<Result<(), Broken>> {
        loop {
            let held_back = hold_last_flight && !self.tls.is_handshaking();
            if self.tls.wants_write()
                && !held_back
                && let Err(error) = ready!(self.poll_send(cx))
            {
                return Poll::Ready(Err(self.incoming.broken(error)));
            }
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_recv_early(cx))?;
        }
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let out = self.wire_bytes_out;
            let taken = self.tls.writer().write(bytes)?;
            match self.poll_send(cx) {
                // A part of it may be on its way: to say that nothing was taken would let it be sent again elsewhere.
                // The next call tells of the failure.
                Poll::Ready(Err(_)) if taken > 0 && self.wire_bytes_out > out => return Poll::Ready(Ok(taken)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                _ if taken > 0 => return Poll::Ready(Ok(taken)),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.close_notify_sent {
            self.tls.send_close_notify();
            self.close_notify_sent = true;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Takes in what has arrived, without waiting; whether anything came.
    pub(crate) fn take_in_now(&mut self) -> bool {
        self.send_what_goes();
        WIRE.with_borrow_mut(|wire| match self.io.try_read(wire) {
            Ok(0) => {
                self.incoming.at_eof = true;
                true
            }
            Ok(count) => {
                // A failure is noted in the session, which is where the caller looks for it.
                let _ = self.with_held(|session, held| session.decrypt(&wire[..count], held));
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                self.incoming.dead = Some(Dead::Io(error.kind()));
                true
            }
        })
    }

    /// One recv into the session's own buffer.
    pub(crate) fn poll_take_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_what_goes();
        self.with_held(|session, held| session.poll_recv(cx, SMALLEST_READ, held))
    }

    /// Hands `wire` to rustls by the bufferful, which is about a record, and moves the text out in between.
    ///
    /// The pieces are not cut at the ends of records: rustls gives its buffer back whenever that is empty, and
    /// would grow it again for each record.
    fn decrypt(&mut self, wire: &[u8], text: &mut BytesMut) -> io::Result<()> {
        self.incoming.frames.follow(wire);
        let mut wire = wire;
        while !wire.is_empty() && !self.incoming.close_notified {
            if let Err(error) = self.tls.read_tls(&mut wire as &mut dyn Read) {
                self.incoming.dead = Some(Dead::Io(error.kind()));
                return Err(error);
            }
            let processed = self.tls.process_new_packets();
            self.move_text(text); // also what came before a broken record
            match processed {
                Ok(state) => self.incoming.close_notified = state.peer_has_closed(),
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(())
    }

    fn move_text(&mut self, text: &mut BytesMut) {
        let before = text.len();
        let mut reader = self.tls.reader();
        while let Ok(chunk) = reader.fill_buf()
            && !chunk.is_empty()
        {
            let count = chunk.len();
            text.extend_from_slice(chunk);
            reader.consume(count);
        }
        self.app_bytes_in += (text.len() - before) as u64;
    }

    fn fail(&mut self, error: rustls::Error) -> io::Error {
        if let rustls::Error::AlertReceived(alert) = error {
            self.alert = Some(alert);
        }
        self.send_what_goes(); // our own alert: the peer should know why
        let dead = Dead::Tls(error);
        let told = dead.error();
        self.incoming.dead = Some(dead);
        told
    }

    /// Sends all that rustls has for the wire.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Waiting { io: &mut self.io, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.wire_bytes_out += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => {
                    self.hear_last_words(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Receive for Session {
    fn incoming(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, limit: usize, text: &mut BytesMut) -> Poll<io::Result<()>> {
        WIRE.with_borrow_mut(|wire| {
            let mut room = ReadBuf::new(&mut wire[..limit.clamp(SMALLEST_READ, SCRATCH)]);
            if let Err(error) = ready!(Pin::new(&mut self.io).poll_read(cx, &mut room)) {
                self.incoming.dead = Some(Dead::Io(error.kind()));
                return Poll::Ready(Err(error));
            }
            let wire = room.filled();
            if wire.is_empty() {
                self.incoming.at_eof = true;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(self.decrypt(wire, text))
        })
    }

    fn send_what_goes(&mut self) {
        while self.tls.wants_write() {
            if !self.tls.write_tls(&mut Now { io: &self.io }).is_ok_and(|count| count > 0) {
                return;
            }
        }
    }
}
