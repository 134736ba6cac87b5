//! Whether files have changed, found out by looking at them now and then.
//!
//! What a name leads to is looked at, so that a link that is turned round counts too. Contents are remembered as a
//! digest: there may be keys in them.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// What tells, without reading it, that a file is the one of the last look; none if it is not there.
type Stamp = Option<(u64, u64, u64, Option<SystemTime>)>;

/// Files, and how they were last found.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    contents: u64,
    /// One was another one at the last look, and may still be written to.
    unsettled: bool,
}

impl Watch {
    /// Takes note of the files as they are.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self { stamps: stamps(&files), contents: digest(&files), unsettled: false, files }
    }

    /// The same, for files that were read by somebody else some time after `read_at`: what was written from then on may
    /// be something else than what was read, and is told as a change.
    pub(super) fn since(files: Vec<PathBuf>, read_at: SystemTime) -> Self {
        let mut watch = Self::new(files);
        if watch.files.iter().filter_map(|path| last_touched(path)).any(|touched| touched >= read_at) {
            (watch.contents, watch.unsettled) = (!watch.contents, true);
        }
        watch
    }

    /// Whether these are the files.
    pub(super) fn is_of(&self, files: &[PathBuf]) -> bool {
        self.files == files
    }

    /// Whether they hold something else than when they were taken note of, and have come to rest: all are the same at
    /// two looks in a row. A certificate and its key are written one after the other. It is told once.
    pub(super) fn has_changed(&mut self) -> bool {
        let stamps = stamps(&self.files);
        if stamps != self.stamps {
            (self.stamps, self.unsettled) = (stamps, true);
            return false;
        }
        if !std::mem::take(&mut self.unsettled) {
            return false;
        }
        let contents = digest(&self.files);
        std::mem::replace(&mut self.contents, contents) != contents
    }
}

/// When a file was written, or came to be under its name: what is moved there keeps its time of writing.
fn last_touched(path: &Path) -> Option<SystemTime> {
    let found = fs::metadata(path).ok()?;
    let since = Duration::new(found.ctime().try_into().ok()?, found.ctime_nsec().try_into().ok()?);
    found.modified().ok().max(SystemTime::UNIX_EPOCH.checked_add(since))
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino(), found.len(), found.modified().ok()))
    };
    files.iter().map(stamp).collect()
}

fn digest(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let read = |path: &Path| fs::read(path).ok();
    files.iter().for_each(|path| read(path).hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::Tempdir;

    use super::*;

    /// The answers of three looks.
    fn looks(watch: &mut Watch) -> [bool; 3] {
        std::array::from_fn(|_| watch.has_changed())
    }

    #[test]
    fn a_change_is_told_once_when_it_has_come_to_rest() {
        let dir = Tempdir::new().unwrap();
        let (cert, key) = (dir.path().join("cert"), dir.path().join("key"));
        fs::write(&cert, "one").unwrap();
        let mut watch = Watch::new(vec![cert.clone(), key.clone()]);
        assert_eq!(looks(&mut watch), [false; 3]);
        fs::write(&cert, "another").unwrap();
        assert!(!watch.has_changed(), "it may still be written to");
        fs::write(&key, "one").unwrap();
        assert!(!watch.has_changed(), "the other is");
        assert_eq!(looks(&mut watch), [true, false, false]);
        fs::remove_file(&key).unwrap();
        assert_eq!(looks(&mut watch), [false, true, false]);
    }

    #[test]
    fn what_was_written_before_the_first_look_is_a_change_too() {
        let dir = Tempdir::new().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "one").unwrap();
        let written = last_touched(&file).unwrap();
        assert_eq!(looks(&mut Watch::since(vec![file.clone()], written + Duration::from_nanos(1))), [false; 3]);
        assert_eq!(looks(&mut Watch::since(vec![file.clone()], written)), [true, false, false]);
        // As `cp -p` leaves it.
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
        assert!(last_touched(&file).unwrap() >= written);
    }

    #[test]
    fn what_is_written_again_as_it_was_is_no_change() {
        let dir = Tempdir::new().unwrap();
        let (file, next) = (dir.path().join("file"), dir.path().join("next"));
        fs::write(&file, "same").unwrap();
        let mut watch = Watch::new(vec![file.clone()]);
        fs::write(&next, "same").unwrap();
        fs::rename(&next, &file).unwrap();
        assert_eq!(looks(&mut watch), [false; 3]);
    }

    #[test]
    fn a_link_that_is_turned_round_is_a_change() {
        let dir = Tempdir::new().unwrap();
        let names = ["one", "two", "link", "next"].map(|name| dir.path().join(name));
        let [one, two, link, next] = &names;
        fs::write(one, "1").unwrap();
        fs::write(two, "2").unwrap();
        std::os::unix::fs::symlink(one, link).unwrap();
        let mut watch = Watch::new(vec![link.clone()]);
        std::os::unix::fs::symlink(two, next).unwrap();
        fs::rename(next, link).unwrap();
        assert_eq!(looks(&mut watch), [false, true, false]);
    }
}
