//! Where the debug server listens. The router does without one if that fails (gorouter.md §1, start order 5).

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{admin, frontend::listener};

/// Binds `debug_addr`, `host:port` or `:port` for all addresses; none if it is empty, or that fails, which is logged.
pub(super) fn bind(debug_addr: &str, stop: &CancellationToken) -> Option<admin::Port> {
    if debug_addr.is_empty() {
        return None;
    }
    let bound = address(debug_addr).and_then(|address| Ok((TcpListener::from_std(listener::bind(address)?)?, address)));
    match bound {
        Ok((listener, address)) => {
            let bound = listener.local_addr().unwrap_or(address);
            tracing::info!(address = %bound, "debug-server-started");
            if !address.ip().is_loopback() {
                tracing::warn!(
                    address = %bound,
                    "the debug server asks for no password and listens on more than a loopback address"
                );
            }
            let limits = admin::Limits { connections: 16, ..admin::Limits::default() };
            Some(admin::Port { listener, tls: None, limits, stop: stop.clone() })
        }
        Err(error) => {
            tracing::error!(address = debug_addr, %error, "debug-server-not-started");
            None
        }
    }
}

/// Where it would listen, as far as that shows without binding it or asking the network; none if it is empty, or a
/// host's name.
pub(super) fn look(debug_addr: &str) -> Option<io::Result<SocketAddr>> {
    let names_a_host = debug_addr.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && !host.is_empty() && host != "localhost" && host.parse::<IpAddr>().is_err()
    });
    let is_literal = debug_addr.parse::<SocketAddr>().is_ok();
    (!debug_addr.is_empty() && (is_literal || !names_a_host)).then(|| address(debug_addr))
}

fn address(debug_addr: &str) -> io::Result<SocketAddr> {
    match debug_addr.strip_prefix(':').map(str::parse::<u16>) {
        Some(Ok(port)) => Ok((IpAddr::from(Ipv6Addr::UNSPECIFIED), port).into()),
        _ => debug_addr.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no such host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_asks_no_network() {
        for (given, found) in [
            ("127.0.0.1:1", Some(true)),
            ("[::1]:1", Some(true)),
            ("localhost:1", Some(true)),
            (":1", Some(true)),
            ("127.0.0.1", Some(false)),
            (":x", Some(false)),
            ("", None),
            ("somewhere.invalid:1", None),
        ] {
            assert_eq!(look(given).map(|looked| looked.is_ok()), found, "{given}");
        }
    }

    #[tokio::test]
    async fn an_address_is_written_as_in_go() {
        let stop = CancellationToken::new();
        assert!(bind("", &stop).is_none());
        for (given, loopback) in [("127.0.0.1:0", true), ("localhost:0", true), (":0", false)] {
            let port = bind(given, &stop).unwrap_or_else(|| panic!("{given}"));
            assert_eq!(port.listener.local_addr().unwrap().ip().is_loopback(), loopback, "{given}");
        }
        for bad in ["127.0.0.1", "127.0.0.1:", ":", ":x", "127.0.0.1:70000", "192.0.2.1:0", "no such host:1"] {
            assert!(bind(bad, &stop).is_none(), "{bad}");
        }
    }
}
