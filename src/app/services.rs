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
    upstream::{Upstream, dial::DialTerms, dialers::Dialers, idle::Limits},
};

/// Route services that are on: how they are reached, and the door by which requests for own apps come in again.
pub(super) struct Services {
    outward: Arc<Dialers>,
    inner: Option<Inner>,
}

struct Inner {
    door: InnerDoor,
    dialer: Arc<Dialers>,
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
        let outward = Arc::new(Dialers::new(dialer(config, backends)?));
        let inner = services.hairpinning.then(|| Inner::new(config)).transpose()?;
        Ok(Some(Self { outward, inner }))
    }

    /// What foreign services are dialled with.
    pub(super) fn dialers(&self) -> &Arc<Dialers> {
        &self.outward
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
        let barred = config.route_services.egress_blocklist.as_slice().into();
        // Each attempt at a foreign service has a connection of its own, as in Gorouter.
        let none = Limits { total: 0, per_peer: 0 };
        let inward = |inner: &Inner| {
            Some(Inward {
                door: inner.peer.clone()?,
                upstream: Upstream::new(Arc::clone(&inner.dialer), times.clone(), limits),
                allowed: Arc::clone(&inner.allowed),
            })
        };
        Ways {
            outward: Upstream::new(Arc::clone(&self.outward), DialTerms { barred, ..times.clone() }, none),
            inward: self.inner.as_ref().and_then(inward),
        }
    }
}

impl Inner {
    fn new(config: &Config) -> Result<Self, StartError> {
        let (door, Pass { trust, credentials }) = InnerDoor::make().map_err(StartError::InnerDoor)?;
        let dialer = Dialer::new(trust, Some(credentials), DialerSettings::default())?;
        let allowed = AllowList::new(&config.route_services.hairpinning_allowlist);
        Ok(Self { door, dialer: Arc::new(Dialers::new(Arc::new(dialer))), allowed: Arc::new(allowed), peer: None })
    }
}

/// How route services are verified, by the authorities that endpoints are, and what the router shows of itself.
///
/// # Errors
/// Names the key that cannot be used.
pub(super) fn dialer(config: &Config, backends: &Dialer) -> Result<Arc<Dialer>, StartError> {
    let pair = config.route_services.key_pair.as_ref();
    let credentials = pair.map(|pair| Credentials::from_pem(pair.cert_chain(), pair.private_key())).transpose();
    let settings = DialerSettings {
        tls12_suites: translate::tls12_suites(config),
        handshake_timeout: None,
        believes_anyone: config.skip_ssl_validation,
    };
    let credentials = credentials.map_err(StartError::ServiceCredentials)?;
    Ok(Arc::new(Dialer::new(backends.trust().clone(), credentials, settings)?))
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
