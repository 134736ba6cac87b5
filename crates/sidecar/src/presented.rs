//! The certificate that one listener presents, and its life: missing, in force, renewed, or the sign to drain.
//!
//! Owns the acceptor and swaps what it presents whenever there is something new and whole. Promises: a broken or
//! half-written set of files changes nothing and is told once; certificate and authorities each keep their own last
//! good state, so damage to one never holds up the other; open connections never notice a change.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::SystemTime,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trueroute_identity::{
    Acceptor, Credentials, PeerIdentity,
    accept::{AcceptorError, Mode as Demand, Offer},
};

use crate::{
    log::chain,
    material::{Believed, Watched},
    settings::{ClientCa, IdentitySource, Listener, Mode},
    stats::{Event, Stats},
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
    offer: Offer,
    strict: bool,
    /// What the settings ask to have watched.
    folders: Vec<PathBuf>,
    state: Mutex<State>,
    stats: Arc<Stats>,
    standing: watch::Sender<Standing>,
    /// Cancelled when the sidecar stops.
    stopping: CancellationToken,
    /// Cancelled when connections should end between two requests; one for all since the last drain that was called off.
    lull: Mutex<CancellationToken>,
}

/// What was read, and what of it is in force.
#[derive(Debug)]
struct State {
    identity: Watched<IdentitySource>,
    mode: Watched<Mode>,
    credentials: Option<Credentials>,
    believed: Option<Believed>,
    since: Option<SystemTime>,
    problem: Option<String>,
}

/// What is in force, for whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    /// What is shown; `None` before there is anything.
    pub(crate) credentials: Option<Credentials>,
    /// Whom a strict listener lets in.
    pub(crate) believed: Option<Believed>,
    /// When this came into force.
    pub(crate) since: Option<SystemTime>,
    /// What is wrong with what the files hold now, if anything.
    pub(crate) problem: Option<String>,
}

impl Presented {
    /// What `listener` presents; nothing until the first [`Presented::look`].
    pub(crate) fn new(listener: &Listener, stopping: &CancellationToken, stats: &Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            acceptor: OnceLock::new(),
            offer: listener.offer.clone(),
            strict: matches!(listener.mode, Mode::Strict { .. }),
            folders: folders_of(listener),
            state: Mutex::new(State {
                identity: Watched::new(listener.identity.clone()),
                mode: Watched::new(listener.mode.clone()),
                credentials: None,
                believed: None,
                since: None,
                problem: None,
            }),
            stats: Arc::clone(stats),
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

    /// What is in force now.
    pub(crate) fn in_force(&self) -> InForce {
        let state = self.state();
        InForce {
            credentials: state.credentials.clone(),
            believed: state.believed.clone(),
            since: state.since,
            problem: state.problem.clone(),
        }
    }

    /// Cancelled when a connection that begins now should end between two requests.
    pub(crate) fn lull(&self) -> CancellationToken {
        self.lull.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The files that decide about what is presented.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let state = self.state();
        state.identity.files().chain(state.mode.files()).map(PathBuf::from).collect()
    }

    /// Folders in which a change is a reason to look, beside those of the files.
    pub(crate) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Reads what the settings point to, and takes over what is new and whole.
    ///
    /// On the thread that serves: the files are small and local, and 250 sidecars on one machine would each keep a
    /// second thread alive for them.
    pub(crate) fn look(&self) {
        let mut state = self.state();
        let state = &mut *state;
        let (mut fresh, mut problems, mut looked) = (false, Vec::new(), false);
        if let Some(look) = state.identity.look() {
            looked = true;
            match look {
                Ok(credentials) => (state.credentials, fresh) = (Some(credentials), true),
                Err(error) => problems.push(chain(&error)),
            }
        }
        if let Some(look) = state.mode.look() {
            looked = true;
            match look {
                Ok(believed) => (state.believed, fresh) = (believed, true),
                Err(error) => problems.push(chain(&error)),
            }
        }
        if fresh
            && let Some(credentials) = state.credentials.clone()
            && (!self.strict || state.believed.is_some())
        {
            match self.take_over(credentials, state.believed.clone()) {
                Ok(()) => state.since = Some(SystemTime::now()),
                Err(error) => problems.push(chain(&error)),
            }
        }
        if looked {
            self.tell(&problems);
            state.problem = (!problems.is_empty()).then(|| problems.join("; "));
        }
    }

    fn tell(&self, problems: &[String]) {
        for problem in problems {
            self.stats.count(Event::CertificateRefused);
            match self.acceptor.get() {
                Some(_) => tracing::error!(problem, "Kept the certificate in force: the new files are unusable"),
                None => {
                    tracing::error!(problem, "No certificate to present: connections are reset until there is one");
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_over(&self, credentials: Credentials, believed: Option<Believed>) -> Result<(), AcceptorError> {
        self.swap(&credentials, believed)?;
        self.stats.count(Event::CertificateTaken);
        let standing = standing_of(&credentials);
        match standing {
            Standing::Draining => {
                tracing::info!("Presented the certificate without a name: draining");
                self.lull().cancel();
            }
            _ => {
                tracing::info!(valid_for_s = valid_for(&credentials), "Presented a new certificate");
            }
        }
        let before = self.standing.send_replace(standing);
        // Only then: connections keep the token that they began with, and the sign to drain must reach all of them,
        // whatever was renewed since.
        if before == Standing::Draining && standing != Standing::Draining {
            *self.lull.lock().unwrap_or_else(PoisonError::into_inner) = self.stopping.child_token();
        }
        Ok(())
    }

    fn swap(&self, credentials: &Credentials, believed: Option<Believed>) -> Result<(), AcceptorError> {
        let demand = match (self.strict, believed) {
            (false, _) => Demand::Tls,
            (true, Some(Believed { trust, names, .. })) => Demand::Strict { trust, allowed: names },
            // Never an opening for everybody.
            (true, None) => return Err(AcceptorError::NoAuthority),
        };
        match self.acceptor.get() {
            Some(acceptor) => acceptor.swap(credentials.clone(), demand),
            None => {
                let acceptor = Acceptor::offering(credentials.clone(), demand, self.offer.clone())?;
                // Set under the lock of the state only.
                let _ = self.acceptor.set(acceptor);
                Ok(())
            }
        }
    }
}

fn folders_of(listener: &Listener) -> Vec<PathBuf> {
    let identity = match &listener.identity {
        IdentitySource::Secret(file) => file.watched.clone(),
        _ => None,
    };
    let authorities = match &listener.mode {
        Mode::Strict { client_ca: ClientCa::Secret(file), .. } => file.watched.clone(),
        _ => None,
    };
    identity.into_iter().chain(authorities).collect()
}

fn valid_for(credentials: &Credentials) -> u64 {
    credentials.not_after().duration_since(SystemTime::now()).map_or(0, |left| left.as_secs())
}

/// A leaf with a DNS name that is empty, and no other name, is the platform's sign to drain, not a malformed certificate.
fn standing_of(credentials: &Credentials) -> Standing {
    let leaf = credentials.certified().cert.first().map(|leaf| PeerIdentity::from_der(leaf));
    match leaf {
        Some(Ok(identity)) if names_nobody(&identity) => Standing::Draining,
        _ => Standing::InForce,
    }
}

/// A certificate without DNS names, as one for an address only, is no such sign: its holder is known by something else.
fn names_nobody(identity: &PeerIdentity) -> bool {
    let empty = |name: &String| name.is_empty();
    identity.common_name.as_ref().is_none_or(empty)
        && !identity.dns_names.is_empty()
        && identity.dns_names.iter().chain(&identity.uris).all(empty)
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::pki::{Authority, Leaf};

    use super::*;

    #[test]
    fn only_an_empty_dns_name_and_no_other_name_is_the_sign_to_drain() {
        let ca = Authority::new("ca");
        let drain = || ca.drain();
        let cases: [(&str, Leaf, Standing); 7] = [
            ("Diego's", drain().issue(), Standing::Draining),
            ("with the address of its container", drain().ip([10, 0, 0, 1]).issue(), Standing::Draining),
            ("an address only", ca.leaf().ip([10, 0, 0, 1]).issue(), Standing::InForce),
            ("no name at all", ca.leaf().no_san().issue(), Standing::InForce),
            ("a URI beside it", drain().uri("spiffe://cf/app").issue(), Standing::InForce),
            ("a DNS name beside it", drain().dns("app.apps.internal").issue(), Standing::InForce),
            ("a common name", drain().cn("instance").issue(), Standing::InForce),
        ];
        for (case, leaf, standing) in cases {
            let credentials = Credentials::from_pem(&leaf.chain_pem, &leaf.key_pem).unwrap();
            assert_eq!(standing_of(&credentials), standing, "{case}");
        }
    }
}
