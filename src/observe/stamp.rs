//! Wall-clock time as Gorouter prints it: local time, nine digits, and a `Z` that is not to be believed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Local, Timelike};

/// Bytes of `2006-01-02T15:04:05`.
const SECONDS: usize = 19;

/// Prints moments, and remembers the last second it printed: asking the system for the local offset costs more
/// than a whole log line.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamp {
    /// The second since the epoch, with its text.
    last: Option<(u64, [u8; SECONDS])>,
}

impl Stamp {
    /// Appends `at` as `2006-01-02T15:04:05.000000000Z`. A moment before 1970 prints as 1970.
    pub(super) fn write(&mut self, at: SystemTime, out: &mut Vec<u8>) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let second = since.as_secs();
        let text = match &self.last {
            Some((remembered, text)) if *remembered == second => text,
            _ => &self.last.insert((second, print_second(second))).1,
        };
        out.extend_from_slice(text);
        let mut fraction = *b".000000000Z";
        digits(&mut fraction[1..10], since.subsec_nanos());
        out.extend_from_slice(&fraction);
    }
}

fn print_second(second: u64) -> [u8; SECONDS] {
    let utc = i64::try_from(second).ok().and_then(|second| DateTime::from_timestamp(second, 0)).unwrap_or_default();
    let local = utc.with_timezone(&Local).naive_local();
    let mut text = *b"0000-00-00T00:00:00";
    digits(&mut text[0..4], u32::try_from(local.year()).unwrap_or(0));
    digits(&mut text[5..7], local.month());
    digits(&mut text[8..10], local.day());
    digits(&mut text[11..13], local.hour());
    digits(&mut text[14..16], local.minute());
    digits(&mut text[17..19], local.second());
    text
}

/// Fills `place` with the last digits of `number`.
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        // A remainder of ten fits in a byte.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_chrono_prints() {
        let mut stamp = Stamp::default();
        for nanos in [
            0,
            1,
            999_999_999,
            1_732_100_000_123_456_789,
            1_732_100_000_123_456_790,
            1_732_100_001_000_000_000,
            1_719_835_199_500_000_000,
            4_102_444_799_000_000_001,
        ] {
            let at = UNIX_EPOCH + Duration::from_nanos(nanos);
            let mut out = Vec::new();
            stamp.write(at, &mut out);
            let expected = DateTime::<Local>::from(at).format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_clock_before_the_epoch_prints_the_epoch() {
        let (mut before, mut epoch) = (Vec::new(), Vec::new());
        Stamp::default().write(UNIX_EPOCH - Duration::from_secs(1), &mut before);
        Stamp::default().write(UNIX_EPOCH, &mut epoch);
        assert_eq!(before, epoch);
    }
}
