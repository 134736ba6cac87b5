//! The PROXY protocol, version 1: one line of text before a connection's first byte, by which a load balancer says for
//! whom it connects (HAProxy's proxy-protocol.txt, section 2.1).
//!
//! Version 2 is not spoken, as in Gorouter. The line is optional: a connection that begins otherwise has none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How every line begins.
const START: &[u8] = b"PROXY ";
/// The longest line, with its end.
pub const LONGEST: usize = 107;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Too few to say whether there is a line.
    Undecided,
    /// No line.
    Absent,
    /// The begin of a line, whose end is still to come.
    Begun,
    /// A whole line.
    Line {
        /// How many bytes it has with its end.
        length: usize,
        /// Who connects.
        source: SocketAddr,
    },
    /// Something that begins like a line and is none, or names no address (`UNKNOWN`).
    Malformed,
}

/// Reads the first bytes of a connection; more than the line may be there.
#[must_use]
pub fn opening(bytes: &[u8]) -> Opening {
    let begun = bytes.len().min(START.len());
    if bytes[..begun] != START[..begun] {
        return Opening::Absent;
    }
    if begun < START.len() {
        return Opening::Undecided;
    }
    let window = &bytes[..bytes.len().min(LONGEST)];
    match memchr::memchr(b'\n', window) {
        Some(end) => match source(&bytes[START.len()..end]) {
            Some(source) => Opening::Line { length: end + 1, source },
            None => Opening::Malformed,
        },
        None if window.len() == LONGEST => Opening::Malformed,
        None => Opening::Begun,
    }
}

/// The source in `TCP4 <source> <destination> <port> <port>\r`.
fn source(line: &[u8]) -> Option<SocketAddr> {
    let line = str::from_utf8(line.strip_suffix(b"\r")?).ok()?;
    let mut words = line.split(' ');
    let mut next = || words.next().filter(|word| !word.is_empty());
    let (family, from, to) = (next()?, next()?, next()?);
    let (from_port, to_port) = (next()?, next()?);
    if words.next().is_some() {
        return None;
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    address(to)?;
    port(to_port)?;
    Some(SocketAddr::new(address(from)?, port(from_port)?))
}

/// Digits alone; the parser of the library would take a sign.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_read_or_refused() {
        use Opening::{Absent, Begun, Malformed, Undecided};
        let line = |text: &str, source: &str| Opening::Line { length: text.len(), source: source.parse().unwrap() };
        for (bytes, read) in [
            ("", Undecided),
            ("PROX", Undecided),
            ("PRO PFIND", Absent),
            ("PROPFIND / HTTP/1.1\r\n", Absent),
            ("GET / HTTP/1.1\r\n", Absent),
            ("\r\n\r\n\0\r\nQUIT\n", Absent),
            ("PROXY ", Begun),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2", Begun),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", Begun),
            ("PROXY UNKNOWN\r\n", Malformed),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", Malformed),
            ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", Malformed),
            ("PROXY TCP4 ::1 ::2 1 2\r\n", Malformed),
            ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", Malformed),
            ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", Malformed),
            ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", Malformed),
            ("PROXY \r\n", Malformed),
            ("PROXY \n", Malformed),
        ] {
            assert_eq!(opening(bytes.as_bytes()), read, "{bytes:?}");
        }
        for (text, source) in [
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "1.2.3.4:1"),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"),
            ("PROXY TCP6 2001:db8::1 ::2 443 80\r\n", "[2001:db8::1]:443"),
        ] {
            assert_eq!(opening(text.as_bytes()), line(text, source), "{text:?}");
            let followed = format!("{text}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(opening(followed.as_bytes()), line(text, source), "{followed:?}");
        }
        let endless = format!("PROXY TCP4 {}", "1".repeat(LONGEST));
        assert_eq!(opening(endless.as_bytes()), Malformed);
    }

    proptest! {
        #[test]
        fn a_line_is_read_at_its_last_byte_and_not_before(
            (from, to) in any::<(IpAddr, IpAddr)>(),
            v4 in any::<bool>(),
            ports in any::<(u16, u16)>(),
            rest in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let as_family = |ip: IpAddr| match (ip, v4) {
                (IpAddr::V6(ip), true) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() as u32)),
                (IpAddr::V4(ip), false) => IpAddr::V6(ip.to_ipv6_mapped()),
                (ip, _) => ip,
            };
            let (from, to) = (as_family(from), as_family(to));
            let family = if v4 { "TCP4" } else { "TCP6" };
            let text = format!("PROXY {family} {from} {to} {} {}\r\n", ports.0, ports.1);
            for split in 0..text.len() {
                let early = opening(&text.as_bytes()[..split]);
                let waits = if split < START.len() { Opening::Undecided } else { Opening::Begun };
                prop_assert_eq!(early, waits, "{} of {:?}", split, text);
            }
            let whole = [text.as_bytes(), &rest].concat();
            let read = Opening::Line { length: text.len(), source: SocketAddr::new(from, ports.0) };
            prop_assert_eq!(opening(&whole), read);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = opening(&bytes);
            let _ = opening(&[START, &bytes].concat());
        }
    }
}
