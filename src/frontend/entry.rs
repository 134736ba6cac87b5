//! The way in: from an accepted socket to a client of whom all is known that a connection tells.
//!
//! First the PROXY line, if lines are read, then the TLS handshake, if it is that door. Nothing of a request is read
//! here, and whoever is turned away costs its own connection only.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::server::TlsStream;

use super::{
    connection::Door,
    gather::Gather,
    linger::linger,
    proxy_protocol::{self, Opening, opening},
    tls::{FrontTlsError, Handshake, HandshakeError, TlsDoor, clients, inner::InnerDoor},
};
use crate::{
    config::Config,
    headers::client_cert::{ClientCert, Format},
    observe::exchange::Client,
    route::mtls::Domains,
};

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a PROXY line may take (gorouter.md section 7.1).
const LINE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long to wait before looking again at a line that has come in part. The bytes stay in the socket, for they may
/// turn out to be a request's, so that the system cannot wait for more of them.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// What a plain request gets at the TLS door, Go's words.
const SPEAK_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// What is asked of whoever comes in.
pub struct Entry {
    /// Whether PROXY lines are read (`enable_proxy`). Only then may a client say who it is.
    pub proxy_lines: bool,
    /// What endpoints are told about the certificate of a client that came in plain.
    pub plain: ClientCert,
    /// The TLS door, if there is one.
    pub tls: Option<ArcSwap<TlsDoor>>,
    /// The inner door, if there is one.
    pub inner: Option<InnerDoor>,
    /// The domains that have authorities of their own.
    pub domains: Domains,
}

/// Who came in, and the connection.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once; a box would be one more allocation")]
pub enum Entered {
    /// In plain.
    Plain(Gather, Client),
    /// Over TLS.
    Tls(TlsStream<TcpStream>, Client),
}

/// Why somebody did not come in.
#[derive(Debug, thiserror::Error)]
pub enum TurnedAway {
    /// A PROXY line that is none, or did not end in time.
    #[error("malformed PROXY line")]
    Line,
    /// A request in plain at the TLS door.
    #[error("client sent an HTTP request to an HTTPS server")]
    SpokePlain,
    /// The handshake failed.
    #[error("TLS handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// The handshake took too long.
    #[error("TLS handshake timeout")]
    HandshakeTimeout,
    /// The connection broke, or there is no such door.
    #[error(transparent)]
    Gone(#[from] io::Error),
}

impl Entry {
    /// What the configuration asks for; `http2` says whether that is offered.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(config: &Config, http2: bool) -> Result<Self, FrontTlsError> {
        let domains = Domains::new(config.domains.iter().map(|domain| domain.domain.as_str()))?;
        let tls = door(config, &domains, http2)?.map(ArcSwap::from_pointee);
        let plain = ClientCert::new(clients::mode(config.forwarded_client_cert), Format::Raw, None);
        Ok(Self { proxy_lines: config.enable_proxy, plain, tls, inner: None, domains })
    }

    /// The TLS door of a configuration with other certificates and the same domains, for [`Entry::renew`].
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn door(&self, config: &Config, http2: bool) -> Result<Option<TlsDoor>, FrontTlsError> {
        door(config, &self.domains, http2)
    }

    /// From now on handshakes go by `door`. Those under way, and who is in already, are left alone.
    pub fn renew(&self, door: TlsDoor) {
        if let Some(tls) = &self.tls {
            tls.store(Arc::new(door));
        }
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// Why it was turned away. Its connection is closed.
    pub async fn admit(&self, mut tcp: TcpStream, from: SocketAddr, door: Door) -> Result<Entered, TurnedAway> {
        let from =
            if self.proxy_lines && door != Door::Inner { read_line(&mut tcp).await?.unwrap_or(from) } else { from };
        match (door, &self.tls) {
            (Door::Plain, _) => {
                Ok(Entered::Plain(Gather(tcp), Client { cert: self.plain.clone(), ..Client::at(from) }))
            }
            (Door::Tls, Some(tls)) => {
                // Boxed: a handshake is large, and a client's task would carry the room for it to its end.
                let handshake = Box::pin(shake_hands(tls.load_full(), tcp));
                let Handshake { stream, server_name, domain, cert } =
                    timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| TurnedAway::HandshakeTimeout)??;
                Ok(Entered::Tls(stream, Client { tls: true, server_name, domain, cert, ..Client::at(from) }))
            }
            (Door::Inner, _) => self.admit_own(tcp, from).await,
            (Door::Tls, None) => Err(TurnedAway::Gone(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Entry {
    /// Lets the router itself in: what it says of its client stands.
    async fn admit_own(&self, tcp: TcpStream, from: SocketAddr) -> Result<Entered, TurnedAway> {
        let Some(inner) = &self.inner else { return Err(TurnedAway::Gone(io::ErrorKind::NotConnected.into())) };
        let handshake = Box::pin(inner.admit(tcp));
        let stream = timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| TurnedAway::HandshakeTimeout)??;
        Ok(Entered::Tls(stream, Client { tls: true, ..Client::at(from) }))
    }
}

fn door(config: &Config, domains: &Domains, http2: bool) -> Result<Option<TlsDoor>, FrontTlsError> {
    config.front_tls.as_ref().map(|front| TlsDoor::new(front, config, domains, http2)).transpose()
}

async fn shake_hands(tls: Arc<TlsDoor>, mut tcp: TcpStream) -> Result<Handshake, TurnedAway> {
    let mut first = [0; 5];
    let count = tcp.peek(&mut first).await?;
    if is_plain_http(&first[..count]) {
        tcp.write_all(SPEAK_TLS).await?;
        linger(tcp).await;
        return Err(TurnedAway::SpokePlain);
    }
    Ok(tls.handshake(tcp).await?)
}

/// Whether a connection begins with a request that is likely, in part at least: no TLS record begins with a letter.
fn is_plain_http(first: &[u8]) -> bool {
    let likely = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO", b"PATCH", b"DELET"];
    !first.is_empty() && likely.iter().any(|start| start.starts_with(first))
}

/// Takes a PROXY line off the connection and gives the source that it names; none where there is no line. A client
/// that is silent, or has sent too little to tell, when the time is over has none.
async fn read_line(tcp: &mut TcpStream) -> Result<Option<SocketAddr>, TurnedAway> {
    let deadline = Instant::now() + LINE_TIMEOUT;
    let mut seen = [0; proxy_protocol::LONGEST];
    loop {
        let Ok(count) = timeout_at(deadline, tcp.peek(&mut seen)).await else { return Ok(None) };
        let count = count?;
        match opening(&seen[..count]) {
            Opening::Absent => return Ok(None),
            Opening::Malformed => return Err(TurnedAway::Line),
            Opening::Line { length, source } => {
                tcp.read_exact(&mut seen[..length]).await?;
                return Ok(Some(source));
            }
            Opening::Undecided if count == 0 || Instant::now() >= deadline => return Ok(None),
            Opening::Begun if Instant::now() >= deadline => return Err(TurnedAway::Line),
            Opening::Undecided | Opening::Begun => sleep(LOOK_AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of a connection.
    async fn connected() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_has_a_tenth_of_a_second() {
        for (words, late) in [("", false), ("PRO", false), ("PROXY ", true), ("PROXY TCP4 1.2.3.4 ", true)] {
            let (mut client, mut server) = connected().await;
            client.write_all(words.as_bytes()).await.unwrap();
            if !words.is_empty() {
                server.readable().await.unwrap();
            }
            let begun = Instant::now();
            let read = read_line(&mut server).await;
            assert_eq!(matches!(read, Err(TurnedAway::Line)), late, "{words:?}: {read:?}");
            assert_eq!(matches!(read, Ok(None)), !late, "{words:?}: {read:?}");
            assert!(begun.elapsed() >= LINE_TIMEOUT, "{words:?}");
            assert!(begun.elapsed() < LINE_TIMEOUT * 2, "{words:?}");
        }
    }

    #[tokio::test]
    async fn what_follows_a_line_stays_in_the_socket() {
        let (mut client, mut server) = connected().await;
        client.write_all(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /").await.unwrap();
        assert_eq!(read_line(&mut server).await.unwrap(), Some(([1, 2, 3, 4], 1).into()));
        let mut rest = [0; 5];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"GET /");
    }

    #[test]
    fn plain_requests_are_told_from_handshakes() {
        for (first, plain) in [
            (&b"GET /"[..], true),
            (b"G", true),
            (b"POST ", true),
            (b"OPTIO", true),
            (b"DELET", true),
            (b"", false),
            (b"\x16\x03\x01\x00\xee", false),
            (b"GETX ", false),
            (b"hello", false),
        ] {
            assert_eq!(is_plain_http(first), plain, "{first:?}");
        }
    }
}
