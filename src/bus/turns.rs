//! The configured servers, and whose turn it is.

use std::{
    fmt, io,
    net::IpAddr,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use async_nats::ServerAddr;

/// Pause in milliseconds before each later attempt. Short, so that routes are fresh again within a
/// second of the server's return; spread, so that a fleet of routers does not arrive as one.
const RETRY_PAUSE_MS: Range<u64> = 50..300;

/// An entry of `nats.hosts` is no host and port.
#[derive(Debug, thiserror::Error)]
#[error("nats.hosts: {server:?} is not a host and port")]
pub struct BadServer {
    /// The entry as configured.
    pub server: String,
    /// What the parser says.
    pub source: io::Error,
}

/// A server as configured.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            _ => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// Whose turn it is. The library's own choice stops at the first server that refuses the password and
/// never reaches the next; taking turns does.
pub(super) struct Turns {
    hosts: Vec<Host>,
    next: AtomicUsize,
    taken: AtomicUsize,
    settled: AtomicBool,
}

impl Turns {
    pub(super) fn new(servers: &[(String, u16)]) -> Self {
        let hosts = servers.iter().map(|(name, port)| Host { name: name.clone(), port: *port }).collect();
        Self { hosts, next: AtomicUsize::new(0), taken: AtomicUsize::new(0), settled: AtomicBool::new(false) }
    }

    /// The number of the server to try, which becomes the current one.
    pub(super) fn take(&self) -> usize {
        let turn = self.next.fetch_add(1, Relaxed) % self.hosts.len();
        self.taken.store(turn, Relaxed);
        turn
    }

    /// Makes `turn` the next that is taken.
    pub(super) fn prefer(&self, turn: usize) {
        self.next.store(turn, Relaxed);
    }

    /// The numbers of the servers but for the current one, in the order in which they would be tried.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let (current, all) = (self.taken.load(Relaxed), self.hosts.len());
        (1..all).map(move |step| (current + step) % all)
    }

    /// The pause before the attempt: none at the start, whose rounds pause by themselves.
    pub(super) fn pause(&self) -> Duration {
        if self.settled.load(Relaxed) { Duration::from_millis(fastrand::u64(RETRY_PAUSE_MS)) } else { Duration::ZERO }
    }

    /// The start is over: from now on attempts pause.
    pub(super) fn settle(&self) {
        self.settled.store(true, Relaxed);
    }

    /// Every server, in order.
    pub(super) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The server that was tried last; while the connection stands, the one it leads to.
    pub(super) fn current(&self) -> Host {
        self.hosts[self.taken.load(Relaxed)].clone()
    }
}

/// Whether an entry of `nats.hosts` can be dialled.
///
/// # Errors
/// It is no host and port.
pub fn check(hostname: &str, port: u16) -> Result<(), BadServer> {
    address(&Host { name: hostname.to_owned(), port }).map(drop)
}

/// The client library's form of an address.
pub(super) fn address(host: &Host) -> Result<ServerAddr, BadServer> {
    let refused = |source| BadServer { server: host.to_string(), source };
    let parsed: ServerAddr = format!("nats://{host}").parse().map_err(refused)?;
    // A name with a slash or an at-sign in it is a URL that leads elsewhere than it reads.
    if !parsed.host().eq_ignore_ascii_case(&host.name) || parsed.port() != host.port {
        return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, "not a host name or IP address")));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_are_servers() {
        for good in ["localhost", "127.0.0.1", "::1", "nats.service.cf.internal", "NATS-1"] {
            let parsed = address(&Host { name: good.into(), port: 4222 });
            assert!(parsed.is_ok_and(|addr| addr.port() == 4222), "{good}");
        }
        for bad in ["", "a b", "user@host", "host/path", "host:1", "[::1", "ho#st", "ho?st"] {
            let parsed = address(&Host { name: bad.into(), port: 4222 });
            assert!(parsed.is_err(), "{bad}: {parsed:?}");
        }
    }

    #[test]
    fn servers_take_turns_in_order() {
        let turns = Turns::new(&[("a".into(), 1), ("b".into(), 2)]);
        let order: Vec<String> = (0..4)
            .map(|_| {
                turns.take();
                turns.current().to_string()
            })
            .collect();
        assert_eq!(order, ["a:1", "b:2", "a:1", "b:2"]);
        assert_eq!(turns.others().collect::<Vec<_>>(), [0]);
        turns.prefer(1);
        assert_eq!(turns.take(), 1);
        assert_eq!(turns.pause(), Duration::ZERO);
        turns.settle();
        assert!(turns.pause() >= Duration::from_millis(RETRY_PAUSE_MS.start));
    }
}
