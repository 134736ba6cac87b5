//! Opening a connection to a peer: TCP, then the proof of identity.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use ipnet::IpNet;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};
use trueroute_identity::{Dialer, Secured};

use super::{connection::Connection, stream::Stream};
use crate::{
    failure::{DialError, Failure},
    observe::{
        failures,
        metrics::{EndpointHandshake, Shard},
    },
    route::{
        peer::{Identity, Peer},
        proof::Proof,
    },
};

/// Deadlines and probes of new TCP connections, and where they may not lead; the handshake's deadline is the dialer's
/// own.
#[derive(Clone, Debug)]
pub struct DialTerms {
    /// For TCP (`endpoint_dial_timeout`).
    pub dial: Duration,
    /// Between TCP keep-alive probes (`endpoint_keep_alive_probe_interval`); none if absent.
    pub probe_interval: Option<Duration>,
    /// Networks that are not dialled, whatever name led there.
    pub barred: Arc<[IpNet]>,
}

/// How long the phases of making a connection took, and where it starts. What did not happen has no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Looking up a host's name.
    pub dns: Option<Duration>,
    /// TCP, every address that was tried.
    pub dial: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// Our own end of the connection.
    pub local: Option<SocketAddr>,
    /// What the endpoint has proven in the handshake.
    pub proof: Option<Proof>,
}

/// Application protocols to offer in the TLS handshake (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// None: HTTP/1.1 goes without saying.
    Nothing,
    /// HTTP/1.1 alone, to an endpoint that would otherwise be asked for HTTP/2.
    Http1,
    /// HTTP/2, or else HTTP/1.1.
    Http2,
}

impl Offer {
    fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Nothing => &[],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[HTTP2, b"http/1.1"],
        }
    }
}

/// The name of HTTP/2 among application protocols.
const HTTP2: &[u8] = b"h2";

/// Dials `peer`, noting in `timings` how long it takes, and in `counts` how the handshake ends. For a TLS peer the connection exists only after its
/// certificate proved the expected name.
pub async fn dial(
    peer: &Peer,
    dialer: &Dialer,
    times: &DialTerms,
    offer: Offer,
    timings: &mut Timings,
    counts: Option<&Shard>,
) -> Result<Connection, Failure> {
    let tcp = connect(peer, times, timings).await.map_err(Failure::Dial)?;
    // Requests are written whole; waiting to fill a segment would only delay them.
    let _ = tcp.set_nodelay(true);
    if let Some(interval) = times.probe_interval {
        probe(&tcp, interval);
    }
    timings.local = tcp.local_addr().ok();
    let stream = match peer.identity() {
        Identity::Plain => Stream::Plain(tcp),
        Identity::Tls(name) => {
            let begun = Instant::now();
            let secured = dialer.secure_for(tcp, &name, offer.protocols()).await;
            timings.tls = Some(begun.elapsed());
            if let Some(shard) = counts {
                shard
                    .endpoint_handshake(secured.as_ref().map_or_else(failures::handshake, |_| EndpointHandshake::Full));
            }
            let secured = secured.map_err(Failure::Refused)?;
            timings.proof = Some(proof(&secured));
            Stream::Secured(Box::new(secured))
        }
    };
    Ok(Connection::new(stream, peer.clone(), dialer.trust().generation(), Arc::new(*timings)))
}

fn proof(secured: &Secured) -> Proof {
    let leaf = secured.peer_certificate().map_or(&[][..], |leaf| leaf);
    let sha256 = digest::digest(&digest::SHA256, leaf);
    Proof::new(secured.certificate_ends(), sha256.as_ref(), secured.facts().client_certificate_requested)
}

/// Has the system ask every `interval` whether a silent peer is still there.
fn probe(tcp: &TcpStream, interval: Duration) {
    let probes = TcpKeepalive::new().with_time(interval).with_interval(interval);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&probes);
}

/// Whether the peer of `stream` took up an offer of HTTP/2.
pub fn speaks_http2(stream: &Stream) -> bool {
    matches!(stream, Stream::Secured(tls) if tls.protocol() == Some(HTTP2))
}

async fn connect(peer: &Peer, times: &DialTerms, timings: &mut Timings) -> Result<TcpStream, DialError> {
    let failed = |error| DialError::Connect { address: peer.address().into(), error };
    let begun = Instant::now();
    let attempt = async {
        match peer.socket() {
            Some(address) => TcpStream::connect(&*allowed(vec![address], times)?).await.map_err(failed),
            None => {
                let found = look_up(peer).await;
                timings.dns = Some(begun.elapsed());
                TcpStream::connect(&*allowed(found?, times)?).await.map_err(failed)
            }
        }
    };
    let outcome = timeout(times.dial, attempt).await;
    timings.dial = Some(begun.elapsed().saturating_sub(timings.dns.unwrap_or_default()));
    outcome.unwrap_or_else(|_| Err(DialError::Timeout { address: peer.address().into() }))
}

/// Every address of a peer whose host is a name; they are dialled in turn.
async fn look_up(peer: &Peer) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |error| DialError::Lookup { host: peer.host().into(), error };
    let found: Vec<_> = tokio::net::lookup_host((peer.host(), peer.port())).await.map_err(failed)?.collect();
    if found.is_empty() { Err(failed(std::io::Error::other("no such host"))) } else { Ok(found) }
}

/// The addresses that may be dialled. Looked at on each dial: a name can lead elsewhere the next time.
fn allowed(mut found: Vec<SocketAddr>, times: &DialTerms) -> Result<Vec<SocketAddr>, DialError> {
    let barred = |address: &SocketAddr| {
        let ip = address.ip().to_canonical();
        times.barred.iter().any(|network| network.contains(&ip))
    };
    let first = found.first().copied();
    found.retain(|address| !barred(address));
    match first {
        Some(address) if found.is_empty() => Err(DialError::Barred { address }),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn barred_networks_are_not_dialled_by_any_spelling() {
        let networks: Vec<IpNet> =
            ["10.0.0.0/8", "169.254.0.0/16", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
        let terms = DialTerms { dial: Duration::MAX, probe_interval: None, barred: networks.into() };
        for (addresses, left) in [
            (&["10.1.2.3:443"][..], &[][..]),
            (&["[::ffff:10.1.2.3]:443"], &[]),
            (&["[fd12::1]:443", "169.254.169.254:443"], &[]),
            (&["11.1.2.3:443", "10.1.2.3:443"], &["11.1.2.3:443"]),
            (&["[2001:db8::1]:443"], &["[2001:db8::1]:443"]),
        ] {
            let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
            match allowed(parsed(addresses), &terms) {
                Ok(found) => assert_eq!(found, parsed(left), "{addresses:?}"),
                Err(error) => {
                    assert!(left.is_empty(), "{addresses:?}");
                    assert!(error.to_string().ends_with("connection to IP not allowed"), "{error}");
                }
            }
        }
    }

    #[tokio::test]
    async fn silent_peers_are_probed_as_often_as_configured() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = SockRef::from(&tcp);
        assert!(!socket.keepalive().unwrap());
        probe(&tcp, Duration::from_secs(3));
        assert!(socket.keepalive().unwrap());
        let seconds = [socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap()];
        assert_eq!(seconds, [Duration::from_secs(3); 2]);
    }
}
