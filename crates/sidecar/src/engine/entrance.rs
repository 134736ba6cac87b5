//! Doors: bound before anything is served, so that what keeps the sidecar from starting is known at once.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use trueroute_identity::trust::{self, Trust};

use super::StartError;
use crate::{
    access::AccessLog,
    admin::{self, Flat},
    admission::Admission,
    descriptors,
    presented::Presented,
    seldom::Seldom,
    settings::{Admin, Caps, ClientCa, Drain, Listener, Mode, Pem},
    stats::Stats,
    terminate::Door,
};

/// Connections that the kernel keeps for us while accepting waits.
const BACKLOG: u32 = 1024;

/// One listener, bound.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) door: Arc<Door>,
    pub(super) room: Room,
}

/// The admin pages, bound.
#[derive(Debug)]
pub(super) struct AdminEntrance {
    pub(super) door: admin::Door,
    pub(super) admin: Admin,
}

impl AdminEntrance {
    pub(super) async fn open(admin: Admin) -> Result<Self, StartError> {
        let failed = |cause| StartError::Admin { address: admin.address.clone(), cause };
        let door = admin::Door::open(&admin.address).await.map_err(failed)?;
        let address = door.address().map_or_else(|| admin.address.to_string(), |address| address.to_string());
        if let Some(path) = &admin.address_path {
            std::fs::write(path, &address).map_err(failed)?;
        }
        tracing::info!(address, read_only = admin.read_only, "Admin pages are up");
        Ok(Self { door, admin })
    }
}

/// How many connections the descriptors allow, all listeners together.
pub(super) struct Fit {
    pub(super) most: usize,
    pub(super) shared: Arc<Semaphore>,
}

impl Fit {
    pub(super) fn measure() -> Self {
        let most = descriptors::connections_that_fit().min(Semaphore::MAX_PERMITS);
        Self { most, shared: Arc::new(Semaphore::new(most)) }
    }
}

/// How many connections may come in through one listener.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) connections: Arc<Semaphore>,
    pub(super) admission: Arc<Admission>,
}

impl Room {
    fn new(caps: Caps, fit: &Fit) -> Self {
        let connections = match caps.connections {
            Some(cap) => Arc::new(Semaphore::new(cap.clamp(1, fit.most))),
            None => Arc::clone(&fit.shared),
        };
        Self { connections, admission: Admission::new(caps.handshakes) }
    }
}

impl Entrance {
    pub(super) fn open(
        listener: Listener,
        drain: Drain,
        stats: &Arc<Stats>,
        stopping: &CancellationToken,
        fit: &Fit,
    ) -> Result<Self, StartError> {
        check_client_ca(&listener.mode)?;
        let address = listener.listen;
        let bound = listen(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (address, socket) =
            bound.map_err(|cause| StartError::Listen { listener: listener.name.clone(), address, cause })?;
        let stats = Stats::part_of(stats);
        let presented = Presented::new(&listener, stopping, &stats);
        presented.look();
        let room = Room::new(listener.caps, fit);
        let (name, mode) = (&listener.name, listener.mode.name());
        tracing::info!(name, %address, app = %listener.app, mode, "Listening");
        let access = listener.access_log.as_ref().map(|target| AccessLog::open(target).map(Arc::new)).transpose();
        let access = access.map_err(|cause| StartError::AccessLog { listener: name.clone(), cause })?;
        let door = Arc::new(Door { access, listener, presented, drain, stats, seldom: Seldom::default() });
        Ok(Self { socket, address, door, room })
    }

    pub(super) fn flat(&self) -> Flat {
        let listener = &self.door.listener;
        Flat {
            name: listener.name.clone(),
            cluster: listener.cluster.clone(),
            stat_prefix: listener.stat_prefix.clone(),
            address: self.address,
            app: listener.app.clone(),
            connect_timeout: listener.timeouts.dial,
            identity: listener.identity.clone(),
            mode: listener.mode.clone(),
            protocols: listener.offer.protocols.clone(),
            proxy_protocol: listener.proxy_protocol,
            presented: Arc::clone(&self.door.presented),
            stats: Arc::clone(&self.door.stats),
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the old process's connections to leave TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An operator who asks for strict with a file that proves nobody should hear of it at once, not at the first request.
///
/// A secret may come later, as Diego's does.
fn check_client_ca(mode: &Mode) -> Result<(), StartError> {
    let Mode::Strict { client_ca: ClientCa::Given(pem), .. } = mode else { return Ok(()) };
    let (name, pem) = match pem {
        Pem::Text(text) => ("trusted_ca".to_owned(), text.to_string()),
        Pem::File(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|cause| StartError::ClientCaFile { path: path.clone(), cause })?;
            (path.display().to_string(), text)
        }
    };
    Trust::new(&[trust::Source { name: &name, pem: &pem }], false).map(|_| ()).map_err(StartError::ClientCa)
}
