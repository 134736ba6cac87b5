use std::time::SystemTime;

use super::*;
use crate::{
    observe::metrics::{Buckets, Tally},
    route::component,
};

#[test]
fn the_page_has_every_field_and_follows_the_sums() {
    let (metrics, apps, began) = (Metrics::new(2, Buckets::default()), AppCounts::default(), Instant::now());
    let component = Component {
        index: 2,
        host: "10.0.0.1:8080".into(),
        credentials: ["u".into(), "p".into()],
        uuid: "2-x".into(),
        start: SystemTime::now(),
        began,
    };
    let varz = Varz::new(component, Arc::clone(&metrics), vec![apps.clone()]);
    let named = component::Component::named("varz-page");
    for (worker, status) in [(0, 200), (1, 200), (1, 301), (0, 404), (1, 503), (0, 101)] {
        let shard = metrics.shard(worker);
        shard.attempt(named);
        shard.response(status);
        shard.latency(named, 0, Duration::from_millis(15));
        apps.count("app-1");
    }
    metrics.shard(0).attempt(component::Component::NONE);
    metrics.shard(0).count(Tally::RejectedRequest);
    (0..2).for_each(|_| metrics.shard(1).count(Tally::BadGateway));
    let around = Surroundings {
        urls: 5,
        droplets: 4,
        quiet: Duration::from_millis(1_500),
        cores: 8,
        memory: 1_024,
        busy: Duration::from_secs(30),
    };
    let mut page: Value = serde_json::from_str(&varz.page(began + Duration::from_secs(60), &around)).unwrap();
    // Per minute, in hundredths.
    let grown = |minutes: f64, requests: f64| whole(100. * requests * (1. - (-1. / minutes).exp()));
    let rates = |requests: f64| json!([grown(1., requests), grown(5., requests), grown(15., requests)]);
    let rounded = |mut rates: Value| {
        for rate in rates.as_array_mut().unwrap() {
            *rate = whole(6_000. * rate.as_f64().unwrap()).into();
        }
        rates
    };
    page["rate"] = rounded(page["rate"].take());
    let of_component = &mut page["tags"]["component"]["varz-page"]["rate"];
    *of_component = rounded(of_component.take());
    let latency = json!({"50": 0.02, "75": 0.02, "90": 0.02, "95": 0.02, "99": 0.02, "value": 0.015, "samples": 6});
    for (name, wanted) in [
        ("type", json!("Router")),
        ("index", json!(2)),
        ("host", json!("10.0.0.1:8080")),
        ("credentials", json!(["u", "p"])),
        ("uuid", json!("2-x")),
        ("uptime", json!("0d:0h:1m:0s")),
        ("num_cores", json!(8)),
        ("mem", json!(1_024)),
        ("cpu", json!(50.)),
        ("log_counts", json!({})),
        ("urls", json!(5)),
        ("droplets", json!(4)),
        ("bad_requests", json!(1)),
        ("bad_gateways", json!(2)),
        ("requests_per_sec", json!(0)),
        ("top10_app_requests", json!([{"application_id": "app-1", "rps": 0, "rpm": 6}])),
        ("ms_since_last_registry_update", json!(1_500)),
        ("requests", json!(7)),
        ("rate", rates(7.)),
        ("responses_2xx", json!(2)),
        ("responses_3xx", json!(1)),
        ("responses_4xx", json!(1)),
        ("responses_5xx", json!(1)),
        ("responses_xxx", json!(1)),
        ("latency", latency.clone()),
        ("tags", json!({"component": {"varz-page": {"requests": 6, "rate": rates(6.), "latency": latency}}})),
    ] {
        assert_eq!(page[name], wanted, "{name}");
    }
    assert!(page["start"].is_string());
    assert_eq!(page.as_object().unwrap().len(), 27);
}
