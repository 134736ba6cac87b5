//! What a scalar means, by the rules of Go's yaml.v3 (YAML 1.2 with some of 1.1).

use super::yaml::{Scalar, Style};

/// A scalar with its meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning<'a> {
    Null,
    Bool(bool),
    /// Within i64 or u64.
    Int(i128),
    Float(f64),
    Text(&'a str),
}

impl Meaning<'_> {
    /// The YAML tag, as errors show it.
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Meaning::Null => "!!null",
            Meaning::Bool(_) => "!!bool",
            Meaning::Int(_) => "!!int",
            Meaning::Float(_) => "!!float",
            Meaning::Text(_) => "!!str",
        }
    }
}

impl Scalar {
    /// What the scalar is before a key asks for a type.
    pub(super) fn meaning(&self) -> Meaning<'_> {
        match self.style {
            Style::Text => Meaning::Text(&self.text),
            Style::Plain | Style::Tagged => by_looks(&self.text),
        }
    }

    /// The scalar where a bool is wanted. The words of YAML 1.1 count here, and only in these spellings; yaml.v3
    /// takes them quoted too, but not a quoted `true`.
    pub(super) fn as_bool(&self) -> Option<bool> {
        match self.meaning() {
            Meaning::Bool(b) => Some(b),
            Meaning::Text("y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON") => Some(true),
            Meaning::Text("n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF") => Some(false),
            _ => None,
        }
    }

    /// The scalar where a whole number is wanted; a fraction is cut off, as in yaml.v3.
    pub(super) fn as_int(&self) -> Option<i128> {
        match self.meaning() {
            Meaning::Int(n) => Some(n),
            // Below 2^64, and so far inside i128 that the cast cannot saturate.
            Meaning::Float(f) if f.abs() < 18_446_744_073_709_551_616.0 => Some(f as i128),
            _ => None,
        }
    }

    /// The scalar where a number is wanted.
    pub(super) fn as_float(&self) -> Option<f64> {
        match self.meaning() {
            Meaning::Int(n) => Some(n as f64),
            Meaning::Float(f) => Some(f),
            _ => None,
        }
    }
}

/// What a plain text is taken for.
pub(super) fn by_looks(text: &str) -> Meaning<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "true" | "True" | "TRUE" => Meaning::Bool(true),
        "false" | "False" | "FALSE" => Meaning::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Meaning::Float(f64::NEG_INFINITY),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => number(text),
        _ => Meaning::Text(text),
    }
}

fn number(text: &str) -> Meaning<'_> {
    let bare = text.replace('_', "");
    if let Some(n) = integer(&bare) {
        return Meaning::Int(n);
    }
    if looks_like_a_float(&bare)
        && let Ok(f) = bare.parse::<f64>()
        && f.is_finite()
    {
        return Meaning::Float(f);
    }
    Meaning::Text(text)
}

/// Decimal, `0x`, `0b`, `0o`, and a leading zero for octal, with an optional sign.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let n = sign * i128::from_str_radix(digits, radix).ok()?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&n).then_some(n)
}

/// Digits with at most one point among them, at least one digit, and an optional exponent.
fn looks_like_a_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (int, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    digits(int)
        && digits(fraction)
        && !(int.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.to_owned(), style: Style::Plain }
    }

    #[test]
    fn looks_and_meanings() {
        use Meaning::*;
        for (text, meaning) in [
            ("", Null),
            ("~", Null),
            ("NULL", Null),
            ("nULL", Text("nULL")),
            ("True", Bool(true)),
            ("tRUE", Text("tRUE")),
            ("yes", Text("yes")),
            ("0", Int(0)),
            ("1_000", Int(1000)),
            ("017", Int(15)),
            ("0o17", Int(15)),
            ("0x1F", Int(31)),
            ("-0b101", Int(-5)),
            ("+7", Int(7)),
            ("18446744073709551615", Int(18_446_744_073_709_551_615)),
            ("18446744073709551616", Float(18_446_744_073_709_551_616.0)),
            ("08", Float(8.0)),
            ("1e3", Float(1000.0)),
            (".5", Float(0.5)),
            ("1.", Float(1.0)),
            ("-.inf", Float(f64::NEG_INFINITY)),
            ("-", Text("-")),
            (".", Text(".")),
            ("1e", Text("1e")),
            ("1.2.3", Text("1.2.3")),
            ("0x", Text("0x")),
            ("--1", Text("--1")),
            ("0-1", Text("0-1")),
            ("30s", Text("30s")),
            ("2001-01-01", Text("2001-01-01")),
            ("1e999", Text("1e999")),
        ] {
            assert_eq!(plain(text).meaning(), meaning, "{text}");
        }
    }

    #[test]
    fn quotes_and_tags_decide() {
        let of = |text: &str, style| Scalar { text: text.to_owned(), style };
        assert_eq!(of("5", Style::Text).meaning(), Meaning::Text("5"));
        assert_eq!(of("5", Style::Tagged).meaning(), Meaning::Int(5));
        assert_eq!(of("true", Style::Text).as_bool(), None);
        assert_eq!(of("yes", Style::Text).as_bool(), Some(true));
        assert_eq!(of("Yes", Style::Plain).as_bool(), Some(true));
        assert_eq!(of("yEs", Style::Plain).as_bool(), None);
        assert_eq!(of("1.9", Style::Plain).as_int(), Some(1));
        assert_eq!(of("1e300", Style::Plain).as_int(), None);
        assert_eq!(of(".nan", Style::Plain).as_int(), None);
    }

    proptest! {
        #[test]
        fn any_text_has_a_meaning(text in "\\PC*|[-+.0-9a-fxobeE_]{0,30}") {
            let scalar = plain(&text);
            let _ = (scalar.as_bool(), scalar.as_int(), scalar.as_float());
        }

        #[test]
        fn whole_numbers_read_back(n: i64) {
            prop_assert_eq!(plain(&n.to_string()).as_int(), Some(i128::from(n)));
        }
    }
}
