//! Whether the bus is up, shared between those who have to know.

use tokio::sync::watch;

use crate::route::moment::Moment;

/// Whether the connection stands, as everybody else sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Since when it is lost; `None` while it stands.
    pub lost: Option<Moment>,
    /// How often it came back.
    pub recoveries: u64,
}

/// The shared [`Standing`]: written by the [`Link`](super::link::Link), read by the pruner and the greeting.
#[derive(Debug, Default)]
pub struct BusState(watch::Sender<Standing>);

impl BusState {
    /// A connection that stands and was never lost.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How it stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        *self.0.borrow()
    }

    /// A receiver that wakes at every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Standing> {
        self.0.subscribe()
    }

    /// The connection broke at `now`. Without effect while it is lost already.
    pub fn lose(&self, now: Moment) {
        self.0.send_if_modified(|standing| {
            let news = standing.lost.is_none();
            standing.lost.get_or_insert(now);
            news
        });
    }

    /// The connection is back. Without effect while it stands.
    pub fn recover(&self) {
        self.0.send_if_modified(|standing| {
            let news = standing.lost.take().is_some();
            standing.recoveries += u64::from(news);
            news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_ms(ms)
    }

    #[test]
    fn a_loss_keeps_its_first_moment_and_counts_once() {
        let state = BusState::new();
        state.recover();
        assert_eq!(state.standing(), Standing { lost: None, recoveries: 0 });
        state.lose(at(5));
        state.lose(at(9));
        assert_eq!(state.standing(), Standing { lost: Some(at(5)), recoveries: 0 });
        state.recover();
        state.recover();
        assert_eq!(state.standing(), Standing { lost: None, recoveries: 1 });
    }
}
