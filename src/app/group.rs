//! The ordered group: what a router consists of for whoever reads its log, and the order in which it ends.
//!
//! Owns the members that run beside the traffic, in the order of their start. Promises: they end in the reverse order,
//! each only after the one that was started later, and each says so (gorouter.md section 1).

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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
#[derive(Debug, Default)]
pub(super) struct Group(Vec<Running>);

#[derive(Debug)]
struct Running {
    member: Member,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Group {
    /// Starts `member` with what it does until its token is cancelled.
    pub(super) fn start<W>(&mut self, member: Member, work: impl FnOnce(CancellationToken) -> W)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(work(stop.clone()));
        self.0.push(Running { member, stop, task });
    }

    /// Ends the members, the last one first.
    pub(super) async fn stop(mut self) {
        while let Some(Running { member, stop, task }) = self.0.pop() {
            stop.cancel();
            // A panic has ended it already, and was told when it happened.
            let _ = task.await;
            member.log_exit();
        }
    }
}

impl Drop for Group {
    /// A router that never opened leaves nobody behind.
    fn drop(&mut self) {
        for running in &self.0 {
            running.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn members_end_one_by_one_in_reverse_order() {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let mut group = Group::default();
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
        group.stop().await;
        let mut wanted = members;
        wanted.reverse();
        assert_eq!(*ends.lock().unwrap(), wanted);
    }

    #[tokio::test]
    async fn a_member_that_has_ended_holds_up_nobody() {
        let mut group = Group::default();
        group.start(Member::Subscriber, async |_| ());
        group.start(Member::NatsMonitor, async |stop: CancellationToken| stop.cancelled().await);
        group.stop().await;
    }

    #[tokio::test]
    async fn a_group_that_is_dropped_is_asked_to_leave() {
        let (asked, heard) = tokio::sync::oneshot::channel();
        let mut group = Group::default();
        group.start(Member::Subscriber, async |stop: CancellationToken| {
            stop.cancelled().await;
            let _ = asked.send(());
        });
        drop(group);
        assert_eq!(heard.await, Ok(()));
    }
}
