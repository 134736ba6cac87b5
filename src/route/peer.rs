//! Who a connection leads to: an address, and the identity that must answer there.
//!
//! A [`Peer`] is the key of every pooled connection. Two registrations that give equal peers may share
//! connections; any difference in address or expected name makes another peer, so that a connection
//! verified for one instance can never be handed to a request for another (invariant 2).

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use trueroute_identity::ExpectedName;

/// An address and the identity expected there. Cheap to clone; equal by value.
#[derive(Clone)]
pub struct Peer(Arc<Facts>);

#[derive(PartialEq, Eq, Hash)]
struct Facts {
    address: Box<str>,
    port: u16,
    identity: Identity,
    hash: Digest,
}

/// What the peer must prove before a byte of a request is sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Nothing: the endpoint is plain TCP, and only its freshness speaks for it.
    Plain,
    /// A certificate that chains to our trust and carries this name.
    Tls(ExpectedName),
}

/// Computed once per peer, because a pool is looked up on every request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Digest(u64);

impl Peer {
    /// A peer at `host:port`. An IPv6 address may come with or without brackets; both give one peer.
    #[must_use]
    pub fn new(host: &str, port: u16, identity: Identity) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = match bare.parse::<Ipv6Addr>() {
            Ok(_) => format!("[{bare}]:{port}"),
            Err(_) => format!("{host}:{port}"),
        }
        .into_boxed_str();
        let mut hasher = fixed_hasher().build_hasher();
        address.hash(&mut hasher);
        identity.hash(&mut hasher);
        let hash = Digest(hasher.finish());
        Self(Arc::new(Facts { address, port, identity, hash }))
    }

    /// `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// The host alone, an IP address without brackets or a name.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.address.rsplit_once(':').map_or(&*self.0.address, |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port alone.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The socket address, unless the host is a name that must be looked up.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        self.host().parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.0.port))
    }

    /// What must be proven here.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Whether the peer has to prove an identity by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.0.identity, Identity::Tls(_))
    }

    /// A hash of the whole value, computed when the peer was made.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.0.hash.0
    }
}

/// One fixed-key hasher for the process: peers are keys of in-memory maps only, and their values come
/// from the bus, which is trusted more than a hash-flooding client would be.
fn fixed_hasher() -> std::hash::BuildHasherDefault<std::hash::DefaultHasher> {
    std::hash::BuildHasherDefault::new()
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Peer {}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest());
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.identity {
            Identity::Plain => write!(f, "{}", self.address()),
            Identity::Tls(name) => write!(f, "{} as {name}", self.address()),
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
    }
}
