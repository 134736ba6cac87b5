//! The warm start: the TLS endpoints of the table on disk, and from there into the table of the next process.
//!
//! Only endpoints that must prove themselves are kept: however old the file is, none of them can get a request meant
//! for another, so serving them before the bus answers is safe. Plain endpoints are never restored. A file that
//! cannot be used is told once and ignored; a file that cannot be written costs a log line and nothing else.

pub mod format;
pub mod keeper;
#[cfg(test)]
mod odd;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use self::format::Unusable;

/// Largest file that is read. A million routes take a quarter of it.
const LARGEST: u64 = 2 << 30;

/// Where a table is kept.
#[derive(Clone, Debug)]
pub struct Snapshot {
    path: PathBuf,
}

/// Why a snapshot was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("snapshot.file: cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is something else.
    #[error("snapshot.file: {} {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: Unusable,
    },
}

impl Snapshot {
    /// The snapshot at `path`.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last snapshot; none where there is no file yet.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(&self) -> Result<Option<Loaded>, LoadError> {
        let bytes = match read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LoadError::Unreadable { path: self.path.clone(), source }),
        };
        match format::check(&bytes) {
            Ok(begin) => Ok(Some(Loaded { bytes, begin })),
            Err(why) => Err(LoadError::Unusable { path: self.path.clone(), why }),
        }
    }

    /// Replaces the snapshot by one of these messages, and returns its size in bytes. A reader, or a crash, meets the
    /// old one or the new one, never a part of either. Blocks on the disk.
    ///
    /// # Errors
    /// What the system says; also where the file is something else, which somebody may want to keep.
    pub fn store(&self, messages: impl Iterator<Item = String>) -> io::Result<u64> {
        if is_something_else(&self.path) {
            return Err(io::Error::other("the file is something else, and is left as it is"));
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let written = write(&beside, messages).and_then(|size| fs::rename(&beside, &self.path).map(|()| size));
        let Ok(size) = written else {
            let _ = fs::remove_file(&beside);
            return written;
        };
        // The new name must survive a power cut as well as the bytes.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(size)
    }
}

/// What a file held.
#[derive(Debug)]
pub struct Loaded {
    bytes: Vec<u8>,
    begin: usize,
}

impl Loaded {
    /// The registration messages, in their order.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        format::messages(&self.bytes[self.begin..])
    }
}

/// Whether a name leads to something that is no snapshot of any version, and not empty either. `snapshot.file` may name
/// the wrong file.
fn is_something_else(path: &Path) -> bool {
    match fs::metadata(path) {
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
        // Nor would a pipe ever be read to its end.
        Ok(found) if !found.is_file() => return true,
        Ok(_) => {}
    }
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut begin));
    read.is_err() || (!begin.is_empty() && !format::is_ours(&begin))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if found.len() > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    fs::read(path)
}

/// Instance ids and addresses are nobody else's business: the file is its owner's alone.
fn write(path: &Path, messages: impl Iterator<Item = String>) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut file = BufWriter::new(file);
    let size = format::write(&mut file, messages)?;
    file.into_inner()?.sync_all()?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use std::{iter, os::unix::fs::PermissionsExt};

    use trueroute_testkit::Tempdir;

    use super::*;

    #[test]
    fn what_was_stored_is_loaded_and_nothing_is_left_beside_it() {
        let dir = Tempdir::new().unwrap();
        let snapshot = Snapshot::at(dir.path().join("routes"));
        assert!(snapshot.load().unwrap().is_none(), "there is none yet");
        for messages in [&["{}"][..], &["{\"a\":1}", "{}"]] {
            let size = snapshot.store(messages.iter().map(ToString::to_string)).unwrap();
            assert_eq!(size, fs::metadata(snapshot.path()).unwrap().len());
            let loaded = snapshot.load().unwrap().unwrap();
            assert!(loaded.messages().eq(messages.iter().map(|message| message.as_bytes())));
        }
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["routes"]);
        assert_eq!(fs::metadata(dir.path().join("routes")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = Tempdir::new().unwrap();
        let path = dir.path().join("routes");
        let snapshot = Snapshot::at(path.clone());
        for (bytes, said) in [
            (&b"something else\n"[..], "is not a snapshot of a route table"),
            (b"trueroute-snapshot 9 00\n", "is of version 9, and this router reads version 1"),
            (b"trueroute-snapshot 1 00\n{}\n", "is damaged: its checksum does not fit"),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(snapshot.load().unwrap_err().to_string(), format!("snapshot.file: {} {said}", path.display()));
        }
        let folder = Snapshot::at(dir.path().to_owned());
        assert!(folder.load().unwrap_err().to_string().ends_with("it is not a file"));
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_the_old_file_stays() {
        let dir = Tempdir::new().unwrap();
        let gone = Snapshot::at(dir.path().join("gone/routes"));
        assert_eq!(gone.store(iter::empty()).unwrap_err().kind(), io::ErrorKind::NotFound);
        let snapshot = Snapshot::at(dir.path().join("routes"));
        snapshot.store(iter::once("{}".to_owned())).unwrap();
        fs::create_dir(dir.path().join("routes.new")).unwrap();
        assert!(snapshot.store(iter::empty()).is_err());
        assert_eq!(snapshot.load().unwrap().unwrap().messages().count(), 1);
    }

    #[test]
    fn a_file_that_is_something_else_is_not_written_over() {
        let dir = Tempdir::new().unwrap();
        let snapshot = Snapshot::at(dir.path().join("file"));
        for (bytes, replaced) in [
            (&b""[..], true),
            (b"trueroute-snapshot 1 00\n{}\n", true),
            (b"trueroute-snapshot 2 00\n", true),
            (b"trueroute-snapshotter\n", false),
            (b"x", false),
        ] {
            fs::write(snapshot.path(), bytes).unwrap();
            let stored = snapshot.store(iter::empty());
            assert_eq!(stored.is_ok(), replaced, "{stored:?}");
            assert_eq!(fs::read(snapshot.path()).unwrap() == bytes, !replaced);
        }
        let device = dir.path().join("device");
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        assert!(Snapshot::at(device.clone()).store(iter::empty()).is_err() && device.is_symlink());
    }
}
