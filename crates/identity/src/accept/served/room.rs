//! Buffers that rustls writes into and finds too small.

use std::io;

use rustls::unbuffered::{EncodeError, EncryptError};

/// Why nothing was put into a buffer.
pub(super) enum Unput {
    /// This many bytes are needed.
    TooSmall(usize),
    /// It never can be.
    Never,
}

impl From<EncodeError> for Unput {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(size) => Self::TooSmall(size.required_size),
            EncodeError::AlreadyEncoded => Self::Never,
        }
    }
}

impl From<EncryptError> for Unput {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(size) => Self::TooSmall(size.required_size),
            EncryptError::EncryptExhausted => Self::Never,
        }
    }
}

/// Puts something into `buffer` from `used` on, where it finds `room` bytes or as many as it asks for. Returns where
/// it ends.
pub(super) fn put(
    buffer: &mut Vec<u8>,
    used: usize,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Unput>,
) -> io::Result<usize> {
    let mut room = room;
    for _ in 0..2 {
        if buffer.len() < used + room {
            buffer.resize(used + room, 0);
        }
        match write(&mut buffer[used..]) {
            Ok(count) => return Ok(used + count),
            Err(Unput::TooSmall(needed)) => room = needed,
            Err(Unput::Never) => break,
        }
    }
    // The keys are used up, and TLS 1.2 has no way to change them.
    Err(io::ErrorKind::BrokenPipe.into())
}
