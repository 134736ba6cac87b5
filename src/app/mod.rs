//! The router as a whole: bound, opened, drained, stopped.
//!
//! [`Router::bind`] does everything that can fail for a reason in the configuration or the surroundings and
//! opens the status ports; [`Bound::open`] lets the table fill and opens the traffic ports;
//! [`Router::drain`] and [`Router::stop`] are the two ways out. Control-plane work runs on the caller's
//! runtime, traffic on threads of its own: neither can starve the other.

mod debug;
mod error;
mod expiry;
mod fetcher;
mod figures;
mod group;
mod metron;
mod parts;
mod preflight;
mod reload;
mod rules;
mod services;
mod status;
mod translate;
mod varz;
mod warm;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::{
    error::StartError,
    expiry::ends as certificate_ends,
    preflight::{later_oddities, oddities, preflight},
    reload::Source,
};
use self::{
    group::{Alarm, Group, Member},
    parts::{BusWork, Parts, listen},
    services::Services,
};
use crate::{
    admin::{self, reload::Reload},
    bus::{
        Clock, Role, active_apps::ActiveApps, greeting::Greeting, link::Link, proofs::Proofs, ring::Ring,
        state::BusState, subscriber::Subscriber,
    },
    config::{self, Config},
    frontend::{connection::Door, entry::Entry, listener, worker::Workers},
    lifecycle::{Drain, Readiness, Stopping},
    observe::{log::Threshold, metrics::Metrics, runtimes::Runtimes},
    route::moment::Moment,
    snapshot::Snapshot,
    table::Table,
    upstream::dialers::Dialers,
};

/// How long the writers of logs may take to write what is queued at the end, and each part to leave. A disk that hangs
/// must not keep the process.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Where a router listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Plain HTTP; none with `disable_http` and before the router is open.
    pub http: Option<SocketAddr>,
    /// HTTPS, likewise.
    pub https: Option<SocketAddr>,
    /// `/health`.
    pub health: Option<SocketAddr>,
    /// `/health` over TLS.
    pub health_tls: Option<SocketAddr>,
    /// `/routes`.
    pub routes: Option<SocketAddr>,
    /// `/metrics`.
    pub metrics: Option<SocketAddr>,
}

/// What a router can have of the process that it runs in.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Where certificates, authorities and the level of the log are read from again, when that is asked for or something has changed.
    pub source: Option<Source>,
    /// The level of the log, for the debug server and for reloads.
    pub log_level: Option<Threshold>,
}

/// A router whose table fills and whose traffic ports are still closed.
pub struct Bound {
    config: Config,
    parts: Parts,
    entry: Arc<Entry>,
    inner_door: Option<std::net::TcpListener>,
    /// The table holds what a former process knew.
    warm: bool,
}

/// A router that takes traffic.
pub struct Router {
    config: Config,
    parts: Parts,
    workers: Arc<Workers>,
    acceptors: Vec<std::thread::JoinHandle<()>>,
    accepting: CancellationToken,
    /// Closes the inner door. It stays open in a drain: clients that are in still need it.
    inside: CancellationToken,
    /// Cancelled when the last connection that the system had taken in was handed to a worker.
    accepted: CancellationToken,
    closing: Stopping,
}

impl Router {
    /// Connects to NATS, opens the status ports, and starts to fill the table.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn bind(config: Config) -> Result<Bound, StartError> {
        Self::bind_in(config, Surroundings::default()).await
    }

    /// The same in a process of its own.
    ///
    /// # Errors
    /// As [`Router::bind`].
    pub async fn bind_in(config: Config, surroundings: Surroundings) -> Result<Bound, StartError> {
        let Surroundings { source, log_level } = surroundings;
        let origin = Instant::now();
        let own_ip = config::own_ip().map_err(StartError::OwnAddress)?;
        let readiness = Readiness::new();
        let rules = Arc::new(rules::rules(&config, own_ip, &readiness)?);
        log_segments(&config);
        oddities(&config).iter().for_each(|warning| tracing::warn!(warning, "config-warning"));
        let (stop, runtimes, mut tasks) = (CancellationToken::new(), Runtimes::default(), Vec::new());
        runtimes.add("control", &tokio::runtime::Handle::current());
        if let Some(port) = debug::bind(&config.debug_addr, &stop) {
            tasks.push(tokio::spawn(admin::debug::serve(port, log_level.clone(), runtimes.clone())));
        }
        let mut entry = Entry::new(&config, config.enable_http2)?;
        let dialers = Arc::new(Dialers::new(translate::dialer(&config)?));
        let services = Services::new(&config, &dialers.current())?;
        entry.inner = services.as_ref().and_then(Services::door);
        let entry = Arc::new(entry);
        let nats = translate::nats_proof(&config)?.map(Proofs::new);
        let clock: Clock = Arc::new(move || Moment::at(Instant::now(), origin));
        let table = Arc::new(Table::new(translate::table(&config)));
        let measures = translate::metrics(&config)?;
        let subscriber = Subscriber::new(Arc::clone(&table), translate::policy(&config));
        let mut subscriber = subscriber.with_sources(measures.sources.clone());
        let snapshot = config.snapshot.file.clone().map(Snapshot::at);
        let restored = snapshot.as_ref().map_or(0, |snapshot| warm::restore(snapshot, &mut subscriber, clock()));
        let (settings, bus) = (translate::link(&config, nats.as_ref())?, Arc::new(BusState::new()));
        tracing::info!("setting-up-nats-connection");
        let link = if restored > 0 {
            // What a former process knew is served before the bus answers, however long that takes.
            bus.lose(clock());
            None
        } else {
            Some(Link::connect(&settings, Arc::clone(&clock), &bus).await?)
        };
        let metrics = Metrics::with(translate::workers(&config), measures);
        let feed = fetcher::connect(&config, &table, &metrics, &clock, restored > 0).await?;
        let metron = metron::open(&config, &metrics)?;
        let access_log = translate::access_log(&config)?;
        let access_log = access_log.map(|log| log.showing(translate::access_log_fields(&config)));
        if let Some(log) = &access_log {
            metrics.follow_access_log(log.dropped());
        }

        let alarm = Alarm::new(Arc::clone(&metrics));
        let mut parts = Parts {
            addresses: Addresses::default(),
            table,
            dialers,
            services,
            metrics,
            access_log,
            metron,
            apps: Vec::new(),
            readiness,
            rules,
            leaving: Stopping::new(),
            connections: Drain::new(),
            tunnels: Drain::new(),
            origin,
            runtimes,
            stop,
            tasks,
            group: Group::new(alarm.clone()),
            alarm,
            bus: Arc::clone(&bus),
            bus_in_vain: CancellationToken::new(),
        };
        parts.report_to_metron();
        let (reload, asks) = Reload::channel();
        let inner_door = parts.inner_door(&config)?;
        let [health_tls, metrics_tls] = parts.open_admin(&config, reload)?;
        let greeting =
            Greeting::new(config.index, own_ip, config.start_response_delay_interval, config.droplet_stale_threshold);
        let component = varz::open(&mut parts, &config, own_ip, greeting.id(), &clock)?;
        if let Some(source) = source {
            let dialers = Arc::clone(&parts.dialers);
            let services = parts.services.as_ref().map(|services| Arc::clone(services.dialers()));
            let places = reload::Places {
                entry: Arc::clone(&entry),
                dialers,
                services,
                health_tls,
                metrics_tls,
                nats,
                routing_api: feed.as_ref().map(fetcher::Renewal::of),
                log_level,
            };
            let (running, metrics) = (config.clone(), Arc::clone(&parts.metrics));
            let reloader = reload::Reloader { source, running, places, metrics };
            let stop = parts.stop.clone();
            parts.spawn(reloader.run(asks, stop));
        }
        let record = Arc::default();
        figures::follow(&parts, &config, &bus, &record, &clock);
        parts.keep_table(&config, &bus, snapshot.map(|snapshot| (snapshot, record)), restored > 0, &clock);
        let table = Arc::clone(&parts.table);
        let active_apps = config.publish_active_apps_interval.map(|every| ActiveApps { table, every });
        let role = Role { subscriber, greeting, ring: Ring::default(), active_apps };
        parts.start_group(feed, BusWork { link, settings, state: bus, role, component, clock });
        Ok(Bound { config, parts, entry, inner_door, warm: restored > 0 })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.parts.addresses
    }

    /// The table, for whoever assembles a router in a process of their own.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.parts.table
    }

    /// The metrics, likewise.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Waits until something is lost that the router does not outlive: the bus for good, or a part that panicked.
    pub async fn lost(&self) {
        self.parts.alarm.raised().await;
    }

    /// Waits until nothing is accepted any more, which happens by itself only if a listener fails.
    pub async fn doors_lost(&self) {
        self.accepted.cancelled().await;
    }

    /// Finishes what is under way and takes nothing new (gorouter.md section 1, drain). Returns whether all
    /// ended in time; the rest is cut by [`Router::stop`].
    ///
    /// From the start clients are told `Connection: close`, so that those who keep connections go elsewhere
    /// before theirs is closed under them.
    pub async fn drain(&self) -> bool {
        let Parts { readiness, leaving, connections, tunnels, metrics, .. } = &self.parts;
        let (wait, timeout) = (self.config.drain_wait, self.config.drain_timeout);
        readiness.degrade();
        leaving.ask();
        tracing::info!(
            target: "router",
            wait_seconds = wait.as_secs_f64(),
            timeout_seconds = timeout.as_secs_f64(),
            "gorouter-draining"
        );
        tokio::time::sleep(wait).await;
        let open = metrics.open_exchanges();
        let idle = (connections.outstanding() as u64).saturating_sub(open);
        tracing::info!(target: "router", "Draining with {open} outstanding active connections");
        tracing::info!(target: "router", "Draining with {idle} outstanding idle connections");
        self.accepting.cancel();
        let ended = async {
            // Whoever waits in a listener's queue is not counted yet.
            self.accepted.cancelled().await;
            self.closing.ask();
            connections.wait_empty().await;
            tunnels.wait_empty().await;
        };
        let in_time = tokio::time::timeout(timeout, ended).await.is_ok();
        if !in_time {
            tracing::error!(target: "router", error = "router: Drain timeout", "router.drain.timed-out");
            tracing::error!(target: "router", error = "router: Drain timeout", "gorouter-draining-error");
        }
        in_time
    }

    /// Cuts what is left and ends. The last log lines are written before it returns.
    pub async fn stop(self) {
        let begun = Instant::now();
        tracing::info!(target: "router", "gorouter.stopping");
        self.parts.readiness.degrade();
        self.accepting.cancel();
        self.inside.cancel();
        for acceptor in self.acceptors {
            // A panic there has ended the accepting already; what is left to do is the same.
            let _ = tokio::task::spawn_blocking(move || acceptor.join()).await;
        }
        let Parts { access_log, metron, stop, tasks, group, .. } = self.parts;
        stop.cancel();
        if let Some(workers) = Arc::into_inner(self.workers) {
            let _ = tokio::task::spawn_blocking(move || workers.join()).await;
        }
        for task in tasks {
            let _ = timeout(LAST_LINES, task).await;
        }
        if let Some(log) = access_log {
            log.flush(LAST_LINES);
        }
        if let Some(metron) = metron {
            metron.flush(LAST_LINES);
        }
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        tracing::info!(target: "router", took, "gorouter.stopped");
        Member::Router.log_exit();
        group.stop(LAST_LINES).await;
    }
}

impl Bound {
    /// Where the status ports listen.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.parts.addresses
    }

    /// Waits for the table to fill, then opens the traffic ports and reports healthy.
    ///
    /// # Errors
    /// A port is taken, or the system gives no threads.
    pub async fn open(self) -> Result<Router, StartError> {
        let Self { config, mut parts, entry, inner_door, warm } = self;
        let delay = config.start_response_delay_interval;
        if !warm {
            warm::preload(delay).await;
        }

        let mut doors = Vec::new();
        match config.http_port() {
            Some(port) => {
                let listener = listen("port", port, || listener::bind_all(port))?;
                parts.addresses.http = listener.local_addr().ok();
                log_listener("tcp-listener-started", parts.addresses.http);
                doors.push((listener, Door::Plain));
            }
            None => tracing::info!(target: "router", "tcp-listener-disabled"),
        }
        match &config.front_tls {
            Some(front) => {
                let listener = listen("ssl_port", front.port, || listener::bind_all(front.port))?;
                parts.addresses.https = listener.local_addr().ok();
                log_listener("tls-listener-started", parts.addresses.https);
                doors.push((listener, Door::Tls));
            }
            None => tracing::info!(target: "router", "tls-listener-not-enabled"),
        }

        let closing = Stopping::new();
        let doorways = parts.doorways(&config, &entry, &closing);
        let workers = Arc::new(
            Workers::start(doorways, parts.connections.clone(), &parts.runtimes).map_err(StartError::Workers)?,
        );
        let [accepting, accepted, inside] = [(); 3].map(|()| CancellationToken::new());
        let start = |doors, stop: &CancellationToken, done| {
            listener::start(doors, Arc::clone(&workers), stop.clone(), done).map_err(StartError::Workers)
        };
        let mut acceptors = vec![start(doors, &accepting, accepted.clone().drop_guard())?];
        if let Some(listener) = inner_door {
            // Its end is the end of all, should it come by itself.
            acceptors.push(start(vec![(listener, Door::Inner)], &inside, accepting.clone().drop_guard())?);
        }
        tracing::info!(target: "router", "gorouter.started");
        if warm {
            let (readiness, bus) = (parts.readiness.clone(), Arc::clone(&parts.bus));
            let (in_vain, stop) = (parts.bus_in_vain.clone(), parts.stop.clone());
            parts.spawn(warm::report_healthy(readiness, bus, in_vain, delay, stop));
        } else {
            parts.readiness.open();
        }
        Ok(Router { config, parts, workers, acceptors, accepting, inside, accepted, closing })
    }
}

fn log_segments(config: &Config) {
    let segments = serde_json::json!({"isolation_segments": config.isolation_segments});
    let mode = config.routing_table_sharding_mode;
    tracing::info!(routing_table_sharding_mode = %mode, data = %segments, "retrieved-isolation-segments");
}

fn log_listener(message: &'static str, address: Option<SocketAddr>) {
    let Some(address) = address else { return };
    let data = serde_json::json!({"address": {"IP": address.ip(), "Port": address.port(), "Zone": ""}});
    tracing::info!(target: "router", data = %data, "{message}");
}
