//! Several texts in one allocation.
//!
//! Each text stands behind its length, in digits of base 64 with the least first: a character below 64 is the last
//! digit, one from 64 on is a digit plus 64 and another follows. All digits are ASCII, so that the whole is text.

/// Appends `text` behind its length.
pub(super) fn push(out: &mut String, text: &str) {
    let mut rest = text.len();
    while rest >= 64 {
        out.push(char::from(digit(rest) | 64));
        rest /= 64;
    }
    out.push(char::from(digit(rest)));
    out.push_str(text);
}

fn digit(rest: usize) -> u8 {
    u8::try_from(rest % 64).unwrap_or_default()
}

/// Reads texts in the order in which they were appended by [`push`]; empty ones when there are no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    pub(super) const fn new(packed: &'a str) -> Self {
        Self(packed)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next text.
    pub(super) fn text(&mut self) -> &'a str {
        let (mut len, mut shift, mut digits) = (0, 0, 0);
        for byte in self.0.bytes() {
            digits += 1;
            len |= usize::from(byte & 63) << shift;
            shift += 6;
            if byte < 64 {
                break;
            }
        }
        self.take(digits);
        self.take(len)
    }

    /// The next byte of what is not text.
    pub(super) fn sign(&mut self) -> u8 {
        self.take(1).bytes().next().unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.0.split_at_checked(len).unwrap_or_default();
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_takes_as_many_digits_as_it_needs() {
        for (len, digits) in [(0, 1), (63, 1), (64, 2), (4095, 2), (4096, 3), (1 << 20, 4)] {
            let text = "x".repeat(len);
            let mut packed = String::new();
            push(&mut packed, &text);
            assert_eq!(packed.len(), len + digits, "{len}");
            assert_eq!(Reader::new(&packed).text(), text, "{len}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(texts in prop::collection::vec(".{0,80}", 0..6)) {
            let mut packed = String::new();
            texts.iter().for_each(|text| push(&mut packed, text));
            let mut reader = Reader::new(&packed);
            for text in &texts {
                prop_assert_eq!(reader.text(), text);
            }
            prop_assert!(reader.is_empty());
            prop_assert_eq!(reader.text(), "");
        }
    }
}
