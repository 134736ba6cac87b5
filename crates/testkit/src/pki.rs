//! Certificates on demand: an authority, and leaves shaped like Diego's instance certificates or as odd as a table of
//! cases needs them.
//!
//! Everything is made in memory; [`Leaf::write_to`] puts a pair into files. The encoder is our own, so that the
//! subject can hold what Diego puts there.

mod authority;
mod der;
mod key;
mod leaf;

pub use authority::Authority;
pub use key::{KeyKind, RSA_KEYS};
pub use leaf::{InstanceId, Leaf, LeafBuilder, LeafFiles, Purpose, guid};

#[cfg(test)]
mod tests;
