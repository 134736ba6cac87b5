//! SIGTERM and SIGINT: the end at once.

use trueroute_testkit::{Bus, Client, Nats, app::Reply, eventually};

use super::support::{PATIENCE, Scene};

#[tokio::test]
async fn a_stop_is_at_once_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let router = Scene::over(Bus::Small(Nats::start())).router().set("drain_wait", "1h").spawn().await;
        let app = router.instance("app").plain().uri("app.example.com").register().await;
        let mut idle = router.client().await;
        assert_eq!(idle.get("app.example.com", "/").await.unwrap().status, 200);
        let mut busy = router.client().await;
        busy.send_raw("GET /delay HTTP/1.1\r\nHost: app.example.com\r\n\r\n").await.unwrap();
        eventually(PATIENCE, async || app.requests() == 2).await;
        router.signal(signal);
        assert_eq!(router.exit_code().await, 0, "{signal}");
        assert!(idle.reader.closed().await, "{signal}");
        // Cut, not answered with an error.
        assert!(busy.reader.some().await.is_ok_and(|bytes| bytes.is_empty()) || busy.reader.closed().await, "{signal}");
        let messages: Vec<String> = router.lines().iter().map(|line| line.message().to_owned()).collect();
        assert!(messages.ends_with(&["gorouter.exited".to_owned()]), "{signal}: {messages:?}");
        assert!(!messages.iter().any(|message| message == "gorouter-draining"), "{signal}: {messages:?}");
        assert!(Client::connect(router.http()).await.is_err());
    }
}

#[tokio::test]
async fn a_stop_before_the_start_is_over_is_heard() {
    for signal in ["TERM", "USR1"] {
        let router =
            Scene::over(Bus::Small(Nats::start())).router().set("start_response_delay_interval", "1h").launch();
        router.line("Successfully-connected-to-nats").await;
        router.signal(signal);
        assert_eq!(router.exit_code().await, 0, "{signal}");
        assert!(router.lines().iter().all(|line| line.message() != "gorouter.started"), "{signal}");
    }
}

/// What is served at the moment of the signal has its line in the access log.
#[tokio::test]
async fn no_access_log_line_is_lost_at_the_end() {
    let router = Scene::over(Bus::Small(Nats::start())).router().spawn().await;
    let _app = router.instance("app").plain().uri("app.example.com").rule(|_| Reply::text("ok")).register().await;
    let mut client = router.client().await;
    for _ in 0..100 {
        client.get("app.example.com", "/counted").await.unwrap();
    }
    router.signal("TERM");
    assert_eq!(router.exit_code().await, 0);
    assert_eq!(router.access_log().iter().filter(|line| line.contains("GET /counted ")).count(), 100);
}
