//! Certificates and authorities, read from where the settings say, and read again when that changes.
//!
//! Files are compared by their bytes: Diego renames new ones into place, an editor writes in place, a mounted secret
//! swaps a link, and a secret's version never changes; only the content tells all of them. Whatever a reading has
//! looked into is what the next look compares, so files that a secret refers to are followed too.

use std::{
    io,
    path::{Path, PathBuf},
};

use trueroute_identity::{
    Credentials, Trust,
    credentials::CredentialsError,
    trust::{self, TrustError},
};

use crate::{
    bootstrap::{self, BootstrapError, secret, secret::SecretError},
    settings::{AllowedName, ClientCa, IdentitySource, Mode, Pair, Pem},
};

/// Why there is nothing to take over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialError {
    /// A file can not be read.
    #[error("{}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// A file of secrets holds none of the kind.
    #[error("{}", path.display())]
    Secret {
        path: PathBuf,
        #[source]
        cause: SecretError,
    },
    /// A file of listeners is unusable.
    #[error(transparent)]
    Listeners(#[from] Box<BootstrapError>),
    /// Certificate and key are no pair.
    #[error("{origin}")]
    Credentials {
        origin: String,
        #[source]
        cause: CredentialsError,
    },
    /// The authorities are unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The platform names no authority, so that nobody could be let in.
    #[error("{origin}: no authority to believe")]
    NoAuthority { origin: String },
}

/// Whom a strict listener lets in.
#[derive(Clone, Debug)]
pub(crate) struct Believed {
    pub(crate) trust: Trust,
    pub(crate) names: Vec<AllowedName>,
    /// The bundle as text, for whoever asks what is believed.
    pub(crate) pem: Box<str>,
}

/// Follows one thing through its changes.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    source: S,
    /// Empty for what stands in the settings themselves; `None` before the first look.
    seen: Option<Vec<Seen>>,
}

/// A file as a reading found it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    content: Result<Vec<u8>, io::ErrorKind>,
}

impl Seen {
    fn now(path: &Path) -> (Self, io::Result<Vec<u8>>) {
        let read = std::fs::read(path);
        let content = read.as_ref().map(Vec::clone).map_err(io::Error::kind);
        (Self { path: path.to_owned(), content }, read)
    }
}

/// Reads files and remembers what it found.
#[derive(Debug, Default)]
pub(crate) struct Reading(Vec<Seen>);

impl Reading {
    fn text(&mut self, path: &Path) -> Result<String, MaterialError> {
        let (seen, read) = Seen::now(path);
        self.0.push(seen);
        let bytes = read.map_err(|cause| MaterialError::Read { path: path.to_owned(), cause })?;
        // Armour is ASCII; what is not is prose around it or damage, and damage is found by the parser.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn pem(&mut self, pem: &Pem) -> Result<String, MaterialError> {
        match pem {
            Pem::Text(text) => Ok(text.to_string()),
            Pem::File(path) => self.text(path),
        }
    }
}

/// Something that can be read in full.
pub(crate) trait Source {
    type Found;

    fn read(&self, reading: &mut Reading) -> Result<Self::Found, MaterialError>;
}

impl<S: Source> Watched<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, seen: None }
    }

    /// Reads; tells once of every change, good or bad, and nothing while all stays the same.
    pub(crate) fn look(&mut self) -> Option<Result<S::Found, MaterialError>> {
        // Compared before anything is parsed: checking an RSA key costs more than all the rest.
        if let Some(seen) = &self.seen
            && seen.iter().all(|file| Seen::now(&file.path).0 == *file)
        {
            return None;
        }
        let mut reading = Reading::default();
        let found = self.source.read(&mut reading);
        self.seen = Some(reading.0);
        Some(found)
    }

    /// The files that were looked into last.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.seen.iter().flatten().map(|file| file.path.as_path())
    }
}

impl Source for IdentitySource {
    type Found = Credentials;

    fn read(&self, reading: &mut Reading) -> Result<Credentials, MaterialError> {
        let (pair, origin) = match self {
            Self::Given(pair) => (pair.clone(), None),
            Self::Secret(file) => {
                let text = reading.text(&file.path)?;
                let pair = secret::certificate(&text, &file.name)
                    .map_err(|cause| MaterialError::Secret { path: file.path.clone(), cause })?;
                (pair, Some(&file.path))
            }
            Self::Listeners(file) => {
                let text = reading.text(&file.path)?;
                let listener = bootstrap::listener_of(&file.path, &text, &file.listener).map_err(Box::new)?;
                match listener.identity {
                    Self::Given(pair) => (pair, Some(&file.path)),
                    // Read as a document of its own, so nothing in it refers to itself.
                    other => return other.read(reading),
                }
            }
        };
        let (chain, key) = (reading.pem(&pair.chain)?, reading.pem(&pair.key)?);
        Credentials::from_pem(&chain, &key)
            .map_err(|cause| MaterialError::Credentials { origin: origin_of(&pair, origin), cause })
    }
}

fn origin_of(pair: &Pair, file: Option<&PathBuf>) -> String {
    match (file, &pair.chain, &pair.key) {
        (Some(path), _, _) => path.display().to_string(),
        (None, Pem::File(chain), Pem::File(key)) => format!("{} and {}", chain.display(), key.display()),
        _ => "certificate and key".to_owned(),
    }
}

impl Source for Mode {
    /// Nobody has to be believed where nothing is demanded.
    type Found = Option<Believed>;

    fn read(&self, reading: &mut Reading) -> Result<Option<Believed>, MaterialError> {
        let Self::Strict { client_ca, names } = self else { return Ok(None) };
        let (pem, names, origin) = match client_ca {
            ClientCa::Given(pem) => {
                let origin = match pem {
                    Pem::File(path) => path.display().to_string(),
                    Pem::Text(_) => "trusted_ca".to_owned(),
                };
                (reading.pem(pem)?, names.clone(), origin)
            }
            ClientCa::Secret(file) => {
                let origin = file.path.display().to_string();
                let text = reading.text(&file.path)?;
                let validation = secret::validation(&text, &file.name)
                    .map_err(|cause| MaterialError::Secret { path: file.path.clone(), cause })?;
                let Some(pem) = validation.authorities else { return Err(MaterialError::NoAuthority { origin }) };
                (reading.pem(&pem)?, validation.names, origin)
            }
            ClientCa::Listeners(file) => {
                let text = reading.text(&file.path)?;
                let listener = bootstrap::listener_of(&file.path, &text, &file.listener).map_err(Box::new)?;
                return listener.mode.read(reading);
            }
        };
        let trust = Trust::new(&[trust::Source { name: &origin, pem: &pem }], false)?;
        Ok(Some(Believed { trust, names, pem: pem.into() }))
    }
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::{Tempdir, pki::Authority};

    use super::*;
    use crate::settings::{IdentityFiles, SecretFile};

    fn secret(chain: &str, key: &str) -> String {
        let body = serde_json::json!({"resources": [{"name": "id", "tls_certificate": {
            "certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}}]});
        body.to_string()
    }

    #[test]
    fn every_change_of_a_secret_is_told_once() {
        let (dir, ca) = (Tempdir::new().unwrap(), Authority::new("ca"));
        let path = dir.path().join("sds.yaml");
        let mut watched =
            Watched::new(IdentitySource::Secret(SecretFile { path: path.clone(), name: "id".into(), watched: None }));
        assert!(matches!(watched.look(), Some(Err(MaterialError::Read { .. }))));
        assert!(watched.look().is_none());
        let leaf = ca.localhost().issue();
        let text = secret(&leaf.chain_pem, &leaf.key_pem);
        // Every beginning of the file, as a reader finds it that comes too early.
        for end in (0..text.len() / 2).step_by(97) {
            std::fs::write(&path, &text[..end]).unwrap();
            assert!(watched.look().is_some_and(|look| look.is_err()), "{end}");
            assert!(watched.look().is_none());
        }
        std::fs::write(&path, &text).unwrap();
        assert!(watched.look().is_some_and(|look| look.is_ok()));
        // The same content under a new time is no change.
        std::fs::write(&path, &text).unwrap();
        assert!(watched.look().is_none());
        assert_eq!(watched.files().collect::<Vec<_>>(), [path]);
    }

    #[test]
    fn files_that_a_secret_refers_to_are_followed() {
        let (dir, ca) = (Tempdir::new().unwrap(), Authority::new("ca"));
        let files = ca.localhost().issue().write_to(dir.path(), "leaf");
        let path = dir.path().join("sds.yaml");
        let body = serde_json::json!({"resources": [{"name": "id", "tls_certificate": {
            "certificate_chain": {"filename": files.cert}, "private_key": {"filename": files.key}}}]});
        std::fs::write(&path, body.to_string()).unwrap();
        let mut watched = Watched::new(IdentitySource::Secret(SecretFile { path, name: "id".into(), watched: None }));
        assert!(watched.look().is_some_and(|look| look.is_ok()));
        ca.localhost().issue().write_to(dir.path(), "leaf");
        assert!(watched.look().is_some_and(|look| look.is_ok()));
        assert!(watched.look().is_none());
    }

    #[test]
    fn halves_of_two_pairs_make_none() {
        let (dir, ca) = (Tempdir::new().unwrap(), Authority::new("ca"));
        let files = ca.localhost().issue().write_to(dir.path(), "leaf");
        std::fs::write(&files.key, ca.localhost().issue().key_pem).unwrap();
        let mut watched = Watched::new(IdentitySource::from(IdentityFiles { certificate: files.cert, key: files.key }));
        assert!(matches!(watched.look(), Some(Err(MaterialError::Credentials { .. }))));
    }

    #[test]
    fn names_and_authorities_come_from_one_secret() {
        let (dir, ca) = (Tempdir::new().unwrap(), Authority::new("ca"));
        let path = dir.path().join("sds.yaml");
        let write = |authorities: &str| {
            let body = serde_json::json!({"resources": [{"name": "v", "validation_context": {
                "trusted_ca": {"inline_string": authorities}, "match_subject_alt_names": [{"exact": "gorouter"}]}}]});
            std::fs::write(&path, body.to_string()).unwrap();
        };
        write(ca.pem());
        let client_ca = ClientCa::Secret(SecretFile { path: path.clone(), name: "v".into(), watched: None });
        let mut watched = Watched::new(Mode::Strict { client_ca, names: vec![] });
        let believed = watched.look().unwrap().unwrap().unwrap();
        assert_eq!((believed.names.as_slice(), &*believed.pem), (&["gorouter".into()][..], ca.pem()));
        // Strict with an empty bundle lets nobody in, and is told.
        write("");
        assert!(matches!(watched.look(), Some(Err(MaterialError::NoAuthority { .. }))));
        write("-----BEGIN CERTIFICATE-----\nnonsense");
        assert!(matches!(watched.look(), Some(Err(MaterialError::Trust(_)))));
    }
}
