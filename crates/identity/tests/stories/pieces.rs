//! Records come in pieces of any size, several at once or a part of one, and keys change in between.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    ClientConnection,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use trueroute_identity::{Acceptor, accept::Mode};

use crate::support::*;

/// A socket that takes no more than so many bytes at a time, in turn.
struct Cutting(TcpStream, &'static [usize], usize);

impl AsyncRead for Cutting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Cutting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.2 += 1;
        let most = self.1[self.2 % self.1.len()].min(bytes.len());
        Pin::new(&mut self.0).poll_write(cx, &bytes[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Accepts one caller and says what it hears, until the caller has no more to say.
async fn echoing(acceptor: &Arc<Acceptor>) -> Peer<usize> {
    let acceptor = acceptor.clone();
    Peer::start(async move |io| {
        let mut accepted = acceptor.start(io).await.unwrap().finish().await.unwrap();
        accepted.set_write_limit(40_000);
        let (mut all, mut piece) = (0, vec![0; 100_000]);
        loop {
            match accepted.read(&mut piece).await? {
                0 => break,
                count => {
                    all += count;
                    accepted.write_all(&piece[..count]).await?;
                    accepted.flush().await?;
                }
            }
        }
        assert!(accepted.closed_cleanly());
        accepted.shutdown().await?;
        Ok(all)
    })
    .await
}

#[tokio::test]
async fn what_comes_in_pieces_is_heard_whole() {
    let (instances, routers) = (Ca::new("instance-ca"), Ca::new("router-ca"));
    let strict = Mode::Strict { trust: trust_in(&routers), allowed: Vec::new() };
    let acceptor = Acceptor::new(credentials(&instances.issue(Leaf::of(INSTANCE))), strict).unwrap();
    let acceptor = Arc::new(acceptor);
    // With its authority: a flight of several messages that do not fit one read of a few bytes.
    let router = routers.issue(Leaf::of("router")).with(&routers);
    let text: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for version in [&TLS12, &TLS13] {
        for cuts in [&[100_000_000][..], &[1, 2, 3, 4], &[5, 16_000, 1], &[16_406, 7], &[70_000, 40]] {
            let sidecar = echoing(&acceptor).await;
            let io = Cutting(sidecar.connect().await, cuts, 0);
            io.0.set_nodelay(true).unwrap();
            let client = RustlsClient::new(&instances, Some(&router), version);
            let tls = client.connect_over(io, INSTANCE).await.unwrap();
            let (mut hear, mut say) = tokio::io::split(tls);
            let small = cuts.iter().all(|cut| *cut < 10);
            let text = if small { &text[..3000] } else { &text[..] };
            let said = async {
                for part in text.chunks(text.len() / 3) {
                    say.write_all(part).await.unwrap();
                    say.flush().await.unwrap();
                }
                say.shutdown().await.unwrap();
            };
            let heard = async {
                let mut all = Vec::new();
                hear.read_to_end(&mut all).await.unwrap();
                all
            };
            let ((), heard) = tokio::join!(said, heard);
            assert!(heard == text, "{version:?} {cuts:?}: {} of {}", heard.len(), text.len());
            assert_eq!(sidecar.outcome().await.unwrap(), text.len());
        }
    }
}

#[tokio::test]
async fn a_caller_may_change_its_keys() {
    let instances = Ca::new("instance-ca");
    let shown = credentials(&instances.issue(Leaf::of(INSTANCE)));
    let acceptor = Arc::new(Acceptor::new(shown, Mode::Tls).unwrap());
    let sidecar = echoing(&acceptor).await;
    let client = RustlsClient::new(&instances, None, &TLS13);
    let mut tls = client.connect(sidecar.connect().await, INSTANCE).await.unwrap();
    for round in 0..5_u8 {
        tls.write_all(&[round; 3000]).await.unwrap();
        let mut heard = vec![0; 3000];
        tls.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [round; 3000]);
        let keys: &mut ClientConnection = tls.get_mut().1;
        keys.refresh_traffic_keys().unwrap();
    }
    tls.shutdown().await.unwrap();
    tls.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(sidecar.outcome().await.unwrap(), 15_000);
}

/// What can't be decrypted is no end of a body, and the caller hears of it.
#[tokio::test]
async fn a_record_that_was_tampered_with_ends_the_connection_with_an_alert() {
    let instances = Ca::new("instance-ca");
    for version in [&TLS12, &TLS13] {
        let shown = credentials(&instances.issue(Leaf::of(INSTANCE)));
        let acceptor = Arc::new(Acceptor::new(shown, Mode::Tls).unwrap());
        let sidecar = Peer::start(async move |io| {
            let mut accepted = acceptor.start(io).await.unwrap().finish().await.unwrap();
            let mut heard = [0; 5];
            accepted.read_exact(&mut heard).await?;
            let error = accepted.read(&mut [0; 10]).await.unwrap_err();
            // Nothing more can be said either.
            assert!(accepted.write_all(b"more").await.is_err());
            assert!(accepted.shutdown().await.is_ok());
            Ok((heard, error.kind()))
        })
        .await;
        let client = RustlsClient::new(&instances, None, version);
        let mut tls = client.connect(sidecar.connect().await, INSTANCE).await.unwrap();
        tls.write_all(b"whole").await.unwrap();
        tls.flush().await.unwrap();
        let io = tls.get_mut().0;
        io.write_all(&[&[23, 3, 3, 0, 40][..], &[7; 40]].concat()).await.unwrap();
        let error = tls.read(&mut [0; 10]).await.unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{version:?}: {error}");
        drop(tls);
        assert_eq!(sidecar.outcome().await.unwrap(), (*b"whole", io::ErrorKind::InvalidData));
    }
}
