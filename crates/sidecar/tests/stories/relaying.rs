//! Bytes and the ends of byte streams, through TLS.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trueroute_sidecar::{
    settings::{AccessLog, Mode},
    stats::Event,
};
use trueroute_testkit::{eventually, tls::Version};

use super::scene::{PATIENCE, Running, World, accept, app, echo, echoing, rest};

#[tokio::test]
async fn bytes_pass_both_ways_in_both_modes_and_versions() {
    let world = World::new();
    for mode in [Mode::Tls, world.strict()] {
        let sidecar = Running::start(world.settings(echoing().await, mode.clone())).await;
        for version in [Version::Tls12, Version::Tls13] {
            let mut router = sidecar.call(&world.router().only(version)).await.unwrap();
            echo(&mut router, "hello").await;
            echo(&mut router, &"x".repeat(100_000)).await;
        }
        assert_eq!(sidecar.stats.of(Event::HandshakeDone), 2);
    }
}

#[tokio::test]
async fn a_router_that_has_finished_asking_still_hears_the_answer() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    router.write_all(b"question").await.unwrap();
    router.shutdown().await.unwrap();
    assert_eq!(rest(&mut instance).await.unwrap(), b"question");
    instance.write_all(b"answer").await.unwrap();
    drop(instance);
    // An orderly end: close_notify, or reading would fail.
    assert_eq!(rest(&mut router).await.unwrap(), b"answer");
    sidecar.sees(Event::RelayFinished, 1).await;
    assert_eq!(sidecar.stats.active(), 0);
}

#[tokio::test]
async fn an_app_that_closes_is_seen_at_once() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    accept(&listener).await.shutdown().await.unwrap();
    assert_eq!(rest(&mut router).await.unwrap(), b"");
}

#[tokio::test]
async fn an_app_that_crashes_mid_answer_is_no_orderly_end() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    instance.write_all(b"half an ans").await.unwrap();
    router.read_exact(&mut [0; 11]).await.unwrap();
    instance.set_zero_linger().unwrap();
    drop(instance);
    assert_eq!(rest(&mut router).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    sidecar.sees(Event::RelayReset, 1).await;
}

#[tokio::test]
async fn a_router_that_gives_up_resets_the_app() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    sidecar.sees(Event::HandshakeDone, 1).await;
    router.get_ref().0.set_zero_linger().unwrap();
    drop(router);
    assert_eq!(rest(&mut instance).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    sidecar.sees(Event::RelayReset, 1).await;
}

#[tokio::test]
async fn an_early_answer_reaches_a_router_that_is_still_sending() {
    let (world, (listener, addr)) = (World::new(), app().await);
    let sidecar = Running::start(world.settings(addr, world.strict())).await;
    let router = sidecar.call(&world.router()).await.unwrap();
    let mut instance = accept(&listener).await;
    let (mut from, mut to) = tokio::io::split(router);
    let sending = tokio::spawn(async move { to.write_all(&vec![b'q'; 32 << 20]).await });
    instance.read_exact(&mut [0; 1]).await.unwrap();
    instance.write_all(b"HTTP/1.1 413 Payload Too Large\r\n\r\n").await.unwrap();
    drop(instance);
    let mut answer = [0; 34];
    from.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413"));
    assert_eq!(rest(&mut from).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let _ = sending.await.unwrap();
}

#[tokio::test]
async fn each_connection_is_a_line_of_the_access_log() {
    let world = World::new();
    let mut settings = world.settings(echoing().await, world.strict());
    let path = world.file("access.log");
    settings.listeners[0].access_log = Some(AccessLog::File(path.clone()));
    let app = settings.listeners[0].app.clone();
    let sidecar = Running::start(settings).await;
    let mut router = sidecar.call(&world.router()).await.unwrap();
    echo(&mut router, "hello").await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "it has not ended yet");
    router.shutdown().await.unwrap();
    assert_eq!(rest(&mut router).await.unwrap(), b"");
    eventually(PATIENCE, async || std::fs::read_to_string(&path).unwrap().ends_with('\n')).await;
    let line = std::fs::read_to_string(&path).unwrap();
    assert!(line.contains("\"- - -\" 0 - 5 5 "), "{line}");
    assert!(line.ends_with(&format!(" - \"-\" \"-\" \"-\" \"-\" \"{app}\"\n")), "{line}");
}

#[tokio::test]
async fn who_is_turned_away_is_a_line_of_the_access_log_too() {
    let world = World::new();
    let mut settings = world.settings(echoing().await, world.strict());
    let path = world.file("access.log");
    settings.listeners[0].access_log = Some(AccessLog::File(path.clone()));
    let app = settings.listeners[0].app.clone();
    let sidecar = Running::start(settings).await;
    let nobody = "-".to_owned();
    let lines = async |count: usize, upstream: &str| {
        eventually(PATIENCE, async || std::fs::read_to_string(&path).unwrap().lines().count() == count).await;
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().last().unwrap();
        assert!(line.contains("] \"- - -\" 0 - 0 0 ") && line.ends_with(&format!(" \"{upstream}\"")), "{line}");
    };
    drop(TcpStream::connect(sidecar.addr).await.unwrap());
    lines(1, &nobody).await;
    let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    lines(2, &nobody).await;
    // Without a certificate, after the app was dialled.
    let _ = sidecar.call(&world.caller().only(Version::Tls12)).await.unwrap_err();
    lines(3, &app.to_string()).await;
}
