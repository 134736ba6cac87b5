use super::*;

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
    one.latency(app, Duration::from_millis(1));
    one.latency(app, Duration::from_micros(1500));
    other.latency(app, Duration::from_secs(30));
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
    metrics.routes_pruned(3);
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

#[test]
fn the_page_is_the_recorded_one() {
    let page = counted().render();
    assert!(page == GOLDEN, "the page differs from page.txt:\n{page}");
}

#[test]
fn a_page_without_counts_has_every_series_but_those_by_component() {
    let page = Metrics::new(1, Buckets::default()).render();
    for (golden, fresh) in [(GOLDEN, false), (&page, true)] {
        for family in ["total_requests", "latency", "registry_message", "unregistry_message"] {
            assert_eq!(golden.contains(&format!("# TYPE {family} ")), !fresh, "{family}");
        }
    }
    let names = |page: &str| -> Vec<String> {
        let by_component = |line: &&str| !line.contains("component=") && !line.contains("_rejected_total{");
        let series = page.lines().filter(|line| !line.starts_with('#')).filter(by_component);
        series.filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(names(&page), names(GOLDEN));
    let values = page.lines().filter(|line| !line.starts_with('#'));
    assert!(values.clone().all(|line| line.ends_with(" 0")), "{page}");
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
    metrics.shard(0).latency(Component::NONE, Duration::from_secs(1));
    assert!(metrics.render().contains("http_latency_seconds_count{source_id=\"gorouter\"} 1\n"));
}

#[test]
fn every_number_has_cells_of_its_own() {
    let layout = Layout::new(Buckets::default());
    let mut cells = vec![layout.open_exchanges];
    cells.extend((0..Tally::ALL.len()).map(|at| layout.tallies + at));
    cells.extend((0..layout::STATUS_GROUPS.len()).map(|at| layout.responses + at));
    cells.extend((0..Retry::ALL.len()).map(|at| layout.retries + at));
    cells.extend((0..Prevented::ALL.len()).map(|at| layout.prevented + at));
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
                    shard.latency(Component::OTHER, Duration::from_millis(3));
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
