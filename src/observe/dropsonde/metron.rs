//! The way to metron: a datagram per envelope, from a thread of its own.
//!
//! Nobody waits for it, and nobody there is no reason to stop: what cannot be sent is counted and said once a minute.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    time::{Duration, Instant},
};

use crate::observe::spool::DropCount;

/// Bytes in front of each envelope that tell its length.
pub(super) const LENGTH: usize = 4;
/// After a failure to find metron nothing is tried for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is said that metron is not reached.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The sending end. It takes envelopes that were framed by [`frame`].
#[derive(Debug)]
pub(super) struct Metron {
    address: String,
    socket: Option<UdpSocket>,
    failed: Option<Instant>,
    said: Option<Instant>,
    lost: DropCount,
}

/// Appends what `encode` writes, with its length in front.
pub(super) fn frame(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    encode(out);
    let length = u32::try_from(out.len() - at - LENGTH).unwrap_or_default();
    if let Some(place) = out.get_mut(at..at + LENGTH) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// The first envelope, and what comes behind it.
fn next(framed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = framed.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

impl Metron {
    /// One that sends to `address`, `host:port`, and counts in `lost` what it cannot send.
    pub(super) fn new(address: String, lost: DropCount) -> Self {
        Self { address, socket: None, failed: None, said: None, lost }
    }

    fn send(&mut self, envelope: &[u8]) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                if self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
                    return Err(io::ErrorKind::NotConnected.into());
                }
                none.insert(connect(&self.address)?)
            }
        };
        match socket.send(envelope) {
            // It is the datagram before that was refused; this one was not sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let _ = socket.send(envelope);
                Err(error)
            }
            sent => sent.map(drop),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        self.lost.add(1);
        if self.socket.is_none() && error.kind() != io::ErrorKind::NotConnected {
            self.failed = Some(Instant::now());
        }
        if self.said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::warn!(target: "metricsreporter", address = self.address, %error, "metron-not-reached");
        }
    }
}

/// A socket that talks to `address` alone. Of several addresses of a name the first of IPv4 is taken: `localhost` is
/// both, and metron listens on that one.
fn connect(address: &str) -> io::Result<UdpSocket> {
    let all: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let found = all.iter().find(|address| address.is_ipv4()).or(all.first()).ok_or(io::ErrorKind::NotFound)?;
    let any: SocketAddr =
        if found.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(found)?;
    Ok(socket)
}

impl Write for Metron {
    /// Takes whole envelopes. It never fails: what is lost is counted one by one.
    fn write(&mut self, framed: &[u8]) -> io::Result<usize> {
        let mut rest = framed;
        while let Some((envelope, further)) = next(rest) {
            rest = further;
            if let Err(error) = self.send(envelope) {
                self.failed(&error);
            }
        }
        Ok(framed.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(texts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for text in texts {
            frame(&mut out, |out| out.extend_from_slice(text));
        }
        out
    }

    #[test]
    fn a_datagram_per_envelope() {
        let server = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let lost = DropCount::default();
        let mut metron = Metron::new(server.local_addr().unwrap().to_string(), lost.clone());
        let largest = vec![b'x'; 65_507];
        metron.write_all(&framed(&[b"one", b"", &largest])).unwrap();
        let mut got = vec![0; 70_000];
        for text in [&b"one"[..], b"", &largest] {
            let size = server.recv(&mut got).unwrap();
            assert!(got[..size] == *text);
        }
        // A datagram cannot hold it.
        metron.write_all(&framed(&[&vec![b'x'; 65_508], b"after"])).unwrap();
        let size = server.recv(&mut got).unwrap();
        assert_eq!((&got[..size], lost.lines()), (&b"after"[..], 1));
    }

    #[test]
    fn where_nobody_listens_envelopes_are_counted_and_no_one_waits() {
        let gone = UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let lost = DropCount::default();
        let mut metron = Metron::new(gone.to_string(), lost.clone());
        while lost.lines() == 0 {
            metron.write_all(&framed(&[b"nobody"])).unwrap();
        }
        let mut nowhere = Metron::new("nowhere.invalid:1".into(), DropCount::default());
        nowhere.write_all(&framed(&[b"a", b"b"])).unwrap();
        assert_eq!(nowhere.lost.lines(), 2);
    }
}
