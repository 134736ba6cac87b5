//! Log lines in Gorouter's form: one JSON object per line (gorouter.md §1).
//!
//! Code logs with `tracing`'s macros. The event's message is the line's `message`, every other field goes into
//! `data` under its own name. A field called `data` that holds the text of a JSON object is merged into `data`: that
//! is the way for nested objects and lists, best with [`Json`]. The target names the source:
//!
//! ```
//! # use trueroute::observe::log::Json;
//! tracing::info!(target: "nats", host = "localhost:4222", "Successfully-connected-to-nats");
//! tracing::warn!(target: "registry", uri = "a.example.com", data = %Json(&[("endpoints", ["10.0.0.1:80"])]), "kept");
//! ```
//!
//! Lines pass a bounded queue to one writer thread; who logs never waits for standard output.

mod line;
mod threshold;

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use self::line::Lines;
pub use self::threshold::Threshold;
use super::spool::{self, DropCount, Spool, Writer};

/// Bytes that may wait for standard output.
const QUEUE: usize = 8 * 1024 * 1024;

/// Targets that become the suffix of a line's source; anything else of our own logs under the bare prefix.
pub const SOURCES: &[&str] = &[
    "nats",
    "registry",
    "access-grlog",
    "FileDescriptor",
    "router",
    "proxy",
    "subscriber",
    "NATSMonitor",
    "route-fetcher",
    "metricsreporter",
];

/// The source's prefix when the configuration names none (`logging.syslog`).
pub const DEFAULT_SOURCE: &str = "gorouter.stdout";

/// How a line tells the time (`logging.format.timestamp`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// Seconds since 1970 as a number with a fraction.
    #[default]
    UnixEpoch,
    /// The local wall clock as `2006-01-02T15:04:05.000000000Z`, whatever the zone.
    Rfc3339,
}

/// What the log shows, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The source's prefix; [`DEFAULT_SOURCE`] unless configured.
    pub source: String,
    /// Lines below this are not written.
    pub level: LevelFilter,
    /// The form of the timestamp.
    pub timestamps: Timestamps,
}

impl Default for Settings {
    fn default() -> Self {
        Self { source: DEFAULT_SOURCE.into(), level: LevelFilter::DEBUG, timestamps: Timestamps::default() }
    }
}

/// The log can't start.
#[derive(Debug, Error)]
pub enum InitError {
    /// No thread for the writer.
    #[error("the log's writer thread did not start")]
    Thread(#[from] io::Error),
    /// Somebody else receives this process' events.
    #[error("the process has a log already")]
    Taken(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Makes every event of the process a line on standard output. Once per process.
///
/// Keep the guard until the very end, and drop it before `std::process::exit`: lines are written by another thread.
///
/// # Errors
///
/// If the process has a log already, or no thread can be started.
pub fn init(settings: Settings) -> Result<Guard, InitError> {
    let (layer, guard) = layer(settings, io::stdout())?;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
    Ok(guard)
}

/// A layer that writes lines to `sink`, for subscribers composed elsewhere.
///
/// # Errors
///
/// If no thread can be started.
pub fn layer<W: Write + Send + 'static>(settings: Settings, sink: W) -> io::Result<(LogLayer, Guard)> {
    // Gorouter knows nothing finer than debug.
    let level = Threshold::new(settings.level.min(LevelFilter::DEBUG));
    let lines = Lines::new(settings.source, settings.timestamps);
    let reporting = lines.clone();
    let lost = move |count: u64, sink: &mut W| {
        let mut line = Vec::new();
        reporting.losses(count, SystemTime::now(), &mut line);
        // If even this is refused there is nobody left to tell; the count stays in the metrics.
        _ = sink.write_all(&line).and_then(|()| sink.flush());
    };
    let (spool, writer) = spool::start("log", QUEUE, sink, lost)?;
    let dropped = spool.dropped();
    Ok((LogLayer { level: level.clone(), lines, spool }, Guard { writer, dropped, level }))
}

/// Holds the log open; dropping it writes what is queued, waiting at most two seconds.
#[derive(Debug)]
#[must_use = "lines logged after the guard is dropped are lost"]
pub struct Guard {
    writer: Writer,
    dropped: DropCount,
    level: Threshold,
}

impl Guard {
    /// Waits until what was logged so far is written; false if that took longer than `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        self.writer.flush(patience)
    }

    /// The level from which on lines are written.
    #[must_use]
    pub fn level(&self) -> Threshold {
        self.level.clone()
    }

    /// The lines lost so far.
    #[must_use]
    pub fn dropped(&self) -> DropCount {
        self.dropped.clone()
    }
}

/// The line for a failure before any log exists: no source, time since the epoch (§1), without a line end.
#[must_use]
pub fn startup_failure(message: &str, error: &str, now: SystemTime) -> String {
    line::startup_failure(message, error, now)
}

/// Prints a value as JSON, for the field `data`; only done if the line is written at all.
#[derive(Debug)]
pub struct Json<'a, T: ?Sized>(pub &'a T);

impl<T: Serialize + ?Sized> fmt::Display for Json<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

/// Turns events into lines. Spans are not its business and are switched off.
#[derive(Debug)]
pub struct LogLayer {
    level: Threshold,
    lines: Lines,
    spool: Spool,
}

/// Whose event it is, by its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin<'a> {
    /// One of [`SOURCES`].
    Named(&'a str),
    /// A module of ours.
    Ours,
    /// A library.
    Foreign,
}

impl<'a> Origin<'a> {
    fn of(target: &'a str) -> Self {
        if SOURCES.contains(&target) {
            Self::Named(target)
        } else if target.starts_with("trueroute") {
            Self::Ours
        } else {
            Self::Foreign
        }
    }
}

thread_local! {
    /// Taken out while a line is made, so that a field that logs while it is printed finds new buffers, not these.
    static BUFFERS: Cell<line::Buffers> = Cell::default();
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let foreign_noise = || Origin::of(metadata.target()) == Origin::Foreign && *metadata.level() > Level::WARN;
        metadata.is_event() && *metadata.level() <= self.level.level() && !foreign_noise()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.level())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut buffers = BUFFERS.try_with(Cell::take).unwrap_or_default();
        let line = self.lines.event(event, SystemTime::now(), &mut buffers);
        self.spool.push(line, 1);
        // A thread on its way out has no place to keep them.
        _ = BUFFERS.try_with(|place| place.set(buffers));
    }
}

#[cfg(test)]
mod tests;
