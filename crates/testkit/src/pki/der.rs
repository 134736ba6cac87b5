//! A DER writer just large enough for certificates (X.690, RFC 5280), and PEM around it (RFC 7468).
//!
//! Why not a library: the ones at hand keep a distinguished name as a map from type to one value, and Diego puts three
//! organisational units into one relative name.

use std::time::SystemTime;

use time::OffsetDateTime;

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// One element: tag, length, body.
pub(super) fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = body.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend_from_slice(&bytes);
    }
    out.extend_from_slice(body);
    out
}

pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// SET OF: DER wants the members in byte order.
pub(super) fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    element(SET, &parts.concat())
}

/// A non-negative INTEGER from big-endian bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if body.first().is_none_or(|first| first & 0x80 != 0) {
        body.insert(0, 0);
    }
    element(0x02, &body)
}

pub(super) fn boolean(value: bool) -> Vec<u8> {
    element(0x01, &[if value { 0xff } else { 0 }])
}

pub(super) fn oid(arcs: &[u64]) -> Vec<u8> {
    let mut body = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for arc in &arcs[2..] {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        body.extend(groups.into_iter().rev());
    }
    element(0x06, &body)
}

/// PrintableString where the characters allow it, else UTF8String: the choice of Go's encoder, hence of Diego.
pub(super) fn text(value: &str) -> Vec<u8> {
    let printable = value.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
    element(if printable { 0x13 } else { 0x0c }, value.as_bytes())
}

pub(super) fn octets(body: &[u8]) -> Vec<u8> {
    element(0x04, body)
}

pub(super) fn bits(unused: u8, body: &[u8]) -> Vec<u8> {
    element(0x03, &[&[unused], body].concat())
}

/// `[n]` around an element, constructed.
pub(super) fn explicit(number: u8, inner: &[u8]) -> Vec<u8> {
    element(0xa0 | number, inner)
}

/// UTCTime until 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5); whole seconds.
pub(super) fn instant(at: SystemTime) -> Vec<u8> {
    let t = OffsetDateTime::from(at);
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", t.month() as u8, t.day(), t.hour(), t.minute(), t.second());
    if (1950..2050).contains(&t.year()) {
        element(0x17, format!("{:02}{rest}", t.year() % 100).as_bytes())
    } else {
        element(0x18, format!("{:04}{rest}", t.year()).as_bytes())
    }
}

/// The body of the element at the start of `der` and what follows it; `None` if it is cut short.
pub(super) fn open(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, first) = (*der.first()?, *der.get(1)?);
    let (length, start) = if first < 0x80 {
        (usize::from(first), 2)
    } else {
        let count = usize::from(first & 0x7f);
        let length = der.get(2..2 + count)?.iter().fold(0usize, |sum, b| (sum << 8) | usize::from(*b));
        (length, 2 + count)
    };
    let end = start.checked_add(length)?;
    Some((tag, der.get(start..end)?, &der[end..]))
}

/// PEM text with 64-character lines.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for triple in line.chunks(3) {
            let word = triple.iter().fold(0u32, |sum, b| (sum << 8) | u32::from(*b)) << (8 * (3 - triple.len()));
            for place in 0..4 {
                let symbol = ALPHABET[(word >> (18 - 6 * place)) as usize & 0x3f];
                out.push(if place <= triple.len() { char::from(symbol) } else { '=' });
            }
        }
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(element(4, &[7; 127])[..3], [4, 127, 7]);
        assert_eq!(element(4, &[7; 128])[..4], [4, 0x81, 128, 7]);
        assert_eq!(element(4, &[7; 256])[..5], [4, 0x82, 1, 0, 7]);
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let whole = element(4, &vec![7; length]);
            let (tag, body, rest) = open(&whole).unwrap();
            assert_eq!((tag, body.len(), rest.len()), (4, length, 0));
        }
    }

    #[test]
    fn integers_stay_positive_and_minimal() {
        assert_eq!(integer(&[0]), [2, 1, 0]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0, 5]), [2, 1, 5]);
    }

    #[test]
    fn object_identifiers_follow_the_base_128_rule() {
        assert_eq!(oid(&[1, 2, 840, 113549]), [6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]);
        assert_eq!(oid(&[2, 5, 4, 11]), [6, 3, 0x55, 4, 11]);
    }

    #[test]
    fn time_changes_its_type_in_2050() {
        assert_eq!(&instant(UNIX_EPOCH)[..], b"\x17\x0d700101000000Z");
        assert_eq!(&instant(UNIX_EPOCH + Duration::from_secs(2_524_608_000))[..], b"\x18\x0f20500101000000Z");
    }

    #[test]
    fn pem_pads_and_wraps() {
        assert_eq!(pem("X", b"M"), "-----BEGIN X-----\nTQ==\n-----END X-----\n");
        assert_eq!(pem("X", b"Ma"), "-----BEGIN X-----\nTWE=\n-----END X-----\n");
        assert_eq!(pem("X", b"Man"), "-----BEGIN X-----\nTWFu\n-----END X-----\n");
        assert_eq!(pem("X", &[0; 49]).lines().nth(1).unwrap().len(), 64);
    }
}
