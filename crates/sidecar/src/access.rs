//! One line per connection, in the format that Envoy writes for one that carries no HTTP it knows of.
//!
//! Fields that would tell of a request are dashes. Promises: a connection is written once, when it has ended; a line
//! that can not be written is lost and costs nothing else.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{
    log::Rfc3339,
    settings::{self, AppAddress},
};

/// Where lines go.
#[derive(Debug)]
pub(crate) enum AccessLog {
    Stdout,
    Stderr,
    File(Mutex<File>),
}

/// What is told of one connection.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) began: SystemTime,
    pub(crate) took: Duration,
    pub(crate) from_router: u64,
    pub(crate) from_app: u64,
    pub(crate) app: &'a AppAddress,
    /// Whether the app could be reached.
    pub(crate) reached: bool,
}

impl AccessLog {
    /// Opens the log, a file to be continued.
    pub(crate) fn open(target: &settings::AccessLog) -> io::Result<Self> {
        Ok(match target {
            settings::AccessLog::Stdout => Self::Stdout,
            settings::AccessLog::Stderr => Self::Stderr,
            settings::AccessLog::File(path) => {
                Self::File(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?))
            }
        })
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        let text = line.text();
        // In one piece, or two connections could share a line.
        let _ = match self {
            Self::Stdout => io::stdout().lock().write_all(text.as_bytes()),
            Self::Stderr => io::stderr().lock().write_all(text.as_bytes()),
            Self::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes()),
        };
    }
}

impl Line<'_> {
    fn text(&self) -> String {
        let Self { took, from_router, from_app, app, .. } = self;
        let began = Rfc3339(self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let (took, flags) = (took.as_millis(), if self.reached { "-" } else { "UF" });
        format!("[{began}] \"- - -\" 0 {flags} {from_router} {from_app} {took} - \"-\" \"-\" \"-\" \"-\" \"{app}\"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_envoys() {
        let app = "10.255.116.6:8080".parse().unwrap();
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(1_709_164_799_042);
        let line =
            Line { began, took: Duration::from_millis(7), from_router: 5, from_app: 90, app: &app, reached: true };
        assert_eq!(
            line.text(),
            "[2024-02-28T23:59:59.042Z] \"- - -\" 0 - 5 90 7 - \"-\" \"-\" \"-\" \"-\" \"10.255.116.6:8080\"\n"
        );
        assert!(Line { reached: false, ..line }.text().contains(" 0 UF 5 "));
    }
}
