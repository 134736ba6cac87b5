//! Where one TLS record ends and the next begins, without reading what is in them (RFC 8446 §5.1).

/// Bytes before the body of a record: type, version, length.
const HEADER: usize = 5;

/// The longest body that any version allows: 2^14 and 2 KiB for padding, tag and compression.
const LONGEST: usize = (1 << 14) + 2048;

/// Follows the records of one direction through pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; HEADER],
    header_len: usize,
    body_left: usize,
    first: Option<[u8; HEADER]>,
    lost: bool,
}

impl Frames {
    /// Follows `wire`, which continues what was seen before.
    pub(crate) fn follow(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() && !self.lost {
            if self.body_left == 0 {
                let used = (HEADER - self.header_len).min(wire.len());
                self.header[self.header_len..self.header_len + used].copy_from_slice(&wire[..used]);
                self.header_len += used;
                wire = &wire[used..];
                if self.header_len == HEADER {
                    self.begin_body();
                }
            } else {
                let body = self.body_left.min(wire.len());
                self.body_left -= body;
                wire = &wire[body..];
            }
        }
    }

    fn begin_body(&mut self) {
        self.first.get_or_insert(self.header);
        let length = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
        // What comes after a header that is none has no boundaries; rustls refuses it anyway.
        self.lost = length > LONGEST || !self.began_with_tls();
        self.body_left = length;
        self.header_len = 0;
    }

    /// Whether the last record seen is whole. An end of the connection here is a clean one, as Go sees it.
    pub(crate) fn at_boundary(&self) -> bool {
        self.header_len == 0 && self.body_left == 0 && !self.lost
    }

    /// Whether the first bytes can begin a TLS conversation, by Go's rule: an alert or a handshake record,
    /// and a version that exists. True as long as there are too few to tell.
    pub(crate) fn began_with_tls(&self) -> bool {
        const ALERT: u8 = 21;
        const HANDSHAKE: u8 = 22;
        const NO_VERSION: u8 = 0x10;
        let seen = self.first.as_ref().map_or(&self.header[..self.header_len], |first| first);
        seen.first().is_none_or(|kind| [ALERT, HANDSHAKE].contains(kind))
            && seen.get(1).is_none_or(|major| *major < NO_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![kind, 3, 3];
        bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        bytes.resize(HEADER + length, 0xAA);
        bytes
    }

    #[test]
    fn records_end_at_the_same_places_however_they_are_cut() {
        let stream: Vec<u8> = [record(22, 3), record(23, 0), record(23, 700), record(21, 2)].concat();
        let ends = [0, 8, 13, 718, 725];
        for piece in 1..=stream.len() {
            let mut frames = Frames::default();
            for (index, chunk) in stream.chunks(piece).enumerate() {
                frames.follow(chunk);
                let at = index * piece + chunk.len();
                assert_eq!(frames.at_boundary(), ends.contains(&at), "at {at} in pieces of {piece}");
            }
            assert!(frames.began_with_tls());
        }
    }

    #[test]
    fn the_first_header_tells_tls_from_anything_else() {
        for (bytes, tls, boundary) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], false, false),
            (b"H", false, false),
            (b"", true, true),
            (&[23, 3, 3, 0, 1, 0], false, false),
            (&[22, 16, 0, 0, 1, 0], false, false),
            (&[22, 3, 1, 0xff, 0xff, 0], true, false),
            (&[21, 3, 3, 0, 2, 2, 40], true, true),
        ] {
            let mut frames = Frames::default();
            frames.follow(bytes);
            assert_eq!((frames.began_with_tls(), frames.at_boundary()), (tls, boundary), "{bytes:?}");
        }
    }
}
