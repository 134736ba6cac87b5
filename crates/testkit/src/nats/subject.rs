//! Subjects: words between dots; `*` stands for one word, a final `>` for one or more.

/// Whether a subject matches a pattern.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut words = subject.split('.');
    let mut pattern = pattern.split('.').peekable();
    while let Some(part) = pattern.next() {
        match (part, words.next()) {
            (">", Some(_)) if pattern.peek().is_none() => return true,
            ("*", Some(_)) => {}
            (part, Some(word)) if part == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

/// Whether one may subscribe to this: no empty word, `>` only at the end.
pub(super) fn is_valid(pattern: &str) -> bool {
    let count = pattern.split('.').count();
    pattern.split('.').enumerate().all(|(at, word)| !word.is_empty() && (word != ">" || at + 1 == count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_word_by_word() {
        let cases = [
            ("router.register", "router.register", true),
            ("router.register", "router.registers", false),
            ("router.*", "router.register", true),
            ("router.*", "router", false),
            ("router.*", "router.a.b", false),
            ("router.>", "router.a.b", true),
            ("router.>", "router", false),
            (">", "a", true),
            ("*.b.>", "a.b.c.d", true),
            ("*", "a.b", false),
            ("a*", "ab", false),
            ("a.>.b", "a.x.b", false),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn a_subscription_needs_whole_words() {
        for (pattern, expected) in
            [("a.b", true), ("a.*.c", true), (">", true), ("a..b", false), (".a", false), ("a.>.b", false)]
        {
            assert_eq!(is_valid(pattern), expected, "{pattern}");
        }
    }
}
