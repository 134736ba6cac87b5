//! Tickets that open nothing once the caller's certificate has run out.
//!
//! A resumed session brings the caller's certificate past the verifier, and when what it holds could be judged, the
//! handshake is over: a refusal could only close the connection, which to a router is an endpoint that failed in the
//! middle of a request. So the end of the caller's chain stands in the ticket itself, and a ticket whose end has passed
//! is none. Then rustls shakes hands in full, and the verifier refuses with the alert that says why. The rest of what
//! decides about a caller, authorities and names, changes only together with the keys of the tickets.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use rustls::{pki_types::UnixTime, server::ProducesTickets};

/// Bytes of the end that stands before what rustls puts into a ticket: seconds since 1970.
const END: usize = 8;

/// The tickets of one connection.
#[derive(Debug)]
pub(super) struct Tickets {
    sealed: Arc<dyn ProducesTickets>,
    known: Mutex<Known>,
}

/// What is known of the connection's caller.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// When the first certificate of its chain ends, in seconds since 1970. Without it there is no ticket.
    end: Option<u64>,
    /// When a ticket of it was taken.
    taken: Option<UnixTime>,
}

impl Tickets {
    pub(super) fn new(sealed: Arc<dyn ProducesTickets>) -> Self {
        Self { sealed, known: Mutex::default() }
    }

    /// The caller was let in, and its chain holds until `end`, if that is known.
    pub(super) fn hold_until(&self, end: Option<SystemTime>) {
        let since_1970 = end.map(|end| end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO));
        self.known().end = since_1970.map(|since| since.as_secs());
    }

    /// The clock by which a ticket was taken: what was in force then is so for all of the handshake.
    pub(super) fn taken(&self) -> Option<UnixTime> {
        self.known().taken
    }

    /// What the ticket holds for rustls, unless its end lies before `now`.
    fn open(&self, ticket: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        let mut plain = self.sealed.decrypt(ticket)?;
        let end = u64::from_be_bytes(*plain.first_chunk::<END>()?);
        if end < now.as_secs() {
            return None;
        }
        *self.known() = Known { end: Some(end), taken: Some(now) };
        plain.drain(..END);
        Some(plain)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.sealed.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.sealed.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let end = self.known().end?;
        self.sealed.encrypt(&[&end.to_be_bytes(), plain].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, UnixTime::now())
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::Ticketer;

    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(secs))
    }

    #[test]
    fn a_ticket_ends_with_the_chain_and_one_for_it_ends_no_later() {
        let sealed = Ticketer::new().unwrap();
        let first = Tickets::new(sealed.clone());
        assert_eq!(first.encrypt(b"session"), None, "a ticket for a caller of whom nothing is known");
        first.hold_until(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1000)));
        let mut ticket = first.encrypt(b"session").unwrap();
        for _ in 0..2 {
            let next = Tickets::new(sealed.clone());
            assert_eq!(next.open(&ticket, at(1001)), None);
            assert_eq!(next.taken(), None);
            assert_eq!(next.open(&ticket, at(1000)).as_deref(), Some(&b"session"[..]));
            assert_eq!(next.taken(), Some(at(1000)));
            ticket = next.encrypt(b"session").unwrap();
        }
    }

    #[test]
    fn what_was_not_sealed_here_is_no_ticket() {
        let sealed = Ticketer::new().unwrap();
        let tickets = Tickets::new(sealed.clone());
        for foreign in [vec![], vec![0; 100], sealed.encrypt(b"short").unwrap()] {
            assert_eq!(tickets.open(&foreign, at(0)), None);
        }
    }
}
