//! What operators change through the admin pages, and what nobody does by accident.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream};
use trueroute_sidecar::{Settings, settings::Admin};
use trueroute_testkit::eventually;

use super::{
    admin::Scene,
    scene::{PATIENCE, rest},
};

#[tokio::test]
async fn only_post_changes_anything() {
    let scene = Scene::new().await;
    let help = scene.curl("/help").await;
    let changing: Vec<&str> =
        help.lines().filter_map(|line| line.trim().split_once(" (POST)").map(|(path, _)| path)).collect();
    assert!(changing.contains(&"/quitquitquit") && changing.len() > 8, "{changing:?}");
    for path in changing {
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(scene.ask(method, path).await.0, 405, "{method} {path}");
        }
    }
    assert_eq!(scene.ask("DELETE", "/clusters").await.0, 405);
    assert_eq!(scene.curl("/ready").await, "LIVE\n");
    scene.request().await;
}

#[tokio::test]
async fn read_only_pages_change_nothing_by_post_either() {
    let scene = Scene::with(|settings| {
        let admin = settings.admin.map(|admin| Admin { read_only: true, ..admin });
        Settings { admin, ..settings }
    })
    .await;
    for path in ["/quitquitquit", "/drain_listeners", "/healthcheck/fail", "/reset_counters", "/logging?level=debug"] {
        assert_eq!(scene.ask("POST", path).await.0, 403, "{path}");
    }
    assert_eq!(scene.ask("POST", "/clusters").await.0, 200);
    scene.request().await;
}

#[tokio::test]
async fn an_operator_can_call_it_unhealthy_and_well_again() {
    let scene = Scene::new().await;
    assert_eq!(scene.ask("POST", "/healthcheck/fail").await.0, 200);
    assert_eq!(scene.ask("GET", "/ready").await, (503, "DRAINING\n".to_owned()));
    assert_eq!(scene.ask("POST", "/healthcheck/ok").await.0, 200);
    assert_eq!(scene.curl("/ready").await, "LIVE\n");
}

#[tokio::test]
async fn draining_by_hand_closes_the_doors_and_idle_connections_and_goes_on() {
    let scene = Scene::new().await;
    let mut pooled = scene.request().await;
    assert_eq!(scene.ask("POST", "/drain_listeners").await.0, 200);
    assert_eq!(rest(&mut pooled).await.unwrap(), b"");
    eventually(PATIENCE, async || TcpStream::connect(scene.sidecar.addr).await.is_err()).await;
    assert_eq!(scene.ask("GET", "/ready").await.0, 503);
    assert_eq!(scene.json("/server_info").await["state"], "DRAINING");
}

#[tokio::test]
async fn a_graceful_drain_leaves_the_doors_open_for_its_time() {
    let scene = Scene::with(|mut settings| {
        settings.drain.time = Duration::from_millis(400);
        settings
    })
    .await;
    let mut pooled = scene.request().await;
    assert_eq!(scene.ask("POST", "/drain_listeners?graceful").await.0, 200);
    assert_eq!(rest(&mut pooled).await.unwrap(), b"");
    assert!(TcpStream::connect(scene.sidecar.addr).await.is_ok());
    eventually(PATIENCE, async || TcpStream::connect(scene.sidecar.addr).await.is_err()).await;
}

#[tokio::test]
async fn a_drain_that_skips_the_exit_leaves_the_doors_open_for_good() {
    for target in ["/drain_listeners?graceful&skip_exit", "/drain_listeners?skip_exit"] {
        let scene = Scene::with(|mut settings| {
            settings.drain.time = Duration::from_millis(20);
            settings
        })
        .await;
        let mut pooled = scene.request().await;
        assert_eq!(scene.ask("POST", target).await.0, 200);
        assert_eq!(rest(&mut pooled).await.unwrap(), b"");
        // The idle connection was let go of after more than the drain time, and the doors are open still.
        scene.request().await;
    }
}

#[tokio::test]
async fn who_asks_and_leaves_at_once_has_asked() {
    let scene = Scene::new().await;
    let mut stream = TcpStream::connect(scene.sidecar.admin.unwrap()).await.unwrap();
    stream.write_all(b"POST /quitquitquit HTTP/1.1\r\n\r\n").await.unwrap();
    drop(stream);
    scene.sidecar.ends().await;
}

#[tokio::test]
async fn quitting_waits_for_nobody() {
    let scene = Scene::new().await;
    let mut busy = scene.request().await;
    busy.write_all(b"question").await.unwrap();
    assert_eq!(scene.ask("POST", "/quitquitquit").await, (200, "OK\n".to_owned()));
    // Within far less than the drain time of 900 s.
    scene.sidecar.ends().await;
}
