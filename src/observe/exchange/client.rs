//! Who asks.

use std::{net::SocketAddr, sync::atomic::AtomicBool};

use crate::{headers::client_cert::ClientCert, route::mtls::DomainIndex};

/// Who asked: what is the same for every exchange of a client's connection.
#[derive(Debug, Default)]
pub struct Client {
    /// The client's IP address.
    pub ip: Box<str>,
    /// Its address and port.
    pub address: Box<str>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Whether its connection was given up, so that a body of which no more comes is not whole.
    pub gone: AtomicBool,
    /// Whether it sent chunks that are none, after which it is heard no more.
    pub garbled: AtomicBool,
    /// The server name that it asked for in the handshake.
    pub server_name: Option<Box<str>>,
    /// The domain to whose authorities it has proven itself (`domains`).
    pub domain: Option<DomainIndex>,
    /// What endpoints are told about its certificate.
    pub cert: ClientCert,
}

impl Client {
    /// A client at this address that came in plain and shows nothing.
    #[must_use]
    pub fn at(from: SocketAddr) -> Self {
        let ip = from.ip().to_canonical();
        Self {
            ip: ip.to_string().into(),
            address: SocketAddr::new(ip, from.port()).to_string().into(),
            ..Self::default()
        }
    }
}
