//! The warm start: a process that was killed, and the bus is away.

use std::{net::TcpListener, path::Path, time::Instant};

use serde_json::json;
use trueroute_testkit::{Bus, Nats, ReservedPort, Tempdir, eventually, pki::Authority};

use super::support::{Instance, PATIENCE, RouterBuilder, Scene};

fn router(scene: &Scene, file: &Path) -> RouterBuilder {
    let router = scene.router().set("snapshot.file", file.to_str().unwrap()).set("snapshot.interval", "10ms");
    // A table that starts empty takes its time; one that does not, need not.
    router.set("start_response_delay_interval", "1h")
}

/// Waits until the file holds so many messages.
async fn holds(file: &Path, messages: usize) {
    let lines = || std::fs::read_to_string(file).unwrap_or_default().lines().count();
    eventually(PATIENCE, async || lines() == messages + 1).await;
}

/// The one instance of a router that was killed when it had written its file.
async fn left_behind(scene: &Scene, file: &Path) -> Instance {
    let first = router(scene, file).set("start_response_delay_interval", "0s").spawn().await;
    let app = first.instance("app").uri("app.example.com").register().await;
    holds(file, 1).await;
    first.signal("KILL");
    eventually(PATIENCE, async || !first.is_running()).await;
    app
}

#[tokio::test]
async fn killed_and_started_again_without_a_bus_it_serves_at_once_and_learns_when_the_bus_is_back() {
    let (scene, dir) = (Scene::over(Bus::Small(Nats::start())), Tempdir::new().unwrap());
    let file = dir.path().join("routes");
    let first = router(&scene, &file).set("start_response_delay_interval", "0s").spawn().await;
    let app = first.instance("app").uri("app.example.com").register().await;
    let plain = first.instance("plain").plain().uri("plain.example.com").register().await;
    holds(&file, 1).await;
    first.signal("KILL");
    eventually(PATIENCE, async || !first.is_running()).await;
    scene.bus.die();

    let begun = Instant::now();
    let second = router(&scene, &file).spawn().await;
    assert_eq!(second.get("app.example.com", "/").await.header("x-app"), Some("app"));

    println!("first answer {} ms after the start", begun.elapsed().as_millis());
    assert_eq!(app.requests(), 1);
    eventually(PATIENCE, async || second.health().await == 200).await;
    assert_eq!(second.get("plain.example.com", "/").await.status, 404, "nobody proves who is there now");
    assert_eq!(second.line("snapshot-loaded").await.field("endpoints"), 1);
    second.line("nats-connection-error").await;

    scene.bus.revive();
    second.line("subscriber-started").await;
    let late = second.instance("late").uri("late.example.com").register().await;
    assert_eq!(second.get("late.example.com", "/").await.header("x-app"), Some("late"));
    drop((plain, late));
}

/// Neither servers that accept and say nothing nor a Routing API without tokens keep what is known from being served.
#[tokio::test]
async fn it_waits_for_nobody() {
    let (scene, dir) = (Scene::over(Bus::Small(Nats::start())), Tempdir::new().unwrap());
    let file = dir.path().join("routes");
    let _app = left_behind(&scene, &file).await;

    let silent = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let hosts =
        silent.each_ref().map(|server| json!({"hostname": "127.0.0.1", "port": server.local_addr().unwrap().port()}));
    let (nobody, ca) = (ReservedPort::new(), Authority::new("api"));
    let own = ca.router_client("router").issue();
    let second = router(&scene, &file)
        .set("start_response_delay_interval", "1s")
        .set("nats.hosts", json!(hosts))
        .set(
            "routing_api",
            json!({"uri": "https://127.0.0.1", "port": nobody.port(), "ca_certs": ca.pem(),
            "cert_chain": own.chain_pem, "private_key": own.key_pem}),
        )
        .set(
            "oauth",
            json!({"token_endpoint": "127.0.0.1", "port": nobody.port(), "client_name": "c",
            "client_secret": "s", "skip_ssl_validation": true}),
        )
        .spawn()
        .await;
    assert_eq!(second.get("app.example.com", "/").await.header("x-app"), Some("app"));
    // That comes when each of the three servers has had its two seconds.
    assert!(second.lines().iter().all(|line| line.message() != "nats-connection-error"));
    eventually(PATIENCE, async || second.health().await == 200).await;
}

/// What is not in the file comes with the registrations, and until then another router serves it better.
#[tokio::test]
async fn with_a_bus_it_serves_at_once_and_is_healthy_when_the_table_has_filled() {
    let (scene, dir) = (Scene::over(Bus::Small(Nats::start())), Tempdir::new().unwrap());
    let file = dir.path().join("routes");
    let _app = left_behind(&scene, &file).await;
    let second = router(&scene, &file).spawn().await;
    assert_eq!(second.get("app.example.com", "/").await.status, 200);
    let said = second.line("Sleeping before returning success on /health endpoint to preload routing table").await;
    assert_eq!((said.field("sleep_time_seconds"), second.health().await), (&json!(3600), 503));
}

#[tokio::test]
async fn what_nobody_confirms_is_forgotten_in_time() {
    let (scene, dir) = (Scene::over(Bus::Small(Nats::start())), Tempdir::new().unwrap());
    let file = dir.path().join("routes");
    let _app = left_behind(&scene, &file).await;
    let second = router(&scene, &file).set("start_response_delay_interval", "1ms");
    let second = second.set("droplet_stale_threshold", "300ms").spawn().await;
    assert_eq!(second.get("app.example.com", "/").await.status, 200);
    second.line("pruned-route").await;
    assert_eq!(second.get("app.example.com", "/").await.status, 404);
    holds(&file, 0).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_and_ignored() {
    let (scene, dir) = (Scene::over(Bus::Small(Nats::start())), Tempdir::new().unwrap());
    let file = dir.path().join("routes");
    for junk in ["", "trueroute-snapshot 2 00\n", "trueroute-snapshot 1 00\n{}\n"] {
        std::fs::write(&file, junk).unwrap();
        let router = router(&scene, &file).set("start_response_delay_interval", "0s").spawn().await;
        let said = router.line("snapshot-not-loaded").await;
        assert!(said.field("error").as_str().unwrap().contains(file.to_str().unwrap()), "{said:?}");
        let _app = router.instance("app").uri("app.example.com").register().await;
        assert_eq!(router.get("app.example.com", "/").await.status, 200);
        holds(&file, 1).await;
    }
    std::fs::write(&file, "somebody's notes").unwrap();
    let router = router(&scene, &file).set("start_response_delay_interval", "0s").spawn().await;
    router.line("snapshot-not-loaded").await;
    let _app = router.instance("app").uri("app.example.com").register().await;
    router.line("snapshot-not-written").await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's notes");
}
