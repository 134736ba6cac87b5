use std::time::Duration;

use super::*;
use crate::route::source::{KEPT_FOR, Source};

const GOLDEN: &str = include_str!("page.txt");

fn counted() -> Arc<Metrics> {
    let metrics = Metrics::new(2, Buckets::default());
    let (one, other) = (metrics.shard(0), metrics.shard(1));
    let app = Component::named("metrics-test \"app\"\n");
    one.attempt(app);
    other.attempt(app);
    other.attempt(Component::NONE);
    for status in [101, 199, 200, 299, 304, 404, 502, 599, 600, 99] {
        one.response(status);
    }
    one.latency(app, 0, Duration::from_millis(1));
    one.latency(app, 0, Duration::from_micros(1500));
    other.latency(app, 0, Duration::from_secs(30));
    one.gorouter_time(Duration::from_micros(100));
    other.route_lookup_time(Duration::from_nanos(10_001));
    for &tally in Tally::ALL {
        one.count(tally);
        other.count(tally);
    }
    one.retry(Retry::Dial);
    other.retry(Retry::Dial);
    other.retry(Retry::Unsent);
    one.misroute_prevented(Prevented::WrongIdentity);
    one.exchange_opened();
    other.exchange_opened();
    other.exchange_closed();
    metrics.registered(app, RegistryAction::Added);
    metrics.registered(app, RegistryAction::Refreshed);
    metrics.registered(Component::NONE, RegistryAction::Updated);
    metrics.registered(Component::NONE, RegistryAction::Unmodified);
    metrics.unregistered(app);
    metrics.registration_latency_ms(-3.);
    metrics.registration_latency_ms(0.5);
    metrics.registration_latency_ms(4.25);
    metrics.registration_rejected("bad_json");
    metrics.registration_rejected("bad_json");
    metrics.registration_rejected("no_port");
    metrics.pruned(Pruned::Stale, 3);
    metrics.routes_deleted(4);
    one.pruned();
    one.endpoint_handshake(EndpointHandshake::Full);
    other.client_handshake(ClientHandshake::Resumed);
    one.connection_opened();
    other.connection_opened();
    other.connection_closed();
    metrics.set_certificates(vec![("tls_pem[0]".into(), SystemTime::UNIX_EPOCH)]);
    metrics.set_total_routes(100_000);
    metrics.set_ms_since_last_registry_update(12);
    metrics.set_buffered_messages(7);
    metrics.set_total_dropped_messages(8);
    metrics.set_file_descriptors(9);
    metrics.panicked();
    metrics.reloaded(true);
    metrics.reloaded(false);
    metrics.reloaded(false);
    metrics
}

/// The page without what the system says of the process, and with a `*` for what depends on the time.
fn pinned(metrics: &Metrics) -> String {
    let ours = |line: &&str| !line.split([' ', '{']).any(|word| word.starts_with("process_"));
    let timeless = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if series.starts_with("trueroute_certificate_expiry_seconds{") => format!("{series} *\n"),
        Some((series, one)) if series.starts_with("trueroute_build_info{") => {
            format!("trueroute_build_info{{commit=\"*\",version=\"*\"}} {one}\n")
        }
        _ => format!("{line}\n"),
    };
    metrics.render().lines().filter(ours).map(timeless).collect()
}

#[test]
fn the_page_is_the_recorded_one() {
    let page = pinned(&counted());
    assert!(page == GOLDEN, "the page differs from page.txt:\n{page}");
}

#[test]
fn a_page_without_counts_has_every_series_but_those_by_component() {
    let page = pinned(&Metrics::new(2, Buckets::default()));
    for (golden, fresh) in [(GOLDEN, false), (&page, true)] {
        for family in ["total_requests", "latency", "registry_message", "unregistry_message"] {
            assert_eq!(golden.contains(&format!("# TYPE {family} ")), !fresh, "{family}");
        }
    }
    let names = |page: &str| -> Vec<String> {
        let always = |line: &&str| !["component=", "_rejected_total{", "key="].iter().any(|part| line.contains(part));
        let series = page.lines().filter(|line| !line.starts_with('#')).filter(always);
        series.filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(names(&page), names(GOLDEN));
    let values = page.lines().filter(|line| !line.starts_with('#') && !line.starts_with("trueroute_build_info"));
    assert!(values.clone().all(|line| line.ends_with(" 0")), "{page}");
}

#[test]
fn the_system_is_asked_about_the_process() {
    let page = Metrics::new(1, Buckets::default()).render();
    for family in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"]
    {
        let series = page.lines().find_map(|line| line.strip_prefix(family)?.strip_prefix(' '));
        assert!(series.is_some_and(|value| value.parse::<f64>().is_ok()), "{family}: {page}");
    }
}

#[test]
fn without_reports_per_request_three_histograms_stay_empty() {
    for (per_request, count) in [(true, 1), (false, 0)] {
        let metrics = Metrics::with(1, Settings { per_request, ..Settings::default() });
        let shard = metrics.shard(0);
        shard.latency(Component::NONE, 0, Duration::from_secs(1));
        shard.gorouter_time(Duration::from_secs(1));
        shard.route_lookup_time(Duration::from_secs(1));
        let page = metrics.render();
        assert_eq!(page.contains("latency_count{component=\"\"} 1\n"), per_request, "{page}");
        for line in [
            format!("gorouter_time_count {count}\n"),
            format!("route_lookup_time_count {count}\n"),
            "http_latency_seconds_count{source_id=\"gorouter\"} 1\n".into(),
        ] {
            assert!(page.contains(&line), "{line}{page}");
        }
    }
}

#[test]
fn applications_are_told_apart_while_they_are_there() {
    let sources = Arc::new(Sources::default());
    let metrics = Metrics::with(2, Settings { sources: Some(Arc::clone(&sources)), ..Settings::default() });
    let count = |source: Option<&Arc<Source>>, workers: &[usize]| {
        for &worker in workers {
            metrics.shard(worker).latency(Component::NONE, Source::index(source), Duration::from_secs(1));
        }
    };
    let (app, other) = (sources.named("app"), sources.named("another"));
    count(None, &[0]);
    count(Some(&app), &[0, 1]);
    count(Some(&other), &[1]);
    let counts = || -> Vec<String> {
        let page = metrics.render();
        let lines = page.lines().filter_map(|line| line.strip_prefix("http_latency_seconds_count{source_id="));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(counts(), [r#""another"} 1"#, r#""app"} 2"#, r#""gorouter"} 1"#, r#""other"} 0"#]);
    drop(app);
    let now = Instant::now();
    metrics.sweep(now);
    assert_eq!(counts().len(), 4, "the last counts are still to be had");
    metrics.sweep(now + KEPT_FOR);
    assert_eq!(counts(), [r#""another"} 1"#, r#""gorouter"} 1"#, r#""other"} 0"#]);
    let successor = sources.named("successor");
    assert!(counts().contains(&r#""successor"} 0"#.to_owned()), "it begins at zero");
    count(Some(&successor), &[0]);
    assert!(counts().contains(&r#""successor"} 1"#.to_owned()));
    assert!(metrics.render().contains("\ntrueroute_sources_overflowed_total 0\n"));
}

#[test]
fn what_is_so_is_asked_for_at_each_scrape() {
    let metrics = Metrics::new(1, Buckets::default());
    metrics.set_total_routes(9);
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    metrics.follow_router(move || {
        let routes = count.fetch_add(1, Ordering::Relaxed) + 1;
        let written = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500));
        let snapshot = Snapshot { written, bytes: 7, failures: 2 };
        Live { routes, bus_connected: true, bus_reconnects: 3, draining: true, snapshot, ..Live::default() }
    });
    assert!(metrics.render().contains("\ntotal_routes 1\n"));
    let page = metrics.render();
    for line in [
        "total_routes 2",
        "trueroute_nats_connected 1",
        "trueroute_nats_reconnects_total 3",
        "trueroute_draining 1",
        "trueroute_healthy 0",
        "trueroute_snapshot_written_timestamp_seconds 1.5",
        "trueroute_snapshot_bytes 7",
        "trueroute_snapshot_failures_total 2",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line}: {page}");
    }
}

#[test]
fn certificates_count_down_to_their_end_and_beyond() {
    let metrics = Metrics::new(1, Buckets::default());
    let (hour, now) = (Duration::from_secs(3600), SystemTime::now());
    metrics.set_certificates(vec![("tls_pem[0]".into(), now + hour), ("ca_certs[0]".into(), now - hour)]);
    let page = metrics.render();
    let left = |key: &str| -> f64 {
        let series = format!("trueroute_certificate_expiry_seconds{{key=\"{key}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or_else(|| panic!("{page}"))
    };
    assert!(
        (3500. ..=3600.).contains(&left("tls_pem[0]")) && (-3700. ..=-3600.).contains(&left("ca_certs[0]")),
        "{page}"
    );
}

#[test]
fn a_value_on_a_bound_belongs_to_the_bucket_below() {
    let buckets = Buckets { gorouter_time: Bounds::new(vec![1., 2.]).unwrap(), ..Buckets::default() };
    let metrics = Metrics::new(1, buckets);
    for seconds in [1, 2, 3] {
        metrics.shard(0).gorouter_time(Duration::from_secs(seconds));
    }
    let page = metrics.render();
    for line in [
        "gorouter_time_bucket{le=\"1\"} 1\n",
        "gorouter_time_bucket{le=\"2\"} 2\n",
        "gorouter_time_bucket{le=\"+Inf\"} 3\n",
        "gorouter_time_sum 6\n",
        "gorouter_time_count 3\n",
    ] {
        assert!(page.contains(line), "{line}{page}");
    }
}

#[test]
fn no_bounds_at_all_still_counts() {
    let buckets = Buckets { http_latency: Bounds::new(vec![]).unwrap(), ..Buckets::default() };
    let metrics = Metrics::new(1, buckets);
    metrics.shard(0).latency(Component::NONE, 0, Duration::from_secs(1));
    assert!(metrics.render().contains("http_latency_seconds_count{source_id=\"gorouter\"} 1\n"));
}

#[test]
fn every_number_has_cells_of_its_own() {
    let layout = Layout::new(Buckets::default(), true, false);
    let mut cells = Vec::new();
    for span in [&layout.exchanges, &layout.connections] {
        cells.extend([span.opened, span.closed]);
    }
    cells.extend((0..Tally::ALL.len()).map(|at| layout.tallies + at));
    cells.extend((0..STATUS_GROUPS.len()).map(|at| layout.responses + at));
    cells.extend((0..Retry::ALL.len()).map(|at| layout.retries + at));
    cells.extend((0..Prevented::ALL.len()).map(|at| layout.prevented + at));
    cells.extend((0..Pruned::ALL.len()).map(|at| layout.pruned + at));
    cells.extend((0..EndpointHandshake::ALL.len()).map(|at| layout.endpoint_handshakes + at));
    cells.extend((0..ClientHandshake::ALL.len()).map(|at| layout.client_handshakes + at));
    cells.extend((0..MAX_COMPONENTS).map(|at| layout.total_requests + at));
    for (series, histograms) in [
        (&layout.gorouter_time, 1),
        (&layout.route_lookup_time, 1),
        (&layout.http_latency, 1),
        (&layout.latency, MAX_COMPONENTS),
    ] {
        for nth in 0..histograms {
            cells.extend(series.buckets(nth));
            cells.push(series.sum(nth));
        }
    }
    cells.sort_unstable();
    assert!(cells.iter().copied().eq(0..layout.len), "{cells:?}");
}

#[test]
fn workers_count_at_the_same_time_without_losing_any() {
    const EACH: u64 = 20_000;
    let metrics = Metrics::new(4, Buckets::default());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let shard = metrics.shard(worker);
            scope.spawn(move || {
                for _ in 0..EACH {
                    shard.count(Tally::UpstreamReused);
                    shard.latency(Component::OTHER, 0, Duration::from_millis(3));
                }
            });
        }
    });
    let page = metrics.render();
    assert!(page.contains(&format!("trueroute_upstream_connections_reused_total {}\n", 4 * EACH)), "{page}");
    assert!(page.contains(&format!("latency_count{{component=\"other\"}} {}\n", 4 * EACH)), "{page}");
    assert!(page.contains(&format!("latency_sum{{component=\"other\"}} {}\n", 12 * EACH)), "{page}");
}

#[test]
fn an_exchange_that_is_open_is_seen() {
    let metrics = Metrics::new(2, Buckets::default());
    metrics.shard(0).exchange_opened();
    metrics.shard(1).exchange_opened();
    assert_eq!(metrics.open_exchanges(), 2);
    metrics.shard(0).exchange_closed();
    metrics.shard(1).exchange_closed();
    assert_eq!(metrics.open_exchanges(), 0);
}
