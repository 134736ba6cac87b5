//! What one peer can cost, and for how long.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use trueroute_sidecar::{Sidecar, StartError, settings::Mode, stats::Event};
use trueroute_testkit::eventually;

use super::scene::{PATIENCE, Running, World, accept, app, echo, echoing, rest};

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let world = World::new();
    let mut settings = world.settings(echoing().await, world.strict());
    settings.listeners[0].timeouts.handshake = Duration::from_millis(200);
    let sidecar = Running::start(settings).await;
    let mut silent = TcpStream::connect(sidecar.addr).await.unwrap();
    let mut slow = TcpStream::connect(sidecar.addr).await.unwrap();
    // The beginning of a ClientHello of 512 bytes.
    slow.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    let _ = rest(&mut slow).await;
    sidecar.sees(Event::HandshakeTimedOut, 2).await;
    assert_eq!((sidecar.stats.of(Event::AppDialled), sidecar.stats.active()), (0, 0));
}

#[tokio::test]
async fn a_crowd_of_silent_connections_makes_room_for_an_honest_one() {
    let world = World::new();
    let mut settings = world.settings(echoing().await, world.strict());
    settings.listeners[0].caps.handshakes = 3;
    let sidecar = Running::start(settings).await;
    let mut crowd = Vec::new();
    for already in 1..=3 {
        crowd.push(TcpStream::connect(sidecar.addr).await.unwrap());
        eventually(PATIENCE, async || sidecar.stats.active() == already).await;
    }
    echo(&mut sidecar.call(&world.router()).await.unwrap(), "let me in").await;
    sidecar.sees(Event::GaveWay, 1).await;
    // The one that was silent for longest.
    assert_eq!(rest(&mut crowd[0]).await.unwrap_or_default(), b"");
    eventually(PATIENCE, async || sidecar.stats.active() == 2).await;
}

#[tokio::test]
async fn peers_that_stall_after_their_hello_make_room_for_an_honest_one() {
    let world = World::new();
    let mut settings = world.settings(echoing().await, world.strict());
    settings.listeners[0].caps.handshakes = 2;
    // Not by this: it is longer than anybody's patience here.
    settings.listeners[0].timeouts.handshake = 6 * PATIENCE;
    let sidecar = Running::start(settings).await;
    let mut crowd = Vec::new();
    for already in 1..=2 {
        let mut stalling = TcpStream::connect(sidecar.addr).await.unwrap();
        let mut tls = rustls::ClientConnection::new(world.router().config(), world.router().server_name()).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        stalling.write_all(&hello).await.unwrap();
        // Our answer has come, and stays unanswered.
        stalling.readable().await.unwrap();
        sidecar.sees(Event::AppDialled, already).await;
        crowd.push(stalling);
    }
    echo(&mut sidecar.call(&world.router()).await.unwrap(), "let me in").await;
    sidecar.sees(Event::GaveWay, 1).await;
    eventually(PATIENCE, async || sidecar.stats.active() == 1).await;
    // The one that had stalled for longest.
    let _ = rest(&mut crowd[0]).await;
}

#[tokio::test]
async fn connections_above_the_cap_wait_and_are_served() {
    let world = World::new();
    let mut settings = world.settings(echoing().await, world.strict());
    settings.listeners[0].caps.connections = Some(2);
    let sidecar = Running::start(settings).await;
    let mut first = sidecar.call(&world.router()).await.unwrap();
    let _second = sidecar.call(&world.router()).await.unwrap();
    echo(&mut first, "one").await;
    let tls = world.router();
    let third = sidecar.call(&tls);
    tokio::pin!(third);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut third).await.is_err());
    drop(first);
    echo(&mut third.await.unwrap(), "three").await;
}

#[tokio::test]
async fn a_silent_relay_is_closed_after_the_idle_timeout() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let mut settings = world.settings(addr, world.strict());
    settings.listeners[0].timeouts.idle = Some(Duration::from_millis(100));
    let sidecar = Running::start(settings).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    assert_eq!(rest(&mut router).await.unwrap(), b"");
    assert_eq!(rest(&mut instance).await.unwrap(), b"");
    sidecar.sees(Event::RelayIdle, 1).await;
}

#[tokio::test]
async fn a_stop_lets_busy_connections_finish_and_takes_no_new_ones() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    router.write_all(b"question").await.unwrap();
    instance.read_exact(&mut [0; 8]).await.unwrap();
    sidecar.stop.cancel();
    eventually(PATIENCE, async || TcpStream::connect(sidecar.addr).await.is_err()).await;
    instance.write_all(b"answer").await.unwrap();
    let mut answer = [0; 6];
    router.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    // Between two requests it is closed, in order.
    assert_eq!(rest(&mut router).await.unwrap(), b"");
    sidecar.ends().await;
}

#[tokio::test]
async fn what_outlives_the_drain_is_cut() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let mut settings = world.settings(addr, world.strict());
    settings.drain.time = Duration::from_millis(100);
    let sidecar = Running::start(settings).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    router.write_all(b"question").await.unwrap();
    instance.read_exact(&mut [0; 8]).await.unwrap();
    sidecar.stop.cancel();
    let stats = sidecar.stats.clone();
    sidecar.ends().await;
    assert_eq!((stats.active(), stats.of(Event::RelayDrained)), (0, 1));
}

#[tokio::test]
async fn strict_with_a_file_that_proves_nobody_does_not_start() {
    let world = World::new();
    for (content, expected) in [(None, "ClientCaFile"), (Some(""), "ClientCa("), (Some("nonsense"), "ClientCa(")] {
        let path = world.file("client-ca.crt");
        match content {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let error = Sidecar::bind(world.settings(([127, 0, 0, 1], 1).into(), world.strict())).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{content:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let (world, (_taken, addr)) = (World::new(), app().await);
    let mut settings = world.settings(addr, Mode::Tls);
    settings.listeners[0].listen = addr;
    match Sidecar::bind(settings).await {
        Err(StartError::Listen { address, .. }) => assert_eq!(address, addr),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn dropping_the_run_ends_everything_it_started() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let _router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    let at = sidecar.addr;
    drop(sidecar);
    assert_eq!(rest(&mut instance).await.unwrap_or_default(), b"");
    eventually(PATIENCE, async || TcpStream::connect(at).await.is_err()).await;
}
