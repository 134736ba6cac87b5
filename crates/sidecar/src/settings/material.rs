//! Where certificates and authorities come from.

use std::{fmt, path::PathBuf};

/// A PEM text, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The text itself; never read again.
    Text(Box<str>),
    /// A file, read again when it changes.
    File(PathBuf),
}

// A text may be a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A certificate chain, leaf first, and its private key: PKCS#1, PKCS#8 or SEC1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain.
    pub chain: Pem,
    /// The key.
    pub key: Pem,
}

/// The PEM files of the instance identity: the chain (leaf first) and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key: PKCS#1, PKCS#8 or SEC1.
    pub key: PathBuf,
}

/// One secret of a file in the form of Envoy's secret discovery service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The file.
    pub path: PathBuf,
    /// Which of its secrets.
    pub name: String,
    /// A folder in which a change is a reason to read the file again, beside the file's own.
    pub watched: Option<PathBuf>,
}

/// One listener of a file of listeners, which holds its certificate (the layout of 2018).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenersFile {
    /// The file.
    pub path: PathBuf,
    /// The name of the listener.
    pub listener: String,
}

/// Where the certificate that a listener shows comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// Texts or files.
    Given(Pair),
    /// A secret.
    Secret(SecretFile),
    /// The listener's own entry in a file of listeners.
    Listeners(ListenersFile),
}

impl From<IdentityFiles> for IdentitySource {
    fn from(files: IdentityFiles) -> Self {
        Self::Given(Pair { chain: Pem::File(files.certificate), key: Pem::File(files.key) })
    }
}

/// Where the authorities of callers' certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCa {
    /// A bundle.
    Given(Pem),
    /// A secret, which also holds the names that are allowed.
    Secret(SecretFile),
    /// The listener's own entry in a file of listeners, with the names that are allowed.
    Listeners(ListenersFile),
}

impl From<PathBuf> for ClientCa {
    fn from(path: PathBuf) -> Self {
        Self::Given(Pem::File(path))
    }
}
