//! The warm start: a process that was killed, and the bus is away.

use std::{path::Path, time::Instant};

use trueroute_testkit::{Bus, Nats, Tempdir, eventually};

use super::support::{PATIENCE, RouterBuilder, Scene};

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
    assert_eq!((app.requests(), second.health().await), (1, 200));
    assert_eq!(second.get("plain.example.com", "/").await.status, 404, "nobody proves who is there now");
    assert_eq!(second.line("snapshot-loaded").await.field("endpoints"), 1);
    second.line("nats-connection-error").await;

    scene.bus.revive();
    second.line("subscriber-started").await;
    let late = second.instance("late").uri("late.example.com").register().await;
    assert_eq!(second.get("late.example.com", "/").await.header("x-app"), Some("late"));
    drop((plain, late));
}

#[tokio::test]
async fn what_nobody_confirms_is_forgotten_in_time() {
    let (scene, dir) = (Scene::over(Bus::Small(Nats::start())), Tempdir::new().unwrap());
    let file = dir.path().join("routes");
    let first = router(&scene, &file).set("start_response_delay_interval", "0s").spawn().await;
    let _app = first.instance("app").uri("app.example.com").register().await;
    holds(&file, 1).await;
    first.signal("KILL");
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
    for junk in ["", "something else", "trueroute-snapshot 2 00\n", "trueroute-snapshot 1 00\n{}\n"] {
        std::fs::write(&file, junk).unwrap();
        let router = router(&scene, &file).set("start_response_delay_interval", "0s").spawn().await;
        let said = router.line("snapshot-not-loaded").await;
        assert!(said.field("error").as_str().unwrap().contains(file.to_str().unwrap()), "{said:?}");
        let _app = router.instance("app").uri("app.example.com").register().await;
        assert_eq!(router.get("app.example.com", "/").await.status, 200);
        holds(&file, 1).await;
    }
}
