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
    fmt,
    sync::{Arc, Mutex, PoisonError},
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
    registration::entry,
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
        }
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

    /// Applies the list of all routes.
    ///
    /// # Errors
    /// [`ApiError`]; the table is as it was.
    pub async fn fetch(&self) -> Result<(), ApiError> {
        let body = https::whole(self.open("/routing/v1/routes").await?, MAX_LIST).await?;
        let entries: Vec<&RawValue> = serde_json::from_slice(&body).map_err(ApiError::List)?;
        for turn in entries.chunks(TURN) {
            turn.iter().for_each(|entry| self.apply(REGISTER, entry.get().as_bytes()));
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
            for Event { name, data } in events.take(&bytes)? {
                match name.as_str() {
                    "Upsert" => self.apply(REGISTER, data.as_bytes()),
                    "Delete" => self.apply(UNREGISTER, data.as_bytes()),
                    _ => self.entry_failed(&format_args!("event {name:?} is neither Upsert nor Delete")),
                }
            }
        }
        Ok(())
    }

    /// Puts an entry into the table, or takes it out.
    fn apply(&self, subject: &str, entry: &[u8]) {
        match entry::parse(entry) {
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

fn request(path: &'static str, token: Option<HeaderValue>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = http::Uri::from_static(path);
    if let Some(token) = token {
        request.headers_mut().insert(header::AUTHORIZATION, token);
    }
    request
}
