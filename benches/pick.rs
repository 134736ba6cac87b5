//! What one request pays to pick its endpoint.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use trueroute::route::{
    balancing::{Algorithm, Balancing, Hashing},
    endpoint::{Endpoint, Facts, Options},
    lease::Lease,
    moment::Moment,
    peer::{Identity, Peer},
    pick::{Limits, Rotation, Wish, maglev::Maglev},
    pool::{Pool, Route},
};

const NOW: Moment = Moment::from_ms(1_000_000);
const LIMITS: Limits = Limits { max_conns: 500, rest: Duration::from_secs(30), zone: None };

fn pool(endpoints: u16) -> Pool {
    let leases = (0..endpoints).map(|port| {
        let endpoint = Endpoint::new(Peer::new("10.0.0.1", port, Identity::Plain), Facts::default());
        Arc::new(Lease::new(Arc::new(endpoint), NOW))
    });
    Pool::new(Route::new("app.example.com", 0), leases.collect(), NOW)
}

fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for endpoints in [1, 8, 100] {
        let pool = pool(endpoints);
        group.bench_function(BenchmarkId::new("first of", endpoints), |bencher| {
            bencher.iter(|| {
                let mut rotation = Rotation::new(black_box(&pool), Wish::default());
                rotation.next(&pool, NOW, &LIMITS).is_ok()
            });
        });
        pool.leases().iter().skip(1).for_each(|lease| lease.mark_failed(NOW));
        group.bench_function(BenchmarkId::new("the only one fit of", endpoints), |bencher| {
            bencher.iter(|| {
                let mut rotation = Rotation::new(black_box(&pool), Wish::default());
                rotation.next(&pool, NOW, &LIMITS).is_ok()
            });
        });
    }
    group.finish();
}

/// What the other algorithms look at more than one endpoint for.
fn balanced(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for endpoints in [1, 8, 100] {
        for algorithm in ["least-connection", "hash"] {
            let options = Options { loadbalancing: algorithm.into(), hash_header: "x".into(), hash_balance: 1.25 };
            let pool = pool(endpoints).balanced(Balancing::asked(Some(&options), Algorithm::RoundRobin, None));
            let wish = Wish { key: Some(Hashing::key(b"tenant")), ..Wish::default() };
            group.bench_function(BenchmarkId::new(algorithm, endpoints), |bencher| {
                bencher.iter(|| {
                    let mut rotation = Rotation::new(black_box(&pool), wish);
                    rotation.next(&pool, NOW, &LIMITS).is_ok()
                });
            });
        }
        let pool = pool(endpoints);
        group.bench_function(BenchmarkId::new("table of", endpoints), |bencher| {
            bencher.iter(|| Maglev::of(black_box(pool.leases())));
        });
    }
    group.finish();
}

criterion_group!(benches, pick, balanced);
criterion_main!(benches);
