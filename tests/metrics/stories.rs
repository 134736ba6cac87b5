//! What the keys of the configuration change about the page, and what moves its figures.

use trueroute_testkit::{App, Bus, Nats, Registration, eventually};

use crate::support::{PATIENCE, RouterBuilder, Scene};

fn router() -> RouterBuilder {
    Scene::over(Bus::Small(Nats::start())).router()
}

#[tokio::test]
async fn without_reports_per_request_three_histograms_stay_empty() {
    for (key, seen) in [(None, 1.), (Some(false), 0.)] {
        let router = key.into_iter().fold(router(), |router, key| router.set("per_request_metrics_reporting", key));
        let router = router.start().await;
        let app = App::start("a");
        router.register(&Registration::plain(app.addr()).uri("a.example")).await;
        assert_eq!(router.get("a.example", "/").await.status, 200);
        eventually(PATIENCE, async || router.metric("responses").await == 1.).await;
        for histogram in ["latency_count", "gorouter_time_count", "route_lookup_time_count"] {
            assert_eq!(router.metric(histogram).await, seen, "{histogram} with {key:?}");
        }
        assert_eq!(router.metric("http_latency_seconds_count").await, 1., "it has a key of its own");
    }
}

#[tokio::test]
async fn latencies_are_told_apart_by_application_where_that_is_asked_for() {
    for (key, labels) in [(false, ["gorouter"; 3]), (true, ["app-1", "app-2", "gorouter"])] {
        let router = router().set("per_app_prometheus_http_metrics_reporting", key).start().await;
        let apps = ["app-1", "app-2", ""].map(|source| (source, App::start("a")));
        for (at, (source, app)) in apps.iter().enumerate() {
            let registration = Registration::plain(app.addr()).uri(&format!("{at}.example"));
            let registration = if source.is_empty() { registration } else { registration.tag("source_id", source) };
            router.register(&registration).await;
        }
        for (host, times) in [("0.example", 1), ("1.example", 2), ("2.example", 4)] {
            for _ in 0..times {
                assert_eq!(router.get(host, "/").await.status, 200);
            }
        }
        eventually(PATIENCE, async || router.metric("responses").await == 7.).await;
        let count = async |label| router.metric(&format!("http_latency_seconds_count{{source_id=\"{label}\"}}")).await;
        let counts = [count(labels[0]).await, count(labels[1]).await, count(labels[2]).await];
        assert_eq!(counts, if key { [1., 2., 4.] } else { [7.; 3] }, "{}", router.metrics().await);
        assert_eq!(router.metric("http_latency_seconds_count").await, 7.);
        // A registration that repeats itself keeps its number; the rest of the app's instances share it.
        let more = Registration::plain(App::start("b").addr()).uri("3.example").tag("source_id", "app-1");
        router.register(&more).await;
        assert_eq!(router.metrics().await.matches("http_latency_seconds_count{").count(), if key { 4 } else { 1 });
    }
}

#[tokio::test]
async fn the_page_shows_how_the_router_stands() {
    let scene = Scene::over(Bus::Small(Nats::start()));
    let folder = trueroute_testkit::Tempdir::new().unwrap();
    let file = folder.path().join("routes");
    let router = scene.router().set("snapshot.file", file.to_str().unwrap()).set("snapshot.interval", "100ms");
    let router = router.set("suspend_pruning_if_nats_unavailable", true).start().await;
    for (name, value) in [("trueroute_nats_connected", 1.), ("trueroute_healthy", 1.), ("trueroute_draining", 0.)] {
        assert_eq!(router.metric(name).await, value, "{name}");
    }
    assert_eq!(router.metric("trueroute_snapshot_written_timestamp_seconds").await, 0.);
    let app = router.instance("a").uri("a.example").register().await;
    eventually(PATIENCE, async || router.metric("trueroute_snapshot_bytes").await > 0.).await;
    let written = router.metric("trueroute_snapshot_written_timestamp_seconds").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 60. ..=now).contains(&written), "{written} at {now}");
    assert_eq!(router.metric("trueroute_snapshot_bytes").await, std::fs::metadata(&file).unwrap().len() as f64);
    assert_eq!((router.metric("trueroute_endpoints").await, router.metric("total_routes").await), (1., 1.));

    drop(folder);
    let more = router.instance("b").uri("b.example").register().await;
    eventually(PATIENCE, async || router.metric("trueroute_snapshot_failures_total").await > 0.).await;
    drop((app, more));

    let leaving = router.drain();
    eventually(PATIENCE, async || router.metric("trueroute_draining").await == 1.).await;
    assert_eq!(router.metric("trueroute_healthy").await, 0.);
    leaving.await.unwrap();
}

#[tokio::test]
async fn workers_show_what_they_carry() {
    let router = router().start().await;
    let app = App::start("a");
    router.register(&Registration::plain(app.addr()).uri("a.example")).await;
    // Connections go round, so that each of the two workers gets two.
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = router.client().await;
        assert_eq!(client.get("a.example", "/").await.unwrap().status, 200);
        clients.push(client);
    }
    for worker in ["0", "1"] {
        let figure = async |name| router.metric(&format!("{name}{{worker=\"{worker}\"}}")).await;
        assert_eq!(figure("trueroute_worker_connections").await, 2., "{worker}");
        assert_eq!(figure("trueroute_worker_connections_accepted_total").await, 2., "{worker}");
        assert_eq!(figure("trueroute_worker_requests_total").await, 2., "{worker}");
        let busy = figure("trueroute_worker_busy_seconds_total").await;
        assert!(busy > 0. && busy < 60., "{busy}");
    }
    drop(clients);
    eventually(PATIENCE, async || router.metric("trueroute_worker_connections").await == 0.).await;
    assert_eq!(router.metric("trueroute_worker_connections_accepted_total").await, 4.);
}
