//! Who a connection leads to: an address, and the identity that must answer there.
//!
//! A [`Peer`] is the key of every pooled connection. Two registrations that give equal peers may share
//! connections; any difference in address or expected name makes another peer, so that a connection
//! verified for one instance can never be handed to a request for another (invariant 2).

use std::{
    fmt,
    fmt::Write,
    hash::{BuildHasher, Hash, Hasher},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use trueroute_identity::ExpectedName;

/// An address and the identity expected there. Cheap to clone; equal by value.
///
/// One allocation holds the address and behind it the name: a table has a peer for every endpoint.
#[derive(Clone)]
pub struct Peer {
    text: Arc<str>,
    /// Where the name begins, times two; plus one where a name is expected.
    split: u32,
    hash: u32,
}

/// What the peer must prove before a byte of a request is sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Nothing: the endpoint is plain TCP, and only its freshness speaks for it.
    Plain,
    /// A certificate that chains to our trust and carries this name.
    Tls(ExpectedName),
}

impl Peer {
    /// A peer at `host:port`. An IPv6 address may come with or without brackets; both give one peer.
    #[must_use]
    pub fn new(host: &str, port: u16, identity: Identity) -> Self {
        match identity {
            Identity::Plain => Self::of(host, port, None),
            Identity::Tls(name) => Self::of(host, port, Some(name.as_str())),
        }
    }

    /// A peer at `host:port` that must prove `name` if there is one, as [`Peer::new`] makes it.
    #[must_use]
    pub fn of(host: &str, port: u16, name: Option<&str>) -> Self {
        let mut text = String::with_capacity(host.len() + ":65535[]".len() + name.unwrap_or_default().len());
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_v6 = bare.contains(':') && bare.parse::<Ipv6Addr>().is_ok();
        // Writing to a text cannot fail.
        let _ = if is_v6 { write!(text, "[{bare}]:{port}") } else { write!(text, "{host}:{port}") };
        let split = u32::try_from(2 * text.len()).unwrap_or(u32::MAX - 1) | u32::from(name.is_some());
        text.push_str(name.unwrap_or_default());
        // The lower half is as good a hash as the whole, and an endpoint's memory is counted in bytes.
        let hash = (fixed_hasher().hash_one((&text, split)) & u64::from(u32::MAX)) as u32;
        Self { text: text.into(), split, hash }
    }

    /// `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> &str {
        self.parts().0
    }

    /// The host alone, an IP address without brackets or a name.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.address().rsplit_once(':').map_or(self.address(), |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port alone.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default()
    }

    /// The socket address, unless the host is a name that must be looked up.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        self.host().parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port()))
    }

    /// What must be proven here.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.name().map_or(Identity::Plain, |name| Identity::Tls(ExpectedName::new(name)))
    }

    /// The text of the name that must be proven here, if one must be.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.is_tls().then(|| self.parts().1)
    }

    /// Whether the peer has to prove an identity by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.split % 2 == 1
    }

    /// A hash of the whole value, computed when the peer was made.
    #[must_use]
    pub fn digest(&self) -> u32 {
        self.hash
    }

    fn parts(&self) -> (&str, &str) {
        self.text.split_at_checked((self.split / 2) as usize).unwrap_or((&self.text, ""))
    }
}

/// One fixed-key hasher for the process: peers are keys of in-memory maps only, and their values come
/// from the bus, which is trusted more than a hash-flooding client would be.
fn fixed_hasher() -> std::hash::BuildHasherDefault<std::hash::DefaultHasher> {
    std::hash::BuildHasherDefault::new()
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        (self.hash, self.split) == (other.hash, other.split)
            && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for Peer {}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The maps of connections take it as it is, and look at both ends of it.
        state.write_u64(u64::from(self.hash) << 32 | u64::from(self.hash));
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            None => write!(f, "{}", self.address()),
            Some(name) => write!(f, "{} as {name}", self.address()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_host_and_port_apart() {
        for (host, port, address, bare, socket) in [
            ("10.0.0.1", 8080, "10.0.0.1:8080", "10.0.0.1", Some("10.0.0.1:8080")),
            ("backend.local", 80, "backend.local:80", "backend.local", None),
            ("fd00::1", 443, "[fd00::1]:443", "fd00::1", Some("[fd00::1]:443")),
            ("[fd00::1]", 443, "[fd00::1]:443", "fd00::1", Some("[fd00::1]:443")),
        ] {
            let peer = Peer::new(host, port, Identity::Plain);
            assert_eq!(peer.address(), address);
            assert_eq!(peer.host(), bare);
            assert_eq!(peer.port(), port);
            assert_eq!(peer.socket(), socket.map(|text| text.parse().unwrap()));
        }
    }

    #[test]
    fn address_and_name_both_make_the_peer() {
        let named = |name| Identity::Tls(ExpectedName::new(name));
        let peer = Peer::new("10.0.0.1", 443, named("a"));
        assert_eq!(peer, Peer::new("10.0.0.1", 443, named("a")));
        assert_eq!(peer.digest(), Peer::new("10.0.0.1", 443, named("a")).digest());
        for other in [
            Peer::new("10.0.0.1", 443, named("b")),
            Peer::new("10.0.0.1", 444, named("a")),
            Peer::new("10.0.0.2", 443, named("a")),
            Peer::new("10.0.0.1", 443, Identity::Plain),
        ] {
            assert_ne!(peer, other);
        }
        let (short, long) = (Peer::of("h", 1, Some("2name")), Peer::of("h", 12, Some("name")));
        assert_ne!(short, long, "where the address ends counts");
        assert_ne!(Peer::of("h", 1, Some("")), Peer::of("h", 1, None));
        assert_eq!((short.name(), long.address()), (Some("2name"), "h:12"));
    }
}
