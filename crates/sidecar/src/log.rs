//! One plain line per event on standard error.
//!
//! The sidecar's streams end up in the app's log stream, one entry per line, so nothing that a peer or a file sends may
//! break a line: values with blanks or control characters are quoted and escaped.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::{Context, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

/// Sends events of this crate and of `trueroute-identity` at `level` and above to standard error.
///
/// Other crates stay silent: what matters of theirs is told here, once, and not at every attempt to reconnect.
/// Does nothing if the process has a subscriber already.
pub fn start(level: LogLevel) {
    let (filter, handle) = reload::Layer::new(ours(level.filter));
    if tracing_subscriber::registry().with(Lines.with_filter(filter)).try_init().is_ok() {
        // Set together with the one subscriber of the process, so never twice.
        let _ = HANDLE.set(handle);
        LEVEL.store(level.rank(), Relaxed);
    }
}

/// Changes the level while the process runs; whether there is a log of ours to change.
pub fn set_level(level: LogLevel) -> bool {
    let changed = HANDLE.get().is_some_and(|handle| handle.reload(ours(level.filter)).is_ok());
    if changed {
        LEVEL.store(level.rank(), Relaxed);
    }
    changed
}

/// The level in force.
#[must_use]
pub fn level() -> LogLevel {
    LEVELS[usize::from(LEVEL.load(Relaxed)).min(LEVELS.len() - 1)]
}

static HANDLE: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// Which lines are written, by the word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel {
    /// Envoy's word.
    pub word: &'static str,
    /// What comes of it. What is critical to Envoy is what ends it; here every error is worth its line, since each is
    /// told once.
    pub filter: LevelFilter,
}

const LEVELS: [LogLevel; 7] = [
    LogLevel { word: "off", filter: LevelFilter::OFF },
    LogLevel { word: "critical", filter: LevelFilter::ERROR },
    LogLevel { word: "error", filter: LevelFilter::ERROR },
    LogLevel { word: "warning", filter: LevelFilter::WARN },
    LogLevel { word: "info", filter: LevelFilter::INFO },
    LogLevel { word: "debug", filter: LevelFilter::DEBUG },
    LogLevel { word: "trace", filter: LevelFilter::TRACE },
];

impl LogLevel {
    /// The usual one.
    pub const INFO: Self = LEVELS[4];

    /// The level that Envoy calls `word`.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let word = if word == "warn" { "warning" } else { word };
        LEVELS.into_iter().find(|level| level.word == word)
    }

    fn rank(self) -> u8 {
        LEVELS.iter().zip(0..).find(|(level, _)| **level == self).map_or(0, |(_, rank)| rank)
    }
}

fn ours(level: LevelFilter) -> Targets {
    Targets::new().with_target("trueroute_sidecar", level).with_target("trueroute_identity", level)
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = line(since_epoch, *event.metadata().level(), |fields| event.record(fields));
        // Nowhere is left to tell of a failure here.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn line(since_epoch: Duration, level: Level, record: impl FnOnce(&mut Fields)) -> String {
    let mut fields = Fields::default();
    record(&mut fields);
    let Fields { message, rest } = fields;
    format!("{} {level:<5} {message}{rest}\n", Rfc3339(since_epoch))
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn put(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.message.extend(text.chars().map(|c| if is_plain(c) { c } else { ' ' }));
            return;
        }
        let bare = !text.is_empty() && text.chars().all(|c| is_plain(c) && !c.is_whitespace() && c != '"');
        // Writing to a string does not fail.
        let _ = match bare {
            true => write!(self.rest, " {}={text}", field.name()),
            false => write!(self.rest, " {}={text:?}", field.name()),
        };
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, &chain(value));
    }
}

/// An error and its causes on one line, outermost first.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        // Some errors name their cause in their own words already.
        if !text.ends_with(&told) {
            let _ = write!(text, ": {told}");
        }
        source = cause.source();
    }
    text
}

/// `text` with everything escaped that could end its line or turn a terminal about.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match is_plain(c) {
            true => line.push(c),
            false => line.extend(c.escape_default()),
        }
    }
    line
}

fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// A moment after 1970 in UTC, with milliseconds.
pub(crate) struct Rfc3339(pub(crate) Duration);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let millis = self.0.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// A moment after 1970 in UTC, in whole seconds.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Rfc3339(self.0).to_string();
        write!(f, "{}Z", text.split('.').next().unwrap_or_default())
    }
}

/// The Gregorian date that lies `days` after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799, "2024-02-28T23:59:59.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Rfc3339(Duration::from_secs(seconds)).to_string(), expected);
        }
    }

    #[test]
    fn what_could_end_a_line_is_escaped() {
        assert_eq!(one_line("a\nb\r\u{1b}[2J\u{2028}\u{85}é\\\""), "a\\nb\\r\\u{1b}[2J\\u{2028}\\u{85}é\\\"");
    }

    #[test]
    fn an_error_is_told_with_its_causes_each_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("no such file")]
        struct Cause;
        #[derive(Debug, thiserror::Error)]
        enum Outer {
            #[error("reading")]
            Silent(#[source] Cause),
            #[error("reading: {0}")]
            Telling(#[source] Cause),
        }
        assert_eq!(chain(&Outer::Silent(Cause)), "reading: no such file");
        assert_eq!(chain(&Outer::Telling(Cause)), "reading: no such file");
    }

    #[test]
    fn whatever_is_logged_stays_one_line() {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        struct Keep(std::sync::Arc<std::sync::Mutex<Vec<String>>>);
        impl<S: Subscriber> Layer<S> for Keep {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let text = line(Duration::ZERO, *event.metadata().level(), |fields| event.record(fields));
                self.0.lock().unwrap().push(text);
            }
        }
        let subscriber = tracing_subscriber::registry().with(Keep(seen.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(peer = "10.0.0.1:99", problem = "a\nb \"c\"", empty = "", n = 3, "two\r\nlines");
        });
        let expected =
            "1970-01-01T00:00:00.000Z WARN  two  lines peer=10.0.0.1:99 problem=\"a\\nb \\\"c\\\"\" empty=\"\" n=3\n";
        assert_eq!(*seen.lock().unwrap(), [expected]);
    }
}
