//! The log's file, found again under its name after somebody moved it away.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A file that is appended to. Before each write it is looked for under its name: whoever rotates logs by renaming
/// needs to tell nobody.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens the file at `path`, made with mode 0644 if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), file: append_to(path)? })
    }

    /// Whether it can be opened, as far as that shows without making it: a file that is there is, and one that is not
    /// needs a folder.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn check(path: &Path) -> io::Result<()> {
        match std::fs::metadata(path) {
            // A pipe would wait for its reader.
            Ok(found) if found.is_file() || found.is_dir() => OpenOptions::new().append(true).open(path).map(drop),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                std::fs::metadata(folder.unwrap_or(Path::new("."))).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the name leads to the file that is open.
    fn is_in_place(&self) -> bool {
        let (Ok(named), Ok(open)) = (std::fs::metadata(&self.path), self.file.metadata()) else { return false };
        (named.dev(), named.ino()) == (open.dev(), open.ino())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_in_place() {
            match append_to(&self.path) {
                Ok(file) => self.file = file,
                // Lines in the file that was moved away are better than none.
                Err(error) => {
                    let file = self.path.display();
                    tracing::error!(target: "access-grlog", %error, %file, "access-log-not-reopened");
                }
            }
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::Tempdir;

    use super::*;

    #[test]
    fn lines_go_to_the_name_whatever_became_of_the_file() {
        let dir = Tempdir::new().unwrap();
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let mut log = LogFile::open(&path).unwrap();
        log.write_all(b"one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        log.write_all(b"two\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        log.write_all(b"three\n").unwrap();
        log.write_all(b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\nfour\n");
    }

    #[test]
    fn a_look_beforehand_makes_and_changes_nothing() {
        let dir = Tempdir::new().unwrap();
        let (path, missing) = (dir.path().join("access.log"), dir.path().join("nowhere/access.log"));
        LogFile::check(&path).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "one\n").unwrap();
        LogFile::check(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
        assert_eq!(LogFile::check(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(LogFile::check(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(LogFile::check(&path.join("x")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn lines_stay_in_the_old_file_while_there_can_be_no_new_one() {
        let dir = Tempdir::new().unwrap();
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let mut log = LogFile::open(&path).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::create_dir(&path).unwrap();
        log.write_all(b"one\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
    }
}
