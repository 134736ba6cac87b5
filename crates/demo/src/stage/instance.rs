//! One instance of an app: a plain HTTP app, and beside it its own sidecar.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use trueroute_sidecar::{
    Settings, Sidecar, Stats,
    settings::{Drain, Farewell, IdentityFiles, Listener, Mode, NatsServer, Registration},
};
use trueroute_testkit::{
    App, ReservedPort,
    app::Reply,
    pki::{Authority, InstanceId},
};

use super::berth::Berth;
use crate::Failed;

/// Name in the router's certificate; every sidecar demands it.
pub(crate) const ROUTER: &str = "router.demo";

/// An app and the host under which clients reach it.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) host: &'static str,
    pub(crate) guid: String,
}

/// What every sidecar of the demo has to know.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) dir: PathBuf,
    pub(crate) instances: Authority,
    pub(crate) client_ca: PathBuf,
    pub(crate) nats: NatsServer,
}

/// A running instance.
#[derive(Debug)]
pub(crate) struct Instance {
    /// `shop #1`.
    pub(crate) label: String,
    pub(crate) service: Service,
    pub(crate) number: u32,
    pub(crate) id: InstanceId,
    /// The port of the sidecar. It stays reserved while anybody holds it, so that only the story decides who is next.
    pub(crate) port: Arc<ReservedPort>,
    pub(crate) app: App,
    /// What the sidecar has counted.
    pub(crate) stats: Arc<Stats>,
    pub(crate) sidecar: Berth,
}

impl Service {
    /// The plain app of instance `number`, at `port` or at one of the kernel's choice.
    pub(crate) fn app(&self, number: u32, instance: &str, port: Option<u16>) -> App {
        let words = format!("{} instance {number}, {instance}\n", self.name);
        let app = App::builder(self.name).instance(instance).rule(move |_| Reply::text(&words));
        match port {
            Some(port) => app.port(port).start(),
            None => app.start(),
        }
    }
}

impl Instance {
    /// Starts an app and its sidecar, the sidecar at `port`. The sidecar makes itself known over NATS.
    pub(crate) async fn start(
        around: &Surroundings,
        service: &Service,
        number: u32,
        port: Arc<ReservedPort>,
    ) -> Result<Self, Failed> {
        let label = format!("{} #{number}", service.name);
        let id = InstanceId::of_app(&service.guid);
        let app = service.app(number, &id.instance, None);
        let identity =
            around.instances.instance(&id).issue().write_to(&around.dir, &format!("{}-{number}", service.name));
        let settings = Settings {
            listeners: vec![Listener::new(
                port.addr(),
                app.addr().into(),
                IdentityFiles { certificate: identity.cert, key: identity.key },
                strict(&around.client_ca),
            )],
            registration: Some(registration(around, service, number, &id, port.addr())),
            drain: Drain { time: Duration::from_secs(1), idle: Duration::from_millis(50) },
            ..Settings::new(Vec::new())
        };
        let name = label.clone();
        let (sidecar, stats) = Berth::start(label.clone(), async move |stop| {
            let bound = Sidecar::bind(settings).await.map_err(Failed::scene(format!("start the sidecar of {name}")))?;
            Ok((bound.stats(), bound.run(stop)))
        })
        .await?;
        Ok(Self { label, service: service.clone(), number, id, port, app, stats, sidecar })
    }

    /// Where its sidecar listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Ends at once, as a cell that loses its power: no unregistration, no goodbye on any connection.
    pub(crate) fn die(&mut self) {
        self.sidecar.kill();
        self.app.die();
    }
}

fn strict(client_ca: &Path) -> Mode {
    Mode::strict(client_ca, vec![ROUTER.into()])
}

fn registration(
    around: &Surroundings,
    service: &Service,
    number: u32,
    id: &InstanceId,
    address: SocketAddr,
) -> Registration {
    Registration {
        servers: vec![around.nats.clone()],
        uris: vec![service.host.into()],
        app_id: service.guid.clone(),
        instance_id: id.instance.clone(),
        instance_index: Some(number),
        host: address.ip().to_string(),
        tls_port: None,
        plain_port: 0,
        isolation_segment: None,
        tags: Vec::new(),
        farewell: Farewell { times: 2, gap: Duration::from_millis(50) },
    }
}
