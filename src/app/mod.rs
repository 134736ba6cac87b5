//! The router as a whole: bound, opened, drained, stopped.
//!
//! [`Router::bind`] does everything that can fail for a reason in the configuration or the surroundings and
//! opens the status ports; [`Bound::open`] lets the table fill and opens the traffic ports;
//! [`Router::drain`] and [`Router::stop`] are the two ways out. Control-plane work runs on the caller's
//! runtime, traffic on threads of its own: neither can starve the other.

mod translate;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use trueroute_identity::{Dialer, credentials::CredentialsError, dial::DialerError, trust::TrustError};

use crate::{
    admin,
    bus::{
        self, Clock,
        greeting::Greeting,
        link::{Link, LinkError},
        subscriber::Subscriber,
    },
    config::{self, Config, Unsupported},
    frontend::{
        connection::{Door, Doorway},
        listener,
        tls::{FrontTlsError, server_config},
        worker::Workers,
    },
    lifecycle::{Drain, Readiness, Stopping, roster::Roster},
    observe::{
        access_log::{AccessLog, OpenError},
        exchange::Recorder,
        metrics::Metrics,
    },
    proxy::Proxy,
    pruner::Pruner,
    route::moment::Moment,
    table::Table,
    upstream::Upstream,
};

/// How long the writers of logs may take to write what is queued at the end.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How often the process' descriptors are counted (gorouter.md section 11).
const COUNT_FILES_EVERY: Duration = Duration::from_secs(5);

/// The router cannot start. Each names what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration asks for what is not there yet and would be unsafe to leave out.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The machine has no default route, so the router has no address to announce.
    #[error("no default route: {0}")]
    OwnAddress(#[source] io::Error),
    /// NATS.
    #[error(transparent)]
    Nats(#[from] LinkError),
    /// The authorities for endpoints.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The certificate for endpoints.
    #[error("backends.cert_chain, backends.private_key: {0}")]
    Credentials(#[source] CredentialsError),
    /// TLS towards endpoints.
    #[error("cipher_suites: {0}")]
    Dialer(#[from] DialerError),
    /// TLS towards clients.
    #[error(transparent)]
    FrontTls(#[from] FrontTlsError),
    /// Buckets of a histogram.
    #[error("prometheus.meters.{0}: the bounds must increase")]
    Buckets(&'static str),
    /// The access log.
    #[error("access_log.file: {0}")]
    AccessLog(#[from] OpenError),
    /// A port.
    #[error("{key}: cannot listen on port {port}: {error}")]
    Listen {
        /// The key that names the port.
        key: &'static str,
        /// The port.
        port: u16,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Threads.
    #[error("workers: {0}")]
    Workers(#[source] io::Error),
}

impl StartError {
    /// The log message that Gorouter has for it.
    #[must_use]
    pub fn message(&self) -> &'static str {
        match self {
            Self::Nats(_) => "nats-connection-error",
            Self::AccessLog(_) => "error-creating-access-logger",
            Self::Listen { key: "port", .. } => "tcp-listener-error",
            Self::Listen { key: "ssl_port", .. } | Self::FrontTls(_) => "tls-listener-error",
            Self::Listen { .. } => "initialize-router-error",
            Self::Unsupported(_)
            | Self::OwnAddress(_)
            | Self::Trust(_)
            | Self::Credentials(_)
            | Self::Dialer(_)
            | Self::Buckets(_)
            | Self::Workers(_) => "gorouter.failed-to-start",
        }
    }
}

/// Where a router listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Plain HTTP; none with `disable_http` and before the router is open.
    pub http: Option<SocketAddr>,
    /// HTTPS, likewise.
    pub https: Option<SocketAddr>,
    /// `/health`.
    pub health: Option<SocketAddr>,
    /// `/routes`.
    pub routes: Option<SocketAddr>,
    /// `/metrics`.
    pub metrics: Option<SocketAddr>,
}

/// A router whose table fills and whose traffic ports are still closed.
pub struct Bound {
    config: Config,
    parts: Parts,
    tls: Option<TlsAcceptor>,
}

/// A router that takes traffic.
pub struct Router {
    config: Config,
    parts: Parts,
    workers: Arc<Workers>,
    acceptor: std::thread::JoinHandle<()>,
    accepting: CancellationToken,
    /// Cancelled when the last connection that the system had taken in was handed to a worker.
    accepted: CancellationToken,
    closing: Stopping,
}

/// What lives from the binding to the end.
struct Parts {
    addresses: Addresses,
    table: Arc<Table>,
    dialer: Arc<Dialer>,
    metrics: Arc<Metrics>,
    access_log: Option<AccessLog>,
    readiness: Readiness,
    leaving: Stopping,
    connections: Drain,
    tunnels: Drain,
    origin: Instant,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    bus_lost: watch::Receiver<bool>,
}

impl Router {
    /// Connects to NATS, opens the status ports, and starts to fill the table.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn bind(config: Config) -> Result<Bound, StartError> {
        config.refuse_unsupported()?;
        let origin = Instant::now();
        let own_ip = config::own_ip().map_err(StartError::OwnAddress)?;
        let tls = config.front_tls.as_ref().map(server_config).transpose()?.map(TlsAcceptor::from);
        let dialer = translate::dialer(&config)?;
        let clock: Clock = Arc::new(move || moment(origin));
        let link = Link::connect(&translate::link(&config), Arc::clone(&clock)).await?;
        let metrics = Metrics::new(translate::workers(&config), translate::buckets(&config.prometheus.meters)?);
        let table = Arc::new(Table::new(translate::table(&config)));
        let access_log = config.access_log.file.as_ref().map(AccessLog::file).transpose()?;
        if let Some(log) = &access_log {
            metrics.follow_access_log(log.dropped());
        }

        let (lost, bus_lost) = watch::channel(false);
        let mut parts = Parts {
            addresses: Addresses::default(),
            table,
            dialer,
            metrics,
            access_log,
            readiness: Readiness::new(),
            leaving: Stopping::new(),
            connections: Drain::new(),
            tunnels: Drain::new(),
            origin,
            stop: CancellationToken::new(),
            tasks: Vec::new(),
            bus_lost,
        };
        parts.open_admin(&config).await?;
        let greeting =
            Greeting::new(config.index, own_ip, config.start_response_delay_interval, config.droplet_stale_threshold);
        parts.listen_to_bus(&config, link, greeting, clock, lost);
        Ok(Bound { config, parts, tls })
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

    /// Waits until the bus is lost for good, which the router does not outlive.
    pub async fn bus_lost(&self) {
        let mut lost = self.parts.bus_lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
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
        self.accepting.cancel();
        let open = metrics.open_exchanges();
        let idle = (connections.outstanding() as u64).saturating_sub(open);
        tracing::info!(target: "router", "Draining with {open} outstanding active connections");
        tracing::info!(target: "router", "Draining with {idle} outstanding idle connections");
        self.closing.ask();
        let ended = async {
            // Whoever waits in a listener's queue is not counted yet.
            self.accepted.cancelled().await;
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
        let acceptor = self.acceptor;
        // A panic there has ended the accepting already; what is left to do is the same.
        let _ = tokio::task::spawn_blocking(move || acceptor.join()).await;
        let Parts { access_log, stop, tasks, .. } = self.parts;
        stop.cancel();
        for task in tasks {
            let _ = task.await;
        }
        if let Some(workers) = Arc::into_inner(self.workers) {
            let _ = tokio::task::spawn_blocking(move || workers.join()).await;
        }
        if let Some(log) = access_log {
            log.flush(LAST_LINES);
        }
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        tracing::info!(target: "router", took, "gorouter.stopped");
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
        let Self { config, mut parts, tls } = self;
        let delay = config.start_response_delay_interval;
        tracing::debug!(
            target: "router",
            sleep_time_seconds = delay.as_secs_f64(),
            "Sleeping before returning success on /health endpoint to preload routing table"
        );
        tokio::time::sleep(delay).await;

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
        let doorways = parts.doorways(&config, tls.as_ref(), &closing);
        let workers = Arc::new(Workers::start(doorways, parts.connections.clone()).map_err(StartError::Workers)?);
        let accepting = CancellationToken::new();
        let accepted = CancellationToken::new();
        let done = accepted.clone().drop_guard();
        let acceptor =
            listener::start(doors, Arc::clone(&workers), accepting.clone(), done).map_err(StartError::Workers)?;
        parts.readiness.open();
        tracing::info!(target: "router", "gorouter.started");
        Ok(Router { config, parts, workers, acceptor, accepting, accepted, closing })
    }
}

impl Parts {
    async fn open_admin(&mut self, config: &Config) -> Result<(), StartError> {
        let limits = admin::Limits::default();
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let port = config.status.routes.port;
        let routes = listen_here("status.routes.port", port, || listener::bind(loopback(port)))?;
        self.addresses.routes = routes.local_addr().ok();
        let table = Arc::clone(&self.table);
        let listing = move || serde_json::to_string(&table.listing()).unwrap_or_default();
        let login =
            admin::routes::Login { user: config.status.user.clone(), password: config.status.pass.expose().to_owned() };
        self.spawn(admin::routes::serve(routes, login, listing, limits, self.stop.clone()));

        if config.status.enable_nontls_health_checks {
            let port = config.status.port;
            let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let health = listen_here("status.port", port, || listener::bind(everywhere))?;
            self.addresses.health = health.local_addr().ok();
            self.spawn(admin::health::serve(health, self.readiness.clone(), limits, self.stop.clone()));
        }
        if config.prometheus.enabled {
            let port = config.prometheus.port;
            let metrics = listen_here("prometheus.port", port, || listener::bind(loopback(port)))?;
            self.addresses.metrics = metrics.local_addr().ok();
            self.spawn(admin::metrics::serve(metrics, Arc::clone(&self.metrics), limits, self.stop.clone()));
        }
        Ok(())
    }

    fn listen_to_bus(
        &mut self,
        config: &Config,
        link: Link,
        greeting: Greeting,
        clock: Clock,
        lost: watch::Sender<bool>,
    ) {
        let subscriber = Subscriber::new(Arc::clone(&self.table), translate::policy(config));
        let suspend = config.suspend_pruning_if_nats_unavailable;
        let pruner = Pruner::new(Arc::clone(&self.table), Arc::clone(link.state()), suspend);
        let (metrics, stop, ticking) = (Arc::clone(&self.metrics), self.stop.clone(), Arc::clone(&clock));
        if let Some(every) = config.prune_stale_droplets_interval {
            self.spawn(async move { pruner.run(every, &metrics, &ticking, stop).await });
        }
        let (metrics, stop) = (Arc::clone(&self.metrics), self.stop.clone());
        self.spawn(async move {
            if let Err(error) = bus::run(&link, subscriber, &greeting, &metrics, &clock, stop).await {
                tracing::error!(target: "NATSMonitor", %error, "nats-connection-closed");
                let _ = lost.send(true);
            }
        });
        let (metrics, stop) = (Arc::clone(&self.metrics), self.stop.clone());
        self.spawn(async move {
            let mut ticks = tokio::time::interval(COUNT_FILES_EVERY);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                metrics.set_file_descriptors(open_files());
            }
        });
    }

    fn doorways(&self, config: &Config, tls: Option<&TlsAcceptor>, closing: &Stopping) -> Vec<Arc<Doorway>> {
        let workers = translate::workers(config);
        let settings = Arc::new(translate::proxy(config));
        let limits = translate::idle(config, workers);
        let doorway = |index| {
            let recorder =
                Recorder { shard: self.metrics.shard(index), sink: self.access_log.as_ref().map(AccessLog::sink) };
            let proxy = Proxy {
                table: Arc::clone(&self.table),
                upstream: Upstream::new(Arc::clone(&self.dialer), translate::dial_times(config), limits),
                settings: Arc::clone(&settings),
                recorder: Arc::new(recorder),
                origin: self.origin,
                leaving: self.leaving.clone(),
                drain: self.tunnels.clone(),
            };
            Arc::new(Doorway {
                proxy: Arc::new(proxy),
                tls: tls.cloned(),
                idle_timeout: config.frontend_idle_timeout,
                closing: closing.child(),
                roster: Roster::default(),
            })
        };
        (0..workers).map(doorway).collect()
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }
}

fn listen(
    key: &'static str,
    port: u16,
    bind: impl FnOnce() -> io::Result<std::net::TcpListener>,
) -> Result<std::net::TcpListener, StartError> {
    bind().map_err(|error| StartError::Listen { key, port, error })
}

/// The same, watched by the current runtime.
fn listen_here(
    key: &'static str,
    port: u16,
    bind: impl FnOnce() -> io::Result<std::net::TcpListener>,
) -> Result<TcpListener, StartError> {
    bind().and_then(TcpListener::from_std).map_err(|error| StartError::Listen { key, port, error })
}

fn log_listener(message: &'static str, address: Option<SocketAddr>) {
    let Some(address) = address else { return };
    let data = serde_json::json!({"address": {"IP": address.ip(), "Port": address.port(), "Zone": ""}});
    tracing::info!(target: "router", data = %data, "{message}");
}

fn moment(origin: Instant) -> Moment {
    Moment::from_ms(u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Descriptors that the process holds; 0 where the system does not tell.
fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}
