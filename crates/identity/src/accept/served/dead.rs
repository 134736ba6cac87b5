//! The end of what can be read.

use std::io;

use rustls::Error;

/// Why nothing more can be read. Kept, because the kernel tells of a reset once and then claims an EOF.
pub(super) enum Dead {
    Tls(Error),
    Io(io::ErrorKind),
}

impl Dead {
    pub(super) fn error(&self) -> io::Error {
        match self {
            Self::Tls(cause) => io::Error::new(io::ErrorKind::InvalidData, cause.clone()),
            Self::Io(kind) => (*kind).into(),
        }
    }
}
