//! Words of a command line, one flag and its value at a time.

use std::{collections::VecDeque, ffi::OsString};

use super::{CommandLineError, wrong};

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

    /// Leaves out what could be the value of the flag that was just taken. No list says which flags have one: it would
    /// be of one release, and a switch taken for more than it is would swallow the flag behind it.
    pub(super) fn pass_over_value(&mut self) {
        if self.joined.take().is_none() && self.left.front().is_some_and(|word| !word.starts_with('-')) {
            self.left.pop_front();
        }
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
