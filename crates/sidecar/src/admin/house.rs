//! What the pages are made of, and what they can set going.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use crate::{
    access::AccessLogs,
    presented::{Presented, Standing},
    settings::{AppAddress, Breakers, IdentitySource, Mode, ProxyProtocol, Subject},
    stats::{Event, Stats},
};

/// A whole sidecar, as seen from its admin door.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) flats: Vec<Flat>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) subject: Subject,
    pub(crate) read_only: bool,
    pub(crate) controls: Controls,
    pub(crate) started: Started,
    pub(crate) logs: AccessLogs,
}

/// When it all began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started {
    pub(crate) at: SystemTime,
    pub(crate) since: Instant,
}

impl Started {
    pub(crate) fn now() -> Self {
        Self { at: SystemTime::now(), since: Instant::now() }
    }
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Flat {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) stat_prefix: String,
    pub(crate) address: SocketAddr,
    pub(crate) app: AppAddress,
    pub(crate) connect_timeout: std::time::Duration,
    pub(crate) identity: IdentitySource,
    pub(crate) mode: Mode,
    pub(crate) protocols: Vec<Vec<u8>>,
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    pub(crate) presented: Arc<Presented>,
    pub(crate) stats: Arc<Stats>,
}

/// A target, and all listeners that lead there.
pub(crate) struct Target<'h> {
    pub(crate) name: &'h str,
    pub(crate) app: &'h AppAddress,
    pub(crate) breakers: Breakers,
    pub(crate) flats: Vec<&'h Flat>,
}

impl Target<'_> {
    pub(crate) fn count(&self, event: Event) -> u64 {
        self.flats.iter().map(|flat| flat.stats.of(event)).sum()
    }

    pub(crate) fn active(&self) -> u64 {
        self.flats.iter().map(|flat| flat.stats.relayed()).sum()
    }

    /// Bytes to the app and from it.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let each = self.flats.iter().map(|flat| flat.stats.bytes());
        each.fold((0, 0), |(up, down), (more_up, more_down)| (up + more_up, down + more_down))
    }
}

impl House {
    /// The targets in the order of the listeners.
    pub(crate) fn targets(&self) -> Vec<Target<'_>> {
        let mut targets: Vec<Target<'_>> = Vec::new();
        for flat in &self.flats {
            match targets.iter_mut().find(|target| target.name == flat.cluster) {
                Some(target) => target.flats.push(flat),
                None => {
                    let breakers = self.subject.limits.iter().find(|(name, _)| *name == flat.cluster);
                    let breakers = breakers.map(|(_, breakers)| *breakers).unwrap_or_default();
                    targets.push(Target { name: &flat.cluster, app: &flat.app, breakers, flats: vec![flat] });
                }
            }
        }
        targets
    }

    /// Envoy's word for how it goes.
    pub(crate) fn state(&self) -> &'static str {
        let standing = |wanted| self.flats.iter().any(|flat| *flat.presented.standing().borrow() == wanted);
        if self.controls.failing.load(Relaxed) || self.controls.drain.is_cancelled() || standing(Standing::Draining) {
            "DRAINING"
        } else if standing(Standing::Missing) {
            "INITIALIZING"
        } else {
            "LIVE"
        }
    }
}

/// What an operator can set going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Let go of idle connections, and do this with the doors.
    Drain(Doors),
    /// End the process without waiting for anybody.
    Quit,
}

/// What becomes of the doors in a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doors {
    /// They close at once.
    Close,
    /// They close after the drain time.
    CloseLater,
    /// They stay open.
    Leave,
}

/// The strings to pull.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    /// The doors are to be closed.
    pub(crate) close: CancellationToken,
    /// Connections between two requests are to end.
    pub(crate) drain: CancellationToken,
    /// The doors are to be closed after the drain time.
    pub(crate) close_later: CancellationToken,
    /// The process is to end.
    pub(crate) quit: CancellationToken,
    /// An operator says that this is not well.
    pub(crate) failing: AtomicBool,
}

impl Controls {
    /// Does what was asked for.
    pub(crate) fn follow(&self, command: Command) {
        match command {
            Command::Drain(doors) => {
                tracing::info!(?doors, "Asked to drain");
                self.drain.cancel();
                match doors {
                    Doors::Close => self.close.cancel(),
                    Doors::CloseLater => self.close_later.cancel(),
                    Doors::Leave => {}
                }
            }
            Command::Quit => {
                tracing::info!("Asked to quit");
                self.quit.cancel();
            }
        }
    }
}
