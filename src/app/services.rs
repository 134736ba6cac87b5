//! From the configuration to the ways to route services.

use std::sync::Arc;

use trueroute_identity::{Credentials, Dialer, DialerSettings, ExpectedName};

use super::{StartError, translate};
use crate::{
    config::Config,
    frontend::tls::{
        clients,
        inner::{self, InnerDoor, Pass},
    },
    proxy::service::{Inward, Rules, Ways},
    route::peer::{Identity, Peer},
    route_service::{AllowList, Keys},
    upstream::{Upstream, idle::Limits},
};

/// Route services that are on: how they are reached, and the door by which requests for own apps come in again.
pub(super) struct Services {
    outward: Arc<Dialer>,
    inner: Option<Inner>,
}

struct Inner {
    door: InnerDoor,
    dialer: Arc<Dialer>,
    allowed: Arc<AllowList>,
    peer: Option<Peer>,
}

impl Services {
    /// What the configuration asks for; none without a secret.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub(super) fn new(config: &Config, backends: &Dialer) -> Result<Option<Self>, StartError> {
        let services = &config.route_services;
        if services.secret.is_empty() {
            return Ok(None);
        }
        if config.skip_ssl_validation {
            let warning = "skip_ssl_validation: route services need not prove who they are";
            tracing::warn!(warning, "config-warning");
        }
        let credentials = match &services.key_pair {
            Some(pair) => Some(
                Credentials::from_pem(pair.cert_chain(), pair.private_key()).map_err(StartError::ServiceCredentials)?,
            ),
            None => None,
        };
        let settings = DialerSettings {
            tls12_suites: translate::tls12_suites(config),
            handshake_timeout: None,
            believes_anyone: config.skip_ssl_validation,
        };
        let outward = Arc::new(Dialer::new(backends.trust().clone(), credentials, settings)?);
        let inner = services.hairpinning.then(|| Inner::new(config)).transpose()?;
        Ok(Some(Self { outward, inner }))
    }

    /// The inner door, and where it is once that is known.
    pub(super) fn door(&self) -> Option<InnerDoor> {
        self.inner.as_ref().map(|inner| inner.door.clone())
    }

    /// The inner door is open on this loopback port.
    pub(super) fn opened(&mut self, port: u16) {
        if let Some(inner) = &mut self.inner {
            inner.peer = Some(Peer::new("127.0.0.1", port, Identity::Tls(ExpectedName::new(inner::NAME))));
        }
    }

    /// The ways of one worker.
    pub(super) fn ways(&self, config: &Config, limits: Limits) -> Ways {
        let times = translate::dial_times(config);
        // Each attempt at a foreign service has a connection of its own, as in Gorouter.
        let none = Limits { total: 0, per_peer: 0 };
        let inward = |inner: &Inner| {
            Some(Inward {
                door: inner.peer.clone()?,
                upstream: Upstream::new(Arc::clone(&inner.dialer), times, limits),
                allowed: Arc::clone(&inner.allowed),
            })
        };
        Ways {
            outward: Upstream::new(Arc::clone(&self.outward), times, none),
            inward: self.inner.as_ref().and_then(inward),
        }
    }
}

impl Inner {
    fn new(config: &Config) -> Result<Self, StartError> {
        let (door, Pass { trust, credentials }) = InnerDoor::make().map_err(StartError::InnerDoor)?;
        let dialer = Dialer::new(trust, Some(credentials), DialerSettings::default())?;
        let allowed = AllowList::new(&config.route_services.hairpinning_allowlist);
        Ok(Self { door, dialer: Arc::new(dialer), allowed: Arc::new(allowed), peer: None })
    }
}

/// The rules of the request path. Keys take some tens of milliseconds to derive.
pub(super) fn rules(config: &Config) -> Rules {
    let services = &config.route_services;
    let before = &services.secret_decrypt_only;
    let keys = || Keys::derive(services.secret.expose(), (!before.is_empty()).then(|| before.expose()));
    Rules {
        keys: (!services.secret.is_empty()).then(keys),
        lifetime: config.route_services_timeout,
        recommend_https: services.recommend_https,
        strict: services.strict_signature_validation,
        max_attempts: services.max_attempts,
        tunnels: services.enable_websockets,
        client_cert: clients::mode(config.forwarded_client_cert),
    }
}
