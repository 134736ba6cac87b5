//! Words of a command line, one flag and its value at a time.

use std::{collections::VecDeque, ffi::OsString};

use super::{CommandLineError, wrong};

/// What is known of a flag that changes nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has a value behind it.
    Valued,
    /// It stands alone.
    Switch,
    /// Whether it has a value must be told by what follows it.
    Unknown,
}

/// Flags of Envoy, of all releases, that have a value; those of Envoy on Windows among them.
const VALUED: [&str; 27] = [
    "--admin-address-path",
    "--base-id",
    "--base-id-path",
    "--bootstrap-version",
    "--c2c-creds",
    "--component-log-level",
    "--concurrency",
    "--disable-extensions",
    "--drain-strategy",
    "--file-flush-interval-msec",
    "--file-flush-min-size-kb",
    "--hot-restart-version",
    "--id-creds",
    "--id-validation",
    "--local-address-ip-version",
    "--log-format",
    "--log-path",
    "--max-obj-name-len",
    "--max-stats",
    "--parent-shutdown-time-s",
    "--restart-epoch",
    "--service-zone",
    "--skip-hot-restart-on-no-parent",
    "--socket-mode",
    "--socket-path",
    "--stats-tag",
    "--fine-grain-log-level",
];

/// Flags of Envoy, of all releases, that stand alone.
const SWITCHES: [&str; 16] = [
    "--allow-unknown-fields",
    "--allow-unknown-static-fields",
    "--reject-unknown-dynamic-fields",
    "--ignore-unknown-dynamic-fields",
    "--skip-deprecated-logs",
    "--cpuset-threads",
    "--disable-hot-restart",
    "--enable-mutex-tracing",
    "--use-dynamic-base-id",
    "--v2-config-only",
    "--use-libevent-buffers",
    "--use-fake-symbol-table",
    "--enable-fine-grain-logging",
    "--enable-core-dump",
    "--log-format-escaped",
    "--log-format-prefix-with-location",
];

/// What is known of `flag`.
pub(super) fn kind(flag: &str) -> Kind {
    if VALUED.contains(&flag) {
        Kind::Valued
    } else if SWITCHES.contains(&flag) {
        Kind::Switch
    } else {
        Kind::Unknown
    }
}

/// What is left of a command line.
pub(super) struct Words {
    left: VecDeque<String>,
    /// The value that stood behind an equals sign.
    joined: Option<String>,
}

impl Words {
    pub(super) fn new(words: impl IntoIterator<Item = OsString>) -> Self {
        Self { left: words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect(), joined: None }
    }

    /// The next flag. A value that nobody asked for counts as one.
    pub(super) fn flag(&mut self) -> Option<String> {
        self.joined = None;
        let word = self.left.pop_front()?;
        match word.split_once('=').filter(|_| word.starts_with("--")) {
            Some((flag, value)) => {
                self.joined = Some(value.to_owned());
                Some(flag.to_owned())
            }
            None => Some(word),
        }
    }

    /// Whether a value follows.
    pub(super) fn next_is_value(&self) -> bool {
        self.joined.is_some() || self.left.front().is_some_and(|word| !word.starts_with('-'))
    }

    /// The value of `flag`.
    pub(super) fn value(&mut self, flag: &str) -> Result<String, CommandLineError> {
        let value = self.joined.take().or_else(|| self.left.pop_front());
        value.ok_or_else(|| CommandLineError::NoValue(flag.to_owned()))
    }

    /// The value of `flag` as a number.
    pub(super) fn number(&mut self, flag: &str) -> Result<u64, CommandLineError> {
        let value = self.value(flag)?;
        value.parse().map_err(|_| wrong(flag, &value, "a number"))
    }

    /// The value of `flag` as a number above 0.
    pub(super) fn count(&mut self, flag: &str) -> Result<usize, CommandLineError> {
        let value = self.value(flag)?;
        let count = value.parse().ok().filter(|count| (1..=1_000_000).contains(count));
        count.ok_or_else(|| wrong(flag, &value, "a number between 1 and 1000000"))
    }
}
