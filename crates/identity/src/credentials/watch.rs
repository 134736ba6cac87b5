//! Credentials read again when their files change.
//!
//! Files are compared by their bytes, because Diego renames new ones into place, an editor writes in place,
//! and a mounted secret swaps a link: only the content tells all three. The pair is not atomic. Between the
//! rename of the key and that of the certificate the two do not match; that is told as an error, the last
//! good pair stays in force, and the next look finds the other half.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Credentials, CredentialsError};
use crate::trust::{self, Trust, TrustError};

/// The files that credentials come from.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The authorities that the peer's certificate must lead to, where one is demanded.
    pub authorities: Option<PathBuf>,
}

/// What the files hold, whole and checked.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The certificate and key.
    pub credentials: Credentials,
    /// The authorities, where a file of them was given.
    pub trust: Option<Trust>,
}

/// Why the files are not taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A file cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Certificate and key are not usable together.
    #[error("{} and {}: {cause}", certificate.display(), key.display())]
    Credentials {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        cause: CredentialsError,
    },
    /// The authorities are not usable.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// What was seen at a look: the bytes, or which file could not be read.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Content { certificate: Vec<u8>, key: Vec<u8>, authorities: Option<Vec<u8>> },
    Unreadable { path: PathBuf, kind: io::ErrorKind },
}

/// Reads the files again and tells changes.
#[derive(Debug)]
pub struct Source {
    files: Files,
    last: Seen,
}

impl Source {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// What cannot be read or does not fit together.
    pub fn open(files: Files) -> Result<(Self, Reloaded), ReloadError> {
        let (last, reloaded) = look(&files);
        Ok((Self { files, last }, reloaded?))
    }

    /// Reads the files; tells once of every change, good or bad, and nothing while they stay the same.
    pub fn check(&mut self) -> Option<Result<Reloaded, ReloadError>> {
        // Compared before anything is parsed: checking an RSA key costs more than all the rest.
        let read = read(&self.files);
        let seen = Seen::of(&read);
        if seen == self.last {
            return None;
        }
        self.last = seen;
        Some(build_from(&self.files, read))
    }
}

impl Seen {
    fn of(read: &Result<Contents, (PathBuf, io::Error)>) -> Self {
        match read {
            Ok((certificate, key, authorities)) => {
                let (certificate, key, authorities) = (certificate.clone(), key.clone(), authorities.clone());
                Self::Content { certificate, key, authorities }
            }
            Err((path, cause)) => Self::Unreadable { path: path.clone(), kind: cause.kind() },
        }
    }
}

/// Checks every `interval` and hands each change to `changed`, until dropped. Files are read on the
/// runtime's blocking threads: a slow disk delays nobody's traffic.
pub async fn watch(source: Source, interval: Duration, mut changed: impl FnMut(Result<Reloaded, ReloadError>)) {
    let mut source = source;
    loop {
        tokio::time::sleep(interval).await;
        let checked = tokio::task::spawn_blocking(move || {
            let change = source.check();
            (source, change)
        });
        let Ok((back, change)) = checked.await else {
            return; // the runtime is going down
        };
        source = back;
        if let Some(change) = change {
            changed(change);
        }
    }
}

fn look(files: &Files) -> (Seen, Result<Reloaded, ReloadError>) {
    let read = read(files);
    (Seen::of(&read), build_from(files, read))
}

fn build_from(files: &Files, read: Result<Contents, (PathBuf, io::Error)>) -> Result<Reloaded, ReloadError> {
    let (certificate, key, authorities) = read.map_err(|(path, cause)| ReloadError::Read { path, cause })?;
    build(files, &certificate, &key, authorities.as_deref())
}

type Contents = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

fn read(files: &Files) -> Result<Contents, (PathBuf, io::Error)> {
    let bytes = |path: &Path| fs::read(path).map_err(|cause| (path.to_owned(), cause));
    let certificate = bytes(&files.certificate)?;
    let key = bytes(&files.key)?;
    Ok((certificate, key, files.authorities.as_deref().map(bytes).transpose()?))
}

fn build(files: &Files, certificate: &[u8], key: &[u8], authorities: Option<&[u8]>) -> Result<Reloaded, ReloadError> {
    // Armour is ASCII; what is not is prose around it or damage, and damage is found by the parser.
    let (certificate, key) = (String::from_utf8_lossy(certificate), String::from_utf8_lossy(key));
    let credentials = Credentials::from_pem(&certificate, &key).map_err(|cause| ReloadError::Credentials {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        cause,
    })?;
    let trust = match (&files.authorities, authorities) {
        (Some(path), Some(bytes)) => {
            let (name, pem) = (path.display().to_string(), String::from_utf8_lossy(bytes));
            Some(Trust::new(&[trust::Source { name: &name, pem: &pem }], false)?)
        }
        _ => None,
    };
    Ok(Reloaded { credentials, trust })
}
