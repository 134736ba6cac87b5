//! From the configuration to the Routing API: how it is reached, and the one list without which there is no start.

use std::{path::Path, sync::Arc};

use rustls::ClientConfig;

use super::{StartError, translate};
use crate::{
    bus::{Clock, subscriber::Subscriber},
    config::{Config, OAuth},
    observe::metrics::Metrics,
    routing_api::{
        RoutingApi, Settings,
        https::{Https, Origin},
        tls,
        token::TokenSettings,
    },
    table::Table,
};

/// TLS towards the Routing API and, where tokens are asked for, towards UAA.
pub(super) struct Proofs {
    api: Arc<ClientConfig>,
    uaa: Option<Arc<ClientConfig>>,
}

/// Where the proofs of the moment are used.
pub(super) struct Renewal {
    api: tls::Renewed,
    uaa: Option<tls::Renewed>,
}

impl Renewal {
    /// Of what follows the API.
    pub(super) fn of(feed: &RoutingApi) -> Self {
        let (api, uaa) = feed.tls();
        Self { api, uaa }
    }

    /// From now on connections are made with `next`.
    pub(super) fn replace(&self, next: Proofs) {
        self.api.replace(next.api);
        if let (Some(uaa), Some(next)) = (&self.uaa, next.uaa) {
            uaa.replace(next);
        }
    }
}

/// What `config` says of TLS towards both; none where the Routing API is not asked for.
///
/// # Errors
/// A key that cannot be used.
pub(super) fn proofs(config: &Config) -> Result<Option<Proofs>, StartError> {
    let Some(api) = &config.routing_api else { return Ok(None) };
    let towards_api = tls::towards_api(api.ca_certs.as_str(), api.key_pair.cert_chain(), api.key_pair.private_key())?;
    let uaa = if api.auth_disabled { None } else { Some(towards_uaa(&config.oauth)?) };
    Ok(Some(Proofs { api: towards_api, uaa }))
}

fn towards_uaa(oauth: &OAuth) -> Result<Arc<ClientConfig>, StartError> {
    if oauth.port == 0 {
        return Err(StartError::UaaWithoutTls);
    }
    Ok(match (oauth.skip_ssl_validation, oauth.ca_certs.as_str()) {
        (true, _) => tls::towards_anybody()?,
        (false, "") => tls::towards_uaa(None)?,
        (false, path) => {
            let text = std::fs::read_to_string(path).map_err(|error| StartError::Unreadable {
                key: "oauth.ca_certs",
                path: Path::new(path).to_owned(),
                error,
            })?;
            tls::towards_uaa(Some(&text))?
        }
    })
}

/// How the Routing API is reached; none where it is not asked for.
///
/// # Errors
/// A key that cannot be used.
pub(super) fn settings(config: &Config) -> Result<Option<Settings>, StartError> {
    let (Some(api), Some(proofs)) = (&config.routing_api, proofs(config)?) else { return Ok(None) };
    let tokens = proofs.uaa.map(|uaa| tokens(config, uaa)).transpose()?;
    Ok(Some(Settings {
        api: https("routing_api.uri", &api.uri, api.port, proofs.api)?,
        tokens,
        every: config.prune_stale_droplets_interval.unwrap_or_default() / 2,
    }))
}

fn tokens(config: &Config, tls: Arc<ClientConfig>) -> Result<TokenSettings, StartError> {
    let OAuth { token_endpoint, port, client_name, client_secret, .. } = &config.oauth;
    Ok(TokenSettings {
        uaa: https("oauth.token_endpoint", token_endpoint, *port, tls)?,
        client_name: client_name.clone(),
        client_secret: client_secret.expose().to_owned(),
        max_retries: config.token_fetcher.max_retries,
        retry_interval: config.token_fetcher.retry_interval,
        expiration_buffer: config.token_fetcher.expiration_buffer_time,
    })
}

fn https(key: &'static str, text: &str, port: u16, tls: Arc<ClientConfig>) -> Result<Https, StartError> {
    let origin = Origin::parse(text, port).map_err(|error| StartError::Origin { key, error })?;
    Ok(Https { origin, tls: tls::Renewed::new(tls) })
}

/// Fills `table` from the Routing API, if the configuration names one. A router that is `warm` does not wait for
/// the list: the routes of a former process are worth more than no router.
///
/// # Errors
/// A key that cannot be used, or no list.
pub(super) async fn connect(
    config: &Config,
    table: &Arc<Table>,
    metrics: &Arc<Metrics>,
    clock: &Clock,
    warm: bool,
) -> Result<Option<RoutingApi>, StartError> {
    if config.routing_api.is_some() {
        tracing::info!("setting-up-routing-api");
    }
    let Some(settings) = settings(config)? else { return Ok(None) };
    let subscriber = Subscriber::new(Arc::clone(table), translate::policy(config));
    let feed = RoutingApi::new(settings, subscriber, Arc::clone(metrics), Arc::clone(clock));
    if warm {
        feed.fetch_soon();
    } else {
        feed.fetch().await?;
    }
    Ok(Some(feed))
}
