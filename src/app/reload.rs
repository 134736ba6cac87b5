//! Certificates, authorities and the level of the log taken over while the router runs: on `SIGHUP`, on `POST /reload`,
//! and when a file has changed.
//!
//! All of it is built before any of it is used. Whatever is wrong leaves everything as it was, and is told with the key
//! that it stands under. Connections that stand are left alone; those to endpoints serve nothing new if the trust or
//! the own certificate is another one.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use trueroute_identity::Dialer;

use super::{StartError, expiry, fetcher, services, status, translate};
use crate::{
    admin::{reload::Ask, secure::Renewed},
    bus::proofs::{Proof, Proofs},
    config::{self, Config, ConfigError},
    frontend::{entry::Entry, tls::TlsDoor},
    observe::{log::Threshold, metrics::Metrics},
    upstream::dialers::Dialers,
};

mod watch;

use watch::Watch;

/// How often the files are looked at. What has changed is read at the look after, so that who writes a file has this
/// long to finish.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where the configuration comes from, so that it can be read again.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Notified by `SIGHUP`.
    pub hang_up: Arc<Notify>,
    /// From when on a change of the file is not in what the router runs with.
    pub read_at: SystemTime,
}

/// Nothing was reloaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    /// The file cannot be read, or a key in it is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate, a key or an authority is unusable.
    #[error(transparent)]
    Unusable(#[from] StartError),
    /// It panicked, which is told where it happened.
    #[error("reading it failed")]
    Failed,
}

/// The places where something new takes effect.
pub(super) struct Places {
    pub(super) entry: Arc<Entry>,
    pub(super) dialers: Arc<Dialers>,
    pub(super) services: Option<Arc<Dialers>>,
    pub(super) health_tls: Option<Renewed>,
    pub(super) metrics_tls: Option<Renewed>,
    pub(super) nats: Option<Arc<Proofs>>,
    pub(super) routing_api: Option<fetcher::Renewal>,
    pub(super) log_level: Option<Threshold>,
}

/// What reloads.
pub(super) struct Reloader {
    pub(super) source: Source,
    /// What the router runs with.
    pub(super) running: Config,
    pub(super) places: Places,
    pub(super) metrics: Arc<Metrics>,
}

/// Everything that a file gives, ready for use.
struct Fresh {
    config: Config,
    /// Keys that are different in the file and are not acted on.
    need_restart: Vec<&'static str>,
    door: Option<TlsDoor>,
    dialer: Arc<Dialer>,
    services: Arc<Dialer>,
    health_tls: Option<TlsAcceptor>,
    metrics_tls: Option<TlsAcceptor>,
    nats: Option<Proof>,
    routing_api: Option<fetcher::Proofs>,
    /// When the certificates end.
    ends: Vec<(String, SystemTime)>,
}

/// What came of it.
struct Outcome {
    reloaded: Vec<&'static str>,
    need_restart: Vec<&'static str>,
}

impl Reloader {
    /// Reloads whenever it is asked to, or a file has changed, until `stop`.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was changed since the files were read to be run with is a change too.
        let mut watch = Watch::since(self.files(), self.source.read_at);
        let hang_up = Arc::clone(&self.source.hang_up);
        loop {
            let (why, ask) = tokio::select! {
                () = stop.cancelled() => return,
                () = hang_up.notified() => ("SIGHUP", None),
                Some(ask) = asks.recv() => ("POST /reload", Some(ask)),
                _ = looks.tick() => match watch.has_changed() {
                    true => ("a file has changed", None),
                    false => continue,
                },
            };
            // Before they are read: what is written from now on is a change.
            watch = Watch::new(self.files());
            let outcome = self.reload(why).await;
            if !watch.is_of(&self.files()) {
                watch = Watch::new(self.files());
            }
            if let Some(ask) = ask {
                // Whoever asked may be gone.
                let _ = ask.send(outcome.map(|outcome| outcome.json()).map_err(|error| error.to_string()));
            }
        }
    }

    /// The configuration and the files that it names.
    fn files(&self) -> Vec<PathBuf> {
        let Config { prometheus, routing_api, oauth, .. } = &self.running;
        let of_metrics = prometheus.tls.iter().flat_map(|tls| [&tls.cert_path, &tls.key_path, &tls.ca_path]).cloned();
        let of_uaa = routing_api.iter().map(|_| PathBuf::from(&oauth.ca_certs));
        let named = of_metrics.chain(of_uaa.filter(|path| !path.as_os_str().is_empty()));
        [self.source.path.clone()].into_iter().chain(named).collect()
    }

    async fn reload(&mut self, why: &'static str) -> Result<Outcome, ReloadError> {
        let (path, running, entry) = (self.source.path.clone(), self.running.clone(), Arc::clone(&self.places.entry));
        // Certificates by the hundred, and the system's authorities: the control plane does not wait for them.
        let read = tokio::task::spawn_blocking(move || read(&path, &running, &entry)).await;
        let fresh = read.unwrap_or(Err(ReloadError::Failed));
        self.metrics.reloaded(fresh.is_ok());
        let file = self.source.path.display().to_string();
        match fresh {
            Ok(fresh) => {
                let outcome = self.install(fresh);
                let keys = outcome.reloaded.join(", ");
                tracing::info!(file, why, keys, "configuration-reloaded");
                if !outcome.need_restart.is_empty() {
                    let keys = outcome.need_restart.join(", ");
                    tracing::warn!(file, keys, "configuration-changes-need-a-restart");
                }
                Ok(outcome)
            }
            Err(error) => {
                tracing::error!(file, why, %error, "configuration-not-reloaded");
                Err(error)
            }
        }
    }

    /// Nothing can fail from here on.
    fn install(&mut self, fresh: Fresh) -> Outcome {
        let Places { entry, dialers, services, health_tls, metrics_tls, nats, routing_api, log_level } = &self.places;
        let mut reloaded = self.running.keys_that_differ(&fresh.config);
        if let Some(door) = fresh.door {
            entry.renew(door);
        }
        let trusted_before = dialers.current();
        let own_changes = self.running.backends.key_pair != fresh.config.backends.key_pair;
        let trust_changes = !fresh.dialer.trust().believes_the_same_as(trusted_before.trust());
        // Otherwise the connections that are kept would be dropped for nothing.
        if own_changes || trust_changes {
            dialers.replace(fresh.dialer);
            if trust_changes && !reloaded.contains(&"ca_certs") {
                reloaded.push("(the system's authorities)");
            }
        }
        let shown_changes = self.running.route_services.key_pair != fresh.config.route_services.key_pair;
        if let Some(services) = services
            && (shown_changes || trust_changes)
        {
            services.replace(fresh.services);
        }
        for (place, next) in [(health_tls, &fresh.health_tls), (metrics_tls, &fresh.metrics_tls)] {
            if let (Some(place), Some(next)) = (place, next) {
                place.replace(next);
            }
        }
        if let (Some(proofs), Some(next)) = (nats, fresh.nats) {
            proofs.replace(next);
        }
        if let (Some(proofs), Some(next)) = (routing_api, fresh.routing_api) {
            proofs.replace(next);
        }
        let level = fresh.config.logging.level;
        // What was set at the debug port stays while the file says what it said.
        if let Some(threshold) = log_level.as_ref().filter(|_| level != self.running.logging.level) {
            // Every level of the configuration is one of the log.
            let _ = threshold.set(level.as_str());
        }
        self.metrics.set_certificates(fresh.ends);
        self.running = fresh.config;
        Outcome { reloaded, need_restart: fresh.need_restart }
    }
}

impl Outcome {
    fn json(&self) -> String {
        serde_json::json!({"reloaded": self.reloaded, "need_restart": self.need_restart}).to_string()
    }
}

/// Reads the file and all that it names.
fn read(path: &Path, running: &Config, entry: &Entry) -> Result<Fresh, ReloadError> {
    let file = config::load(path)?.config;
    let config = running.renewed_by(&file);
    let dialer = translate::dialer(&config)?;
    Ok(Fresh {
        need_restart: config.keys_that_differ(&file),
        door: entry.door(&config, config.enable_http2).map_err(StartError::from)?,
        services: services::dialer(&config, &dialer)?,
        dialer,
        health_tls: status::health_tls(&config)?,
        metrics_tls: status::metrics_tls(&config)?,
        nats: translate::nats_proof(&config)?,
        routing_api: fetcher::proofs(&config)?,
        ends: expiry::ends(&config),
        config,
    })
}
