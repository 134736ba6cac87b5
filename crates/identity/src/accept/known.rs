//! Callers whose certificates were found good before.
//!
//! A router shows the same chain for each of its connections, and what is thought of it follows from the bytes of the
//! chain, the authorities and the clock alone. So one finding holds for the same bytes under the same terms, as long as
//! every certificate shown is inside its validity. Whether the caller holds the key is never taken from here: rustls
//! checks that proof in each handshake.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustls::pki_types::CertificateDer;

use crate::{leaf, peer_identity::PeerIdentity};

/// How many chains are remembered: more routers than one platform has in front of an app, and some tens of KiB at most.
const MOST: usize = 16;

/// A longer chain is not remembered: nobody needs one, and it would be memory that a caller chooses.
const LONGEST: usize = 16 * 1024;

/// Chains of one state of the terms, oldest first. Only what was found good gets in.
#[derive(Default)]
pub(super) struct Known(Mutex<VecDeque<Chain>>);

struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    not_before: SystemTime,
    not_after: SystemTime,
    holder: Arc<PeerIdentity>,
}

/// A caller that is let in.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) holder: Arc<PeerIdentity>,
    /// When the first certificate of its chain ends; `None` where that was not found out.
    pub(super) until: Option<SystemTime>,
}

impl Known {
    /// The caller with this very chain, if it was found good before and is in force at `clock`.
    pub(super) fn caller(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        clock: SystemTime,
    ) -> Option<Caller> {
        let chains = self.chains();
        let chain = chains.iter().find(|chain| chain.is(leaf, intermediates))?;
        (chain.not_before <= clock && clock <= chain.not_after)
            .then(|| Caller { holder: chain.holder.clone(), until: Some(chain.not_after) })
    }

    /// Remembers that this chain was found good, and tells when the first of its certificates ends. Nothing of both for
    /// a chain that is too long, or that can't be read in full.
    pub(super) fn remember(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        holder: &Arc<PeerIdentity>,
    ) -> Option<SystemTime> {
        let shown = || std::iter::once(leaf).chain(intermediates);
        if shown().map(|der| der.len()).sum::<usize>() > LONGEST {
            return None;
        }
        let (mut not_before, mut not_after) = (SystemTime::UNIX_EPOCH, None::<SystemTime>);
        for der in shown() {
            // Which of them the finding rests on is not known here, so all must be in force.
            let parsed = leaf::parse(der).ok()?;
            let (from, until) = leaf::bounds(parsed.validity());
            not_before = not_before.max(from);
            not_after = Some(not_after.map_or(until, |sooner| sooner.min(until)));
        }
        let not_after = not_after?;
        let certificates = shown().map(|der| der.clone().into_owned()).collect();
        let mut chains = self.chains();
        chains.retain(|chain| !chain.is(leaf, intermediates));
        if chains.len() == MOST {
            chains.pop_front();
        }
        chains.push_back(Chain { certificates, not_before, not_after, holder: holder.clone() });
        Some(not_after)
    }

    fn chains(&self) -> MutexGuard<'_, VecDeque<Chain>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chain {
    fn is(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
        let Some((own, others)) = self.certificates.split_first() else { return false };
        own == leaf && others == intermediates
    }
}
