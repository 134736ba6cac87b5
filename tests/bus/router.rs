//! The router's side of a story: table, subscriber, greeting and pruner on one connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trueroute::{
    bus::{
        self, Clock, Role,
        active_apps::ActiveApps,
        greeting::Greeting,
        link::{Link, LinkClosed, LinkError, LinkSettings},
        ring::Ring,
        state::BusState,
        subscriber::{Policy, Subscriber},
    },
    observe::metrics::Metrics,
    pruner::Pruner,
    route::{balancing::Algorithm, moment::Moment},
    table::{Settings, Sharding, Table},
};
use trueroute_testkit::eventually;

use crate::broker::{Login, PATIENCE};

/// Age of a stale endpoint.
pub(crate) const STALE: Duration = Duration::from_secs(120);

/// A router that does nothing but listen.
pub(crate) struct Router {
    pub(crate) table: Arc<Table>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) state: Arc<BusState>,
    clock_ms: Arc<AtomicU64>,
    client: async_nats::Client,
    stop: CancellationToken,
    running: JoinHandle<Result<(), LinkClosed>>,
}

/// Settings for these servers, in a hurry.
pub(crate) fn settings(servers: &[SocketAddr], login: Login) -> LinkSettings {
    let (user, pass) = login.unwrap_or_default();
    LinkSettings {
        servers: servers.iter().map(|server| (server.ip().to_string(), server.port())).collect(),
        user: user.into(),
        pass: pass.into(),
        ping_interval: Duration::from_millis(200),
        ..LinkSettings::default()
    }
}

impl Router {
    /// Starts one, and returns when its subscription stands.
    pub(crate) async fn start(settings: &LinkSettings) -> Result<Self, LinkError> {
        Self::start_with(settings, Ring::default(), None).await
    }

    /// The same with a queue of its own, and telling every so often which apps were used.
    pub(crate) async fn start_with(
        settings: &LinkSettings,
        ring: Ring,
        active_apps: Option<Duration>,
    ) -> Result<Self, LinkError> {
        let clock_ms = Arc::new(AtomicU64::new(0));
        let clock: Clock = {
            let clock_ms = Arc::clone(&clock_ms);
            Arc::new(move || Moment::from_ms(clock_ms.load(Relaxed)))
        };
        let state = Arc::new(BusState::new());
        let link = Link::connect(settings, Arc::clone(&clock), &state).await?;
        let rules = Settings {
            stale_threshold: STALE,
            empty_pool_grace: Duration::ZERO,
            sharding: Sharding::All,
            balancing: Algorithm::RoundRobin,
        };
        let table = Arc::new(Table::new(rules));
        let metrics = Metrics::new(0, Default::default());
        let subscriber = Subscriber::new(Arc::clone(&table), Policy::default());
        let greeting = Greeting::new(7, [127, 0, 0, 1].into(), Duration::from_secs(20), STALE);
        let active_apps = active_apps.map(|every| ActiveApps { table: Arc::clone(&table), every });
        let role = Role { subscriber, greeting, ring, active_apps };
        let (client, stop) = (link.client().clone(), CancellationToken::new());
        let running = tokio::spawn({
            let (metrics, stop) = (Arc::clone(&metrics), stop.clone());
            async move { bus::run(&link, role, &metrics, &clock, stop).await }
        });
        Ok(Self { table, metrics, state, clock_ms, client, stop, running })
    }

    /// Moves its clock to `seconds` after the origin.
    pub(crate) fn clock_at(&self, seconds: u64) {
        self.clock_ms.store(seconds * 1000, Relaxed);
    }

    /// Its clock.
    pub(crate) fn now(&self) -> Moment {
        Moment::from_ms(self.clock_ms.load(Relaxed))
    }

    /// A pruner of its table.
    pub(crate) fn pruner(&self) -> Pruner {
        Pruner::new(Arc::clone(&self.table), Arc::clone(&self.state), true)
    }

    /// Addresses of the endpoints that serve `host`.
    pub(crate) fn endpoints(&self, host: &str) -> Vec<String> {
        let pool = self.table.lookup(host, "/");
        let leases = pool.iter().flat_map(|pool| pool.leases().iter());
        leases.map(|lease| lease.endpoint().peer.address().to_owned()).collect()
    }

    /// Waits until exactly these endpoints serve `host`.
    pub(crate) async fn serves(&self, host: &str, endpoints: &[&str]) {
        eventually(PATIENCE, || async { self.endpoints(host) == endpoints }).await;
    }

    /// Waits until it knows that the bus is up, or down.
    pub(crate) async fn is_connected(&self, up: bool) {
        eventually(PATIENCE, || async { self.state.standing().lost.is_none() == up }).await;
    }

    /// Waits until the metrics page has this line.
    pub(crate) async fn shows(&self, figure: &str) {
        let shown = || async { self.metrics.render().lines().any(|line| line == figure) };
        eventually(PATIENCE, shown).await;
    }

    /// Has the client library close the connection, which it never does by itself, and gives how the router's side ends.
    pub(crate) async fn closed_for_good(self) -> Result<(), LinkClosed> {
        self.client.drain().await.unwrap();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap()
    }

    /// Stops it, which must not take long.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
    }
}
