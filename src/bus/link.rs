//! The connection to NATS: made once with few tries, then kept for ever.
//!
//! Owns the connection and the one account of whether it stands ([`BusState`]). Promises: the list of
//! servers is the configured one, in its order; a start without any server fails within a few tries; a
//! connection that was up once is tried again without end; every loss and every recovery is logged and
//! counted exactly once, even if the client library drops an event.
//!
//! Source: gorouter.md section 1 (start order) and section 3.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ReconnectToServer, ServerAddr, connection::State,
};
use rustls::ClientConfig;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Clock, lame_duck,
    state::BusState,
    turns::{BadServer, Host, Turns, address},
};

/// Rounds over all servers before a start gives up.
pub const INITIAL_TRIES: usize = 3;
/// Pause between two of these rounds.
pub const INITIAL_PAUSE: Duration = Duration::from_millis(100);

/// How often the state is looked at without being told. The client library drops events when its queue
/// is full; the state itself it never loses.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the name service when a log line wants an address.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(500);
/// Messages that the client library may hold before the subscriber takes them over: more than it reads in
/// one turn of the runtime, so that what does not fit is dropped, and counted, by the subscriber's ring.
const LIBRARY_PENDING: usize = 524_288;
/// Different errors that are told of one outage.
const MOST_TOLD: usize = 32;
/// The ping interval where none is wanted; the library takes no zero.
const NO_PINGS: Duration = Duration::from_secs(24 * 60 * 60);

/// How to reach NATS.
#[derive(Clone)]
pub struct LinkSettings {
    /// Host and port of every server, in the order in which they are tried.
    pub servers: Vec<(String, u16)>,
    /// User name; empty for none.
    pub user: String,
    /// Password, verbatim: it never becomes part of a URL.
    pub pass: String,
    /// Time between two pings, and between two `nats-connection-still-disconnected` lines; zero for none.
    pub ping_interval: Duration,
    /// Longest time that one attempt at one address may take.
    pub connect_timeout: Duration,
    /// TLS; a server that does not speak it is not spoken to then. `None` for plain connections.
    pub tls: Option<ClientConfig>,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            servers: vec![("localhost".into(), 4222)],
            user: String::new(),
            pass: String::new(),
            ping_interval: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(2),
            tls: None,
        }
    }
}

impl LinkSettings {
    /// Time between two pings, and between two reminders that the connection is still lost.
    #[must_use]
    pub fn reminders(&self) -> Duration {
        if self.ping_interval.is_zero() { NO_PINGS } else { self.ping_interval }
    }
}

impl fmt::Debug for LinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSettings")
            .field("servers", &self.servers)
            .field("user", &self.user)
            .field("ping_interval", &self.ping_interval)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection at the start. The process logs it as `nats-connection-error` and exits 1.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The list of servers is empty.
    #[error("nats.hosts names no server")]
    NoServer,
    /// An entry of the list is no host and port.
    #[error(transparent)]
    Address(#[from] BadServer),
    /// A server was reached and does not accept the user or the password.
    #[error("nats server {server} refuses nats.user or nats.pass")]
    Refused {
        /// The server that refused.
        server: String,
        /// What the client library says.
        source: ConnectError,
    },
    /// No server could be reached.
    #[error("none of the nats servers {servers} answers after {INITIAL_TRIES} tries: {}", cause(source))]
    Unreachable {
        /// All servers that were tried.
        servers: String,
        /// The failure of the last attempt.
        source: ConnectError,
    },
}

/// The connection was closed for good although nobody asked for it; the process logs it as
/// `nats-connection-closed` and exits 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection to nats is closed for good")]
pub struct LinkClosed;

/// The connection to NATS.
pub struct Link {
    client: Client,
    state: Arc<BusState>,
    turns: Arc<Turns>,
    signals: Arc<Signals>,
    clock: Clock,
    ping_interval: Duration,
    connects_at_start: u64,
}

impl Link {
    /// Connects: [`INITIAL_TRIES`] rounds over all servers, [`INITIAL_PAUSE`] apart. From then on `state` says whether
    /// the connection stands.
    ///
    /// # Errors
    /// [`LinkError`], which names the servers.
    pub async fn connect(settings: &LinkSettings, clock: Clock, state: &Arc<BusState>) -> Result<Self, LinkError> {
        let turns = Arc::new(Turns::new(&settings.servers));
        let servers = addresses(&turns)?;
        let signals = Arc::new(Signals::default());
        let ping_interval = settings.reminders();
        let options = options(settings, &turns, &signals).ping_interval(ping_interval);
        let client = first_connection(&servers, &options, &turns).await?;
        turns.settle();
        state.recover();
        let place = place(&client, &turns.current()).await;
        tracing::info!(target: "nats", data = %place, "Successfully-connected-to-nats");
        Ok(Self {
            connects_at_start: connects(&client),
            client,
            state: Arc::clone(state),
            turns,
            signals,
            clock,
            ping_interval,
        })
    }

    /// The client, for subscriptions and publishing.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn state(&self) -> &Arc<BusState> {
        &self.state
    }

    /// Messages that the client library dropped and told of; it may have dropped more.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.signals.overflowed.load(Relaxed)
    }

    /// Goes to another server when the one at the far end says that it is about to close, and one can be reached.
    /// Runs until it is dropped.
    pub async fn leave_lame_ducks(&self) {
        loop {
            self.signals.lame.notified().await;
            if !self.signals.is_lame.load(Relaxed) {
                continue;
            }
            let place = place(&self.client, &self.turns.current()).await;
            tracing::info!(target: "nats", data = %place, "nats-server-lame-duck");
            while self.signals.is_lame.load(Relaxed) {
                if let Some(turn) = lame_duck::refuge(&self.turns).await
                    && self.signals.is_lame.swap(false, Relaxed)
                {
                    self.turns.prefer(turn);
                    // The only error is that the client has ended, which others notice.
                    let _ = self.client.force_reconnect().await;
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Keeps [`BusState`] true and logs losses and recoveries until `until` is cancelled.
    pub async fn watch(&self, until: CancellationToken) {
        let mut seen = Seen { connects: self.connects_at_start, host: self.turns.current(), remind: Instant::now() };
        loop {
            tokio::select! {
                () = until.cancelled() => return,
                () = self.signals.nudge.notified() => {}
                () = sleep(LOOK_EVERY) => {}
                () = sleep_until(seen.remind), if self.state.standing().lost.is_some() => {
                    seen.remind += self.ping_interval;
                    tracing::info!(target: "nats", "nats-connection-still-disconnected");
                }
            }
            self.look(&mut seen).await;
        }
    }

    /// Compares the client's state with what was last told to others, and tells them the difference.
    async fn look(&self, seen: &mut Seen) {
        let up = self.client.connection_state() == State::Connected;
        let connects = connects(&self.client);
        let stood = self.state.standing().lost.is_none();
        // A loss that healed between two looks shows only in the count of connections.
        let slipped = up && stood && connects != seen.connects;
        seen.connects = connects;
        if stood && (!up || slipped) {
            self.state.lose((self.clock)());
            seen.remind = Instant::now() + self.ping_interval;
            let place = place(&self.client, &seen.host).await;
            tracing::info!(target: "nats", data = %place, "nats-connection-disconnected");
        }
        if up && self.state.standing().lost.is_some() {
            self.state.recover();
            seen.host = self.turns.current();
            let place = place(&self.client, &seen.host).await;
            tracing::info!(target: "nats", data = %place, "nats-connection-reconnected");
        }
    }
}

/// What [`Link::watch`] remembers between two looks.
struct Seen {
    connects: u64,
    host: Host,
    remind: Instant,
}

/// What the client library tells while it works.
#[derive(Default)]
struct Signals {
    nudge: Notify,
    overflowed: AtomicU64,
    lame: Notify,
    /// The server at the far end is about to close.
    is_lame: AtomicBool,
    /// What tries to connect again have met since the connection was last made or lost: each is told once, or every
    /// server that is away in its own way would fill the log in turn.
    told: Mutex<HashSet<String>>,
}

impl Signals {
    /// An error of the library's or of the server's: without it nobody would know why a connection does not come back.
    /// The library tells its kind, and not at which server.
    fn tell(&self, error: String) {
        let mut told = self.told();
        if told.len() < MOST_TOLD && told.insert(error.clone()) {
            tracing::error!(target: "nats", error, "nats-connection-error");
        }
    }

    fn told(&self) -> MutexGuard<'_, HashSet<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: &Event) {
        match event {
            Event::ServerError(error) => self.tell(error.to_string()),
            Event::ClientError(error) => self.tell(error.to_string()),
            _ => {}
        }
        match event {
            Event::SlowConsumer(_) => {
                self.overflowed.fetch_add(1, Relaxed);
            }
            Event::LameDuckMode => {
                self.is_lame.store(true, Relaxed);
                self.lame.notify_one();
            }
            // Whatever was said before was said by another server.
            Event::Connected | Event::Disconnected => {
                self.told().clear();
                self.is_lame.store(false, Relaxed);
                self.nudge.notify_one();
            }
            _ => self.nudge.notify_one(),
        }
    }
}

fn addresses(turns: &Turns) -> Result<Vec<ServerAddr>, LinkError> {
    if turns.hosts().is_empty() {
        return Err(LinkError::NoServer);
    }
    Ok(turns.hosts().iter().map(address).collect::<Result<_, _>>()?)
}

fn options(settings: &LinkSettings, turns: &Arc<Turns>, signals: &Arc<Signals>) -> ConnectOptions {
    let (turns, signals) = (Arc::clone(turns), Arc::clone(signals));
    let options = ConnectOptions::new()
        .name("trueroute")
        .max_reconnects(None)
        .ignore_discovered_servers()
        .retain_servers_order()
        .connection_timeout(settings.connect_timeout)
        .subscription_capacity(LIBRARY_PENDING)
        .reconnect_to_server_callback(move |servers, _| {
            let chosen = servers.get(turns.take()).map(|server| server.addr.clone());
            let delay = Some(turns.pause());
            async move { chosen.map(|addr| ReconnectToServer { addr, delay }) }
        })
        .event_callback(move |event| {
            signals.note(&event);
            async {}
        });
    let options = match &settings.tls {
        Some(tls) => options.require_tls(true).tls_client_config(tls.clone()),
        None => options,
    };
    if settings.user.is_empty() && settings.pass.is_empty() {
        return options;
    }
    options.user_and_password(settings.user.clone(), settings.pass.clone())
}

/// Tries every server in every round. A refusal is the error to report even if a later server is
/// merely silent: it is the one that somebody has to do something about.
async fn first_connection(
    servers: &[ServerAddr],
    options: &ConnectOptions,
    turns: &Turns,
) -> Result<Client, LinkError> {
    let mut failure = None;
    for attempt in 0..INITIAL_TRIES * servers.len() {
        if attempt > 0 && attempt % servers.len() == 0 {
            sleep(INITIAL_PAUSE).await;
        }
        match options.clone().connect(servers).await {
            Ok(client) => return Ok(client),
            Err(source) if source.kind() == ConnectErrorKind::AuthorizationViolation => {
                failure = Some(LinkError::Refused { server: turns.current().to_string(), source });
            }
            Err(source) if !matches!(failure, Some(LinkError::Refused { .. })) => {
                let servers = turns.hosts().iter().map(Host::to_string).collect::<Vec<_>>().join(", ");
                failure = Some(LinkError::Unreachable { servers, source });
            }
            Err(_) => {}
        }
    }
    Err(failure.unwrap_or(LinkError::NoServer))
}

/// The innermost error of the library, without which "IO error" is all that a log line says.
fn cause(error: &ConnectError) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Relaxed)
}

/// `{"host":…,"addr":…}` of the connection's far end.
async fn place(client: &Client, host: &Host) -> String {
    let addr = far_address(client, host).await.map(|addr| addr.to_string()).unwrap_or_default();
    serde_json::json!({ "host": host.to_string(), "addr": addr }).to_string()
}

/// The library does not tell which address of a name it reached; the server tells which family we came
/// from, and that decides between the two addresses of a name such as `localhost`.
async fn far_address(client: &Client, host: &Host) -> Option<SocketAddr> {
    if let Ok(ip) = host.name.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, host.port));
    }
    let target = (host.name.as_str(), host.port);
    let found: Vec<SocketAddr> = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(target)).await.ok()?.ok()?.collect();
    let own: Option<IpAddr> = client.server_info().client_ip.parse().ok();
    let same_family = |addr: &&SocketAddr| own.is_some_and(|own| own.is_ipv4() == addr.is_ipv4());
    found.iter().find(same_family).or(found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_an_outage_are_remembered_until_it_is_over() {
        let signals = Signals::default();
        let error = |text: &str| Event::ClientError(async_nats::ClientError::Other(text.into()));
        for text in ["timed out", "IO error", "timed out", "IO error"] {
            signals.note(&error(text));
        }
        assert_eq!(signals.told().len(), 2);
        (0..100).for_each(|n| signals.note(&error(&n.to_string())));
        assert_eq!(signals.told().len(), MOST_TOLD);
        signals.note(&Event::Connected);
        assert!(signals.told().is_empty());
    }

    #[test]
    fn an_empty_list_is_an_error_of_its_own() {
        assert!(matches!(addresses(&Turns::new(&[])), Err(LinkError::NoServer)));
    }

    #[test]
    fn settings_print_without_the_password() {
        let settings = LinkSettings { pass: "s3cret".into(), ..LinkSettings::default() };
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
