//! Walks a document and keeps account of what was read, so that nothing is passed over in silence.
//!
//! Diego's executor writes every default out: nulls, zeros, empty texts, lists and maps. All of these are equal to an
//! absent key, known or not. Whatever else is left when a map has been read would have changed what Envoy does, and is
//! noted as [`Problem::Unsupported`].

use std::time::Duration;

use serde_json::{Map, Value};

use super::problem::Problem;
use crate::log::one_line;

/// Enumerations whose first word is written out as a default, by their key.
const DEFAULT_WORDS: [(&str, &str); 16] = [
    ("cluster_dns_lookup_family", "AUTO"),
    ("dns_lookup_family", "AUTO"),
    ("drain_type", "DEFAULT"),
    ("health_status", "UNKNOWN"),
    ("ip_family", "DEFAULT"),
    ("lb_policy", "ROUND_ROBIN"),
    ("ocsp_staple_policy", "LENIENT_STAPLING"),
    ("priority", "DEFAULT"),
    ("protocol", "TCP"),
    ("protocol_selection", "USE_CONFIGURED_PROTOCOL"),
    ("proxy_protocol_tlv_merge_policy", "ADD_IF_ABSENT"),
    ("tls_maximum_protocol_version", "TLS_AUTO"),
    ("tls_minimum_protocol_version", "TLS_AUTO"),
    ("traffic_direction", "UNSPECIFIED"),
    ("trust_chain_verification", "VERIFY_TRUST_CHAIN"),
    ("upstream_connect_mode", "IMMEDIATE"),
];

/// Characters of a value that a problem shows.
const SHOWN: usize = 40;

/// What was found out on the way through a document.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) problems: Vec<Problem>,
    /// Settings that are passed over without harm, in words for an operator.
    pub(super) warnings: Vec<String>,
}

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'v> {
    pub(super) at: String,
    value: &'v Value,
}

/// A map of which not every key has been read yet.
pub(super) struct Fields<'v> {
    at: String,
    map: Option<&'v Map<String, Value>>,
    taken: Vec<&'static str>,
}

impl<'v> Node<'v> {
    /// The document itself; paths within it begin with `at`, which may be empty.
    pub(super) fn root(at: &str, value: &'v Value) -> Self {
        Self { at: at.to_owned(), value }
    }

    /// Whether this is as good as absent.
    pub(super) fn is_empty(&self) -> bool {
        is_empty(self.value)
    }

    /// A text; `None` for an empty one.
    pub(super) fn text(&self, notes: &mut Notes) -> Option<&'v str> {
        match self.value {
            Value::String(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            value if is_empty(value) => None,
            _ => self.wrong("a text", notes),
        }
    }

    /// Whether nothing stands here at all, or a null.
    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// The text where there is one, without a note where there is something else.
    pub(super) fn one_text(&self) -> Option<&'v str> {
        self.value.as_str().filter(|text| !text.is_empty())
    }

    /// A number that is not negative; `None` for an absent one, 0 for 0.
    pub(super) fn number(&self, notes: &mut Notes) -> Option<u64> {
        match self.value {
            Value::Null => None,
            // Large numbers may stand in quotes in proto JSON.
            Value::String(text) if text.parse::<u64>().is_ok() => text.parse().ok(),
            value => value.as_u64().or_else(|| self.wrong("a number", notes)),
        }
    }

    /// True or false; absent is false.
    pub(super) fn flag(&self, notes: &mut Notes) -> bool {
        match self.value {
            Value::Bool(flag) => *flag,
            value if is_empty(value) => false,
            _ => self.wrong("true or false", notes).unwrap_or_default(),
        }
    }

    /// A duration like `0.25s`; `None` for an absent one.
    pub(super) fn duration(&self, notes: &mut Notes) -> Option<Duration> {
        let text = self.text(notes)?;
        duration(text).or_else(|| self.wrong("a duration like 0.25s", notes))
    }

    /// The members of a list; none for an absent one.
    pub(super) fn list(&self, notes: &mut Notes) -> Vec<Node<'v>> {
        match self.value {
            Value::Array(items) => {
                let nodes = items.iter().enumerate();
                nodes.map(|(index, value)| Node { at: format!("{}[{index}]", self.at), value }).collect()
            }
            value if is_empty(value) => Vec::new(),
            _ => self.wrong("a list", notes).unwrap_or_default(),
        }
    }

    /// Reads a map, an absent one as an empty one, and notes what `read` did not take.
    pub(super) fn fields<T>(&self, notes: &mut Notes, read: impl FnOnce(&mut Fields<'v>, &mut Notes) -> T) -> T {
        let map = match self.value {
            Value::Object(map) => Some(map),
            value if is_empty(value) => None,
            _ => self.wrong("a map", notes),
        };
        let mut fields = Fields { at: self.at.clone(), map, taken: Vec::new() };
        let result = read(&mut fields, notes);
        fields.note_leftovers(notes);
        result
    }

    /// Notes that this is not what it should be.
    pub(super) fn wrong<T>(&self, expected: &'static str, notes: &mut Notes) -> Option<T> {
        notes.problems.push(Problem::Wrong { path: self.at.clone(), expected });
        None
    }

    /// Notes that this is not there.
    pub(super) fn missing<T>(&self, why: &'static str, notes: &mut Notes) -> Option<T> {
        notes.problems.push(Problem::Missing { path: self.at.clone(), why });
        None
    }

    /// Notes that this is well-formed and not implemented.
    pub(super) fn unsupported<T>(&self, notes: &mut Notes) -> Option<T> {
        notes.problems.push(Problem::Unsupported { path: self.at.clone(), value: shown(self.value) });
        None
    }
}

impl<'v> Fields<'v> {
    /// The value of `key`, absent or not, and from now on accounted for.
    pub(super) fn take(&mut self, key: &'static str) -> Node<'v> {
        const ABSENT: &Value = &Value::Null;
        self.taken.push(key);
        Node { at: child(&self.at, key), value: self.map.and_then(|map| map.get(key)).unwrap_or(ABSENT) }
    }

    /// Accounts for `keys`, whose values change nothing that is done here.
    pub(super) fn pass_over(&mut self, keys: &[&'static str]) {
        self.taken.extend(keys);
    }

    fn note_leftovers(&self, notes: &mut Notes) {
        for (key, value) in self.map.into_iter().flatten() {
            if !self.taken.contains(&key.as_str()) && !is_empty(value) && !is_default_word(key, value) {
                Node { at: child(&self.at, key), value }.unsupported::<()>(notes);
            }
        }
    }
}

fn child(parent: &str, key: &str) -> String {
    let key = one_line(key);
    if parent.is_empty() { key } else { format!("{parent}.{key}") }
}

pub(super) fn is_default_word(key: &str, value: &Value) -> bool {
    value.as_str().is_some_and(|word| DEFAULT_WORDS.contains(&(key, word)))
}

/// Null, zero, false, the empty text, and whatever holds nothing but these.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.iter().all(|(key, value)| is_empty(value) || is_default_word(key, value)),
    }
}

/// The value on one line and cut short, without what could be a key.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Object(map) => format!("{{{}}}", map.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
        Value::Array(items) => format!("a list of {}", items.len()),
        value => value.to_string(),
    };
    let text = one_line(&text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// A duration of proto JSON: decimal seconds and an `s`.
fn duration(text: &str) -> Option<Duration> {
    let (whole, fraction) = {
        let seconds = text.strip_suffix('s')?;
        seconds.split_once('.').unwrap_or((seconds, ""))
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn leftovers(value: &Value) -> Vec<String> {
        let mut notes = Notes::default();
        Node::root("", value).fields(&mut notes, |fields, _| {
            fields.take("known");
        });
        notes.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_way_to_write_a_default_is_no_setting() {
        for value in
            [json!(null), json!(0), json!(0.0), json!(false), json!(""), json!([]), json!({}), json!({"a": {"b": []}})]
        {
            assert_eq!(leftovers(&json!({"unknown": value})), [""; 0], "{value}");
        }
        assert_eq!(leftovers(&json!({"drain_type": "DEFAULT", "x": {"lb_policy": "ROUND_ROBIN"}})), [""; 0]);
    }

    #[test]
    fn whatever_else_is_left_is_named() {
        for (value, shown) in [
            (json!(1), "1"),
            (json!(true), "true"),
            (json!("x"), "\"x\""),
            (json!([0]), "a list of 1"),
            (json!({"deep": {"er": 1}}), "{deep}"),
            (json!({"d\n": 1}), "{d\\n}"),
            (json!("\u{2028}"), "\"\\u{2028}\""),
        ] {
            assert_eq!(
                leftovers(&json!({"known": 1, "unknown": value})),
                [format!("unknown: {shown} is not supported")]
            );
        }
        assert_eq!(leftovers(&json!({"a\nb": {"c": 1}})), ["a\\nb: {c} is not supported"]);
        assert_eq!(leftovers(&json!({"drain_type": "MODIFY_ONLY"})).len(), 1);
        assert_eq!(leftovers(&json!([])), [""; 0]);
        assert_eq!(leftovers(&json!([1])), [": expected a map"]);
    }

    #[test]
    fn durations_are_decimal_seconds() {
        for (text, millis) in [("0.25s", Some(250)), ("5s", Some(5000)), ("900.000s", Some(900_000)), ("0s", Some(0))] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
        for text in ["", "s", "5", "-1s", "1.s2", "5m", ".5s", "1.0000000001s", "99999999999999999999s", "1 s"] {
            assert_eq!(duration(text).filter(|_| text != "1.s"), None, "{text}");
        }
    }
}
