//! How long clients may take, whatever they speak (engineering.md B3, 10).
//!
//! Two more stand elsewhere: that of a TLS handshake in [`super::connection`], and that of an upload which nobody
//! waits for in `proxy::request_body`. An upload under way is bounded by `endpoint_timeout` alone, as in Gorouter: a
//! client that streams may be silent for as long as its app likes.

use std::time::Duration;

use crate::lifecycle::roster::Patience;

/// How long a client may take nothing at all of what is there for it. Gorouter waits for ever; nginx has the same
/// minute.
const STALL: Duration = Duration::from_secs(60);
/// The same for its socket, of which the system tells in steps of up to a third of 4 MiB: a minute would be too short
/// for whoever takes less than 22 KiB a second.
const STUCK: Duration = Duration::from_secs(300);
/// Seconds for the first request of a connection, once the router is closing: as in Go, one on which nothing comes
/// is idle, and must not hold up a drain until its very end.
const SILENT_WHILE_CLOSING: u32 = 5;

/// What the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// `frontend_idle_timeout`: between requests; none for no limit.
    pub idle: Option<Duration>,
    /// `read_header_timeout`: for the head of a request; none for that of idleness.
    pub head: Option<Duration>,
    /// Seconds for which a client of HTTP/1 that was not told to leave must have been quiet before a drain closes its
    /// connection; none for no time at all.
    pub last_word: Option<u32>,
}

impl Deadlines {
    /// What one look a second goes by. A client that takes nothing has five minutes, one that takes nothing of one
    /// stream a minute, or `frontend_idle_timeout` if that is shorter.
    #[must_use]
    pub fn patience(&self, endpoint_timeout: Option<Duration>, closing: bool) -> Patience {
        Patience {
            quiet: self.idle.map(|idle| seconds(idle, 0)),
            silent: closing.then_some(SILENT_WHILE_CLOSING),
            head: self.head.map(|head| seconds(head, 0)),
            answer: endpoint_timeout.map(|timeout| seconds(timeout, 1)),
            stall: Some(self.within_idle(STALL)),
            stuck: Some(self.within_idle(STUCK)),
        }
    }
}

impl Deadlines {
    fn within_idle(&self, most: Duration) -> u32 {
        seconds(self.idle.map_or(most, |idle| idle.min(most)), 0)
    }
}

/// Whole seconds in `timeout`, and some more.
fn seconds(timeout: Duration, more: u64) -> u32 {
    u32::try_from(timeout.as_secs().saturating_add(more)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_stall_for_a_while_or_as_long_as_it_may_be_idle() {
        let secs = |secs| Some(Duration::from_secs(secs));
        for (idle, stall, stuck) in [(None, 60, 300), (secs(900), 60, 300), (secs(3), 3, 3)] {
            let patience = Deadlines { idle, ..Deadlines::default() }.patience(None, false);
            assert_eq!((patience.stall, patience.stuck), (Some(stall), Some(stuck)), "{idle:?}");
        }
    }

    #[test]
    fn a_silent_client_holds_up_no_drain() {
        let deadlines = Deadlines::default();
        assert_eq!(deadlines.patience(None, false).silent, None);
        assert_eq!(deadlines.patience(None, true).silent, Some(SILENT_WHILE_CLOSING));
    }
}
