//! Credentials read again when their files change.

use std::{path::PathBuf, time::Duration};

use super::{Credentials, CredentialsError};
use crate::trust::{Trust, TrustError};

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
        cause: std::io::Error,
    },
    /// Certificate and key are not usable together.
    #[error("{} and {}: {cause}", certificate.display(), key.display())]
    Credentials {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What is wrong.
        cause: CredentialsError,
    },
    /// The authorities are not usable.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Reads the files again and tells changes.
#[derive(Debug)]
pub struct Source {
    files: Files,
}

impl Source {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// What cannot be read or does not fit together.
    pub fn open(files: Files) -> Result<(Self, Reloaded), ReloadError> {
        let _ = &files;
        todo!()
    }

    /// Reads the files; tells once of every change, good or bad, and nothing while they stay the same.
    pub fn check(&mut self) -> Option<Result<Reloaded, ReloadError>> {
        let _ = &self.files;
        todo!()
    }
}

/// Checks every `interval` and hands each change to `changed`, until dropped.
pub async fn watch(source: Source, interval: Duration, changed: impl FnMut(Result<Reloaded, ReloadError>)) {
    let _ = (source, interval, changed);
    todo!()
}
