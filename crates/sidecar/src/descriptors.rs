//! How many descriptors this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that no connection may take: listeners, the reactor, NATS, certificate files, standard streams.
const RESERVE: u64 = 32;

/// Raises the soft limit to the hard one and returns what holds afterwards; `None` means no limit.
///
/// Failing to raise is no failure to start: the old limit holds, and accepting stops before it is reached.
#[must_use]
pub fn raise_limit() -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    if now.current == now.maximum {
        return now.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }) {
        Ok(()) => now.maximum,
        Err(_) => now.current,
    }
}

/// How many relayed connections fit into the present limit, two descriptors each.
pub(crate) fn connections_that_fit() -> usize {
    fit(getrlimit(Resource::Nofile).current)
}

fn fit(limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    usize::try_from(limit.saturating_sub(RESERVE) / 2).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_per_connection_after_the_reserve() {
        for (limit, connections) in [(Some(1024), 496), (Some(64), 16), (Some(32), 1), (Some(0), 1), (None, usize::MAX)]
        {
            assert_eq!(fit(limit), connections, "{limit:?}");
        }
    }

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let limit = raise_limit();
        assert_eq!(limit, getrlimit(Resource::Nofile).maximum);
    }
}
