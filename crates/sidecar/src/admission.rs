//! How many handshakes may be unfinished at once, and who gives way when there are too many.
//!
//! Above the cap a new connection takes the place of one that waits for nothing but its peer. First of the one that has
//! been silent for longest, that is, has not sent a `ClientHello`: it has cost its peer nothing and proved nothing, so a
//! crowd of silent connections can't shut honest routers out (they would have to come faster than a `ClientHello`
//! crosses the wire). Without any such, of the one that has left our answer unanswered for longest, once that takes
//! longer than an honest router does: a `ClientHello` is cheap to send, too. Nobody gives way while the app is dialled,
//! for that wait is ours. Where all unfinished handshakes make progress the load is honest, and accepting waits: the
//! kernel's backlog queues in order, and no endpoint is punished for being busy. Either way the handshake deadline frees
//! every place in the end, also those of peers who send one byte at a time.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout_at},
};

/// How long a peer may leave us waiting in the middle of a handshake before somebody else may have its place: many
/// round trips, and the pauses of a busy router.
const PATIENCE: Duration = Duration::from_secs(1);

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// Connections that wait for their peers, longest first.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Those without a `ClientHello`.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
    /// Those that were answered, with the time at which they were heard last.
    answered: BTreeMap<u64, (Instant, oneshot::Sender<()>)>,
}

impl Waiting {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Makes one give way, if there is one that has to at `now`, and tells when to ask for another.
    fn make_room(&mut self, now: Instant) -> Instant {
        let overdue = |since: Instant| since + PATIENCE <= now;
        let leave = match (self.silent.pop_first(), self.answered.first_entry()) {
            (Some((_, leave)), _) => leave,
            (None, Some(longest)) if overdue(longest.get().0) => longest.remove().1,
            (None, Some(longest)) => return longest.get().0 + PATIENCE,
            (None, None) => return now + PATIENCE,
        };
        // Who has left by itself frees its place all the same.
        let _ = leave.send(());
        now + PATIENCE
    }
}

impl Admission {
    /// At most `cap` unfinished handshakes; 0 counts as 1, or nobody could ever come in.
    pub(crate) fn new(cap: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(cap.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Self { places, waiting: Mutex::default() })
    }

    /// Waits for a place for one accepted connection, making another give way if there is none.
    pub(crate) async fn place(self: &Arc<Self>) -> Place {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.place_of_another().await,
        };
        let (leave, left) = oneshot::channel();
        let mut waiting = self.waiting();
        let number = waiting.number();
        waiting.silent.insert(number, leave);
        drop(waiting);
        Place { admission: Arc::clone(self), number, left, leave: None, _permit: permit }
    }

    async fn place_of_another(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let next = self.waiting().make_room(Instant::now());
            // The semaphore is never closed; without a permit the cap would merely not hold for this one.
            if let Ok(permit) = timeout_at(next, Arc::clone(&self.places).acquire_owned()).await {
                return permit.ok();
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held, and a map is whole at any time.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One unfinished handshake. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    number: u64,
    left: oneshot::Receiver<()>,
    /// Here while nobody may take this place.
    leave: Option<oneshot::Sender<()>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Completes when this connection has to give way. Not once it [spoke](Place::spoke), until it was answered.
    pub(crate) async fn gave_way(&mut self) {
        if (&mut self.left).await.is_err() {
            std::future::pending().await
        }
    }

    /// The peer has sent its `ClientHello`: while it waits for us nobody takes this place. Whoever was asked to leave in
    /// that very moment stays.
    pub(crate) fn spoke(&mut self) {
        let known = self.withdraw();
        let leave = known.unwrap_or_else(|| {
            let (leave, left) = oneshot::channel();
            self.left = left;
            leave
        });
        self.leave = Some(leave);
    }

    /// Nobody waits for this peer any more. `None` if it was asked to leave.
    fn withdraw(&mut self) -> Option<oneshot::Sender<()>> {
        let mut waiting = self.admission.waiting();
        let silent = waiting.silent.remove(&self.number);
        let answered = waiting.answered.remove(&self.number).map(|(_, leave)| leave);
        self.leave.take().or(silent).or(answered)
    }

    /// Does `work`, which answers the peer and then waits for it alone; `None` if this connection had to give way.
    pub(crate) async fn while_it_answers<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let asked = Pin::new(&mut self.left).poll(cx);
            if asked == Poll::Ready(Ok(())) {
                return Poll::Ready(None);
            }
            // Whatever else woke this up is a sign of life.
            self.heard();
            work.as_mut().poll(cx).map(Some)
        })
        .await
        .inspect(|_| self.spoke())
    }

    /// From now on the peer is waited for, and others wait for it less long.
    fn heard(&mut self) {
        let Some(leave) = self.withdraw() else { return };
        let mut waiting = self.admission.waiting();
        self.number = waiting.number();
        waiting.answered.insert(self.number, (Instant::now(), leave));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.withdraw();
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
    async fn a_hello_that_crosses_with_the_demand_to_leave_counts() {
        let admission = Admission::new(1);
        let mut first = admission.place().await;
        let mut second = pin!(admission.place());
        assert!(second.as_mut().now_or_never().is_none());
        first.spoke();
        assert!(first.gave_way().now_or_never().is_none());
        assert!(first.while_it_answers(std::future::pending::<()>()).now_or_never().is_none());
        drop(first);
        second.await;
    }

    /// The first wait of `place` for an answer that does not come, made long enough.
    async fn unanswered(place: &mut Place, long: Duration) {
        assert!(place.while_it_answers(std::future::pending::<()>()).now_or_never().is_none());
        tokio::time::advance(long).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_our_answer_unanswered_for_longest_gives_way_in_time() {
        let admission = Admission::new(2);
        let mut first = admission.place().await;
        let mut second = admission.place().await;
        first.spoke();
        second.spoke();
        unanswered(&mut first, PATIENCE / 2).await;
        unanswered(&mut second, Duration::ZERO).await;
        let asked = Instant::now();
        let newcomer = admission.clone();
        let third = tokio::spawn(async move { newcomer.place().await });
        first.gave_way().await;
        assert_eq!(asked.elapsed(), PATIENCE / 2);
        assert!(second.gave_way().now_or_never().is_none());
        drop(first);
        third.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_just_heard_or_waits_for_the_app_keeps_its_place() {
        let admission = Admission::new(2);
        let (mut heard, mut dialling) = (admission.place().await, admission.place().await);
        heard.spoke();
        dialling.spoke();
        unanswered(&mut heard, PATIENCE * 3 / 4).await;
        unanswered(&mut heard, PATIENCE * 3 / 4).await;
        let mut third = std::pin::pin!(admission.place());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(heard.gave_way().now_or_never().is_none());
        assert!(dialling.gave_way().now_or_never().is_none());
        // The silent ones first, whoever else has waited.
        drop(dialling);
        let mut silent = third.await;
        tokio::time::advance(PATIENCE).await;
        assert!(admission.place().now_or_never().is_none());
        silent.gave_way().await;
        assert!(heard.gave_way().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_place_leaves_nothing_behind() {
        let admission = Admission::new(3);
        drop(admission.place().await);
        let mut answered = admission.place().await;
        answered.spoke();
        assert_eq!(answered.while_it_answers(async { 1 }).await, Some(1));
        drop(answered);
        assert!(admission.waiting().silent.is_empty() && admission.waiting().answered.is_empty());
        assert_eq!(admission.places.available_permits(), 3);
    }
}
