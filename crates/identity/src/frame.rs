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
    /// How much of `wire` belongs to the record at hand, and whether that completes it. What is no record
    /// is declared complete as it comes, so that rustls gets to see and refuse it.
    pub(crate) fn next(&mut self, wire: &[u8]) -> (usize, bool) {
        if self.lost {
            return (wire.len().min(LONGEST), true);
        }
        let mut used = 0;
        if self.body_left == 0 {
            used = (HEADER - self.header_len).min(wire.len());
            self.header[self.header_len..self.header_len + used].copy_from_slice(&wire[..used]);
            self.header_len += used;
            if self.header_len < HEADER {
                return (used, false);
            }
            self.begin_body();
        }
        let body = self.body_left.min(wire.len() - used);
        self.body_left -= body;
        let whole = self.body_left == 0;
        if whole {
            self.header_len = 0;
        }
        (used + body, whole)
    }

    fn begin_body(&mut self) {
        self.first.get_or_insert(self.header);
        let length = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
        if length > LONGEST || !self.began_with_tls() {
            self.lost = true;
        } else {
            self.body_left = length;
        }
    }

    /// Whether the last record seen is whole. An end of the connection here is a clean one, as Go sees it.
    pub(crate) fn at_boundary(&self) -> bool {
        self.header_len == 0 && !self.lost
    }

    /// Whether the first bytes can begin a TLS conversation, by Go's rule: an alert or a handshake record,
    /// and a version that exists. True as long as there are too few to tell.
    pub(crate) fn began_with_tls(&self) -> bool {
        const ALERT: u8 = 21;
        const HANDSHAKE: u8 = 22;
        const NO_VERSION: u8 = 0x10;
        self.first.is_none_or(|[kind, major, ..]| (kind == ALERT || kind == HANDSHAKE) && major < NO_VERSION)
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
        let ends = vec![8, 13, 718, 725];
        for piece in 1..stream.len() {
            let mut frames = Frames::default();
            let (mut at, mut found) = (0, Vec::new());
            for mut chunk in stream.chunks(piece) {
                while !chunk.is_empty() {
                    let (used, whole) = frames.next(chunk);
                    assert!(used > 0);
                    at += used;
                    chunk = &chunk[used..];
                    if whole {
                        found.push(at);
                    }
                    assert_eq!(whole, frames.at_boundary());
                }
            }
            assert_eq!(found, ends, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_record_is_passed_on_at_once() {
        for (bytes, tls) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], false),
            (&[22, 3, 1, 0xff, 0xff, 0][..], true),
            (&[23, 3, 3, 0, 1, 0][..], false),
            (&[22, 16, 0, 0, 1, 0][..], false),
            (&[21, 3, 3, 0, 2, 2, 40][..], true),
        ] {
            let mut frames = Frames::default();
            let (used, whole) = frames.next(bytes);
            assert!(used >= HEADER && whole, "{bytes:?}");
            assert_eq!(frames.began_with_tls(), tls, "{bytes:?}");
        }
    }

    #[test]
    fn too_few_bytes_decide_nothing() {
        let mut frames = Frames::default();
        assert_eq!(frames.next(b"HTTP"), (4, false));
        assert!(frames.began_with_tls() && !frames.at_boundary());
    }
}
