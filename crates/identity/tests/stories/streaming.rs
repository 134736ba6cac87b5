//! The stream itself: large bodies, back-pressure, ends of every kind, and what an idle connection hears.

use std::{future::poll_fn, io, task::Poll};

use bytes::BytesMut;
use rustls::version::{TLS12, TLS13};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use trueroute_identity::{ExpectedName, Secured, stream::IdleEnd};

use crate::support::*;

/// Dials a good server of this version that then does as told.
async fn with_server<F, R>(
    version: &'static rustls::SupportedProtocolVersion,
    serve: impl FnOnce(TlsStream<TcpStream>) -> F + Send + 'static,
) -> (Secured, Peer<R>)
where
    F: Future<Output = R> + Send,
    R: Send + 'static,
{
    let ca = Ca::new("instance-ca");
    let server = TlsServer::speaking(&ca.issue(Leaf::of(INSTANCE)), version).serve(serve).await;
    let dialer = dialer(trust_in(&ca));
    let mut secured = dialer.secure(server.connect().await, &ExpectedName::new(INSTANCE)).await.unwrap();
    poll_fn(|cx| secured.poll_flush(cx)).await.unwrap();
    (secured, server)
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

#[tokio::test]
async fn a_large_body_arrives_whole_in_either_direction() {
    const SIZE: usize = 3_000_001;
    for version in [&TLS12, &TLS13] {
        let (mut secured, server) = with_server(version, async |mut tls| {
            let mut body = vec![0; SIZE];
            tls.read_exact(&mut body).await.unwrap();
            tls.write_all(&body).await.unwrap();
            tls.shutdown().await.unwrap();
        })
        .await;
        let body = pattern(SIZE);
        let mut sent = 0;
        while sent < SIZE {
            let taken = poll_fn(|cx| secured.poll_write(cx, &body[sent..])).await.unwrap();
            assert!(taken > 0 && taken <= 64 * 1024);
            sent += taken;
        }
        poll_fn(|cx| secured.poll_flush(cx)).await.unwrap();
        let mut back = BytesMut::new();
        while poll_fn(|cx| secured.poll_read_buf(cx, &mut back)).await.unwrap() > 0 {}
        assert!(back == body, "the body changed on its way");
        assert_eq!(secured.facts().app_bytes_in, SIZE as u64);
        assert!(secured.facts().closed_cleanly);
        server.outcome().await.unwrap();
    }
}

#[tokio::test]
async fn one_read_takes_many_records_and_no_more_than_its_limit() {
    let (mut secured, server) = with_server(&TLS13, async |mut tls| {
        let _ = tls.write_all(&[7; 2_000_000]).await;
        let _ = tls.flush().await;
        let _ = tls.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut most = 0;
    let mut total = 0;
    while total < 1_000_000 {
        let mut text = BytesMut::new();
        total += poll_fn(|cx| secured.poll_read_buf(cx, &mut text)).await.unwrap();
        most = most.max(text.len());
    }
    assert!(most > 32 * 1024, "at most {most} bytes a read: one record each");
    secured.set_read_limit(20_000);
    while total < 2_000_000 {
        let mut text = BytesMut::new();
        total += poll_fn(|cx| secured.poll_read_buf(cx, &mut text)).await.unwrap();
        assert!(text.len() <= 20_000 + 16 * 1024, "{}", text.len());
    }
    assert_eq!(total, 2_000_000);
    secured.shutdown().await.unwrap();
    server.outcome().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_read_stops_the_writer() {
    let (done, wait) = tokio::sync::oneshot::channel::<()>();
    let (mut secured, server) = with_server(&TLS13, async |tls| {
        let _ = wait.await;
        drop(tls);
    })
    .await;
    let body = vec![1; 256 * 1024];
    let mut taken = 0;
    let blocked = poll_fn(|cx| {
        loop {
            match secured.poll_write(cx, &body) {
                Poll::Ready(Ok(count)) => taken += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // The sockets' own buffers are all that lies between; they are not ours to bound.
                Poll::Pending => return Poll::Ready(Ok(())),
            }
            if taken > 64 * 1024 * 1024 {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
        }
    });
    blocked.await.unwrap();
    done.send(()).unwrap();
    server.outcome().await.unwrap();
}

#[tokio::test]
async fn an_end_between_records_is_an_end_and_inside_one_a_cut() {
    for (tail, cut) in [(&[][..], false), (&[0x17, 3, 3, 0, 99, 1, 2, 3][..], true), (&[0x17, 3][..], true)] {
        let (mut secured, _server) = with_server(&TLS13, async |mut tls| {
            tls.write_all(b"text").await.unwrap();
            tls.flush().await.unwrap();
            let (mut io, _) = tls.into_inner();
            io.write_all(tail).await.unwrap();
            io.shutdown().await.unwrap(); // without close_notify
            let _ = io.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let mut text = Vec::new();
        let end = secured.read_to_end(&mut text).await;
        assert_eq!(text, b"text");
        assert_eq!(end.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof), cut, "after {tail:?}");
        assert!(!secured.facts().closed_cleanly);
        assert_eq!(poll_fn(|cx| secured.poll_idle(cx)).await, if cut { IdleEnd::Failed } else { IdleEnd::Closed });
    }
}

#[tokio::test]
async fn a_reset_is_not_taken_for_an_end_at_the_second_look() {
    let (mut secured, server) = with_server(&TLS13, async |tls| tls.get_ref().0.set_zero_linger().unwrap()).await;
    server.outcome().await.unwrap();
    for _ in 0..2 {
        let error = secured.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn tickets_do_not_end_an_idle_connection() {
    let (told, wait) = tokio::sync::oneshot::channel::<()>();
    let (mut secured, server) = with_server(&TLS13, async |mut tls| {
        // The tickets are out once the handshake is: they lie in the socket by now.
        let _ = wait.await;
        tls.shutdown().await.unwrap();
    })
    .await;
    secured.socket().readable().await.unwrap();
    assert_eq!(secured.peek_closed(), None);
    told.send(()).unwrap();
    assert_eq!(poll_fn(|cx| secured.poll_idle(cx)).await, IdleEnd::Closed);
    assert_eq!(secured.peek_closed(), Some(IdleEnd::Closed));
    server.outcome().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_talks_unasked_ends_an_idle_connection() {
    for version in [&TLS12, &TLS13] {
        let (mut secured, _server) = with_server(version, async |mut tls| {
            tls.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
            tls.flush().await.unwrap();
            let _ = tls.read_to_end(&mut Vec::new()).await;
        })
        .await;
        assert_eq!(poll_fn(|cx| secured.poll_idle(cx)).await, IdleEnd::Unsolicited);
        assert_eq!(secured.peek_closed(), Some(IdleEnd::Unsolicited));
    }
}

#[tokio::test]
async fn a_tunnel_runs_both_ways_at_once() {
    let (secured, server) = with_server(&TLS13, async |tls| {
        let (mut read, mut write) = tokio::io::split(tls);
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    })
    .await;
    let body = pattern(2_000_000);
    let (mut read, mut write) = tokio::io::split(secured);
    let sent = body.clone();
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    read.read_to_end(&mut back).await.unwrap();
    writing.await.unwrap();
    assert!(back == body, "the body changed on its way");
    server.outcome().await.unwrap();
}
