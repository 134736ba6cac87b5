//! Binds the listeners, accepts, and stops in order.
//!
//! Owns the life of the whole: what is spawned here ends here. Promises: no error of `accept` and no panic of one
//! connection ends the sidecar; a stop first tells the routers, then closes the doors, then lets connections finish.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trueroute_identity::trust::TrustError;

use crate::{
    access::AccessLogs,
    admin::{Controls, House, Started},
    admission::Place,
    keeper,
    leftovers::Leftovers,
    log::chain,
    register::{self, Registrar},
    settings::{AdminAddress, Drain, Settings},
    stats::{Event, Stats},
    terminate::{Door, pause_after},
};

mod entrance;

use entrance::{AdminEntrance, Entrance, Fit, Room};

/// Why the sidecar can not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing to listen on.
    #[error("there is no listener")]
    NoListener,
    /// The address can not be bound.
    #[error("{listener} can not listen on {address}")]
    Listen {
        /// The listener's name.
        listener: String,
        /// The address as configured.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The access log can not be opened.
    #[error("the access log of {listener} can not be opened")]
    AccessLog {
        /// The listener's name.
        listener: String,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The admin pages can not be put up.
    #[error("the admin pages can not be put up at {address}")]
    Admin {
        /// The address as configured.
        address: AdminAddress,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The client CA can not be read.
    #[error("client CA {}", path.display())]
    ClientCaFile {
        /// The file as configured.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The client CA holds no usable authority. Strict without one would have to refuse or accept everybody.
    #[error("client CA is unusable")]
    ClientCa(#[source] TrustError),
    /// NATS can not be set up at all; one that is merely down does not stop the start.
    #[error("can not set up NATS")]
    Nats(#[source] register::SetUpError),
}

/// A TLS terminator beside an app.
#[derive(Debug)]
pub struct Sidecar;

impl Sidecar {
    /// Opens every listener that `settings` name and reads the certificates that are there.
    ///
    /// A certificate that is missing or unusable does not stop the start: its listener resets connections until the
    /// files hold one. Needs a tokio runtime with I/O and time; everything runs on it without threads of its own.
    ///
    /// # Errors
    /// Whatever no waiting can repair: an address that can't be bound, a client CA without authorities.
    pub async fn bind(settings: Settings) -> Result<Bound, StartError> {
        let stats = Arc::new(Stats::default());
        let controls = Controls::default();
        let stopping = controls.drain.clone();
        let fit = Fit::measure();
        let mut entrances = Vec::with_capacity(settings.listeners.len());
        for listener in settings.listeners.iter().cloned() {
            entrances.push(Entrance::open(listener, settings.drain, &stats, &stopping, &fit)?);
        }
        let first = entrances.first().ok_or(StartError::NoListener)?;
        let registrar = match settings.registration {
            Some(registration) => {
                let bound = first.address.port();
                let standing = first.door.presented.standing();
                let mode = &first.door.listener.mode;
                Some(
                    Registrar::new(registration, bound, mode, standing, Arc::clone(&stats))
                        .map_err(StartError::Nats)?,
                )
            }
            None => None,
        };
        let admin = match settings.admin {
            Some(admin) => Some(AdminEntrance::open(admin).await?),
            None => None,
        };
        Ok(Bound {
            entrances,
            admin,
            controls,
            started: Started::now(),
            registrar,
            stats,
            reload_interval: settings.reload_interval,
            watch: settings.watch,
            look_now: Arc::new(Notify::new()),
            drain: settings.drain,
        })
    }
}

/// A sidecar whose listeners are open, and which accepts nothing yet.
#[derive(Debug)]
pub struct Bound {
    entrances: Vec<Entrance>,
    admin: Option<AdminEntrance>,
    controls: Controls,
    started: Started,
    registrar: Option<Registrar>,
    stats: Arc<Stats>,
    reload_interval: Duration,
    watch: bool,
    look_now: Arc<Notify>,
    drain: Drain,
}

impl Bound {
    /// The address of the first listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        // Binding without listeners is an error, so there is a first one.
        self.entrances[0].address
    }

    /// The addresses of all listeners, in the order of the settings.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.entrances.iter().map(|entrance| entrance.address)
    }

    /// The counters, which outlive the run.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// The address of the admin pages, where they have a port.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.door.address()
    }

    /// Notify it to have the certificate files read at once.
    #[must_use]
    pub fn look_now(&self) -> Arc<Notify> {
        Arc::clone(&self.look_now)
    }

    /// The access logs, for whoever moves their files away.
    #[must_use]
    pub fn access_logs(&self) -> AccessLogs {
        self.entrances.iter().filter_map(|entrance| entrance.door.access.clone()).collect()
    }

    /// Serves until `until` is cancelled, then tells the routers, closes the doors and drains.
    ///
    /// Returns when the last connection has ended, or was cut at the end of the drain time.
    pub async fn run(self, until: CancellationToken) {
        let logs = self.access_logs();
        let Self { entrances, admin, controls, started, registrar, stats, reload_interval, watch, look_now, drain } =
            self;
        let connections = TaskTracker::new();
        let services = TaskTracker::new();
        let (doors_close, stopping, quit) = (controls.close.clone(), controls.drain.clone(), controls.quit.clone());
        let close_later = controls.close_later.clone();
        let cut = CancellationToken::new();
        // Whoever drops this future ends everything that it has started.
        let _end = [doors_close.clone(), stopping.clone(), cut.clone()].map(CancellationToken::drop_guard);
        let presented = entrances.iter().map(|entrance| Arc::clone(&entrance.door.presented)).collect();
        let leftovers = Leftovers::default();
        let give_back = {
            let (leftovers, stats) = (leftovers.clone(), Arc::clone(&stats));
            move || leftovers.look(&stats)
        };
        let counted = Arc::clone(&stats);
        spawn_until(&services, &cut, async move {
            keeper::keep_fresh(presented, reload_interval, watch, look_now, &counted, give_back).await;
        });
        if let Some(AdminEntrance { door, admin }) = admin {
            let flats = entrances.iter().map(Entrance::flat).collect();
            let (subject, read_only) = (admin.subject, admin.read_only);
            let house = House { flats, stats: Arc::clone(&stats), subject, read_only, controls, started, logs };
            spawn_until(&services, &cut, door.serve(Arc::new(house)));
        }
        for entrance in entrances {
            let kept = (connections.clone(), leftovers.clone());
            let accepting = accept(entrance.socket, entrance.door, entrance.room, kept, cut.clone());
            spawn_until(&services, &doors_close, accepting);
        }
        let until = until.child_token();
        let (asked_to_quit, stop) = (quit.clone(), until.clone());
        spawn_until(&services, &cut, async move {
            asked_to_quit.cancelled().await;
            stop.cancel();
        });
        let close = doors_close.clone();
        spawn_until(&services, &doors_close.clone(), async move {
            close_later.cancelled().await;
            sleep(drain.time).await;
            close.cancel();
        });
        match registrar {
            // Traffic goes on while the routers are told: they go on sending until they have heard it.
            Some(registrar) => registrar.run(until).await,
            None => until.cancelled().await,
        }
        doors_close.cancel();
        stopping.cancel();
        connections.close();
        let open = stats.active();
        let limit = if quit.is_cancelled() { Duration::ZERO } else { drain.time };
        tracing::info!(open, limit_s = limit.as_secs(), "Stopped accepting");
        tokio::select! {
            ended = timeout(limit, connections.wait()) => if ended.is_err() {
                tracing::warn!(open = stats.active(), "Cut the connections that outlived the drain");
            },
            () = quit.cancelled() => {}
        }
        cut.cancel();
        connections.wait().await;
        services.close();
        services.wait().await;
    }
}

/// Runs `work` on the present runtime until it ends or `end` is cancelled.
fn spawn_until(tracker: &TaskTracker, end: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let end = end.clone();
    tracker.spawn(async move {
        let _ = end.run_until_cancelled(work).await;
    });
}

/// Accepts for ever.
async fn accept(
    socket: TcpListener,
    door: Arc<Door>,
    room: Room,
    kept: (TaskTracker, Leftovers),
    cut: CancellationToken,
) {
    let (connections, leftovers) = kept;
    loop {
        // Before accepting, so that descriptors are left for the app's side of every connection.
        let Some(permit) = room_for_one(&room, &door).await else { return };
        match socket.accept().await {
            Ok((stream, peer)) => {
                door.stats.count(Event::Accepted);
                let place = room.admission.place().await;
                let (door, cut, leftovers) = (Arc::clone(&door), cut.clone(), leftovers.clone());
                // What its handshake leaves behind is larger than what stays.
                leftovers.add();
                connections.spawn(async move {
                    let _permit = permit;
                    one(&door, stream, peer, place, &cut).await;
                    leftovers.add();
                });
            }
            Err(error) => {
                door.stats.count(Event::AcceptFailed);
                if let Some(untold) = door.seldom.tell(Event::AcceptFailed, Instant::now()) {
                    tracing::warn!(problem = chain(&error), untold, "Could not accept a connection");
                }
                if let Some(pause) = pause_after(&error) {
                    sleep(pause).await;
                }
            }
        }
    }
}

async fn room_for_one(room: &Room, door: &Door) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(&room.connections).try_acquire_owned() {
        return Some(permit);
    }
    door.stats.count(Event::RoomFull);
    if let Some(untold) = door.seldom.tell(Event::RoomFull, Instant::now()) {
        tracing::warn!(open = door.stats.active(), untold, "Stopped accepting until a connection ends");
    }
    // Never closed, so never an error.
    Arc::clone(&room.connections).acquire_owned().await.ok()
}

/// One connection, whose end is its own.
async fn one(door: &Door, stream: TcpStream, peer: SocketAddr, place: Place, cut: &CancellationToken) {
    let _active = door.stats.enter();
    // Refused only where the connection is already dead.
    let _ = stream.set_nodelay(true);
    confined(&door.stats, door.serve(stream, peer, place, cut)).await;
}

/// Runs `work` so that a panic in it ends nothing but itself. What `work` owns is dropped; what it shares is atomics,
/// and mutexes that are not held across anything that can panic.
///
/// Not an `async fn`, which would hold `work` twice, as what it is given and as what it waits for: some KiB per idle
/// connection.
fn confined(stats: &Stats, work: impl Future<Output = ()>) -> impl Future<Output = ()> {
    AssertUnwindSafe(work).catch_unwind().map(|ended| {
        if ended.is_err() {
            stats.count(Event::Panicked);
            tracing::error!("A connection ended by a panic");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_connection_and_is_counted() {
        let stats = Stats::default();
        confined(&stats, async { panic!("a bug") }).await;
        confined(&stats, async {}).await;
        assert_eq!(stats.of(Event::Panicked), 1);
    }

    #[test]
    fn accepting_pauses_unless_the_fault_is_of_one_connection() {
        use rustix::io::Errno;
        for (errno, pauses) in [
            (Errno::CONNABORTED, false),
            (Errno::INTR, false),
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOBUFS, true),
            (Errno::PERM, true),
        ] {
            assert_eq!(pause_after(&errno.into()).is_some(), pauses, "{errno:?}");
        }
    }
}
