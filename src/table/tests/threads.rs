//! Readers and writers at once.

use std::{
    sync::atomic::{AtomicBool, AtomicU64},
    thread,
};

use super::*;

const HOSTS: u16 = 16;

/// The endpoint of host `n` listens on port `n`, so that a pool tells whose it is.
fn host(n: u16) -> String {
    format!("h{n}.example.com")
}

#[test]
fn a_reader_never_sees_a_pool_of_another_host() {
    let table = table_with(Duration::ZERO, Sharding::All);
    let stop = AtomicBool::new(false);
    let (seen, empty) = (AtomicU64::new(0), AtomicU64::new(0));
    let read = || {
        while !stop.load(Relaxed) {
            for n in 0..HOSTS {
                for path in ["/", "/api/x"] {
                    let Some(pool) = table.lookup(&host(n), path) else { continue };
                    assert_eq!(pool.route().host(), host(n));
                    assert!(pool.leases().iter().all(|lease| lease.endpoint().peer.port() == n), "{n}: {pool:?}");
                    seen.fetch_add(1, Relaxed);
                    empty.fetch_add(u64::from(pool.is_empty()), Relaxed);
                    for lease in pool.leases() {
                        if lease.endpoint().instance_id().ends_with('7') {
                            table.report(&pool, lease, Fate::Prune, at(1));
                        }
                    }
                }
            }
        }
    };
    let write = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..20_000_u64 {
            let n = random.u16(0..HOSTS);
            let route = key(&format!("{}{}", host(n), ["", "/api", "/api/v1"][random.usize(0..3)]));
            match random.u8(0..8) {
                0 => drop(table.unregister(&route, &tls(n, ""), at(0))),
                1 => drop(table.prune(at(round), Source::Live)),
                _ => drop(table.register(&route, &tls(n, &random.u8(0..20).to_string()), at(0), 0)),
            }
        }
    };
    thread::scope(|threads| {
        let readers = [threads.spawn(read), threads.spawn(read)];
        let writers = [threads.spawn(|| write(1)), threads.spawn(|| write(2))];
        let wrote = writers.map(|writer| writer.join());
        // Whatever happened to the writers, the readers have to end, or the scope waits for ever.
        stop.store(true, Relaxed);
        for ended in readers.map(|reader| reader.join()).into_iter().chain(wrote) {
            ended.unwrap();
        }
    });
    assert!(seen.load(Relaxed) > 0, "the readers saw no pool at all");
}

#[test]
fn writers_that_meet_at_a_new_host_lose_nothing() {
    for _ in 0..200 {
        let table = table();
        let start = std::sync::Barrier::new(4);
        thread::scope(|threads| {
            for port in 1..=4 {
                let (table, start) = (&table, &start);
                threads.spawn(move || {
                    start.wait();
                    table.register(&key("app.example.com"), &plain(port), at(0), 0);
                });
            }
        });
        let mut there = ports(&table.lookup("app.example.com", "/").unwrap());
        there.sort_unstable();
        assert_eq!(there, [1, 2, 3, 4]);
    }
}
