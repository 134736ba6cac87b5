//! The log's way to a syslog server, over UDP or TCP (gorouter.md section 9).
//!
//! Runs on the log's own thread. A server that is away costs lines, which the spool counts, and nobody waits for it.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    process,
    time::{Duration, Instant},
};

use chrono::{DateTime, Local, SecondsFormat};

use crate::observe::spool::LostLines;

/// Facility user, severity informational.
const PRIORITY: &str = "<14>1";
/// Says that UTF-8 follows (RFC 5424, section 6.4).
const BOM: &[u8] = b"\xef\xbb\xbf";
/// Most bytes of a datagram over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;
/// Longest time for connecting, and for a server to take what is written.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a failure nothing is tried for so long: lines that find no server are dropped at once.
const PAUSE: Duration = Duration::from_secs(1);

/// How lines travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A datagram each.
    Udp,
    /// One stream, a line end after each.
    Tcp,
}

/// Where the lines go, and as what.
#[derive(Clone, Debug)]
pub struct Syslog {
    /// `host:port` (`logging.syslog_addr`).
    pub address: String,
    /// `logging.syslog_network`.
    pub network: Network,
    /// Name of the sender (`logging.syslog`).
    pub tag: String,
    /// Longest line in bytes, what is beyond is cut off; 0 for no limit (`logging.syslog_truncate`).
    pub truncate: usize,
}

/// The sending end.
#[derive(Debug)]
pub(super) struct Sender {
    syslog: Syslog,
    host: String,
    line: Option<Line>,
    failed: Option<Instant>,
    message: Vec<u8>,
}

#[derive(Debug)]
enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Sender {
    pub(super) fn new(syslog: Syslog) -> Self {
        Self { syslog, host: host_name(), line: None, failed: None, message: Vec::new() }
    }

    fn connected(&mut self) -> io::Result<&mut Line> {
        if self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        match &mut self.line {
            Some(line) => Ok(line),
            none => match connect(&self.syslog) {
                Ok(line) => Ok(none.insert(line)),
                Err(error) => {
                    let server = &self.syslog.address;
                    tracing::error!(target: "access-grlog", %error, server, "syslog-not-connected");
                    self.failed = Some(Instant::now());
                    Err(error)
                }
            },
        }
    }

    fn send(&mut self, line: &[u8], now: DateTime<Local>) -> io::Result<()> {
        self.connected()?;
        message(&self.syslog, &self.host, line, now, &mut self.message);
        match &mut self.line {
            Some(Line::Udp(socket)) => socket.send(&self.message).map(drop),
            Some(Line::Tcp(stream)) => stream.write_all(&self.message),
            None => Ok(()),
        }
    }

    fn send_all(&mut self, lines: &[u8]) -> io::Result<()> {
        let (now, mut lost) = (Local::now(), 0);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match (self.send(line, now), self.syslog.network) {
                (Ok(()), _) => {}
                // A datagram that the server does not want says nothing about the next one.
                (Err(_), Network::Udp) => lost += 1,
                // How many of those before it arrived is not known.
                (Err(error), Network::Tcp) => return Err(error),
            }
        }
        if lost == 0 { Ok(()) } else { Err(io::Error::other(LostLines(lost))) }
    }
}

/// What arrives for `line`, written over `out`.
fn message(syslog: &Syslog, host: &str, line: &[u8], now: DateTime<Local>, out: &mut Vec<u8>) {
    out.clear();
    let stamp = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let head = format!("{PRIORITY} {stamp} {host} {} {} - ", syslog.tag, process::id());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(BOM);
    let most = if syslog.truncate == 0 { line.len() } else { syslog.truncate.min(line.len()) };
    let most = match syslog.network {
        Network::Udp => most.min(LARGEST_DATAGRAM.saturating_sub(out.len())),
        Network::Tcp => most,
    };
    out.extend_from_slice(&line[..most]);
    if syslog.network == Network::Tcp {
        out.push(b'\n');
    }
}

fn connect(syslog: &Syslog) -> io::Result<Line> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in syslog.address.to_socket_addrs()? {
        match connect_to(address, syslog.network) {
            Ok(line) => return Ok(line),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_to(address: SocketAddr, network: Network) -> io::Result<Line> {
    match network {
        Network::Udp => {
            let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            Ok(Line::Udp(socket))
        }
        Network::Tcp => {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Line::Tcp(stream))
        }
    }
}

/// The machine's name; `-` where it has none, as RFC 5424 wants it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "-".into() } else { name.into() }
}

impl Write for Sender {
    /// Takes whole lines. Over TCP one that cannot be sent fails them all, over UDP itself alone.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let sent = self.send_all(lines);
        if sent.is_err() {
            // The server's name may lead elsewhere by now.
            self.line = None;
        }
        sent.map(|()| lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
    };

    use super::*;

    fn syslog(address: SocketAddr, network: Network) -> Syslog {
        Syslog { address: address.to_string(), network, tag: "vcap.gorouter".into(), truncate: 0 }
    }

    /// Head and text of a message; the head without its time.
    fn parts(message: &[u8]) -> (String, String) {
        let at = message.windows(3).position(|bytes| bytes == BOM).expect("a byte order mark");
        let head = str::from_utf8(&message[..at]).unwrap();
        let mut words: Vec<&str> = head.split(' ').collect();
        DateTime::parse_from_rfc3339(words.remove(1)).expect("a time");
        (words.join(" "), String::from_utf8(message[at + 3..].to_vec()).unwrap())
    }

    fn head() -> String {
        format!("<14>1 {} vcap.gorouter {} - ", host_name(), process::id())
    }

    #[test]
    fn a_message_is_framed_byte_for_byte() {
        let now = DateTime::parse_from_rfc3339("2024-11-20T10:53:20.987654321+01:00").unwrap().with_timezone(&Local);
        let stamp = now.to_rfc3339_opts(SecondsFormat::Secs, true);
        assert!(matches!(&stamp[stamp.len() - 1..], "Z") || stamp.as_bytes()[stamp.len() - 3] == b':', "{stamp}");
        assert_eq!(stamp.len(), if stamp.ends_with('Z') { 20 } else { 25 }, "whole seconds: {stamp}");
        let line = "app - k\u{e4}se \\\"".as_bytes();
        for (network, truncate, text) in [
            (Network::Udp, 0, &b"app - k\xc3\xa4se \\\""[..]),
            (Network::Tcp, 0, b"app - k\xc3\xa4se \\\"\n"),
            // Bytes are counted, not letters.
            (Network::Udp, 8, b"app - k\xc3"),
            (Network::Tcp, 8, b"app - k\xc3\n"),
            (Network::Udp, 13, b"app - k\xc3\xa4se \\"),
            (Network::Udp, 14, b"app - k\xc3\xa4se \\\""),
            (Network::Udp, 1000, b"app - k\xc3\xa4se \\\""),
        ] {
            let syslog = Syslog { address: String::new(), network, tag: "vcap.gorouter".into(), truncate };
            let mut out = b"what was there before".to_vec();
            message(&syslog, "router-0", line, now, &mut out);
            let head = format!("<14>1 {stamp} router-0 vcap.gorouter {} - ", process::id());
            assert_eq!(out, [head.as_bytes(), b"\xef\xbb\xbf", text].concat(), "{network:?} {truncate}");
        }
    }

    #[test]
    fn a_datagram_per_line() {
        let server = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut sender = Sender::new(Syslog { truncate: 5, ..syslog(server.local_addr().unwrap(), Network::Udp) });
        sender.write_all(b"one\nlonger than five\n").unwrap();
        for text in ["one", "longe"] {
            let mut got = [0; 512];
            let size = server.recv(&mut got).unwrap();
            assert_eq!(parts(&got[..size]), (head(), text.into()));
        }
    }

    #[test]
    fn a_datagram_that_does_not_go_costs_itself_alone() {
        let server = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut sender = Sender::new(syslog(server.local_addr().unwrap(), Network::Udp));
        // One that is larger than a datagram may be is cut.
        let long = "x".repeat(100_000);
        sender.write_all(format!("one\n{long}\nthree\n").as_bytes()).unwrap();
        let mut got = vec![0; 2 * LARGEST_DATAGRAM];
        let sizes = [(); 3].map(|()| server.recv(&mut got).unwrap());
        assert_eq!(sizes[1], LARGEST_DATAGRAM);
        assert_eq!(parts(&got[..sizes[2]]).1, "three");

        let nobody = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let mut sender = Sender::new(syslog(nobody.local_addr().unwrap(), Network::Udp));
        sender.write_all(b"taken\n").unwrap();
        drop(nobody);
        // The system says of the first one that nobody was there when the second is sent, and takes the third again.
        let lost = sender.write(b"one\ntwo\nthree\n").unwrap_err();
        let lost = lost.get_ref().and_then(|error| error.downcast_ref::<LostLines>()).unwrap().0;
        assert!((1..3).contains(&lost), "{lost}");
    }

    #[test]
    fn lines_of_one_stream_which_is_opened_again() {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut sender = Sender::new(syslog(server.local_addr().unwrap(), Network::Tcp));
        sender.write_all(b"one\ntwo\n").unwrap();
        let (stream, _) = server.accept().unwrap();
        let mut lines = BufReader::new(stream).split(b'\n');
        for text in ["one", "two"] {
            assert_eq!(parts(&lines.next().unwrap().unwrap()), (head(), text.into()));
        }
        drop(lines);
        // The system notices only after a write that somebody has left; what was written then is lost.
        while sender.write_all(b"lost\n").is_ok() {}
        sender.write_all(b"three\n").unwrap();
        let (stream, _) = server.accept().unwrap();
        let got = BufReader::new(stream).split(b'\n').next().unwrap().unwrap();
        assert_eq!(parts(&got).1, "three");
    }

    #[test]
    fn a_server_that_is_away_is_not_asked_for_each_line() {
        let gone = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let mut sender = Sender::new(syslog(gone, Network::Tcp));
        let refused = sender.write(b"one\n").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(sender.write(b"two\n").unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}
