//! One line per connection, in the format that Envoy writes for one that carries no HTTP it knows of.
//!
//! Fields that would tell of a request are dashes. Promises: a connection is written once, when it has ended, whether it
//! was let in or not; a line that can not be written is lost and costs nothing else.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
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
    File(PathBuf, Mutex<File>),
}

/// What is told of one connection.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) began: SystemTime,
    pub(crate) took: Duration,
    pub(crate) from_router: u64,
    pub(crate) from_app: u64,
    pub(crate) app: &'a AppAddress,
    pub(crate) reached: Reached,
}

/// How far a connection came on its way to the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It was turned away before the app was dialled.
    Nothing,
    /// The app was dialled, and is not known to have refused.
    App,
    /// The app refused, or did not answer.
    Refusal,
}

/// All access logs of a sidecar.
#[derive(Clone, Debug, Default)]
pub struct AccessLogs(Vec<Arc<AccessLog>>);

impl AccessLogs {
    /// Opens the files again under their names: whoever rotates logs has moved them away. A file that can not be opened
    /// goes on where it was.
    ///
    /// # Errors
    /// The first file that could not be opened, after all were tried.
    pub fn reopen(&self) -> io::Result<()> {
        let mut told = Ok(());
        for log in &self.0 {
            told = told.and(log.reopen());
        }
        told
    }
}

impl FromIterator<Arc<AccessLog>> for AccessLogs {
    fn from_iter<I: IntoIterator<Item = Arc<AccessLog>>>(logs: I) -> Self {
        Self(logs.into_iter().collect())
    }
}

impl AccessLog {
    /// Opens the log, a file to be continued.
    pub(crate) fn open(target: &settings::AccessLog) -> io::Result<Self> {
        Ok(match target {
            settings::AccessLog::Stdout => Self::Stdout,
            settings::AccessLog::Stderr => Self::Stderr,
            settings::AccessLog::File(path) => Self::File(path.clone(), Mutex::new(continued(path)?)),
        })
    }

    fn reopen(&self) -> io::Result<()> {
        if let Self::File(path, file) = self {
            let fresh = continued(path)?;
            *file.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Ok(())
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        let text = line.text();
        // In one piece, or two connections could share a line.
        let _ = match self {
            Self::Stdout => io::stdout().lock().write_all(text.as_bytes()),
            Self::Stderr => io::stderr().lock().write_all(text.as_bytes()),
            Self::File(_, file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes()),
        };
    }
}

/// Waits for nobody, also where it is a pipe.
fn continued(path: &Path) -> io::Result<File> {
    let at_once = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().create(true).append(true).custom_flags(at_once).open(path)
}

impl Line<'_> {
    fn text(&self) -> String {
        let Self { took, from_router, from_app, app, .. } = self;
        let began = Rfc3339(self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        // Both flags are Envoy's: the upstream failed, and no attempt at it is left.
        let (took, flags) = (took.as_millis(), if self.reached == Reached::Refusal { "UF,URX" } else { "-" });
        let app = if self.reached == Reached::Nothing { "-".to_owned() } else { app.to_string() };
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
        let took = Duration::from_millis(7);
        let line = Line { began, took, from_router: 5, from_app: 90, app: &app, reached: Reached::App };
        assert_eq!(
            line.text(),
            "[2024-02-28T23:59:59.042Z] \"- - -\" 0 - 5 90 7 - \"-\" \"-\" \"-\" \"-\" \"10.255.116.6:8080\"\n"
        );
        let nothing = Line { reached: Reached::Nothing, ..line };
        assert!(nothing.text().ends_with(" 0 - 5 90 7 - \"-\" \"-\" \"-\" \"-\" \"-\"\n"), "{}", nothing.text());
        let refusal = Line { reached: Reached::Refusal, ..nothing };
        assert!(refusal.text().contains(" 0 UF,URX 5 ") && refusal.text().ends_with(" \"10.255.116.6:8080\"\n"));
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_again_under_its_name() {
        let dir = trueroute_testkit::Tempdir::new().unwrap();
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("moved"));
        let log = Arc::new(AccessLog::open(&settings::AccessLog::File(path.clone())).unwrap());
        let logs = AccessLogs::from_iter([Arc::clone(&log)]);
        let (app, began) = ("127.0.0.1:1".parse().unwrap(), SystemTime::UNIX_EPOCH);
        let (took, reached) = (Duration::ZERO, Reached::App);
        let line = Line { began, took, from_router: 0, from_app: 0, app: &app, reached };
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
        log.write(&line);
        std::fs::rename(&path, &moved).unwrap();
        log.write(&line);
        logs.reopen().unwrap();
        log.write(&line);
        assert_eq!((lines(&moved), lines(&path)), (2, 1));
        // Where there is nothing to open, lines still go somewhere.
        let kept = dir.path().join("kept");
        std::fs::rename(&path, &kept).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(logs.reopen().is_err());
        log.write(&line);
        assert_eq!(lines(&kept), 2);
        // A pipe that nobody reads must not stop the one thread that serves.
        std::fs::remove_dir(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(logs.reopen().is_err());
    }
}
