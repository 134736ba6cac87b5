//! The ordinary day: every kind of instance is reached, by the router in this process and by the binary.

use crate::support::{RouterProcess, RouterUnderTest, Scene};

#[tokio::test]
async fn every_kind_of_instance_is_reached() {
    let router = RouterUnderTest::start().await;
    let plain = router.instance("plain").uri("plain.basics").plain().register().await;
    let tls = router.instance("tls").uri("tls.basics").register().await;
    let sidecar = router.instance("sidecar").uri("sidecar.basics").behind_sidecar().register().await;
    for app in [&plain, &tls, &sidecar] {
        let host = format!("{}.basics", app.name());
        let answer = router.get(&host, "/hello").await;
        assert_eq!((answer.status, answer.header("x-app")), (200, Some(app.name())));
        assert_eq!(answer.header("x-instance"), Some(app.instance()));
        assert_eq!(app.last().unwrap().target, "/hello");
        assert_eq!(app.last().unwrap().header("x-cf-instanceid"), Some(app.instance()));
        assert!(router.access_log_line(&format!("{host} - ")).await.contains("\"GET /hello HTTP/1.1\" 200"));
    }
    assert_eq!(router.health().await, 200);
    assert_eq!(router.metric("total_requests").await, 3.0);
    let line = router.log_line("endpoint-registered", "tls.basics").await;
    assert_eq!(line.field("server_cert_domain_san"), tls.instance());
    tls.unregister().await;
    assert_eq!(router.get("tls.basics", "/").await.status, 404);
    assert!(router.drain().await.unwrap());
    router.stop();
}

#[tokio::test]
async fn the_binary_does_the_same() {
    let router = Scene::new().router().spawn().await;
    let app = router.instance("app").uri("app.binary").register().await;
    assert_eq!(router.get("app.binary", "/").await.header("x-app"), Some(app.name()));
    assert_eq!((router.health().await, router.is_running()), (200, true));
    router.signal("TERM");
    assert_eq!(router.exit_code().await, 0);
    assert_eq!(router.lines().last().unwrap().message(), "gorouter.exited");
    let (code, lines) = RouterProcess::run_to_end("port: [").await;
    assert_eq!((code, lines[0].message()), (1, "Error loading config:"));
}
