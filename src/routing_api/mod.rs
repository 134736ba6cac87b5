//! Routes from the Routing API: all of them at the start and every half prune interval, changes as they happen.
//!
//! Owns no routes: entries become plain endpoints of the table by the bus' own [`Subscriber`], with their time to live
//! as the age at which they are stale, so that a route nobody confirms goes as any other. Promises: a bad entry costs
//! itself; whatever the API does after the start, the router goes on, and comes back to it; an older entry does not
//! replace a newer one (modification tags).
//!
//! Source: gorouter.md section 12.

pub mod events;
pub mod https;
pub mod tls;
pub mod token;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{
    events::{Event, Events, TooLarge},
    https::{Failed, Https},
    token::{NoToken, TokenSettings, Tokens},
};
use crate::{
    bus::{
        Clock,
        subscriber::{self, REGISTER, Subscriber, UNREGISTER},
    },
    observe::metrics::{Metrics, RoutingApiError},
    registration::{
        Registration,
        entry::{self, Life},
    },
};

/// Most bytes of the list of all routes.
const MAX_LIST: usize = 256 * 1024 * 1024;
/// Tries to subscribe to the changes, one after the other.
const SUBSCRIBE_TRIES: usize = 3;
/// Pause before it is subscribed to the changes again.
const PAUSE: Duration = Duration::from_secs(1);
/// Entries of a list that are applied between two turns of the runtime, about a millisecond of work.
const TURN: usize = 256;
/// Time between two lists where nothing is pruned.
const EVERY: Duration = Duration::from_secs(15);

/// How to reach the Routing API.
pub struct Settings {
    /// The API.
    pub api: Https,
    /// Where tokens come from; `None` with `routing_api.auth_disabled`.
    pub tokens: Option<TokenSettings>,
    /// Time between two lists of all routes; zero for the time that goes with the default of
    /// `prune_stale_droplets_interval`.
    pub every: Duration,
}

/// Why the API gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no token to ask with.
    #[error(transparent)]
    Token(#[from] NoToken),
    /// It does not answer, or refuses.
    #[error("Routing API: {0}")]
    Api(#[from] Failed),
    /// It answers with something else.
    #[error("Routing API: the answer is no list: {0}")]
    List(#[source] serde_json::Error),
    /// The stream of changes broke.
    #[error("Routing API: the events broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The stream of changes holds something else.
    #[error("Routing API: {0}")]
    Events(#[from] TooLarge),
}

/// Keeps a table up to date with the Routing API.
pub struct RoutingApi {
    api: Https,
    tokens: Option<Tokens>,
    every: Duration,
    subscriber: Mutex<Subscriber>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// Something may have been missed.
    again: Notify,
    /// What was deleted while a list is on its way, which may not know of it yet.
    gone: Mutex<Option<HashSet<Life>>>,
}

impl RoutingApi {
    /// Asks for nothing yet.
    #[must_use]
    pub fn new(settings: Settings, subscriber: Subscriber, metrics: Arc<Metrics>, clock: Clock) -> Self {
        if settings.tokens.is_none() {
            tracing::info!(target: "route-fetcher", "using-noop-token-fetcher");
        }
        Self {
            api: settings.api,
            tokens: settings.tokens.map(Tokens::new),
            every: if settings.every.is_zero() { EVERY } else { settings.every },
            subscriber: Mutex::new(subscriber),
            metrics,
            clock,
            again: Notify::new(),
            gone: Mutex::default(),
        }
    }

    /// TLS towards the API, and towards UAA where tokens come from there.
    #[must_use]
    pub fn tls(&self) -> (tls::Renewed, Option<tls::Renewed>) {
        (self.api.tls.clone(), self.tokens.as_ref().map(|tokens| tokens.tls().clone()))
    }

    /// Follows the API until `until` is cancelled.
    pub async fn run(self, until: CancellationToken) {
        let both = async { tokio::join!(self.fetch_for_ever(), self.listen_for_ever()) };
        until.run_until_cancelled(both).await;
    }

    async fn fetch_for_ever(&self) {
        let mut ticks = interval_at(Instant::now() + self.every, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.again.notified() => {}
            }
            if let Err(error) = self.fetch().await {
                self.metrics.routing_api_failed(RoutingApiError::Fetch);
                tracing::error!(target: "route-fetcher", %error, "failed-to-fetch-routes");
            }
        }
    }

    /// Has [`RoutingApi::run`] begin with a list.
    pub fn fetch_soon(&self) {
        self.again.notify_one();
    }

    /// Applies the list of all routes.
    ///
    /// # Errors
    /// [`ApiError`]; the table is as it was.
    pub async fn fetch(&self) -> Result<(), ApiError> {
        *self.gone() = Some(HashSet::new());
        let fetched = self.fetch_list().await;
        *self.gone() = None;
        fetched
    }

    async fn fetch_list(&self) -> Result<(), ApiError> {
        let body = https::whole(self.open("/routing/v1/routes").await?, MAX_LIST).await?;
        self.take_list(&body).await
    }

    async fn take_list(&self, body: &[u8]) -> Result<(), ApiError> {
        let entries: Vec<&RawValue> = serde_json::from_slice(body).map_err(ApiError::List)?;
        for turn in entries.chunks(TURN) {
            turn.iter().for_each(|entry| self.apply(REGISTER, Said::InList, entry.get().as_bytes()));
            // A list of hundreds of thousands takes long: the bus and the status ports go on.
            yield_now().await;
        }
        tracing::debug!(target: "route-fetcher", routes = entries.len(), "routes-fetched");
        Ok(())
    }

    async fn listen_for_ever(&self) {
        let mut first = true;
        loop {
            match self.subscribe().await {
                Ok(body) => {
                    // What happened before was told to nobody, unless the list has just come.
                    if !std::mem::take(&mut first) {
                        self.again.notify_one();
                    }
                    if let Err(error) = self.listen(body).await {
                        self.events_failed(&error);
                    }
                }
                Err(error) => self.events_failed(&error),
            }
            sleep(PAUSE).await;
        }
    }

    fn events_failed(&self, error: &ApiError) {
        self.metrics.routing_api_failed(RoutingApiError::Events);
        tracing::error!(target: "route-fetcher", %error, "failed-to-subscribe-to-events");
    }

    async fn subscribe(&self) -> Result<Incoming, ApiError> {
        let mut tries = 1;
        loop {
            match self.open("/routing/v1/events").await {
                Ok(response) => return Ok(response.into_body()),
                Err(error @ ApiError::Token(_)) => return Err(error),
                Err(error) if tries >= SUBSCRIBE_TRIES => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    /// Applies events until the stream ends.
    async fn listen(&self, mut body: Incoming) -> Result<(), ApiError> {
        tracing::debug!(target: "route-fetcher", "subscribed-to-events");
        let mut events = Events::default();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame?.into_data() else { continue };
            events.take(&bytes)?.iter().for_each(|event| self.take_event(event));
        }
        Ok(())
    }

    fn take_event(&self, Event { name, data }: &Event) {
        match name.as_str() {
            "Upsert" => self.apply(REGISTER, Said::InEvent, data.as_bytes()),
            "Delete" => self.apply(UNREGISTER, Said::InEvent, data.as_bytes()),
            _ => self.entry_failed(&format_args!("event {name:?} is neither Upsert nor Delete")),
        }
    }

    fn gone(&self) -> MutexGuard<'_, Option<HashSet<Life>>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an entry is older than what is known. A list that was made before a deletion and comes after it would
    /// bring back an endpoint that may be another app's by now.
    fn is_past(&self, subject: &str, said: Said, registration: &Registration) -> bool {
        let mut gone = self.gone();
        let Some(gone) = gone.as_mut() else { return false };
        match (said, subject == UNREGISTER) {
            (Said::InList, _) => !gone.is_empty() && gone.contains(&entry::life(registration)),
            (Said::InEvent, true) => {
                gone.insert(entry::life(registration));
                false
            }
            (Said::InEvent, false) => {
                gone.remove(&entry::life(registration));
                false
            }
        }
    }

    /// Puts an entry into the table, or takes it out.
    fn apply(&self, subject: &str, said: Said, entry: &[u8]) {
        match entry::parse(entry) {
            Ok(registration) if self.is_past(subject, said, &registration) => {}
            Ok(registration) => {
                let mut subscriber = self.subscriber.lock().unwrap_or_else(PoisonError::into_inner);
                let outcome = subscriber.act(subject, &registration, entry, (self.clock)());
                subscriber::count(&outcome, &self.metrics);
            }
            Err(error) => self.entry_failed(&error),
        }
    }

    fn entry_failed(&self, error: &dyn fmt::Display) {
        self.metrics.routing_api_failed(RoutingApiError::Entry);
        tracing::error!(target: "route-fetcher", %error, "routing-api-entry-invalid");
    }

    /// Asks with a token, and once more with a new one if that is refused.
    async fn open(&self, path: &'static str) -> Result<Response<Incoming>, ApiError> {
        let Some(tokens) = &self.tokens else { return Ok(self.api.open(request(path, None)).await?) };
        let token = tokens.value(&self.metrics).await?;
        match self.api.open(request(path, Some(token.clone()))).await {
            Err(Failed::Status(StatusCode::UNAUTHORIZED)) => {
                tokens.forget(&token).await;
                let token = tokens.value(&self.metrics).await?;
                Ok(self.api.open(request(path, Some(token))).await?)
            }
            answered => Ok(answered?),
        }
    }
}

/// Where an entry was told.
#[derive(Clone, Copy)]
enum Said {
    InList,
    InEvent,
}

fn request(path: &'static str, token: Option<HeaderValue>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = http::Uri::from_static(path);
    if let Some(token) = token {
        request.headers_mut().insert(header::AUTHORIZATION, token);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::subscriber::Policy,
        observe::metrics::Buckets,
        route::{balancing::Algorithm, moment::Moment},
        table::{self, Sharding, Table},
    };

    #[tokio::test]
    async fn a_list_does_not_bring_back_what_was_deleted_while_it_was_on_its_way() {
        let table = Arc::new(Table::new(table::Settings {
            stale_threshold: Duration::from_secs(120),
            empty_pool_grace: Duration::ZERO,
            sharding: Sharding::All,
            balancing: Algorithm::RoundRobin,
        }));
        let api = Https {
            origin: https::Origin::parse("api.example", 1).unwrap(),
            tls: tls::Renewed::new(tls::towards_anybody().unwrap()),
        };
        let subscriber = Subscriber::new(Arc::clone(&table), Policy::default());
        let metrics = Metrics::new(1, Buckets::default());
        let settings = Settings { api, tokens: None, every: Duration::ZERO };
        let api = RoutingApi::new(settings, subscriber, metrics, Arc::new(Moment::default));
        let entry = |route: &str, guid: &str| {
            format!(
                r#"{{"route":"{route}","ip":"10.0.0.1","port":80,"ttl":60,"modification_tag":{{"guid":"{guid}","index":1}}}}"#
            )
        };
        let tell = |name: &str, data| api.take_event(&Event { name: name.into(), data });
        let routes = || ["gone.x", "again.x", "new.x", "there.x"].map(|host| table.lookup(host, "").is_some());
        let list = ["gone.x", "again.x", "new.x", "there.x"].map(|route| entry(route, "1")).join(",");
        let list = format!("[{list}]");

        *api.gone() = Some(HashSet::new());
        for route in ["gone.x", "again.x"] {
            tell("Upsert", entry(route, "1"));
            tell("Delete", entry(route, "1"));
        }
        tell("Upsert", entry("again.x", "1"));
        tell("Delete", entry("new.x", "0"));
        api.take_list(list.as_bytes()).await.unwrap();
        assert_eq!(routes(), [false, true, true, true]);

        *api.gone() = None;
        api.take_list(list.as_bytes()).await.unwrap();
        assert_eq!(routes(), [true; 4], "a later list knows better");
    }
}
