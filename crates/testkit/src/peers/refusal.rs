//! The peer that refuses our client certificate, or the lack of one: in TLS 1.2 inside the handshake, in TLS 1.3 after
//! the client believes it is over (engineering.md B4).

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Counts, Peer};
use crate::house::House;
use crate::pki::{Authority, Leaf};
use crate::port::ReservedPort;
use crate::tls::{ServerTls, Version};

/// What a refusing peer does with the connection once its alert is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Closes at once. What the client sends meanwhile meets a reset, which may destroy the alert.
    Blunt,
    /// Ends its own direction, takes off what comes for half a second, and closes.
    Lingering,
}

/// Shows `leaf` and refuses every client certificate: it wants one of an authority that exists nowhere else. A client
/// without a certificate gets alert 116 (certificate_required), one with a certificate 48 (unknown_ca).
///
/// [`Peer::requests`] stays 0: it can't read what it doesn't let in.
pub fn refuses_our_certificate(leaf: &Leaf, version: Version, ending: Ending) -> Peer {
    refuses_at(&ServerTls::new(leaf).only(version), ending)
}

/// The same behind a door that is otherwise this one: it may agree on HTTP/2.
pub fn refuses_at(door: &ServerTls, ending: Ending) -> Peer {
    let tls = door.clone().require_client(&Authority::new("unheard of"));
    let acceptor = TlsAcceptor::from(tls.config());
    let counts = Arc::new(Counts::default());
    let seen = counts.clone();
    let house = House::new(ReservedPort::new());
    house.open(move |tcp, _| {
        let (acceptor, counts) = (acceptor.clone(), seen.clone());
        async move {
            let _here = counts.arrive();
            match acceptor.accept(tcp).into_fallible().await {
                // Nobody holds a certificate of that authority; the count would show it.
                Ok(_) => counts.handshake(true),
                Err((_, tcp)) => {
                    counts.handshake(false);
                    if ending == Ending::Lingering {
                        linger(tcp).await;
                    }
                }
            }
        }
    });
    Peer::at(house, counts)
}

async fn linger(mut tcp: TcpStream) {
    let _ = tcp.shutdown().await;
    let mut sink = vec![0; 64 * 1024];
    let drain = async { while tcp.read(&mut sink).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(Duration::from_millis(500), drain).await;
}
