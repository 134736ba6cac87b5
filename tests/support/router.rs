//! A router inside the test's process, on threads of its own.

use std::{ops::Deref, sync::Arc, thread};

use tokio::sync::{mpsc, oneshot};
use trueroute::{
    app::{Addresses, Router},
    config,
    table::Table,
};
use trueroute_testkit::Tempdir;

use super::{Reach, RouterBuilder, Scene, logs};

/// A running router. Dropping it stops it, as SIGTERM does, and waits until it has ended.
pub(crate) struct RouterUnderTest {
    reach: Reach,
    table: Arc<Table>,
    orders: Option<mpsc::UnboundedSender<oneshot::Sender<bool>>>,
    control: Option<thread::JoinHandle<()>>,
    _dir: Tempdir,
}

impl RouterUnderTest {
    /// A router with the ordinary settings in a scene of its own.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// A router to describe first, in a scene of its own.
    pub(crate) fn builder() -> RouterBuilder {
        Scene::new().router()
    }

    pub(super) async fn open(builder: RouterBuilder) -> Self {
        logs::keep();
        let parsed = config::parse(&builder.yml()).expect("the router takes its configuration");
        let (orders, given) = mpsc::unbounded_channel();
        let (tell, opened) = oneshot::channel();
        let control = thread::Builder::new().name("control".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(run(parsed.config, tell, given));
        });
        let (addresses, table) = opened.await.expect("the router starts");
        let port = |address: Option<std::net::SocketAddr>| address.map(|address| address.port());
        let reach = Reach {
            scene: builder.scene,
            http: port(addresses.http),
            https: port(addresses.https),
            health: port(addresses.health),
            routes: port(addresses.routes),
            metrics: port(addresses.metrics),
            access_log: builder.dir.path().join("access.log"),
        };
        let control = Some(control.expect("a thread can be started"));
        Self { reach, table, orders: Some(orders), control, _dir: builder.dir }
    }

    /// Its table, for what `/routes` does not show.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Asks for a drain, as SIGUSR1 does; the answer comes when it is over and says whether all ended in time.
    pub(crate) fn drain(&self) -> oneshot::Receiver<bool> {
        let (tell, drained) = oneshot::channel();
        let orders = self.orders.as_ref().expect("orders are given up only at the end");
        orders.send(tell).expect("the router takes orders");
        drained
    }

    /// Stops it, as SIGTERM does, and waits until it has ended.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.orders.take());
        let ended = self.control.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))), "the router panicked");
    }
}

impl Deref for RouterUnderTest {
    type Target = Reach;

    fn deref(&self) -> &Reach {
        &self.reach
    }
}

impl Drop for RouterUnderTest {
    fn drop(&mut self) {
        self.end();
    }
}

/// The control thread: starts, drains whenever it is asked to, stops when nobody can ask any more.
async fn run(
    config: config::Config,
    opened: oneshot::Sender<(Addresses, Arc<Table>)>,
    mut orders: mpsc::UnboundedReceiver<oneshot::Sender<bool>>,
) {
    let bound = Router::bind(config).await.expect("the router binds");
    let router = bound.open().await.expect("the router opens");
    if opened.send((router.addresses(), Arc::clone(router.table()))).is_ok() {
        while let Some(drained) = orders.recv().await {
            let _ = drained.send(router.drain().await);
        }
    }
    router.stop().await;
}
