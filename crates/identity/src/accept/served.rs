//! The TLS of a connection that was accepted, over its socket.
//!
//! Where [`Session`](crate::session::Session) leaves the buffers to rustls, which keeps 4 KiB per connection from the
//! first read on, here they are the thread's: a recv is decrypted where it arrived, and what is encrypted lies in one
//! piece for one send. A connection keeps only what is unfinished: a part of a record, or what the socket did not take.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use rustls::{
    CommonState, Error,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    frame::Frames,
    incoming::{Broken, Dead, Incoming, Receive, SCRATCH, SMALLEST_READ},
};

/// The most that a record adds to its text, in any version and suite; more is asked for where it is not enough.
const RECORD_EXTRA: usize = 32;

/// Text of one record at most.
const RECORD: usize = 16 * 1024;

/// What one write takes at most, unless told otherwise.
const WRITE_LIMIT: usize = 64 * 1024;

mod room;

use room::put;

thread_local! {
    static ARRIVING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static LEAVING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Served {
    io: TcpStream,
    tls: Box<UnbufferedServerConnection>,
    incoming: Incoming,
    /// What has arrived of a record that is not whole.
    unfinished: Vec<u8>,
    /// Records that the socket did not take yet: `unsent[sent..]`.
    unsent: Vec<u8>,
    sent: usize,
    write_limit: usize,
    close_notify_sent: bool,
}

impl Served {
    /// A connection of which `hello` has been read, and followed by `frames`.
    pub(super) fn new(io: TcpStream, tls: UnbufferedServerConnection, hello: Vec<u8>, frames: Frames) -> Self {
        Self {
            io,
            tls: Box::new(tls),
            incoming: Incoming::new(frames),
            unfinished: hello,
            unsent: Vec::new(),
            sent: 0,
            write_limit: WRITE_LIMIT,
            close_notify_sent: false,
        }
    }

    pub(super) fn tls(&self) -> &CommonState {
        &self.tls
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.io
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.io
    }

    pub(super) fn close_notified(&self) -> bool {
        self.incoming.close_notified
    }

    pub(super) fn set_read_limit(&mut self, bytes: usize) {
        self.incoming.read_limit = bytes;
    }

    pub(super) fn set_write_limit(&mut self, bytes: usize) {
        self.write_limit = bytes.max(1);
    }

    /// Runs the handshake.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if !self.unfinished.is_empty() && self.tls.is_handshaking() {
            // The hello, or a part of a message that stays here until the next recv.
            let mut wire = std::mem::take(&mut self.unfinished);
            if let Err(error) = self.with_held(|session, held| session.decrypt(&mut wire, held)) {
                return Poll::Ready(Err(self.incoming.broken(error)));
            }
        }
        loop {
            if let Err(error) = ready!(self.poll_send(cx)) {
                return Poll::Ready(Err(self.incoming.broken(error)));
            }
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_recv_early(cx))?;
        }
    }

    /// Takes text once everything before it is on its way. What the socket does not take of it is kept and sent by the
    /// next call of any kind.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let bytes = &bytes[..bytes.len().min(self.write_limit)];
        LEAVING.with_borrow_mut(|leaving| {
            let room = bytes.len() + bytes.len().div_ceil(RECORD) * RECORD_EXTRA;
            let count = self.encode(leaving, 0, room, |writer, room| writer.encrypt(bytes, room))?;
            self.send_or_keep(cx, &leaving[..count])?;
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// Fills `leaving` from `used` on with what `last` writes into about `room` bytes, and what has to go before it.
    /// Returns up to where.
    fn encode(
        &mut self,
        leaving: &mut Vec<u8>,
        mut used: usize,
        room: usize,
        mut last: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        if let Some(dead @ Dead::Tls(_)) = &self.incoming.dead {
            return Err(dead.error());
        }
        loop {
            let UnbufferedStatus { state, .. } = self.tls.process_tls_records(&mut self.unfinished);
            match state.map_err(failed)? {
                ConnectionState::EncodeTlsData(mut record) => {
                    used = put(leaving, used, RECORD_EXTRA, |room| Ok(record.encode(room)?))?;
                }
                ConnectionState::TransmitTlsData(record) => record.done(),
                ConnectionState::WriteTraffic(mut writer) => {
                    return put(leaving, used, room, |room| Ok(last(&mut writer, room)?));
                }
                // Both ends have said close_notify.
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.close_notify_sent {
            self.close_notify_sent = true;
            self.say_close_notify();
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn say_close_notify(&mut self) {
        let mut unsent = std::mem::take(&mut self.unsent);
        let used = unsent.len();
        // Fails where the connection has broken, and then there is nobody to tell.
        let told = self.encode(&mut unsent, used, RECORD_EXTRA, |writer, room| writer.queue_close_notify(room));
        unsent.truncate(told.unwrap_or(used));
        self.unsent = unsent;
    }

    /// Decrypts what is whole of `wire`, and keeps the rest.
    fn decrypt(&mut self, wire: &mut [u8], text: &mut BytesMut) -> io::Result<()> {
        let mut done = 0;
        let end = loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(&mut wire[done..]);
            let more = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        text.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                    // Most of what arrives is one record.
                    Ok(done + discard < wire.len() || self.tls.wants_write())
                }
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    let used = self.unsent.len();
                    put(&mut self.unsent, used, RECORD_EXTRA, |room| Ok(record.encode(room)?)).map(|to| {
                        self.unsent.truncate(to);
                        true
                    })
                }
                Ok(ConnectionState::TransmitTlsData(record)) => {
                    record.done();
                    Ok(true)
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.incoming.close_notified = true;
                    Ok(true)
                }
                Ok(_) => Ok(false),
                Err(error) => {
                    self.incoming.dead = Some(Dead::Tls(error.clone()));
                    Err(failed(error))
                }
            };
            done += discard;
            match more {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if end.is_err() {
            self.say_why(&mut wire[done..]);
        } else {
            self.unfinished = wire[done..].to_vec();
        }
        end
    }

    /// Sends our own alert: the peer should know why. rustls still looks at the `rest` of what has arrived, and must not
    /// be asked about it again once it has no more to send.
    fn say_why(&mut self, mut rest: &mut [u8]) {
        while self.tls.wants_write() {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(mut record)) = state else { break };
            let used = self.unsent.len();
            let Ok(to) = put(&mut self.unsent, used, RECORD_EXTRA, |room| Ok(record.encode(room)?)) else { break };
            self.unsent.truncate(to);
            rest = &mut rest[discard..];
        }
        self.send_what_goes();
    }

    /// Sends `records`, or keeps what does not go now. An error of the first byte is told; a later one by the next call,
    /// because to say that nothing was taken would let it be sent again elsewhere.
    fn send_or_keep(&mut self, cx: &mut Context<'_>, records: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < records.len() {
            match Pin::new(&mut self.io).poll_write(cx, &records[sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) if sent == 0 => {
                    self.hear_last_words(cx);
                    return Err(error);
                }
                Poll::Ready(Err(_)) | Poll::Pending => {
                    self.unsent.extend_from_slice(&records[sent..]);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends all that is kept.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent[self.sent..])) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.sent += count,
                Err(error) => {
                    self.hear_last_words(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.forget_sent();
        Poll::Ready(Ok(()))
    }

    fn forget_sent(&mut self) {
        if self.sent > 0 {
            // Not `clear`: an idle connection must not keep the memory.
            self.unsent = Vec::new();
            self.sent = 0;
        }
    }
}

impl Receive for Served {
    fn incoming(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, limit: usize, text: &mut BytesMut) -> Poll<io::Result<()>> {
        ARRIVING.with_borrow_mut(|arriving| {
            let before = self.unfinished.len();
            let room = before + limit.clamp(SMALLEST_READ, SCRATCH);
            if arriving.len() < room {
                // Not `resize`, which would touch all of it.
                *arriving = vec![0; room];
            }
            let mut free = ReadBuf::new(&mut arriving[before..room]);
            if let Err(error) = ready!(Pin::new(&mut self.io).poll_read(cx, &mut free)) {
                self.incoming.dead = Some(Dead::Io(error.kind()));
                return Poll::Ready(Err(error));
            }
            let count = free.filled().len();
            if count == 0 {
                self.incoming.at_eof = true;
                return Poll::Ready(Ok(()));
            }
            self.incoming.frames.follow(&arriving[before..before + count]);
            arriving[..before].copy_from_slice(&self.unfinished);
            Poll::Ready(self.decrypt(&mut arriving[..before + count], text))
        })
    }

    fn send_what_goes(&mut self) {
        while self.sent < self.unsent.len() {
            match self.io.try_write(&self.unsent[self.sent..]) {
                Ok(count @ 1..) => self.sent += count,
                Ok(0) | Err(_) => return,
            }
        }
        self.forget_sent();
    }
}

fn failed(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
