//! What the operator adds to and takes from the head of every response (`http_rewrite`, gorouter.md section 7.2).

use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields to remove, and fields to add where they are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Fields that no client sees.
    pub remove: Vec<HeaderName>,
    /// Fields that every client sees; what the response says itself stands.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl Rewrite {
    /// Removes, then adds: a field on both lists is replaced.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.add {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_removed_first_and_then_added_where_absent() {
        let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).unwrap();
        let value = HeaderValue::from_static;
        let rewrite = Rewrite {
            remove: vec![name("Server"), name("X-Both"), name("X-Absent")],
            add: vec![(name("X-Both"), value("ours")), (name("X-Said"), value("ours")), (name("X-New"), value("1"))],
        };
        let mut headers = HeaderMap::new();
        for (field, text) in [("server", "a"), ("server", "b"), ("x-both", "app"), ("x-said", "app"), ("x-other", "o")]
        {
            headers.append(name(field), value(text));
        }
        rewrite.apply(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("x-both", "ours"), ("x-new", "1"), ("x-other", "o"), ("x-said", "app")]);
    }
}
