//! The deprecated status pages, from the configuration (gorouter.md §10).

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{StartError, parts::Parts, translate};
use crate::{
    admin::varz::{Pages, Write, serve},
    bus::Clock,
    config::Config,
    observe::varz::{AppCounts, Component, LOOK_EVERY, Surroundings, Varz},
    table::Table,
};

/// Opens the port and sets to work what its figures are made of, where the configuration asks for it; gives what is
/// told to whoever looks for components on the bus.
///
/// # Errors
/// The port is taken, or `status.host` is no address.
pub(super) fn open(
    parts: &mut Parts,
    config: &Config,
    own: IpAddr,
    uuid: &str,
    clock: &Clock,
) -> Result<Option<Component>, StartError> {
    let status = &config.status;
    if !status.enable_deprecated_varz_healthz_endpoints {
        return Ok(None);
    }
    let wanted = address(&status.host, status.port).map_err(|error| StartError::Listen {
        key: "status.host",
        port: status.port,
        error,
    })?;
    let (port, bound) = parts.bind_admin("status.port", wanted, None)?;
    let bound = bound.unwrap_or(wanted);
    parts.addresses.health = Some(bound);
    warn(config, bound);
    let component = Component {
        index: config.index,
        host: told(bound, own).to_string(),
        credentials: [status.user.clone(), status.pass.expose().to_owned()],
        uuid: uuid.to_owned(),
        start: SystemTime::now().checked_sub(parts.origin.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH),
        began: parts.origin,
    };
    parts.apps = (0..translate::workers(config)).map(|_| AppCounts::default()).collect();
    let varz = Arc::new(Varz::new(component.clone(), Arc::clone(&parts.metrics), parts.apps.clone()));
    parts.spawn(follow(Arc::clone(&varz), parts.stop.clone()));
    let table = Arc::clone(&parts.table);
    let routes: Write = Arc::new(move || serde_json::to_string(&table.listing()).unwrap_or_default());
    let (table, clock) = (Arc::clone(&parts.table), Arc::clone(clock));
    let varz: Write = Arc::new(move || varz.page(Instant::now(), &surroundings(&table, &clock)));
    let pages = Pages { readiness: parts.readiness.clone(), login: translate::login(config), routes, varz };
    parts.spawn(serve(port, pages));
    Ok(Some(component))
}

/// Takes the figures in while nobody asks for them, until `stop`.
async fn follow(varz: Arc<Varz>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        varz.look(Instant::now());
    }
}

/// Where to listen: `host` is an address or a name, all addresses if it is empty.
fn address(host: &str, port: u16) -> std::io::Result<SocketAddr> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host, port).to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("no such host"))
}

/// Where others reach what listens on `bound`.
fn told(bound: SocketAddr, own: IpAddr) -> SocketAddr {
    if bound.ip().is_unspecified() { SocketAddr::new(own, bound.port()) } else { bound }
}

fn warn(config: &Config, bound: SocketAddr) {
    let status = &config.status;
    if status.user.is_empty() || status.pass.expose().is_empty() {
        tracing::warn!(
            address = %bound,
            "status.user or status.pass is empty: the table and the figures are to be had without a secret"
        );
    }
    tracing::warn!(
        address = %bound,
        "deprecated status pages: user and password are told on NATS and come without TLS"
    );
}

fn surroundings(table: &Table, clock: &Clock) -> Surroundings {
    let listing = table.listing();
    let leases = listing.pools().iter().flat_map(|pool| pool.leases());
    let droplets: HashSet<&str> = leases.map(|lease| lease.endpoint().peer.address()).collect();
    Surroundings {
        urls: listing.pools().len(),
        droplets: droplets.len(),
        quiet: clock().since(table.last_update()),
        cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        memory: own_memory().unwrap_or_default(),
        busy: own_time().unwrap_or_default(),
    }
}

/// KiB that the process has in memory; none where the system does not tell.
fn own_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Time that the process was at work so far; none where the system does not tell.
fn own_time() -> Option<Duration> {
    time_in(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The time of user and system in `stat` as proc(5) has it. Its unit is 10 ms wherever Linux runs today.
fn time_in(stat: &str) -> Option<Duration> {
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(10)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_an_address_or_a_name_or_nothing() {
        for (host, wanted) in [
            ("", Some("0.0.0.0:80")),
            ("0.0.0.0", Some("0.0.0.0:80")),
            ("192.0.2.1", Some("192.0.2.1:80")),
            ("::1", Some("[::1]:80")),
            ("[::1]", Some("[::1]:80")),
            ("no such host", None),
        ] {
            assert_eq!(address(host, 80).ok().map(|address| address.to_string()).as_deref(), wanted, "{host}");
        }
    }

    #[test]
    fn others_are_told_an_address_that_they_can_reach() {
        let own = IpAddr::from([10, 0, 0, 7]);
        for (bound, wanted) in [("0.0.0.0:8080", "10.0.0.7:8080"), ("192.0.2.1:8080", "192.0.2.1:8080")] {
            assert_eq!(told(bound.parse().unwrap(), own).to_string(), wanted);
        }
    }

    #[test]
    fn the_time_at_work_is_that_of_user_and_system() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14";
        assert_eq!(time_in(stat), Some(Duration::from_secs(2)));
        assert_eq!(time_in("7 (x) S 1"), None);
        assert!(own_memory().is_some() && own_time().is_some());
    }
}
