//! Resident memory per route of a large table, all in, under the allocator of the router.
//!
//! `cargo bench --bench footprint` prints a line per case: what 100,000 routes take, and what is left of it when all of
//! them have gone. Each case runs in a process of its own (`footprint CASE`). Figures are taken when the allocator has
//! given back what it will, some seconds after the last change. The `nats` bench measures the same at a running router.

use std::{
    env,
    error::Error,
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use trueroute::{
    registration,
    route::{balancing::Algorithm, intern::Interner, moment::Moment},
    table::{Settings, Sharding, Source, Table},
};

mod platform;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUTES: usize = 100_000;
/// Page size of the platforms that are measured.
const PAGE: usize = 4096;
const MIB: f64 = 1024.0 * 1024.0;

/// Name, how many routes share an instance, and whether it brings its tags.
const CASES: [(&str, usize, bool); 3] = [
    ("routes of one instance", ROUTES, true),
    ("an instance each, no tags", 1, false),
    ("an instance each, 12 tags", 1, true),
];

fn main() -> Result<(), Box<dyn Error>> {
    let asked = env::args().nth(1).and_then(|name| CASES.into_iter().find(|case| case.0 == name));
    match asked {
        Some((name, share, tags)) => measure(name, share, tags)?,
        None => {
            for (name, ..) in CASES {
                Command::new(env::current_exe()?).arg(name).status()?;
            }
        }
    }
    Ok(())
}

fn measure(name: &str, share: usize, tags: bool) -> Result<(), Box<dyn Error>> {
    let table = Table::new(Settings {
        stale_threshold: Duration::from_secs(120),
        empty_pool_grace: Duration::ZERO,
        sharding: Sharding::All,
        balancing: Algorithm::RoundRobin,
    });
    let mut interner = Interner::default();
    let before = resident()?;
    each(share, tags, |registration| {
        let endpoint = interner.share(registration.endpoint(None, false)?);
        for key in registration.uris().flatten() {
            table.register(&key, &endpoint, Moment::default(), 0);
        }
        Ok(())
    })?;
    assert_eq!(table.totals().endpoints, ROUTES);
    let full = settled()? - before;
    each(share, tags, |registration| {
        let endpoint = registration.endpoint(None, false)?;
        for key in registration.uris().flatten() {
            table.unregister(&key, &endpoint, Moment::default());
        }
        interner.heard();
        Ok(())
    })?;
    assert_eq!(table.totals().endpoints, 0);
    table.prune(Moment::default(), Source::Live);
    let left = settled()?.saturating_sub(before);
    println!(
        "{name}: {} bytes per route, {:.1} MiB for {ROUTES}; {:.1} MiB when they are gone",
        full / ROUTES,
        full as f64 / MIB,
        left as f64 / MIB
    );
    Ok(())
}

fn each(
    share: usize,
    tags: bool,
    mut act: impl FnMut(&registration::Registration) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for n in 0..ROUTES {
        let instance = n / share;
        let address = format!(
            r#""host":"10.{}.{}.{}","port":61000,"tls_port":61001"#,
            instance >> 16 & 255,
            instance >> 8 & 255,
            instance & 255
        );
        let mut message = platform::message_of(n, instance, &address);
        if !tags {
            message = platform::untagged(&message);
        }
        act(&registration::parse(message.as_bytes())?)?;
    }
    Ok(())
}

/// Resident bytes of this process once the allocator has had its time (ten seconds) to give back what is free.
fn settled() -> Result<usize, Box<dyn Error>> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        thread::park_timeout(Duration::from_secs(1));
    }
    resident()
}

/// Resident bytes of this process.
fn resident() -> Result<usize, Box<dyn Error>> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    Ok(pages.split(' ').nth(1).unwrap_or("0").parse::<usize>()? * PAGE)
}
