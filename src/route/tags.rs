//! The tags of an endpoint, each text kept once.
//!
//! A platform sends a dozen tags with every endpoint. The names are always the same; some values are those of the
//! whole space (its name, its organization), some stand in the registration anyway (the app's id is also `app_id`,
//! `source_id` and `process_id`), and little is left that is the endpoint's own. A [`Pattern`] is all but that: the
//! names, the values that repeat, and the places where the others are. Endpoints of one space share it.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};

use super::packed::{Reader, push};

/// Tags whose values many endpoints have in common. A value of another tag is kept with its endpoint.
const REPEATED: [&str; 6] =
    ["component", "process_type", "organization_id", "organization_name", "space_id", "space_name"];
/// Tags that carry the instance's index. Of others the index, a small number, is found by chance.
const INDICES: [&str; 2] = ["instance_id", "instance_index"];

/// Where a value is found.
const TEXT: u8 = b't';
const APP: u8 = b'a';
const INSTANCE: u8 = b'i';
const INDEX: u8 = b'x';
const OWN: u8 = b'o';

/// A tag as it was registered: its name and its value.
pub type Tag<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Texts of a registration that are tags' values as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) app_id: &'a str,
    pub(super) instance_id: &'a str,
    pub(super) instance_index: &'a str,
}

/// Names and values that endpoints have in common: for each tag its name, a sign that tells where its value is, and
/// the value if it is here.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Pattern(Box<str>);

impl Pattern {
    /// The pattern of `tags`; appends to `own` the values that are not in it.
    pub(super) fn of(tags: &[Tag<'_>], known: Known<'_>, own: &mut String) -> Self {
        let mut pattern = String::with_capacity(512);
        for (name, value) in tags {
            push(&mut pattern, name);
            let sign = known.sign(name, value);
            pattern.push(char::from(sign));
            match sign {
                TEXT => push(&mut pattern, value),
                OWN => push(own, value),
                _ => {}
            }
        }
        Self(pattern.into_boxed_str())
    }
}

impl Known<'_> {
    fn sign(&self, name: &str, value: &str) -> u8 {
        match value {
            _ if REPEATED.contains(&name) => TEXT,
            _ if INDICES.contains(&name) && value == self.instance_index => INDEX,
            "" => OWN,
            _ if value == self.app_id => APP,
            _ if value == self.instance_id => INSTANCE,
            _ => OWN,
        }
    }
}

/// The tags of one endpoint, sorted by name, no name twice. Serialises to a JSON object.
#[derive(Clone, Copy)]
pub struct Tags<'a> {
    pattern: Reader<'a>,
    own: Reader<'a>,
    known: Known<'a>,
}

impl<'a> Tags<'a> {
    pub(super) fn new(pattern: &'a Pattern, own: Reader<'a>, known: Known<'a>) -> Self {
        Self { pattern: Reader::new(&pattern.0), own, known }
    }

    /// The value of the tag `name`.
    #[must_use]
    pub fn value(self, name: &str) -> Option<&'a str> {
        let mut tags = self;
        tags.find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Name and value of each.
impl<'a> Iterator for Tags<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.pattern.is_empty() {
            return None;
        }
        let name = self.pattern.text();
        let value = match self.pattern.sign() {
            TEXT => self.pattern.text(),
            APP => self.known.app_id,
            INSTANCE => self.known.instance_id,
            INDEX => self.known.instance_index,
            _ => self.own.text(),
        };
        Some((name, value))
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(*self)
    }
}

impl fmt::Debug for Tags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(*self).finish()
    }
}
