//! The name that a peer's certificate must carry.

use std::fmt;

/// A name that a certificate must carry. (Stub: the real one parses into a DNS name or an exact string.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExpectedName(Box<str>);

impl ExpectedName {
    /// The name as registered.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExpectedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
