//! Durations as Go writes them: `30s`, `1m30s`, `1.5h`, `100ms`, `-1s`.
//!
//! Pure. Every text either becomes a number of nanoseconds or a [`DurationError`] that quotes it.

use std::time::Duration;

use super::error::shown;

/// A signed length of time in whole nanoseconds, the range of Go's `time.Duration`.
///
/// Signed, because a configuration file says "no limit" with zero or less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

/// Why a text is not a duration; the wording is that of Go's `time.ParseDuration`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of numbers with units, or longer than about 292 years.
    #[error("time: invalid duration \"{0}\"")]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration \"{0}\"")]
    MissingUnit(String),
    /// A unit other than ns, us, ms, s, m, h.
    #[error("time: unknown unit \"{unit}\" in duration \"{text}\"")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl GoDuration {
    /// Reads the grammar of Go's `time.ParseDuration`: an optional sign, then numbers (with an optional fraction),
    /// each followed by a unit; the lone `0` needs none.
    ///
    /// # Errors
    /// [`DurationError`], which quotes the text.
    pub fn parse(text: &str) -> Result<GoDuration, DurationError> {
        let invalid = || DurationError::Invalid(shown(text));
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if unsigned == "0" {
            return Ok(GoDuration(0));
        }
        if unsigned.is_empty() {
            return Err(invalid());
        }
        let mut rest = unsigned;
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (nanos, after) = term(rest, text)?;
            // Each term is below 2^128 / 2 by its digit cap, so only the running total has to be watched.
            total = total.checked_add(nanos).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
            rest = after;
        }
        let signed = if negative { -(total as i128) } else { total as i128 };
        i64::try_from(signed).map(GoDuration).map_err(|_| invalid())
    }

    /// The value in nanoseconds.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// The value where zero or less means "none".
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().filter(|n| *n > 0).map(Duration::from_nanos)
    }

    /// The value where less than zero counts as zero.
    pub fn or_zero(self) -> Duration {
        self.positive().unwrap_or(Duration::ZERO)
    }
}

/// One number with its unit, in nanoseconds, and what follows it.
fn term<'a>(rest: &'a str, whole: &str) -> Result<(u128, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(shown(whole));
    let (int, after) = digits(rest);
    let (fraction, after) = match after.strip_prefix('.') {
        Some(tail) => digits(tail),
        None => ("", after),
    };
    if int.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let unit_len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let (unit, after) = after.split_at(unit_len);
    let scale: u128 = match unit {
        "" => return Err(DurationError::MissingUnit(shown(whole))),
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(DurationError::UnknownUnit { unit: shown(unit), text: shown(whole) }),
    };
    let int = int.trim_start_matches('0');
    if int.len() > 19 {
        return Err(invalid());
    }
    let whole_units: u128 = if int.is_empty() { 0 } else { int.parse().map_err(|_| invalid())? };
    // Digits past the eighteenth are below a nanosecond in every unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| invalid())? };
    let power = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    Ok((whole_units * scale + part * scale / power, after))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_and_their_nanoseconds() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("100ms", 100_000_000),
            ("-1s", -1_000_000_000),
            ("+5ns", 5),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("1h1m1s1ms1us1ns", 3_661_001_001_001),
            ("1m0.5s", 60_500_000_000),
            ("0.9999999999999999999999s", 999_999_999),
            ("00000000000000000000000001s", 1_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(GoDuration::parse(text).map(GoDuration::nanos), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_duration() {
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            ("5", "time: missing unit in duration \"5\""),
            ("1.5", "time: missing unit in duration \"1.5\""),
            (".s", "time: invalid duration \".s\""),
            ("s", "time: invalid duration \"s\""),
            ("--1s", "time: invalid duration \"--1s\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("1 s", "time: unknown unit \" s\" in duration \"1 s\""),
            ("1e3s", "time: unknown unit \"e\" in duration \"1e3s\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            ("99999999999999999999h", "time: invalid duration \"99999999999999999999h\""),
            ("2562048h", "time: invalid duration \"2562048h\""),
        ] {
            assert_eq!(GoDuration::parse(text).unwrap_err().to_string(), error, "{text}");
        }
    }

    #[test]
    fn zero_and_less_mean_none() {
        let of = |text| GoDuration::parse(text).unwrap();
        assert_eq!(of("0s").positive(), None);
        assert_eq!(of("-1s").positive(), None);
        assert_eq!(of("2s").positive(), Some(Duration::from_secs(2)));
        assert_eq!(of("-1s").or_zero(), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_verdict(text in "\\PC*") {
            let _ = GoDuration::parse(&text);
        }

        #[test]
        fn near_misses_give_a_verdict(text in "[-+]?([0-9]{0,22}\\.?[0-9]{0,22}(ns|us|µs|ms|s|m|h|d|)){0,4}") {
            let _ = GoDuration::parse(&text);
        }

        #[test]
        fn the_terms_add_up(h in 0i64..1000, m in 0i64..1000, s in 0i64..1000, ns in 0i64..1_000_000_000, minus: bool) {
            let sign = if minus { -1 } else { 1 };
            let text = format!("{}{h}h{m}m{s}.{ns:09}s", if minus { "-" } else { "" });
            let nanos = ((h * 3600 + m * 60 + s) * 1_000_000_000 + ns) * sign;
            prop_assert_eq!(GoDuration::parse(&text).map(GoDuration::nanos), Ok(nanos));
        }

        #[test]
        fn every_number_of_nanoseconds_reads_back(nanos: i64) {
            prop_assert_eq!(GoDuration::parse(&format!("{nanos}ns")).map(GoDuration::nanos), Ok(nanos));
        }
    }
}
