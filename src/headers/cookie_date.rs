//! The dates of `Expires`: seconds since the epoch from text and back, as Go's `net/http` does it.

use chrono::{DateTime, Datelike, NaiveDate};

/// Before this year a date is no date of a cookie (RFC 6265 section 5.1.1).
const FIRST_YEAR: i32 = 1601;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads `Mon, 02 Jan 2006 15:04:05 GMT`, or the same with `-` in the date. The day of the week may be wrong, and a zone
/// other than GMT has no effect, as in Go.
#[must_use]
pub fn read(text: &str) -> Option<i64> {
    let (day_name, rest) = text.split_once(", ")?;
    let separator = if rest.as_bytes().get(2) == Some(&b'-') { '-' } else { ' ' };
    let mut parts = rest.splitn(3, separator);
    let (day, month) = (digits(parts.next()?, 2)?, parts.next()?);
    let mut rest = parts.next()?.split(' ');
    let (year, time, zone) = (digits(rest.next()?, 4)?, rest.next()?, rest.next()?);
    let month = MONTHS.iter().zip(1..).find(|(name, _)| name.eq_ignore_ascii_case(month))?.1;
    let mut time = time.split(':');
    let (hour, minute, second) = (digits(time.next()?, 2)?, digits(time.next()?, 2)?, digits(time.next()?, 2)?);
    let is_zone = matches!(zone.len(), 3 | 4) && zone.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_day = DAYS.iter().any(|name| name.eq_ignore_ascii_case(day_name));
    if !is_zone || !is_day || rest.next().is_some() || time.next().is_some() {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.and_hms_opt(hour, minute, second)?.and_utc().timestamp()).filter(|_| date.year() >= FIRST_YEAR)
}

/// The date as a cookie bears it; none outside the years that a cookie may name.
#[must_use]
pub fn written(seconds: i64) -> Option<String> {
    let date = DateTime::from_timestamp(seconds, 0)?;
    let of_cookies = (FIRST_YEAR..10_000).contains(&date.year());
    of_cookies.then(|| date.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn digits(text: &str, count: usize) -> Option<u32> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_go_reads_them() {
        for (text, wanted) in [
            ("Wed, 21 Oct 2037 07:28:00 GMT", Some(2_139_722_880)),
            ("wed, 21 oct 2037 07:28:00 GMT", Some(2_139_722_880)),
            ("Mon, 21 Oct 2037 07:28:00 GMT", Some(2_139_722_880)),
            ("Wed, 21-Oct-2037 07:28:00 GMT", Some(2_139_722_880)),
            ("Wed, 21 Oct 2037 07:28:00 UTC", Some(2_139_722_880)),
            ("Wed, 21 Oct 2037 07:28:00 CEST", Some(2_139_722_880)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Mon, 01 Jan 1601 00:00:00 GMT", Some(-11_644_473_600)),
            ("Sun, 31 Dec 1600 23:59:59 GMT", None),
            ("Wed, 21 Oct 2037 07:28:00", None),
            ("Wed, 21 Oct 2037 07:28:00 GMT ", None),
            ("Wed, 21 Oct 2037 07:28:00 gmt", None),
            ("Wed, 1 Oct 2037 07:28:00 GMT", None),
            ("Wed, 31 Feb 2037 07:28:00 GMT", None),
            ("Wed, 21 Okt 2037 07:28:00 GMT", None),
            ("Mit, 21 Oct 2037 07:28:00 GMT", None),
            ("Wed, 21 Oct 37 07:28:00 GMT", None),
            ("Wed, 21 Oct 2037 24:00:00 GMT", None),
            ("Wed, 21 Oct 2037 07:28 GMT", None),
            ("Wednesday, 21-Oct-37 07:28:00 GMT", None),
            ("Wed Oct 21 07:28:00 2037", None),
            ("", None),
        ] {
            assert_eq!(read(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_date_outside_of_all_cookies_is_not_written() {
        for (seconds, wanted) in [
            (2_139_722_880, Some("Wed, 21 Oct 2037 07:28:00 GMT")),
            (-11_644_473_600, Some("Mon, 01 Jan 1601 00:00:00 GMT")),
            (-11_644_473_601, None),
            (253_402_300_799, Some("Fri, 31 Dec 9999 23:59:59 GMT")),
            (253_402_300_800, None),
            (i64::MAX, None),
        ] {
            assert_eq!(written(seconds).as_deref(), wanted, "{seconds}");
        }
    }
}
