//! The ordered group: what a router consists of for whoever reads its log, and the order in which it ends.
//!
//! Owns the members that run beside the traffic, in the order of their start. Promises: they end in the reverse order,
//! each only after the one that was started later, and each says so (gorouter.md section 1). A member that panics ends
//! the router: without it the table would no longer be kept true, and nobody would see that.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::observe::{metrics::Metrics, panics};

/// Raised when a part is lost that the router does not outlive. Clones raise the same one.
#[derive(Clone, Debug)]
pub(super) struct Alarm {
    raised: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

impl Alarm {
    /// Panics are counted in `metrics`.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { raised: watch::Sender::new(false), metrics }
    }

    /// A part is lost for good.
    pub(super) fn raise(&self) {
        self.raised.send_replace(true);
    }

    /// Waits until it is raised.
    pub(super) async fn raised(&self) {
        // The sender lives as long as this.
        let _ = self.raised.subscribe().wait_for(|raised| *raised).await;
    }

    /// Runs a part that the router can do without. A panic ends that part, is logged, and counted.
    pub(super) async fn note(self, work: impl Future<Output = ()>) {
        if panics::confine(work).await {
            self.metrics.panicked();
        }
    }

    /// Runs a part that the router does not outlive.
    pub(super) async fn watch(self, work: impl Future<Output = ()>) {
        if panics::confine(work).await {
            self.metrics.panicked();
            self.raise();
        }
    }
}

/// Who logs its end, under a name that operators know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// Follows the Routing API.
    RouteFetcher,
    /// Counts descriptors.
    FileDescriptors,
    /// Applies what is heard on the bus.
    Subscriber,
    /// Sees to it that a bus that is lost for good ends the router.
    NatsMonitor,
    /// Takes the traffic.
    Router,
}

impl Member {
    /// The last line of this member.
    pub(super) fn log_exit(self) {
        // A target belongs to the place of the call.
        match self {
            Self::RouteFetcher => tracing::info!(target: "route-fetcher", "exited"),
            Self::FileDescriptors => tracing::info!(target: "FileDescriptor", "exited"),
            Self::Subscriber => tracing::info!(target: "subscriber", "exited"),
            Self::NatsMonitor => tracing::info!(target: "NATSMonitor", "exited"),
            Self::Router => tracing::info!(target: "router", "exited"),
        }
    }
}

/// The members that run, in the order of their start.
#[derive(Debug)]
pub(super) struct Group {
    running: Vec<Running>,
    alarm: Alarm,
}

#[derive(Debug)]
struct Running {
    member: Member,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Group {
    /// Nobody yet.
    pub(super) fn new(alarm: Alarm) -> Self {
        Self { running: Vec::new(), alarm }
    }

    /// Starts `member` with what it does until its token is cancelled.
    pub(super) fn start<W>(&mut self, member: Member, work: impl FnOnce(CancellationToken) -> W)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.alarm.clone().watch(work(stop.clone())));
        self.running.push(Running { member, stop, task });
    }

    /// Ends the members, the last one first. Each has `patience`.
    pub(super) async fn stop(mut self, patience: Duration) {
        while let Some(Running { member, stop, task }) = self.running.pop() {
            stop.cancel();
            let _ = timeout(patience, task).await;
            member.log_exit();
        }
    }
}

impl Drop for Group {
    /// A router that never opened leaves nobody behind.
    fn drop(&mut self) {
        for running in &self.running {
            running.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::observe::metrics::Buckets;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn group() -> Group {
        Group::new(Alarm::new(Metrics::new(1, Buckets::default())))
    }

    #[tokio::test]
    async fn members_end_one_by_one_in_reverse_order() {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let mut group = group();
        let members = [Member::RouteFetcher, Member::FileDescriptors, Member::Subscriber, Member::NatsMonitor];
        for member in members {
            let ends = Arc::clone(&ends);
            group.start(member, async move |stop: CancellationToken| {
                stop.cancelled().await;
                // Whoever is asked to leave at the same time would get in between here.
                tokio::task::yield_now().await;
                ends.lock().unwrap().push(member);
            });
        }
        group.stop(PATIENCE).await;
        let mut wanted = members;
        wanted.reverse();
        assert_eq!(*ends.lock().unwrap(), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_who_has_ended_nor_who_does_not_listen_holds_up_the_others() {
        let (asked, heard) = tokio::sync::oneshot::channel();
        let mut group = group();
        group.start(Member::FileDescriptors, async |stop: CancellationToken| {
            stop.cancelled().await;
            let _ = asked.send(());
        });
        group.start(Member::Subscriber, async |_| ());
        group.start(Member::NatsMonitor, async |_| std::future::pending().await);
        group.stop(PATIENCE).await;
        assert_eq!(heard.await, Ok(()));
    }

    #[tokio::test]
    async fn a_group_that_is_dropped_is_asked_to_leave() {
        let (asked, heard) = tokio::sync::oneshot::channel();
        let mut group = group();
        group.start(Member::Subscriber, async |stop: CancellationToken| {
            stop.cancelled().await;
            let _ = asked.send(());
        });
        drop(group);
        assert_eq!(heard.await, Ok(()));
    }

    #[tokio::test]
    async fn a_member_that_panics_raises_the_alarm_and_is_counted() {
        let metrics = Metrics::new(1, Buckets::default());
        let alarm = Alarm::new(Arc::clone(&metrics));
        let panics = || metrics.render().lines().any(|line| line == "trueroute_panics_total 1");
        alarm.clone().note(async { panic!("a defect") }).await;
        assert!(panics() && !*alarm.raised.borrow(), "the router does without that part");
        let mut group = Group::new(alarm.clone());
        group.start(Member::Subscriber, async |_| panic!("a defect"));
        alarm.raised().await;
        assert!(!panics(), "it is two now");
    }
}
