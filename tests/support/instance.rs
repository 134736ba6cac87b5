//! Instances of apps: a process behind its door, and how it registers.

use std::{net::SocketAddr, ops::Deref};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trueroute_sidecar::{
    Settings, Sidecar,
    settings::{IdentityFiles, Listener, Mode},
};
use trueroute_testkit::{
    App, Registration, Tempdir,
    app::{AppBuilder, Received, Reply},
    peers::Door,
    pki::{InstanceId, Leaf},
};

use super::{
    reach::Reach,
    scene::{Pki, ROUTER_NAME},
};

/// A running instance; everything an [`App`] tells, it tells too. Dropping it ends it, its registration stays.
pub(crate) struct Instance {
    /// The app itself.
    pub(crate) app: App,
    /// Who it is.
    pub(crate) id: InstanceId,
    /// How it registers.
    pub(crate) registration: Registration,
    reach: Reach,
    sidecar: Option<RunningSidecar>,
}

/// An instance about to start: behind TLS of its own that lets in routers only, unless told otherwise.
#[must_use = "call register() or start()"]
pub(crate) struct InstanceBuilder {
    reach: Reach,
    app: String,
    id: InstanceId,
    port: Option<u16>,
    front: Front,
    http2: Option<Http2>,
    uris: Vec<String>,
    index: u32,
    rule: Option<Box<Rule>>,
}

type Rule = dyn Fn(&Received) -> Reply + Send + Sync;

enum Front {
    Plain,
    Tls(Option<Door>),
    Sidecar,
}

/// An app that is registered for HTTP/2 and speaks it where it is agreed on.
#[derive(Clone, Copy, Default)]
struct Http2 {
    max_streams: Option<u32>,
}

/// A sidecar on the story's own runtime.
struct RunningSidecar {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _files: Tempdir,
}

impl InstanceBuilder {
    pub(super) fn new(reach: Reach, app: &str) -> Self {
        Self {
            reach,
            app: app.to_owned(),
            id: InstanceId::of_app(app),
            port: None,
            front: Front::Tls(None),
            http2: None,
            uris: Vec::new(),
            index: 0,
            rule: None,
        }
    }

    /// Adds a URI to register.
    pub(crate) fn uri(mut self, uri: &str) -> Self {
        self.uris.push(uri.to_owned());
        self
    }

    /// Sets who it is; the app's name in responses stays.
    pub(crate) fn id(mut self, id: &InstanceId) -> Self {
        self.id = id.clone();
        self
    }

    /// The instance index.
    pub(crate) fn index(mut self, index: u32) -> Self {
        self.index = index;
        self
    }

    /// Listens on this port, which may be one that a dead app held. With a sidecar it is the app's own port.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// No TLS: the registration says `port`.
    pub(crate) fn plain(mut self) -> Self {
        self.front = Front::Plain;
        self
    }

    /// Behind this door instead of the ordinary one; the registration says TLS.
    pub(crate) fn door(mut self, door: impl Into<Door>) -> Self {
        self.front = Front::Tls(Some(door.into()));
        self
    }

    /// Speaks HTTP/2 too, and is registered so.
    pub(crate) fn http2(mut self) -> Self {
        self.http2.get_or_insert_default();
        self
    }

    /// The same, with so many requests on one connection at once.
    pub(crate) fn http2_streams(mut self, most: u32) -> Self {
        self.http2 = Some(Http2 { max_streams: Some(most) });
        self
    }

    /// Shows this certificate instead of its own.
    pub(crate) fn showing(self, leaf: &Leaf) -> Self {
        let door = self.reach.scene.pki.door_showing(leaf);
        self.door(door)
    }

    /// Behind a real sidecar in strict mode, which runs on the story's runtime.
    pub(crate) fn behind_sidecar(mut self) -> Self {
        self.front = Front::Sidecar;
        self
    }

    /// Decides what to answer instead of by path.
    pub(crate) fn rule(mut self, rule: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        self.rule = Some(Box::new(rule));
        self
    }

    /// Starts it without a registration.
    pub(crate) async fn start(self) -> Instance {
        let Self { reach, app, id, port, front, http2, uris, index, rule } = self;
        let mut builder = App::builder(&app).instance(&id.instance);
        builder = port.into_iter().fold(builder, AppBuilder::port);
        builder = rule.into_iter().fold(builder, |builder, rule| builder.rule(move |request| rule(request)));
        builder = http2.and_then(|http2| http2.max_streams).into_iter().fold(builder, AppBuilder::max_streams);
        let pki = &reach.scene.pki;
        let own_door = |http2: Option<Http2>| {
            let door = pki.door(&id);
            if http2.is_some() { door.alpn(&["h2", "http/1.1"]) } else { door }
        };
        let (app, sidecar) = match &front {
            Front::Plain => (builder.start(), None),
            Front::Tls(door) => (builder.door(door.clone().unwrap_or_else(|| own_door(http2).into())).start(), None),
            Front::Sidecar => {
                let app = builder.start();
                let sidecar = RunningSidecar::start(app.addr(), pki, &id).await;
                (app, Some(sidecar))
            }
        };
        let address = sidecar.as_ref().map_or_else(|| app.addr(), |sidecar| sidecar.address);
        let registration = match front {
            Front::Plain => Registration::plain(address).instance(&id.instance),
            Front::Tls(_) | Front::Sidecar => Registration::tls(address, &id.instance),
        };
        let registration = if http2.is_some() { registration.protocol("http2") } else { registration };
        let registration = uris.iter().fold(registration, |registration, uri| registration.uri(uri));
        let registration = registration.app(&id.app).index(index);
        Instance { app, id, registration, reach, sidecar }
    }

    /// Starts it, registers it, and waits until the table has it.
    pub(crate) async fn register(self) -> Instance {
        let instance = self.start().await;
        instance.register().await;
        instance
    }
}

impl Instance {
    /// Where the router reaches it.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.sidecar.as_ref().map_or_else(|| self.app.addr(), |sidecar| sidecar.address)
    }

    /// Registers, and waits until the table has it.
    pub(crate) async fn register(&self) {
        self.reach.register(&self.registration).await;
    }

    /// Unregisters, and waits until the table has it no more.
    pub(crate) async fn unregister(&self) {
        self.reach.unregister(&self.registration).await;
    }
}

impl Deref for Instance {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl RunningSidecar {
    async fn start(app: SocketAddr, pki: &Pki, id: &InstanceId) -> Self {
        let files = Tempdir::new().expect("a temporary directory can be made");
        let client_ca = files.path().join("client-ca.crt");
        std::fs::write(&client_ca, pki.routers.pem()).expect("the directory is ours");
        let pair = pki.instances.instance(id).issue().write_to(files.path(), "instance");
        let identity = IdentityFiles { certificate: pair.cert, key: pair.key };
        let mode = Mode::strict(client_ca, vec![ROUTER_NAME.into()]);
        let listener = Listener::new(([127, 0, 0, 1], 0).into(), app.into(), identity, mode);
        let settings = Settings { reload_interval: super::PATIENCE, ..Settings::new(vec![listener]) };
        let bound = Sidecar::bind(settings).await.expect("the sidecar binds");
        let (address, stop) = (bound.local_addr(), CancellationToken::new());
        let task = tokio::spawn(bound.run(stop.clone()));
        Self { address, stop, task, _files: files }
    }
}

impl Drop for RunningSidecar {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}
