//! Looks at certificate files when they change, and every now and then anyway.
//!
//! One inotify descriptor watches every folder that a listener reads from, those of links on the way there, and those
//! that its settings name. Where watching is not to be had (the limit
//! is used up, the folder does not exist yet) and for changes that no watch tells of (network file systems, a folder
//! that was replaced), the files are read at intervals and compared. A panic in a look ends that look and no more: what
//! is in force would otherwise stay so until it has run out.

use std::{
    collections::BTreeSet,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
    time::sleep,
};

use crate::{
    presented::Presented,
    stats::{Event, Stats},
};

mod ways;

/// How often files are read while all their folders are watched. 250 sidecars on one machine must not keep it awake.
const WATCHED: Duration = Duration::from_secs(5);

/// Diego renames a key and then its certificate: a look between the two finds halves.
const SETTLING: Duration = Duration::from_millis(25);

/// Looks for ever.
///
/// `interval` is the pause between two looks where folders can not be watched, or `watch` says that they shall not be;
/// a notification of `now` is a look at once. `meanwhile` is done at each look: it spares the machine another wake.
pub(crate) async fn keep_fresh(
    all: Vec<Arc<Presented>>,
    interval: Duration,
    watch: bool,
    now: Arc<Notify>,
    stats: &Stats,
    meanwhile: impl Fn(),
) {
    let folders = watch.then(Folders::new).flatten();
    loop {
        let watched = folders.as_ref().is_some_and(|folders| folders.watch(&all));
        // After the watch was set, so that no change falls between the two.
        all.iter().for_each(|presented| confined(stats, || presented.look()));
        confined(stats, &meanwhile);
        let pause = if watched { interval.max(WATCHED) } else { interval };
        tokio::select! {
            () = sleep(pause) => {}
            () = now.notified() => {}
            () = changed(folders.as_ref()) => sleep(SETTLING).await,
        }
        if let Some(folders) = &folders {
            folders.forget_events();
        }
    }
}

/// Does `work` so that a panic in it ends nothing else. What it shares is what was good last, in locks that a panic
/// leaves usable.
fn confined(stats: &Stats, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        stats.count(Event::Panicked);
        tracing::error!("A look at the certificate files ended by a panic");
    }
}

async fn changed(folders: Option<&Folders>) {
    match folders {
        Some(folders) => folders.changed().await,
        None => std::future::pending().await,
    }
}

/// Folders under watch.
struct Folders(AsyncFd<OwnedFd>);

impl Folders {
    /// `None` where the system gives no descriptor for it.
    fn new() -> Option<Self> {
        let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let descriptor = descriptor.map_err(std::io::Error::from);
        #[expect(
            deprecated,
            reason = "what it warns of, a descriptor that is closed elsewhere, an owned one can not be"
        )]
        let registered = descriptor.and_then(|descriptor| AsyncFd::with_interest(descriptor, Interest::READABLE));
        match registered {
            Ok(descriptor) => Some(Self(descriptor)),
            Err(problem) => {
                tracing::info!(%problem, "Certificate files are read at intervals: they can not be watched");
                None
            }
        }
    }

    /// Watches the folders of all files; whether every one is watched.
    fn watch(&self, all: &[Arc<Presented>]) -> bool {
        let files = all.iter().flat_map(|presented| presented.files());
        let mut folders: BTreeSet<PathBuf> = files.flat_map(|file| ways::to(&file)).collect();
        folders.extend(all.iter().flat_map(|presented| presented.folders()).cloned());
        let all = folders.into_iter().map(|folder| {
            let of_interest = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE;
            // Watching what is watched already changes nothing.
            inotify::add_watch(&self.0, &folder, of_interest).is_ok()
        });
        // Every one is tried, whatever becomes of the others.
        all.fold(true, |so_far, watched| so_far & watched)
    }

    async fn changed(&self) {
        match self.0.readable().await {
            Ok(mut ready) => ready.retain_ready(),
            // The runtime is going down.
            Err(_) => std::future::pending().await,
        }
    }

    /// Reads what has been told. What it was does not matter: all files are compared.
    fn forget_events(&self) {
        let mut events = [0u8; 4096];
        let read = |descriptor: &OwnedFd| match rustix::io::read(descriptor, &mut events) {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN) => Err(std::io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        };
        let mut read = read;
        while self.0.try_io(Interest::READABLE, &mut read).is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_one_look_and_not_those_to_come() {
        let (stats, looks, now) = (Stats::default(), AtomicU64::new(0), Arc::new(Notify::new()));
        let panics = || assert!(looks.fetch_add(1, Relaxed) >= 3, "a bug");
        let looking = keep_fresh(Vec::new(), Duration::from_secs(1), false, now, &stats, panics);
        assert!(tokio::time::timeout(Duration::from_millis(4500), looking).await.is_err());
        assert_eq!((looks.load(Relaxed), stats.of(Event::Panicked)), (5, 3));
    }
}
