//! How many handshakes may be unfinished at once, and who gives way when there are too many.
//!
//! Above the cap a new connection takes the place of the one that has been silent for longest, that is, has not sent a
//! `ClientHello`: it has cost its peer nothing and proved nothing, so a crowd of silent connections can't shut honest
//! routers out (they would have to come faster than a `ClientHello` crosses the wire). Where every unfinished
//! handshake is past its `ClientHello` the load is honest, and accepting waits: the kernel's backlog queues in order,
//! and no endpoint is punished for being busy. Either way the handshake deadline frees every place in the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    silent: Mutex<Silent>,
}

/// Connections without a `ClientHello`, oldest first.
#[derive(Debug, Default)]
struct Silent {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Admission {
    /// At most `cap` unfinished handshakes; 0 counts as 1, or nobody could ever come in.
    pub(crate) fn new(cap: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(cap.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Self { places, silent: Mutex::default() })
    }

    /// Waits for a place for one accepted connection, making the longest silent one give way if there is none.
    pub(crate) async fn place(self: &Arc<Self>) -> Place {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.evict_longest_silent();
                // The semaphore is never closed; without a permit the cap would merely not hold for this one.
                Arc::clone(&self.places).acquire_owned().await.ok()
            }
        };
        let (leave, left) = oneshot::channel();
        let mut silent = self.silent();
        let number = silent.next;
        silent.next += 1;
        silent.waiting.insert(number, leave);
        drop(silent);
        Place { admission: Arc::clone(self), number, left, _permit: permit }
    }

    fn evict_longest_silent(&self) {
        if let Some((_, leave)) = self.silent().waiting.pop_first() {
            // Who has left by itself frees its place all the same.
            let _ = leave.send(());
        }
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        // Nothing panics while it is held, and a map is whole at any time.
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One unfinished handshake. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    number: u64,
    left: oneshot::Receiver<()>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Completes when this connection has to give way. Never after [`Place::spoke`].
    pub(crate) async fn gave_way(&mut self) {
        if (&mut self.left).await.is_err() {
            std::future::pending().await
        }
    }

    /// The peer has sent its `ClientHello`: from now on nobody takes this place.
    pub(crate) fn spoke(&mut self) {
        self.admission.silent().waiting.remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.spoke();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_longest_silent_connection_gives_way() {
        let admission = Admission::new(2);
        let mut first = admission.place().await;
        let mut second = admission.place().await;
        let mut third = std::pin::pin!(admission.place());
        assert!(third.as_mut().now_or_never().is_none());
        first.gave_way().await;
        assert!(second.gave_way().now_or_never().is_none());
        drop(first);
        third.await;
    }

    #[tokio::test]
    async fn who_has_spoken_keeps_its_place_and_the_next_waits() {
        let admission = Admission::new(1);
        let mut first = admission.place().await;
        first.spoke();
        let mut second = std::pin::pin!(admission.place());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(first.gave_way().now_or_never().is_none());
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn a_place_leaves_nothing_behind() {
        let admission = Admission::new(3);
        drop(admission.place().await);
        assert!(admission.silent().waiting.is_empty());
        assert_eq!(admission.places.available_permits(), 3);
    }
}
