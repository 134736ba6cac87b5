//! The bytes of a snapshot: a head that says what it is, then one registration message per line.
//!
//! Pure. The lines are what components send on the bus, so that what is read passes the same checks as what is heard,
//! and a file of another version can be told from a damaged one.

use std::io::{self, Seek, Write};

use aws_lc_rs::digest;

/// The first word of every snapshot.
const NAME: &str = "trueroute-snapshot";
/// The version that is written and read.
const VERSION: u32 = 1;

/// Why bytes are no snapshot that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Something else, or nothing.
    #[error("is not a snapshot of a route table")]
    Foreign,
    /// A snapshot of another version of this program.
    #[error("is of version {found}, and this router reads version {VERSION}")]
    Version {
        /// The version of the file.
        found: u32,
    },
    /// Its end is missing, or something in it changed.
    #[error("is damaged: its checksum does not fit")]
    Torn,
}

/// Writes a snapshot of these registration messages and returns its size in bytes. The head comes last: none of the
/// messages has to be kept for it.
///
/// # Errors
/// What the writer says.
pub fn write(out: &mut (impl Write + Seek), messages: impl Iterator<Item = String>) -> io::Result<u64> {
    let mut hash = digest::Context::new(&digest::SHA256);
    out.write_all(head(&[0; digest::SHA256_OUTPUT_LEN]).as_bytes())?;
    for mut message in messages {
        message.push('\n');
        hash.update(message.as_bytes());
        out.write_all(message.as_bytes())?;
    }
    let size = out.stream_position()?;
    out.rewind()?;
    out.write_all(head(hash.finish().as_ref()).as_bytes())?;
    Ok(size)
}

/// Whether `bytes` are the begin of a snapshot, of whatever version.
#[must_use]
pub fn is_ours(bytes: &[u8]) -> bool {
    bytes.strip_prefix(NAME.as_bytes()).is_some_and(|rest| rest.starts_with(b" "))
}

/// Where the messages of a snapshot begin.
///
/// # Errors
/// Says what the bytes are instead.
pub fn check(bytes: &[u8]) -> Result<usize, Unusable> {
    let end = memchr::memchr(b'\n', bytes).ok_or(Unusable::Foreign)?;
    let head = str::from_utf8(&bytes[..end]).map_err(|_| Unusable::Foreign)?;
    let (version, sum) = head
        .strip_prefix(NAME)
        .and_then(|rest| rest.strip_prefix(' '))
        .and_then(|rest| rest.split_once(' ').or(Some((rest, ""))))
        .ok_or(Unusable::Foreign)?;
    match version.parse() {
        Ok(VERSION) => {}
        Ok(found) => return Err(Unusable::Version { found }),
        Err(_) => return Err(Unusable::Foreign),
    }
    let begin = end + 1;
    if hexadecimal(digest::digest(&digest::SHA256, &bytes[begin..]).as_ref()) != sum {
        return Err(Unusable::Torn);
    }
    Ok(begin)
}

/// The messages in what follows the head.
pub fn messages(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// Of the same length whatever the checksum, so that it can be written over.
fn head(sum: &[u8]) -> String {
    format!("{NAME} {VERSION} {}\n", hexadecimal(sum))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(messages: &[String]) -> Vec<u8> {
        let mut out = io::Cursor::new(Vec::new());
        let size = write(&mut out, messages.iter().cloned()).unwrap();
        assert_eq!(size, out.get_ref().len() as u64);
        out.into_inner()
    }

    fn read(bytes: &[u8]) -> Result<Vec<String>, Unusable> {
        let begin = check(bytes)?;
        Ok(messages(&bytes[begin..]).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        for messages in [&[][..], &["{}"], &["{\"a\":1}", "{\"b\":2}"]] {
            let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
            assert_eq!(read(&encode(&messages)), Ok(messages));
        }
    }

    #[test]
    fn what_is_no_snapshot_is_named() {
        let good = encode(&["{}".to_owned()]);
        let cut = &good[..good.len() - 1];
        let other = String::from_utf8(good.clone()).unwrap().replacen(" 1 ", " 2 ", 1);
        for (bytes, why) in [
            (&b""[..], Unusable::Foreign),
            (b"\n", Unusable::Foreign),
            (b"PNG\n{}", Unusable::Foreign),
            (b"trueroute-snapshotter 1 00\n", Unusable::Foreign),
            (b"trueroute-snapshot one 00\n", Unusable::Foreign),
            (b"trueroute-snapshot 1\n", Unusable::Torn),
            (other.as_bytes(), Unusable::Version { found: 2 }),
            (cut, Unusable::Torn),
        ] {
            assert_eq!(read(bytes), Err(why), "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(at in 0_usize..200, to: u8) {
            let good = encode(&["{\"host\":\"10.0.0.1\"}".to_owned(), "{\"host\":\"10.0.0.2\"}".to_owned()]);
            let mut bad = good.clone();
            let at = at % bad.len();
            prop_assume!(bad[at] != to);
            bad[at] = to;
            prop_assert!(read(&bad).is_err());
        }

        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
