//! What one request pays to pick its endpoint.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use trueroute::route::{
    endpoint::{Endpoint, Facts},
    lease::Lease,
    moment::Moment,
    peer::{Identity, Peer},
    pick::{Limits, Rotation, Wish},
    pool::{Pool, Route},
};

const NOW: Moment = Moment::from_ms(1_000_000);
const LIMITS: Limits = Limits { max_conns: 500, rest: Duration::from_secs(30), zone: None };

fn pool(endpoints: u16) -> Pool {
    let leases = (0..endpoints).map(|port| {
        let endpoint = Endpoint::new(Peer::new("10.0.0.1", port, Identity::Plain), Facts::default());
        Arc::new(Lease::new(Arc::new(endpoint), NOW))
    });
    Pool::new(Arc::new(Route::new("app.example.com", 0)), leases.collect(), NOW)
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

criterion_group!(benches, pick);
criterion_main!(benches);
