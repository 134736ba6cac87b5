//! Opening a connection to a peer: TCP, then the proof of identity.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};
use trueroute_identity::Dialer;

use super::{connection::Connection, stream::Stream};
use crate::{
    failure::{DialError, Failure},
    route::peer::{Identity, Peer},
};

/// Deadlines and probes of new TCP connections; the handshake's deadline is the dialer's own.
#[derive(Clone, Copy, Debug)]
pub struct DialTimes {
    /// For TCP (`endpoint_dial_timeout`).
    pub dial: Duration,
    /// Between TCP keep-alive probes (`endpoint_keep_alive_probe_interval`); none if absent.
    pub probe_interval: Option<Duration>,
}

/// Dials `peer`. For a TLS peer the connection exists only after its certificate proved the expected name.
pub async fn dial(peer: &Peer, dialer: &Arc<Dialer>, times: &DialTimes) -> Result<Connection, Failure> {
    let tcp = connect(peer, times).await.map_err(Failure::Dial)?;
    // Requests are written whole; waiting to fill a segment would only delay them.
    let _ = tcp.set_nodelay(true);
    if let Some(interval) = times.probe_interval {
        let probes = TcpKeepalive::new().with_time(interval).with_interval(interval);
        let _ = SockRef::from(&tcp).set_tcp_keepalive(&probes);
    }
    let stream = match peer.identity() {
        Identity::Plain => Stream::Plain(tcp),
        Identity::Tls(name) => Stream::Secured(Box::new(dialer.secure(tcp, name).await.map_err(Failure::Refused)?)),
    };
    Ok(Connection::new(stream, peer.clone(), dialer.trust().generation()))
}

async fn connect(peer: &Peer, times: &DialTimes) -> Result<TcpStream, DialError> {
    let failed = |error| DialError::Connect { address: peer.address().into(), error };
    let attempt = async {
        match peer.socket() {
            Some(address) => TcpStream::connect(address).await.map_err(failed),
            None => TcpStream::connect(&*look_up(peer).await?).await.map_err(failed),
        }
    };
    match timeout(times.dial, attempt).await {
        Ok(result) => result,
        Err(_) => Err(DialError::Timeout { address: peer.address().into() }),
    }
}

/// Every address of a peer whose host is a name; they are dialled in turn.
async fn look_up(peer: &Peer) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |error| DialError::Lookup { host: peer.host().into(), error };
    let found: Vec<_> = tokio::net::lookup_host((peer.host(), peer.port())).await.map_err(failed)?.collect();
    if found.is_empty() { Err(failed(std::io::Error::other("no such host"))) } else { Ok(found) }
}
