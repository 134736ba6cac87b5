//! One connection to the app, within a time.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use crate::settings::AppAddress;

/// Why there is no connection to the app. Each kind asks for another signal to the router (sidecar.md §3.4).
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Nothing listens there, or there is no way to it: starting, crashed, or stopping.
    #[error("the app refused the connection")]
    Refused(#[source] io::Error),
    /// No answer in time: overloaded, its backlog full.
    #[error("the app did not answer in time")]
    TimedOut,
    /// We are out of descriptors, ports or memory; the app may be well.
    #[error("the app could not be dialled")]
    OwnFault(#[source] io::Error),
}

/// Connects to the app. The stream has `TCP_NODELAY` set: with Nagle's algorithm a relay stalls for 40 ms at a time.
pub(crate) async fn dial(app: &AppAddress, limit: Duration) -> Result<TcpStream, DialError> {
    let connecting = async {
        match app {
            AppAddress::Fixed(address) => TcpStream::connect(address).await,
            AppAddress::Named(host, port) => TcpStream::connect((&**host, *port)).await,
        }
    };
    let stream = match timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(classify)?,
        Err(_) => return Err(DialError::TimedOut),
    };
    // Refused only where the connection is already dead, which the relay finds out by itself.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn classify(error: io::Error) -> DialError {
    match error.kind() {
        io::ErrorKind::TimedOut => DialError::TimedOut,
        _ if is_exhaustion(&error) || error.kind() == io::ErrorKind::AddrNotAvailable => DialError::OwnFault(error),
        _ => DialError::Refused(error),
    }
}

/// Whether `error` says that this process, or this machine, has no descriptor or memory left for a socket.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn class(errno: Errno) -> &'static str {
        match classify(errno.into()) {
            DialError::Refused(_) => "refused",
            DialError::TimedOut => "timed out",
            DialError::OwnFault(_) => "own fault",
        }
    }

    #[test]
    fn the_kind_of_failure_tells_whose_fault_it_is() {
        for (errno, expected) in [
            (Errno::CONNREFUSED, "refused"),
            (Errno::HOSTUNREACH, "refused"),
            (Errno::NETUNREACH, "refused"),
            (Errno::CONNRESET, "refused"),
            (Errno::TIMEDOUT, "timed out"),
            (Errno::MFILE, "own fault"),
            (Errno::NFILE, "own fault"),
            (Errno::ADDRNOTAVAIL, "own fault"),
            (Errno::NOBUFS, "own fault"),
        ] {
            assert_eq!(class(errno), expected, "{errno:?}");
        }
    }
}
