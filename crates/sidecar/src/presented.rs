//! The certificate that one listener presents, and its life: missing, in force, renewed, or the sign to drain.
//!
//! Owns the acceptor and swaps what it presents whenever the files hold something new and whole. Promises: a broken or
//! half-written set of files changes nothing and is told once; open connections never notice a change.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trueroute_identity::{
    Acceptor, Credentials, PeerIdentity,
    accept::{AcceptorError, Mode as Demand},
    credentials::watch::{Files, ReloadError, Reloaded, Source},
};

use crate::{
    log::chain,
    settings::{Listener, Mode},
};

/// What the presented certificate means for routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is none yet: handshakes are refused.
    Missing,
    /// It names an instance.
    InForce,
    /// It names nobody: the platform is stopping this instance (sidecar.md §8.2). Routers that shake hands see a
    /// wrong name and go elsewhere.
    Draining,
}

/// The certificate of one listener.
#[derive(Debug)]
pub(crate) struct Presented {
    acceptor: OnceLock<Acceptor>,
    files: Files,
    names: Vec<String>,
    standing: watch::Sender<Standing>,
    /// Cancelled when the sidecar stops.
    stopping: CancellationToken,
    /// Cancelled when connections opened under the present certificate should end between two requests.
    lull: Mutex<CancellationToken>,
}

impl Presented {
    /// What `listener` presents; nothing until the first [`Presented::open`] or [`Presented::keep_fresh`].
    pub(crate) fn new(listener: &Listener, stopping: &CancellationToken) -> Arc<Self> {
        let (authorities, names) = match &listener.mode {
            Mode::Tls => (None, Vec::new()),
            Mode::Strict { client_ca, names } => (Some(client_ca.clone()), names.clone()),
        };
        let identity = &listener.identity;
        Arc::new(Self {
            acceptor: OnceLock::new(),
            files: Files { certificate: identity.certificate.clone(), key: identity.key.clone(), authorities },
            names,
            standing: watch::Sender::new(Standing::Missing),
            stopping: stopping.clone(),
            lull: Mutex::new(stopping.child_token()),
        })
    }

    /// The acceptor, once there is a certificate.
    pub(crate) fn acceptor(&self) -> Option<&Acceptor> {
        self.acceptor.get()
    }

    /// The present standing, and every later one.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Cancelled when a connection that begins now should end between two requests.
    pub(crate) fn lull(&self) -> CancellationToken {
        self.lull.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files for the first time.
    pub(crate) fn open(&self) -> Result<Source, ReloadError> {
        let (source, first) = Source::open(self.files.clone())?;
        self.take_over(first);
        Ok(source)
    }

    /// Reads the files every `interval` for ever, from the beginning if there is no `source` yet.
    pub(crate) async fn keep_fresh(&self, source: Option<Source>, interval: Duration) {
        let mut source = match source {
            Some(source) => source,
            None => self.wait_for_files(interval).await,
        };
        loop {
            tokio::time::sleep(interval).await;
            // Here and not on a thread of its own: the files are small and local, and 250 sidecars on one machine
            // would each keep a second thread alive for them.
            match source.check() {
                None => {}
                Some(Ok(reloaded)) => self.take_over(reloaded),
                Some(Err(error)) => kept(&chain(&error)),
            }
        }
    }

    async fn wait_for_files(&self, interval: Duration) -> Source {
        let mut told = String::new();
        loop {
            match self.open() {
                Ok(source) => return source,
                Err(error) => {
                    let problem = chain(&error);
                    if problem != told {
                        tracing::error!(problem, "No certificate to present: connections are reset until there is one");
                        told = problem;
                    }
                }
            }
            tokio::time::sleep(interval).await;
        }
    }

    fn take_over(&self, reloaded: Reloaded) {
        let credentials = reloaded.credentials.clone();
        if let Err(error) = self.swap(reloaded) {
            return kept(&chain(&error));
        }
        let standing = standing_of(&credentials);
        match standing {
            Standing::Draining => {
                tracing::info!("Presented the certificate without a name: draining");
                self.lull().cancel();
            }
            _ => {
                tracing::info!(valid_for_s = valid_for(&credentials), "Presented a new certificate");
                let fresh = self.stopping.child_token();
                *self.lull.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
            }
        }
        self.standing.send_replace(standing);
    }

    fn swap(&self, reloaded: Reloaded) -> Result<(), AcceptorError> {
        let demand = match (&self.files.authorities, reloaded.trust) {
            (None, _) => Demand::Tls,
            (Some(_), Some(trust)) => Demand::Strict { trust, allowed: self.names.clone() },
            // Files with authorities were read without any: never an opening for everybody.
            (Some(_), None) => return Err(AcceptorError::NoAuthority),
        };
        match self.acceptor.get() {
            Some(acceptor) => acceptor.swap(reloaded.credentials, demand),
            None => {
                let acceptor = Acceptor::new(reloaded.credentials, demand)?;
                // Only this task ever sets it.
                let _ = self.acceptor.set(acceptor);
                Ok(())
            }
        }
    }
}

fn kept(problem: &str) {
    tracing::error!(problem, "Kept the certificate in force: the new files are unusable");
}

fn valid_for(credentials: &Credentials) -> u64 {
    credentials.not_after().duration_since(std::time::SystemTime::now()).map_or(0, |left| left.as_secs())
}

/// A leaf whose names are all empty is the platform's sign to drain, not a malformed certificate.
fn standing_of(credentials: &Credentials) -> Standing {
    let leaf = credentials.certified().cert.first().map(|leaf| PeerIdentity::from_der(leaf));
    match leaf {
        Some(Ok(identity)) if names_nobody(&identity) => Standing::Draining,
        _ => Standing::InForce,
    }
}

fn names_nobody(identity: &PeerIdentity) -> bool {
    let empty = |name: &String| name.is_empty();
    identity.common_name.as_ref().is_none_or(empty)
        && identity.dns_names.iter().all(empty)
        && identity.uris.iter().all(empty)
}
