//! What a request and a heartbeat pay at the routing table: time of one look-up at several sizes while a
//! writer changes the table, and time of one registration that changes nothing: in the table alone, and from the bytes of
//! a platform's message on.

#![allow(clippy::expect_used, reason = "a bench that cannot set its scene has nothing to measure")]

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use trueroute::{
    registration,
    route::{balancing::Algorithm, endpoint::Endpoint, intern::Interner, moment::Moment, uri::RouteKey},
    table::{Settings, Sharding, Table},
};

mod platform;

use platform::{host, message};

/// Between two changes of the table: a foundation of 40,000 endpoints whose heartbeats all change something.
const WRITER_PAUSE: Duration = Duration::from_micros(500);

fn registered(n: usize) -> Endpoint {
    of_bytes(&message(n))
}

/// The endpoint of route `n` with another index: other facts at the same address.
fn changed(n: usize, index: usize) -> Endpoint {
    of_bytes(&message(n).replace(r#"instance_index":"0""#, &format!(r#"instance_index":"{index}""#)))
}

fn of_bytes(message: &str) -> Endpoint {
    let message = registration::parse(message.as_bytes()).expect("the message is well-formed");
    message.endpoint(None, false).expect("the message has an address")
}

fn key(n: usize) -> RouteKey {
    RouteKey::parse(&host(n)).expect("a host is a key")
}

fn table_of(hosts: usize) -> Table {
    let settings = Settings {
        stale_threshold: Duration::from_secs(120),
        empty_pool_grace: Duration::ZERO,
        sharding: Sharding::All,
        balancing: Algorithm::RoundRobin,
    };
    let table = Table::new(settings);
    let mut interner = Interner::default();
    for n in 0..hosts {
        table.register(&key(n), &interner.share(registered(n)), Moment::default(), n);
    }
    table
}

/// Runs `measure` while another thread replaces endpoints.
fn with_writer(table: &Table, hosts: usize, measure: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            for round in 1.. {
                if stop.load(Relaxed) {
                    return;
                }
                let n = round * 7919 % hosts;
                table.register(&key(n), &Arc::new(changed(n, round)), Moment::default(), 0);
                thread::park_timeout(WRITER_PAUSE);
            }
        });
        measure();
        stop.store(true, Relaxed);
    });
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for hosts in [10, 1_000, 100_000, 1_000_000] {
        let table = table_of(hosts);
        let mut random = fastrand::Rng::with_seed(1);
        let asked: Vec<_> = (0..1 << 16).map(|_| host(random.usize(0..hosts))).collect();
        let mut asked = asked.iter().cycle();
        with_writer(&table, hosts, || {
            group.bench_function(BenchmarkId::new("hosts", hosts), |bencher| {
                bencher.iter(|| asked.next().map(|host| black_box(table.lookup(host, "/some/path"))));
            });
        });
    }
    let table = table_of(1_000);
    table.register(
        &RouteKey::parse("*.wild.example.com").expect("a key"),
        &Arc::new(registered(0)),
        Moment::default(),
        0,
    );
    for path in ["", "/api", "/api/v1", "/api/v2", "/static"] {
        let key = RouteKey::parse(&format!("paths.example.com{path}")).expect("a key");
        table.register(&key, &Arc::new(registered(0)), Moment::default(), 0);
    }
    for (name, host, path) in [
        ("wildcard", "one.wild.example.com", "/"),
        ("paths", "paths.example.com", "/api/v1/users/17"),
        ("unknown", "a.b.c.d.example.org", "/"),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| table.lookup(black_box(host), black_box(path))));
    }
    group.finish();
}

fn heartbeat(criterion: &mut Criterion) {
    let hosts = 100_000;
    let table = table_of(hosts);
    let mut random = fastrand::Rng::with_seed(1);
    let numbers: Vec<_> = (0..1 << 12).map(|_| random.usize(0..hosts)).collect();
    let mut group = criterion.benchmark_group("heartbeat");

    let known: Vec<_> = numbers.iter().map(|n| (key(*n), Arc::new(registered(*n)))).collect();
    let mut known = known.iter().cycle();
    group.bench_function("renew", |bencher| {
        bencher.iter(|| known.next().map(|(key, endpoint)| table.register(key, endpoint, Moment::from_ms(1), 0)));
    });

    let messages: Vec<_> = numbers.iter().map(|n| message(*n)).collect();
    let mut messages = messages.iter().cycle();
    let mut interner = Interner::default();
    group.bench_function("from bytes", |bencher| {
        bencher.iter(|| {
            let parsed = messages.next().and_then(|bytes| registration::parse(bytes.as_bytes()).ok())?;
            let endpoint = interner.share(parsed.endpoint(None, false).ok()?);
            let keys = parsed.uris().flatten();
            keys.map(|key| table.register(&key, &endpoint, Moment::from_ms(1), 0)).last()
        });
    });
    group.finish();
}

criterion_group!(benches, lookup, heartbeat);
criterion_main!(benches);
