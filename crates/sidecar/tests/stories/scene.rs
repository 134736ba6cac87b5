//! A sidecar in front of a listener that the story holds, and routers to call it.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::AlertDescription;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use trueroute_sidecar::{
    Settings, Sidecar, Stats,
    settings::{Drain, IdentityFiles, Listener, Mode},
    stats::Event,
};
use trueroute_testkit::{
    Tempdir, eventually,
    pki::{Authority, InstanceId, Leaf},
    tls::ClientTls,
};

/// The name that a strict scene allows.
pub(crate) const ROUTER: &str = "gorouter.service.cf.internal";

/// Nothing in these stories takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Authorities, an instance, and the files of its certificate.
pub(crate) struct World {
    pub(crate) instances: Authority,
    pub(crate) routers: Authority,
    pub(crate) id: InstanceId,
    pub(crate) dir: Tempdir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = Tempdir::new().unwrap();
        let routers = Authority::new("routers");
        std::fs::write(dir.path().join("client-ca.crt"), routers.pem()).unwrap();
        let world = Self { instances: Authority::new("instances"), routers, id: InstanceId::random(), dir };
        world.put(&world.instances.instance(&world.id).issue());
        world
    }

    /// Puts a certificate in force, as Diego does: the key first, then the chain.
    pub(crate) fn put(&self, leaf: &Leaf) {
        leaf.write_to(self.dir.path(), "instance");
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn strict(&self) -> Mode {
        Mode::strict(self.file("client-ca.crt"), vec!["another".into(), ROUTER.into()])
    }

    /// Settings for a sidecar in front of `app`, quick to reload and to drain.
    pub(crate) fn settings(&self, app: SocketAddr, mode: Mode) -> Settings {
        let identity = IdentityFiles { certificate: self.file("instance.crt"), key: self.file("instance.key") };
        let listener = Listener::new(([127, 0, 0, 1], 0).into(), app.into(), identity, mode);
        Settings {
            reload_interval: Duration::from_millis(20),
            drain: Drain { time: PATIENCE, idle: Duration::from_millis(50) },
            ..Settings::new(vec![listener])
        }
    }

    /// A router that verifies this instance and shows no certificate.
    pub(crate) fn caller(&self) -> ClientTls {
        ClientTls::new(&self.instances, &self.id.instance)
    }

    /// A router that verifies this instance and proves who it is.
    pub(crate) fn router(&self) -> ClientTls {
        self.caller().identity(&self.routers.router_client(ROUTER).issue())
    }
}

/// A running sidecar; dropping it stops it at once.
pub(crate) struct Running {
    /// Where the first listener is.
    pub(crate) addr: SocketAddr,
    /// Where all are, in the order of the settings.
    pub(crate) addrs: Vec<SocketAddr>,
    /// Where the admin pages are, if they have a port.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(settings: Settings) -> Self {
        let bound = Sidecar::bind(settings).await.unwrap();
        let (addr, stats, stop) = (bound.local_addr(), bound.stats(), CancellationToken::new());
        let (addrs, admin) = (bound.local_addrs().collect(), bound.admin_addr());
        let task = tokio::spawn(bound.run(stop.clone()));
        Self { addr, addrs, admin, stats, stop, task }
    }

    /// A TLS connection as `tls` describes; an error of the handshake is an error here.
    pub(crate) async fn call(&self, tls: &ClientTls) -> io::Result<TlsStream<TcpStream>> {
        self.call_at(self.addr, tls).await
    }

    /// As [`Running::call`], at another listener.
    pub(crate) async fn call_at(&self, addr: SocketAddr, tls: &ClientTls) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        timeout(PATIENCE, TlsConnector::from(tls.config()).connect(tls.server_name(), tcp)).await?
    }

    /// Waits until `event` has happened `times` times.
    pub(crate) async fn sees(&self, event: Event, times: u64) {
        eventually(PATIENCE, async || self.stats.of(event) >= times).await;
        assert_eq!(self.stats.of(event), times, "{event:?}");
    }

    /// Drops the sidecar, and waits until nothing is left of it.
    pub(crate) async fn ends_at_once(mut self) {
        self.task.abort();
        let _ = timeout(PATIENCE, &mut self.task).await.expect("the sidecar ends");
    }

    /// Waits for the end after a stop.
    pub(crate) async fn ends(mut self) {
        timeout(PATIENCE, &mut self.task).await.expect("the sidecar ends").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The app's port, in the hands of the story.
pub(crate) async fn app() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// The next connection that the app gets.
pub(crate) async fn accept(app: &TcpListener) -> TcpStream {
    timeout(PATIENCE, app.accept()).await.expect("the app is dialled").unwrap().0
}

/// An app that sends back what it gets, for ever.
pub(crate) async fn echoing() -> SocketAddr {
    let (listener, addr) = app().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    addr
}

/// Says a word over `stream` and expects to hear it back.
pub(crate) async fn echo(stream: &mut TlsStream<TcpStream>, word: &str) {
    let mut heard = vec![0; word.len()];
    stream.write_all(word.as_bytes()).await.unwrap();
    timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("an echo").unwrap();
    assert_eq!(heard, word.as_bytes());
}

/// What a reader finds at the end of `stream`.
pub(crate) async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut all)).await?.map(|_| all)
}

/// The alert inside an error of a TLS stream.
pub(crate) fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// The leaf that a connection was shown.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}
