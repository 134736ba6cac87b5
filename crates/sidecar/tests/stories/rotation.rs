//! The life of the instance certificate.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use trueroute_sidecar::stats::Event;
use trueroute_testkit::{eventually, pki::Authority, tls::ClientTls};

use super::scene::{PATIENCE, Running, World, echo, echoing, rest, shown};

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_leaves_open_ones_alone() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    let mut old = sidecar.call(&world.router()).await.unwrap();
    echo(&mut old, "before").await;
    for _ in 0..3 {
        let renewed = world.instances.instance(&world.id).issue();
        world.put(&renewed);
        eventually(PATIENCE, async || shown(&sidecar.call(&world.router()).await.unwrap()) == renewed.der).await;
        echo(&mut old, "after").await;
    }
}

#[tokio::test]
async fn a_pair_that_does_not_match_changes_nothing() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    let first = shown(&sidecar.call(&world.router()).await.unwrap());
    let next = world.instances.instance(&world.id).issue();
    // The moment between Diego's two renames, made long: looked at many times over.
    std::fs::write(world.file("instance.key"), &next.key_pem).unwrap();
    for _ in 0..30 {
        assert_eq!(shown(&sidecar.call(&world.router()).await.unwrap()), first);
    }
    std::fs::write(world.file("instance.crt"), &next.chain_pem).unwrap();
    eventually(PATIENCE, async || shown(&sidecar.call(&world.router()).await.unwrap()) == next.der).await;
}

#[tokio::test]
async fn garbage_and_vanished_files_keep_the_last_good_certificate() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    let first = shown(&sidecar.call(&world.router()).await.unwrap());
    for spoil in [
        |world: &World| std::fs::write(world.file("instance.crt"), "-----BEGIN CERTIFICATE-----\nnonsense"),
        |world: &World| std::fs::write(world.file("instance.key"), ""),
        |world: &World| std::fs::remove_file(world.file("instance.crt")),
        |world: &World| std::fs::write(world.file("client-ca.crt"), "no authority at all"),
    ] {
        spoil(&world).unwrap();
        for _ in 0..20 {
            assert_eq!(shown(&sidecar.call(&world.router()).await.unwrap()), first);
        }
    }
}

#[tokio::test]
async fn without_a_certificate_connections_are_reset_until_there_is_one() {
    let world = World::new();
    std::fs::remove_file(world.file("instance.crt")).unwrap();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    // A bare probe is none: it says nothing, and nothing is said to it.
    drop(TcpStream::connect(sidecar.addr).await.unwrap());
    sidecar.sees(Event::HelloAbandoned, 1).await;
    let mut early = TcpStream::connect(sidecar.addr).await.unwrap();
    early.write_all(&[22]).await.unwrap();
    assert_eq!(early.read(&mut [0; 1]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    sidecar.sees(Event::NoIdentity, 1).await;
    world.put(&world.instances.instance(&world.id).issue());
    eventually(PATIENCE, async || sidecar.call(&world.router()).await.is_ok()).await;
}

#[tokio::test]
async fn the_certificate_without_a_name_is_served_and_ends_idle_connections() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    let mut idle = sidecar.call(&world.router()).await.unwrap();
    echo(&mut idle, "answered").await;
    let drained = world.instances.drain().issue();
    world.put(&drained);
    let anyone = ClientTls::trusting_anyone(&world.id.instance)
        .identity(&world.routers.router_client(super::scene::ROUTER).issue());
    eventually(PATIENCE, async || shown(&sidecar.call(&anyone).await.unwrap()) == drained.der).await;
    // A router's pool lets go of it: an orderly end.
    assert_eq!(rest(&mut idle).await.unwrap(), b"");
    sidecar.sees(Event::RelayDrained, 1).await;
    // And a router that verifies the name goes elsewhere.
    assert!(sidecar.call(&world.router()).await.is_err());
}

#[tokio::test]
async fn the_certificate_without_a_name_ends_connections_from_before_a_renewal_too() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    let mut opened = vec![sidecar.call(&world.router()).await.unwrap()];
    echo(&mut opened[0], "answered").await;
    let others = Authority::new("others");
    let renewals: [&dyn Fn(); 2] = [&|| world.put(&world.instances.instance(&world.id).issue()), &|| {
        std::fs::write(world.file("client-ca.crt"), format!("{}{}", world.routers.pem(), others.pem())).unwrap()
    }];
    for (renew, taken) in renewals.into_iter().zip(2..) {
        renew();
        eventually(PATIENCE, async || sidecar.stats.of(Event::CertificateTaken) >= taken).await;
        let mut stream = sidecar.call(&world.router()).await.unwrap();
        echo(&mut stream, "answered").await;
        opened.push(stream);
    }
    world.put(&world.instances.drain().issue());
    for (number, stream) in opened.iter_mut().enumerate() {
        assert_eq!(rest(stream).await.unwrap(), b"", "connection {number}");
    }
    // Called off, it is no sign for those that come later.
    world.put(&world.instances.instance(&world.id).issue());
    eventually(PATIENCE, async || sidecar.call(&world.router()).await.is_ok()).await;
    let mut later = sidecar.call(&world.router()).await.unwrap();
    for _ in 0..3 {
        echo(&mut later, "in force again").await;
    }
}

#[tokio::test]
async fn a_new_client_ca_counts_for_new_connections() {
    let world = World::new();
    let sidecar = Running::start(world.settings(echoing().await, world.strict())).await;
    let others = Authority::new("others");
    let newcomer = world.caller().identity(&others.router_client(super::scene::ROUTER).issue());
    std::fs::write(world.file("client-ca.crt"), format!("{}{}", world.routers.pem(), others.pem())).unwrap();
    eventually(PATIENCE, async || {
        let Ok(mut stream) = sidecar.call(&newcomer).await else { return false };
        AsyncWriteExt::write_all(&mut stream, b"x").await.is_ok() && stream.read_exact(&mut [0; 1]).await.is_ok()
    })
    .await;
    echo(&mut sidecar.call(&world.router()).await.unwrap(), "still welcome").await;
}
