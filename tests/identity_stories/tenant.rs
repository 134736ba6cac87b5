//! An instance that can move out as a well-behaved process does: no new connections, what is under way is finished,
//! idle connections are closed. It answers GETs as fast as it can and keeps nothing but counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trueroute_testkit::{Registration, ReservedPort, pki::InstanceId};

use crate::support::Pki;

/// A running instance of the app called `app`, whose host is `<app>.swap`.
pub(crate) struct Tenant {
    pub(crate) app: &'static str,
    pub(crate) id: InstanceId,
    pub(crate) port: Arc<ReservedPort>,
    /// Closed to newcomers.
    shut: CancellationToken,
    /// Asked to finish.
    leaving: CancellationToken,
    /// The one that accepts.
    door: TaskTracker,
    tasks: TaskTracker,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    served: AtomicU64,
    connections: AtomicU64,
    misdirected: AtomicU64,
}

impl Tenant {
    /// Starts on `port`, which nobody listens on, with the certificate of `id`.
    pub(crate) fn move_in(port: &Arc<ReservedPort>, pki: &Pki, app: &'static str, id: &InstanceId) -> Self {
        let listener = TcpListener::from_std(port.listen().unwrap()).unwrap();
        let tenant = Self {
            app,
            id: id.clone(),
            port: Arc::clone(port),
            shut: CancellationToken::new(),
            leaving: CancellationToken::new(),
            door: TaskTracker::new(),
            tasks: TaskTracker::new(),
            counts: Arc::default(),
        };
        let acceptor = TlsAcceptor::from(pki.door(id).config());
        let answer =
            format!("HTTP/1.1 200 OK\r\nx-app: {app}\r\nx-instance: {}\r\nContent-Length: 2\r\n\r\nok", id.instance);
        let visit = Visit {
            acceptor,
            answer: answer.into(),
            host: format!("\r\nHost: {app}.swap\r\n").into(),
            leaving: tenant.leaving.clone(),
            counts: Arc::clone(&tenant.counts),
        };
        let (shut, tasks) = (tenant.shut.clone(), tenant.tasks.clone());
        tenant.door.close();
        tenant.tasks.close();
        tenant.door.spawn(async move {
            while let Some(Ok((tcp, _))) = shut.run_until_cancelled(listener.accept()).await {
                tasks.spawn(visit.clone().serve(tcp));
            }
        });
        tenant
    }

    /// What it tells the bus.
    pub(crate) fn registration(&self) -> Registration {
        Registration::tls(self.addr(), &self.id.instance).uri(&format!("{}.swap", self.app)).app(&self.id.app)
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Takes no new connections from now on; those that are open go on.
    pub(crate) async fn shut_door(&self) {
        self.shut.cancel();
        self.door.wait().await;
    }

    /// Shuts the door, finishes what is under way, and is gone.
    pub(crate) async fn move_out(&self) {
        self.leaving.cancel();
        self.shut_door().await;
        self.tasks.wait().await;
    }

    /// Requests answered.
    pub(crate) fn served(&self) -> u64 {
        self.counts.served.load(Relaxed)
    }

    /// Connections whose handshake was completed.
    pub(crate) fn connections(&self) -> u64 {
        self.counts.connections.load(Relaxed)
    }

    /// Requests for another app's host.
    pub(crate) fn misdirected(&self) -> u64 {
        self.counts.misdirected.load(Relaxed)
    }
}

#[derive(Clone)]
struct Visit {
    acceptor: TlsAcceptor,
    answer: Arc<str>,
    host: Arc<str>,
    leaving: CancellationToken,
    counts: Arc<Counts>,
}

impl Visit {
    async fn serve(self, tcp: TcpStream) {
        let _ = tcp.set_nodelay(true);
        let Ok(mut tls) = self.acceptor.accept(tcp).await else { return };
        self.counts.connections.fetch_add(1, Relaxed);
        let mut head = Vec::with_capacity(4096);
        // Whoever has just connected has a request on its way, and gets to say it.
        let mut greeted = false;
        loop {
            let read = tls.read_buf(&mut head);
            let read = if greeted { self.leaving.run_until_cancelled(read).await } else { Some(read.await) };
            match read {
                None => break drop(tls.shutdown().await),
                Some(Ok(0) | Err(_)) => break,
                Some(Ok(_)) if !head.ends_with(b"\r\n\r\n") => continue,
                Some(Ok(_)) => {}
            }
            let ours = head.windows(self.host.len()).any(|piece| piece == self.host.as_bytes());
            self.counts.misdirected.fetch_add(u64::from(!ours), Relaxed);
            self.counts.served.fetch_add(1, Relaxed);
            if tls.write_all(self.answer.as_bytes()).await.is_err() || tls.flush().await.is_err() {
                break;
            }
            head.clear();
            greeted = true;
        }
    }
}
