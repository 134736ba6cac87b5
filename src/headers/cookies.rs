//! Cookies as Go's `net/http` reads and writes them, since Gorouter does: what it skips is skipped, what it
//! changes in writing is changed (RFC 6265 sections 4.1.1 and 5.2).

use std::fmt::Write;

use super::cookie_date;

/// The cookies of one `Cookie` field, in their order; those that are malformed are skipped.
pub fn sent(field: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    field.split(|byte| *byte == b';').filter_map(pair)
}

/// What a `Set-Cookie` field says of a cookie beside its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// When it ends, seconds since the epoch.
    pub expires: Option<i64>,
    /// How many seconds it lives; zero ends it at once.
    pub max_age: Option<u64>,
    /// Whether it is for secure connections only.
    pub secure: bool,
    /// Whether other sites may cause it to be sent.
    pub same_site: Option<SameSite>,
    /// Whether it is kept apart per top-level site.
    pub partitioned: bool,
}

/// A value of `SameSite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// `Lax`.
    Lax,
    /// `Strict`.
    Strict,
    /// `None`.
    None,
}

impl SameSite {
    /// The word as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }

    /// Reads the word, in any case.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Lax, Self::Strict, Self::None].into_iter().find(|one| word.eq_ignore_ascii_case(one.as_str()))
    }
}

/// The name of the cookie that a `Set-Cookie` field sets; none if the field is malformed.
#[must_use]
pub fn name_set(field: &[u8]) -> Option<&str> {
    let first = field.split(|byte| *byte == b';').next()?;
    first.contains(&b'=').then(|| pair(first)).flatten().map(|(name, _)| name)
}

impl Attributes {
    /// Reads what follows the value in a `Set-Cookie` field; what is unknown or malformed is skipped.
    #[must_use]
    pub fn of(field: &[u8]) -> Self {
        let mut read = Self::default();
        for attribute in field.split(|byte| *byte == b';').skip(1) {
            let (name, value) = cut(trim(attribute));
            if let (Ok(name), Some(value)) = (str::from_utf8(name), value_text(value)) {
                read.note(&name.to_ascii_lowercase(), value);
            }
        }
        read
    }

    fn note(&mut self, name: &str, value: &str) {
        match name {
            "secure" => self.secure = true,
            "partitioned" => self.partitioned = true,
            "samesite" => self.same_site = SameSite::named(value),
            "expires" => self.expires = cookie_date::read(value),
            "max-age" => {
                if let Some(seconds) = max_age(value) {
                    self.max_age = Some(seconds);
                }
            }
            _ => {}
        }
    }

    /// A `Set-Cookie` field with these attributes, for `HttpOnly` use on `path`.
    #[must_use]
    pub fn written(&self, name: &str, value: &str, path: &str) -> String {
        let value: String = value.chars().filter(|c| u8::try_from(*c).is_ok_and(is_value_byte)).collect();
        let quote = if value.contains([' ', ',']) { "\"" } else { "" };
        let path: String = path.chars().filter(|c| matches!(c, ' '..='~') && *c != ';').collect();
        let mut text = format!("{name}={quote}{value}{quote}; Path={path}");
        if let Some(date) = self.expires.and_then(cookie_date::written) {
            text.push_str("; Expires=");
            text.push_str(&date);
        }
        if let Some(seconds) = self.max_age {
            // Writing to a String does not fail.
            let _ = write!(text, "; Max-Age={seconds}");
        }
        text.push_str("; HttpOnly");
        if self.secure {
            text.push_str("; Secure");
        }
        if let Some(same_site) = self.same_site {
            text.push_str("; SameSite=");
            text.push_str(same_site.as_str());
        }
        if self.partitioned {
            text.push_str("; Partitioned");
        }
        text
    }
}

/// Seconds, of which a negative number means none; a number with a leading zero is none at all.
fn max_age(text: &str) -> Option<u64> {
    let seconds: i64 = text.parse().ok()?;
    (seconds == 0 || !text.starts_with('0')).then(|| u64::try_from(seconds).unwrap_or(0))
}

/// A cookie's name and value, the value without quotes around it.
fn pair(text: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = cut(trim(text));
    let name = trim(name);
    if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
        return None;
    }
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    };
    Some((str::from_utf8(name).ok()?, value_text(value)?))
}

fn value_text(value: &[u8]) -> Option<&str> {
    if value.iter().all(|byte| is_value_byte(*byte)) { str::from_utf8(value).ok() } else { None }
}

/// Name and value; the value is empty where there is none.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let to = text.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
    &text[from..to]
}

fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b';' | b'\\')
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cookies_are_read_as_go_reads_them() {
        for (field, wanted) in [
            ("", &[][..]),
            ("a=b", &[("a", "b")]),
            ("a=b; c=d;e=f", &[("a", "b"), ("c", "d"), ("e", "f")]),
            (" a=b ;; \tc=d ; ", &[("a", "b"), ("c", "d")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=b", &[]),
            ("a = b", &[("a", " b")]),
            ("a=\"b c\"", &[("a", "b c")]),
            ("a=\"b", &[]),
            ("a=\"", &[]),
            ("a=\"\"", &[("a", "")]),
            ("a=b\\c; d=e", &[("d", "e")]),
            ("a=b\u{e9}; d=e", &[("d", "e")]),
            ("a b=c; d=e", &[("d", "e")]),
            ("a,b=c; d=e,f", &[("d", "e,f")]),
            ("a=1; a=2", &[("a", "1"), ("a", "2")]),
        ] {
            assert_eq!(sent(field.as_bytes()).collect::<Vec<_>>(), wanted, "{field:?}");
        }
    }

    #[test]
    fn only_a_name_with_a_value_is_set() {
        for (field, wanted) in [
            ("a=b; Path=/", Some("a")),
            (" a =b", Some("a")),
            ("a=", Some("a")),
            ("a", None),
            ("a; b=c", None),
            ("", None),
            ("=a", None),
            ("a=\"b", None),
            ("__Host-a=b; Secure", Some("__Host-a")),
        ] {
            assert_eq!(name_set(field.as_bytes()), wanted, "{field:?}");
        }
    }

    #[test]
    fn attributes_are_read_and_written_as_go_does_it() {
        let written = |field: &str| Attributes::of(field.as_bytes()).written("n", "v", "/p");
        for (field, wanted) in [
            ("a=b", "n=v; Path=/p; HttpOnly"),
            ("a=b; Path=/x; Domain=y; HttpOnly; Unknown=1", "n=v; Path=/p; HttpOnly"),
            ("a=b; SECURE; samesite=none; Partitioned=1", "n=v; Path=/p; HttpOnly; Secure; SameSite=None; Partitioned"),
            ("a=b; SameSite=lax", "n=v; Path=/p; HttpOnly; SameSite=Lax"),
            ("a=b; SameSite=STRICT", "n=v; Path=/p; HttpOnly; SameSite=Strict"),
            ("a=b; SameSite", "n=v; Path=/p; HttpOnly"),
            ("a=b; SameSite=often", "n=v; Path=/p; HttpOnly"),
            ("a=b;max-age=50", "n=v; Path=/p; Max-Age=50; HttpOnly"),
            ("a=b; Max-Age=0", "n=v; Path=/p; Max-Age=0; HttpOnly"),
            ("a=b; Max-Age=-7", "n=v; Path=/p; Max-Age=0; HttpOnly"),
            ("a=b; Max-Age=050", "n=v; Path=/p; HttpOnly"),
            ("a=b; Max-Age=x; Max-Age=", "n=v; Path=/p; HttpOnly"),
            ("a=b; Max-Age=99999999999999999999", "n=v; Path=/p; HttpOnly"),
            (
                "a=b; Max-Age=5; Expires=Wed, 21 Oct 2037 07:28:00 GMT",
                "n=v; Path=/p; Expires=Wed, 21 Oct 2037 07:28:00 GMT; Max-Age=5; HttpOnly",
            ),
            (
                "a=b; expires=Wed, 21-Oct-2037 07:28:00 UTC",
                "n=v; Path=/p; Expires=Wed, 21 Oct 2037 07:28:00 GMT; HttpOnly",
            ),
            ("a=b; Expires=tomorrow", "n=v; Path=/p; HttpOnly"),
        ] {
            assert_eq!(written(field), wanted, "{field:?}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_cookie_is_left_out() {
        let plain = Attributes::default();
        assert_eq!(plain.written("n", "a\"b;c\\d\u{e9}\n", "/a;b\u{e9}"), "n=abcd; Path=/ab; HttpOnly");
        assert_eq!(plain.written("n", "a b,c", "/ "), "n=\"a b,c\"; Path=/ ; HttpOnly");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(
            expires in prop::option::of(-11_000_000_000_i64..200_000_000_000), max_age in prop::option::of(0..1_u64 << 62),
            secure: bool, partitioned: bool, site in 0_usize..4, value in "[ -~]{0,20}"
        ) {
            let same_site = [None, Some(SameSite::Lax), Some(SameSite::Strict), Some(SameSite::None)][site];
            let attributes = Attributes { expires, max_age, secure, same_site, partitioned };
            let field = attributes.written("name", &value, "/");
            prop_assert_eq!(name_set(field.as_bytes()), Some("name"));
            prop_assert_eq!(Attributes::of(field.as_bytes()), attributes);
        }

        #[test]
        fn any_bytes_are_cookies_or_none(field in prop::collection::vec(any::<u8>(), 0..60)) {
            for (name, value) in sent(&field) {
                prop_assert!(name.bytes().all(is_token_byte) && value.bytes().all(is_value_byte));
            }
            let text = Attributes::of(&field).written(name_set(&field).unwrap_or("n"), "v", "/");
            prop_assert!(http::HeaderValue::from_str(&text).is_ok());
        }
    }
}
