//! A gibibyte in either direction weighs no more than a message.

use std::time::{Duration, Instant};

use trueroute_testkit::{Bus, Nats, app::Reply, eventually};

use super::support::{PATIENCE, RouterProcess, Scene};

const GIB: u64 = 1024 * 1024 * 1024;
/// In KiB.
const ALLOWED: u64 = 16 * 1024;

/// The most memory that the process ever had, in KiB.
fn peak(router: &RouterProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", router.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn router() -> RouterProcess {
    Scene::over(Bus::Small(Nats::start())).router().set("endpoint_timeout", "0s").spawn().await
}

#[tokio::test]
async fn a_gibibyte_down_is_not_held() {
    let router = router().await;
    let app = router.instance("app").plain().uri("app.example.com").register().await;
    router.get("app.example.com", &format!("/stream/{}", GIB / 1024)).await;
    let before = peak(&router);
    let mut client = router.client().await;
    client.send_raw(format!("GET /stream/{GIB} HTTP/1.1\r\nHost: app.example.com\r\n\r\n")).await.unwrap();
    client.reader.head().await.unwrap();
    client.reader.skip(GIB / 4).await.unwrap();
    // A reader that rests: what is under way piles up somewhere, and it must not be here.
    let mut last = (app.bytes_out(), Instant::now());
    eventually(PATIENCE, || {
        let now = app.bytes_out();
        if now != last.0 {
            last = (now, Instant::now());
        }
        let rests = last.1.elapsed() > Duration::from_millis(300);
        async move { rests }
    })
    .await;
    client.reader.skip(GIB - GIB / 4).await.unwrap();
    let grown = peak(&router) - before;
    assert!(grown < ALLOWED, "{grown} KiB more");
    assert_eq!(app.bytes_out(), GIB + GIB / 1024);
}

#[tokio::test]
async fn a_gibibyte_up_is_not_held() {
    let router = router().await;
    let app = router.instance("app").plain().uri("app.example.com").rule(|_| Reply::text("ok")).register().await;
    for length in [GIB / 1024, GIB] {
        let before = peak(&router);
        let (mut reader, mut writer) = router.client().await.patience(Duration::from_secs(120)).split();
        let head = format!("POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: {length}\r\n\r\n");
        let sending = async {
            writer.send(head).await.unwrap();
            writer.fill(length).await.unwrap();
        };
        let ((), answer) = tokio::join!(sending, reader.response("POST"));
        assert_eq!(answer.unwrap().text(), "ok");
        assert_eq!(app.last().unwrap().body_bytes, length);
        let grown = peak(&router) - before;
        assert!(grown < ALLOWED, "{grown} KiB more after {length} bytes");
    }
}
