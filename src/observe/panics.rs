//! What a panic was about, kept for the line in the log that tells of it (`panic-check`, gorouter.md section 1).
//!
//! Whoever confines a panic learns its message only. The place comes from the process' panic hook, and the request
//! from its exchange, which is dropped on the way.

use std::{
    backtrace::Backtrace,
    cell::RefCell,
    panic::{AssertUnwindSafe, PanicHookInfo, set_hook, take_hook},
};

use futures_util::FutureExt;

/// A panic, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panicked {
    /// The host of the request in whose course it happened; empty if it was in nobody's.
    pub host: String,
    /// Its message.
    pub error: String,
    /// Where it happened, and the calls that led there; empty without [`watch`].
    pub stacktrace: String,
}

impl Panicked {
    /// Writes it to the log.
    pub fn log(&self) {
        let Self { host, error, stacktrace } = self;
        tracing::error!(target: "proxy", host, error, stacktrace, "panic-check");
    }
}

/// Runs a part of the process to its end, and says whether that was a panic, which is logged then.
pub async fn confine(work: impl Future<Output = ()>) -> bool {
    let panicked = AssertUnwindSafe(work).catch_unwind().await.is_err();
    if panicked {
        taken().log();
    }
    panicked
}

thread_local! {
    static LAST: RefCell<Panicked> = RefCell::default();
}

/// Keeps from now on what panics of this process are about, beside what was done with them before. Once per process.
pub fn watch() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        note(|last| {
            last.error = message(panic);
            last.stacktrace = match panic.location() {
                Some(place) => format!("{place}\n{}", Backtrace::force_capture()),
                None => Backtrace::force_capture().to_string(),
            };
        });
        before(panic);
    }));
}

/// The panic that this thread is in belongs to a request for `host`.
pub fn belongs_to(host: &[u8]) {
    note(|last| last.host = String::from_utf8_lossy(host).into_owned());
}

/// The last panic of this thread, which is forgotten with that.
#[must_use]
pub fn taken() -> Panicked {
    LAST.try_with(|last| last.try_borrow_mut().map(|mut last| std::mem::take(&mut *last)).unwrap_or_default())
        .unwrap_or_default()
}

fn note(what: impl FnOnce(&mut Panicked)) {
    // A thread on its way out has nobody left to tell.
    _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| what(&mut last)));
}

fn message(panic: &PanicHookInfo<'_>) -> String {
    panic.payload_as_str().unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place_and_its_request() {
        watch();
        assert!(catch_unwind(|| panic!("a fault of {}", "ours")).is_err());
        belongs_to(b"app.example.com");
        let Panicked { host, error, stacktrace } = taken();
        assert_eq!((&*host, &*error), ("app.example.com", "a fault of ours"));
        assert!(stacktrace.starts_with("src/observe/panics.rs:"), "{stacktrace}");
        assert_eq!(taken(), Panicked::default(), "and forgotten with that");
    }
}
