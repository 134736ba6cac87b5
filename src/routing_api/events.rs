//! Server-sent events out of bytes, however these are cut.
//!
//! Promises: never more memory than [`MAX_EVENT`] for one event; a line's end is LF, CR LF or CR; an event that the
//! stream's end cuts off is none. Fields other than `event` and `data` say nothing here.
//!
//! Source: the HTML standard, section 9.2 (server-sent events).

use std::mem;

/// Most bytes of one event; the largest message that the bus would carry.
pub const MAX_EVENT: usize = 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its lines of data, with LF between them.
    pub data: String,
}

/// The stream holds an event larger than [`MAX_EVENT`], after which nothing can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than the {MAX_EVENT} bytes that are accepted")]
pub struct TooLarge;

/// Reads a stream of events piece by piece.
#[derive(Debug, Default)]
pub struct Events {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a CR, so that an LF now belongs to it.
    after_cr: bool,
}

impl Events {
    /// Takes the next bytes of the stream and returns the events that end in them.
    ///
    /// # Errors
    /// [`TooLarge`]; the stream is to be given up.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut found = Vec::new();
        for &byte in bytes {
            let belongs_to_cr = mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
            match byte {
                _ if belongs_to_cr => {}
                b'\n' | b'\r' => found.extend(self.end_line()),
                _ if self.size() >= MAX_EVENT => return Err(TooLarge),
                _ => self.line.push(byte),
            }
        }
        Ok(found)
    }

    fn size(&self) -> usize {
        self.line.len() + self.event.data.len() + self.event.name.len()
    }

    /// Takes the line in; an empty one ends the event.
    fn end_line(&mut self) -> Option<Event> {
        let line = mem::take(&mut self.line);
        if line.is_empty() {
            let (event, told) = (mem::take(&mut self.event), mem::take(&mut self.has_data));
            return told.then_some(event);
        }
        let text = String::from_utf8_lossy(&line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let found = Events::default().take(text.as_bytes()).unwrap();
        found.into_iter().map(|event| (event.name, event.data)).collect()
    }

    #[test]
    fn events_are_told_apart() {
        let event = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        for (text, events) in [
            ("", vec![]),
            ("\n\n\n", vec![]),
            ("data: a\n", vec![]),
            ("data: a\n\n", vec![event("", "a")]),
            ("id: 7\nevent: Upsert\ndata: {}\n\n", vec![event("Upsert", "{}")]),
            ("event:Delete\r\ndata:  x\r\n\r\n", vec![event("Delete", " x")]),
            ("event: a\rdata: b\r\r", vec![event("a", "b")]),
            ("data: a\ndata\ndata: b\n\n", vec![event("", "a\n\nb")]),
            (": a comment\n\ndata: a\n\ndata: b\n\n", vec![event("", "a"), event("", "b")]),
            ("event: nothing\n\ndata: a\n\n", vec![event("", "a")]),
            ("retry: 5\nwhat: ever\nnonsense\ndata: é\n\n", vec![event("", "é")]),
        ] {
            assert_eq!(read(text), events, "{text:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut events = Events::default();
        let line = format!("data: {}\n", "a".repeat(1000));
        let taken = (0..2000).find_map(|lines| events.take(line.as_bytes()).err().map(|_| lines));
        assert!(taken.is_some_and(|lines| (1000..1100).contains(&lines)), "{taken:?}");
        assert_eq!(Events::default().take(&vec![b'a'; 2 * MAX_EVENT]), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn how_the_stream_is_cut_makes_no_difference(
            text in "((event|data|id|: )?:? ?[a-z]{0,3}(\n|\r|\r\n)){0,20}",
            cuts in prop::collection::vec(1_usize..6, 0..60),
        ) {
            let mut rest = text.as_bytes();
            let (mut events, mut found) = (Events::default(), Vec::new());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                found.extend(events.take(piece).unwrap());
                rest = after;
            }
            found.extend(events.take(rest).unwrap());
            prop_assert_eq!(found, Events::default().take(text.as_bytes()).unwrap());
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            Events::default().take(&bytes).unwrap();
        }
    }
}
