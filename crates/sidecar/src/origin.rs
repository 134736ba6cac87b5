//! Who calls, told to the app before anything else: the PROXY protocol, versions 1 and 2.
//!
//! Without it the app sees connections of ours only. Off unless asked for, since an app that does not expect the line
//! takes it for a part of a request. Owns the words; pure.

use std::net::{IpAddr, SocketAddr};

use crate::settings::ProxyProtocol;

/// What version 2 begins with (the specification's section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the command PROXY.
const PROXY: u8 = 0x21;
/// TCP over IPv4 and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header for a connection that came from `from` to `to`. Where only one of them is of IPv4, both are told as IPv6.
pub(crate) fn header(version: ProxyProtocol, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let (source, target) = match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (source @ IpAddr::V4(_), target @ IpAddr::V4(_)) => (source, target),
        (source, target) => (as_v6(source), as_v6(target)),
    };
    match version {
        ProxyProtocol::V1 => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {source} {target} {} {}\r\n", from.port(), to.port()).into_bytes()
        }
        ProxyProtocol::V2 => {
            let mut addresses = octets(source);
            addresses.extend(octets(target));
            addresses.extend(from.port().to_be_bytes());
            addresses.extend(to.port().to_be_bytes());
            let mut header = SIGNATURE.to_vec();
            header.extend([PROXY, if source.is_ipv4() { TCP4 } else { TCP6 }, 0, addresses.len() as u8]);
            header.extend(addresses);
            header
        }
    }
}

fn as_v6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        v6 @ IpAddr::V6(_) => v6,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(from: &str, to: &str) -> String {
        String::from_utf8(header(ProxyProtocol::V1, from.parse().unwrap(), to.parse().unwrap())).unwrap()
    }

    #[test]
    fn version_1_is_a_line() {
        for (from, to, expected) in [
            ("10.0.0.1:40000", "10.0.0.9:61001", "PROXY TCP4 10.0.0.1 10.0.0.9 40000 61001\r\n"),
            ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.9]:2", "PROXY TCP4 10.0.0.1 10.0.0.9 1 2\r\n"),
            ("[2001:db8::1]:1", "[2001:db8::2]:2", "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"),
            ("10.0.0.1:1", "[::1]:2", "PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n"),
        ] {
            assert_eq!(line(from, to), expected);
        }
    }

    #[test]
    fn version_2_is_addresses_behind_a_signature() {
        let (from, to) = ("10.0.0.1:258".parse().unwrap(), "10.0.0.9:3".parse().unwrap());
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        expected.extend([10, 0, 0, 1, 10, 0, 0, 9, 1, 2, 0, 3]);
        assert_eq!(header(ProxyProtocol::V2, from, to), expected);
        let v6 = header(ProxyProtocol::V2, "[::1]:1".parse().unwrap(), "[::2]:2".parse().unwrap());
        assert_eq!((v6.len(), &v6[12..16]), (16 + 36, &[0x21, 0x21, 0, 36][..]));
    }
}
