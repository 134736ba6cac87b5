//! What a router consists of from its binding to its end, and how the parts are set to work.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Addresses, StartError,
    group::{Alarm, Group, Member},
    metron,
    services::Services,
    status, translate, warm,
};
use crate::{
    admin::{self, reload::Reload, secure::Renewed},
    bus::{
        self, Clock, Role, component,
        link::{Link, LinkSettings},
        state::BusState,
    },
    config::Config,
    frontend::{connection::Doorway, entry::Entry, listener},
    lifecycle::{Drain, Readiness, Stopping, roster::Roster},
    observe::{
        access_log::AccessLog,
        dropsonde::Dropsonde,
        exchange::Recorder,
        metrics::Metrics,
        runtimes::Runtimes,
        varz::{AppCounts, Component},
    },
    proxy::{Proxy, rules::Rules},
    pruner::Pruner,
    route::moment::Moment,
    routing_api::RoutingApi,
    snapshot::{
        Snapshot,
        keeper::{Keeper, Record},
    },
    table::Table,
    upstream::{Upstream, dialers::Dialers},
};

/// How often the process' descriptors are counted (gorouter.md section 11).
const COUNT_FILES_EVERY: Duration = Duration::from_secs(5);

/// What lives from the binding to the end.
pub(super) struct Parts {
    pub(super) addresses: Addresses,
    pub(super) table: Arc<Table>,
    pub(super) dialers: Arc<Dialers>,
    pub(super) services: Option<Services>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access_log: Option<AccessLog>,
    pub(super) metron: Option<Dropsonde>,
    /// Where each worker counts requests by app; empty where nobody looks.
    pub(super) apps: Vec<AppCounts>,
    pub(super) readiness: Readiness,
    pub(super) rules: Arc<Rules>,
    pub(super) leaving: Stopping,
    pub(super) connections: Drain,
    pub(super) tunnels: Drain,
    pub(super) origin: Instant,
    pub(super) runtimes: Runtimes,
    pub(super) stop: CancellationToken,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) group: Group,
    pub(super) alarm: Alarm,
    pub(super) bus: Arc<BusState>,
    /// Cancelled when a warm start has tried all servers of the bus once.
    pub(super) bus_in_vain: CancellationToken,
}

/// What listening to the bus takes.
pub(super) struct BusWork {
    /// The connection; none if it is still to be made.
    pub(super) link: Option<Link>,
    pub(super) settings: LinkSettings,
    pub(super) state: Arc<BusState>,
    pub(super) role: Role,
    /// What is told to whoever looks for components.
    pub(super) component: Option<Component>,
    pub(super) clock: Clock,
}

impl Parts {
    /// Opens the status ports; gives the TLS of those for health and metrics, where there is any.
    pub(super) fn open_admin(&mut self, config: &Config, reload: Reload) -> Result<[Option<Renewed>; 2], StartError> {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let everywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let (routes, address) = self.bind_admin("status.routes.port", loopback(config.status.routes.port), None)?;
        self.addresses.routes = address;
        let table = Arc::clone(&self.table);
        let listing = move || serde_json::to_string(&table.listing()).unwrap_or_default();
        let login = translate::login(config);
        let origin = self.origin;
        let sources = admin::pools::Sources {
            table: Arc::clone(&self.table),
            clock: Arc::new(move || Moment::at(Instant::now(), origin)),
            rules: Arc::new(translate::admin_rules(config)),
        };
        self.spawn(admin::routes::serve(routes, login, sources, listing, reload));

        if config.status.enable_nontls_health_checks && !config.status.enable_deprecated_varz_healthz_endpoints {
            let (health, address) = self.bind_admin("status.port", everywhere(config.status.port), None)?;
            self.addresses.health = address;
            self.spawn(admin::health::serve(health, self.readiness.clone()));
        }
        let (mut health_tls, mut metrics_tls) = (None, None);
        if let Some(status) = &config.status.tls {
            health_tls = status::health_tls(config)?.as_ref().map(Renewed::new);
            let tls = health_tls.clone();
            let (health, address) = self.bind_admin("status.tls.port", everywhere(status.port), tls)?;
            self.addresses.health_tls = address;
            self.spawn(admin::health::serve(health, self.readiness.clone()));
        }
        if config.prometheus.enabled {
            metrics_tls = status::metrics_tls(config)?.as_ref().map(Renewed::new);
            let tls = metrics_tls.clone();
            let (metrics, address) = self.bind_admin("prometheus.port", loopback(config.prometheus.port), tls)?;
            self.addresses.metrics = address;
            if let Some(address) = address.filter(|_| config.prometheus.port == 0) {
                // Nothing else tells which one the system gave.
                tracing::info!(target: "router", address = %address, "prometheus-listener-started");
            }
            self.spawn(admin::metrics::serve(metrics, Arc::clone(&self.metrics)));
        }
        Ok([health_tls, metrics_tls])
    }

    /// Sets to work what tells metron the figures, if that is wished.
    pub(super) fn report_to_metron(&mut self) {
        if let Some(reporter) = self.metron.as_ref().and_then(Dropsonde::reporter) {
            self.spawn(metron::report(reporter, Arc::clone(&self.metrics), self.origin, self.stop.clone()));
        }
    }

    /// Sets to work what keeps the table true beside the bus: the pruner, and the file that a next process starts from.
    pub(super) fn keep_table(
        &mut self,
        config: &Config,
        bus: &Arc<BusState>,
        snapshot: Option<(Snapshot, Arc<Record>)>,
        warm: bool,
        clock: &Clock,
    ) {
        let pruner =
            || Pruner::new(Arc::clone(&self.table), Arc::clone(bus), config.suspend_pruning_if_nats_unavailable);
        let (regular, once) = (pruner(), pruner());
        if let Some(every) = config.prune_stale_droplets_interval {
            let (metrics, stop, clock) = (Arc::clone(&self.metrics), self.stop.clone(), Arc::clone(clock));
            // Without it plain endpoints would never age out, and lead to whoever has their port by then.
            let pruning = async move { regular.run(every, &metrics, &clock, stop).await };
            self.tasks.push(tokio::spawn(self.alarm.clone().watch(pruning)));
        }
        if warm {
            let (metrics, stop, clock) = (Arc::clone(&self.metrics), self.stop.clone(), Arc::clone(clock));
            let grace = config.droplet_stale_threshold;
            self.spawn(async move { once.forget_unconfirmed(grace, &metrics, &clock, stop).await });
        }
        if let Some((snapshot, record)) = snapshot {
            let keeper = Keeper::new(Arc::clone(&self.table), snapshot).noting(record);
            self.spawn(keeper.run(config.snapshot.interval, self.stop.clone()));
        }
    }

    /// Starts what runs beside the traffic and tells its end, in Gorouter's order.
    pub(super) fn start_group(&mut self, feed: Option<RoutingApi>, work: BusWork) {
        if let Some(feed) = feed {
            self.group.start(Member::RouteFetcher, |stop| feed.run(stop));
        }
        let metrics = Arc::clone(&self.metrics);
        self.group.start(Member::FileDescriptors, async move |stop| {
            let mut ticks = tokio::time::interval(COUNT_FILES_EVERY);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                metrics.set_file_descriptors(open_files());
                metrics.sweep(Instant::now());
            }
        });
        self.listen_to_bus(work);
    }

    fn listen_to_bus(&mut self, work: BusWork) {
        let BusWork { link, settings, state, role, component, clock } = work;
        let (metrics, in_vain) = (Arc::clone(&self.metrics), self.bus_in_vain.clone());
        let (closed, hears) = oneshot::channel();
        self.group.start(Member::Subscriber, async move |stop| {
            let link = match link {
                Some(link) => Some(link),
                None => warm::connect(&settings, &clock, &state, &in_vain, &stop).await,
            };
            let Some(link) = link else { return };
            let told = async {
                match &component {
                    Some(component) => component::run(link.client(), component).await,
                    None => std::future::pending().await,
                }
            };
            let ended = tokio::select! {
                ended = bus::run(&link, role, &metrics, &clock, stop) => ended,
                never = told => match never {},
            };
            if let Err(error) = ended {
                // At the stop the monitor has gone already, and nobody has to know.
                let _ = closed.send(error);
            }
        });
        let alarm = self.alarm.clone();
        self.group.start(Member::NatsMonitor, async move |stop| {
            if let Some(Ok(error)) = stop.run_until_cancelled(hears).await {
                tracing::error!(target: "NATSMonitor", %error, "nats-connection-closed");
                alarm.raise();
            }
        });
    }

    pub(super) fn doorways(&self, config: &Config, entry: &Arc<Entry>, closing: &Stopping) -> Vec<Arc<Doorway>> {
        let workers = translate::workers(config);
        let settings = Arc::new(translate::proxy(config, &self.rules, &entry.domains));
        let limits = translate::idle(config, workers);
        let doorway = |index| {
            let recorder = Recorder {
                sink: self.access_log.as_ref().map(AccessLog::sink),
                envelopes: self.metron.as_ref().map(Dropsonde::sink),
                apps: self.apps.get(index).cloned(),
                aborted: config.access_log.log_aborted_exchanges.then(|| self.stop.clone()),
                ..Recorder::counting(self.metrics.shard(index))
            };
            let upstream = Upstream::new(Arc::clone(&self.dialers), translate::dial_times(config), limits);
            let proxy = Proxy {
                table: Arc::clone(&self.table),
                upstream: upstream.counting(self.metrics.shard(index)),
                services: self.services.as_ref().map(|services| services.ways(config, limits)),
                settings: Arc::clone(&settings),
                recorder: Arc::new(recorder),
                bus: config.suspend_pruning_if_nats_unavailable.then(|| Arc::clone(&self.bus)),
                origin: self.origin,
                leaving: self.leaving.clone(),
                drain: self.tunnels.clone(),
            };
            Arc::new(Doorway {
                proxy: Arc::new(proxy),
                entry: Arc::clone(entry),
                deadlines: translate::deadlines(config),
                h1: translate::h1(config),
                h2: translate::h2(config),
                closing: closing.child(),
                roster: Roster::default(),
            })
        };
        (0..workers).map(doorway).collect()
    }

    /// Opens the inner door, if there is one.
    pub(super) fn inner_door(&mut self, config: &Config) -> Result<Option<std::net::TcpListener>, StartError> {
        let Some(services) = self.services.as_mut().filter(|services| services.door().is_some()) else {
            return Ok(None);
        };
        let port = config.route_services.internal_server_port;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = listen("route_services_internal_server_port", port, || listener::bind(address))?;
        services.opened(listener.local_addr().map_or(port, |address| address.port()));
        Ok(Some(listener))
    }

    /// A status port on `address`, and where it really is.
    pub(super) fn bind_admin(
        &self,
        key: &'static str,
        address: SocketAddr,
        tls: Option<Renewed>,
    ) -> Result<(admin::Port, Option<SocketAddr>), StartError> {
        let listener = listen(key, address.port(), || listener::bind(address))?;
        let listener =
            TcpListener::from_std(listener).map_err(|error| StartError::Listen { key, port: address.port(), error })?;
        let bound = listener.local_addr().ok();
        Ok((admin::Port { listener, tls, limits: admin::Limits::default(), stop: self.stop.clone() }, bound))
    }

    /// Sets something to work that the router can do without.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(self.alarm.clone().note(task)));
    }
}

/// Binds a port, or says which key asked for it.
pub(super) fn listen(
    key: &'static str,
    port: u16,
    bind: impl FnOnce() -> io::Result<std::net::TcpListener>,
) -> Result<std::net::TcpListener, StartError> {
    bind().map_err(|error| StartError::Listen { key, port, error })
}

/// Descriptors that the process holds; 0 where the system does not tell.
fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}
