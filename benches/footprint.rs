//! Resident memory per route of a large table, all in, under the allocator of the router.
//!
//! Prints one line per case. Each case runs in a process of its own (`footprint CASE`), since an allocator
//! gives little back.

use std::{env, error::Error, fs, process::Command, time::Duration};

use trueroute::{
    registration,
    route::{balancing::Algorithm, intern::Interner, moment::Moment},
    table::{Settings, Sharding, Table},
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUTES: usize = 100_000;
/// Page size of the platforms that are measured.
const PAGE: usize = 4096;

/// Name, whether every route has an instance of its own, and whether it brings all of Diego's tags.
const CASES: [(&str, bool, bool); 3] =
    [("shared instance", false, false), ("own instance", true, false), ("own instance and tags", true, true)];

fn main() -> Result<(), Box<dyn Error>> {
    let asked = env::args().nth(1).and_then(|name| CASES.into_iter().find(|case| case.0 == name));
    match asked {
        Some((name, own, tags)) => println!("{name}: {} bytes per route", measure(own, tags)?),
        None => {
            for (name, ..) in CASES {
                Command::new(env::current_exe()?).arg(name).status()?;
            }
        }
    }
    Ok(())
}

fn measure(own: bool, tags: bool) -> Result<usize, Box<dyn Error>> {
    let table = Table::new(Settings {
        stale_threshold: Duration::from_secs(120),
        empty_pool_grace: Duration::ZERO,
        sharding: Sharding::All,
        balancing: Algorithm::RoundRobin,
    });
    let mut interner = Interner::default();
    let before = resident()?;
    for n in 0..ROUTES {
        let parsed = registration::parse(message(n, if own { n } else { 0 }, tags).as_bytes())?;
        let endpoint = interner.share(parsed.endpoint(None, false)?);
        for key in parsed.uris().flatten() {
            table.register(&key, &endpoint, Moment::default(), n);
        }
    }
    assert_eq!(table.totals().endpoints, ROUTES);
    Ok((resident()? - before) / ROUTES)
}

fn message(n: usize, instance: usize, tags: bool) -> String {
    let app = format!("{instance:08x}-5c1d-4f3e-7a55-1b2c0b0f4e5c");
    let more = format!(
        r#","app_id":"{app}","app_name":"app-{instance}","source_id":"{app}","process_id":"{app}","process_type":"web",
        "process_instance_id":"{instance:08x}-8f0b-0f4e-5c1d-4f3e","instance_id":"0","space_name":"space",
        "space_id":"{:08x}-4f3e-7a55-1b2c-0b0f4e5c5c1d","organization_name":"org",
        "organization_id":"{:08x}-7a55-1b2c-0b0f-4e5c5c1d4f3e""#,
        instance / 20,
        instance / 200,
    );
    format!(
        r#"{{"host":"10.{}.{}.{}","port":61000,"tls_port":61001,"uris":["app-{n}.apps.example.com"],"app":"{app}",
        "private_instance_id":"{instance:08x}-8f0b-0f4e-5c1d-4f3e","private_instance_index":"0",
        "server_cert_domain_san":"{instance:08x}-8f0b-0f4e-5c1d-4f3e",
        "tags":{{"component":"route-emitter"{}}}}}"#,
        instance >> 16 & 255,
        instance >> 8 & 255,
        instance & 255,
        if tags { more.as_str() } else { "" },
    )
}

/// Resident bytes of this process.
fn resident() -> Result<usize, Box<dyn Error>> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    Ok(pages.split(' ').nth(1).unwrap_or("0").parse::<usize>()? * PAGE)
}
