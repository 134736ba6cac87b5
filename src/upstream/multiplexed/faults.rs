//! What a failed request tells about how far it came: the errors of the `h2` crate, read together with what the
//! connection underneath went through.

use std::io;

use super::watched::{End, Notes};
use crate::failure::{Failure, Http2Error};

/// Why a request on stream `stream` got no answer. `before` is what the connection had taken when the request was
/// handed in: if it took nothing since, nothing of the request is out.
pub(super) fn of_request(error: &h2::Error, notes: &Notes, stream: u32, before: u64) -> Failure {
    let code = error.reason().unwrap_or(h2::Reason::INTERNAL_ERROR);
    if error.is_go_away() && error.is_remote() {
        // Told only to streams beyond the last one that the endpoint says it works on (RFC 9113 section 6.8).
        return Failure::Declined(Http2Error::GoAway { code });
    }
    if error.is_reset() {
        return match (error.is_remote(), code) {
            (true, h2::Reason::REFUSED_STREAM) => Failure::Declined(Http2Error::Reset { stream, code }),
            (true, _) => Failure::Http2(Http2Error::Reset { stream, code }),
            (false, _) => Failure::Http2(Http2Error::Stream { stream, code }),
        };
    }
    let out = notes.written() > before;
    match notes.end() {
        Some(End::Failed(operation, kind)) if !out => Failure::Unsent(notes.broken(operation, kind)),
        _ if !out => Failure::Unsent(notes.broken("write", io::ErrorKind::ConnectionAborted)),
        _ if !error.is_io() => Failure::Http2(of_connection(error)),
        Some(End::Failed(operation, kind)) if is_reset(kind) => Failure::Reset(notes.broken(operation, kind)),
        Some(End::Failed(operation, kind)) => Failure::Broken(notes.broken(operation, kind)),
        Some(End::Eof) | None => Failure::Eof,
    }
}

/// What was wrong with the connection as a whole.
pub(super) fn of_connection(error: &h2::Error) -> Http2Error {
    let code = error.reason().unwrap_or(h2::Reason::INTERNAL_ERROR);
    if error.is_remote() { Http2Error::GoAway { code } } else { Http2Error::Connection { code } }
}

/// Whether the endpoint tore the connection down.
pub(super) fn is_reset(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted)
}
