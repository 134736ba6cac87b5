//! How spans, ids and whatever came from elsewhere look in a terminal.

/// A span in its largest unit, rounded down: `5s`, `2m`, `3h`, `4d`.
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The first letters of an id that is a UUID, which are enough to find it; any other id whole.
#[must_use]
pub fn short(id: &str) -> &str {
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if is_uuid { &id[..8] } else { id }
}

/// An app's id and the index of its instance, as far as they are known.
#[must_use]
pub fn app(app: &str, index: &str) -> String {
    match (app, index) {
        ("", _) => "-".into(),
        (app, "") => short(app).into(),
        (app, index) => format!("{}/{index}", short(app)),
    }
}

/// A text without anything that a terminal would act on.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '?' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let told: Vec<_> = [0, 59, 60, 3599, 3600, 172_799, 172_800].map(span).into();
        assert_eq!(told, ["0s", "59s", "1m", "59m", "1h", "47h", "2d"]);
    }

    #[test]
    fn only_a_uuid_is_shortened() {
        assert_eq!(app("5c8b1f6e-0000-4000-8000-0123456789ab", "3"), "5c8b1f6e/3");
        assert_eq!((app("shop", ""), app("", "1")), ("shop".to_owned(), "-".to_owned()));
        assert_eq!(clean("a\u{1b}[31mb\n"), "a?[31mb?");
    }
}
