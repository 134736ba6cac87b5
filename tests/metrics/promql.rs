//! What a PromQL expression asks for: metrics, and the labels by which it selects and groups. Not a parser: enough to
//! find names, and it stops at what it does not know.

use std::collections::BTreeSet;

/// What Prometheus itself puts on every series of a scrape.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];
const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const AGGREGATIONS: [&str; 8] = ["sum", "min", "max", "avg", "count", "group", "topk", "bottomk"];
const FUNCTIONS: [&str; 6] = ["rate", "increase", "delta", "histogram_quantile", "label_values", "clamp_min"];

/// The names in an expression.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    pub(crate) metrics: BTreeSet<String>,
    /// Labels by which it groups.
    pub(crate) groups: BTreeSet<String>,
    /// Metric, label, and the value where it is an exact one.
    pub(crate) selects: BTreeSet<(String, String, Option<String>)>,
}

/// Reads `expression`.
pub(crate) fn asked(expression: &str) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut rest = expression;
    let mut grouping = false;
    let mut metric = String::new();
    while let Some(first) = rest.chars().next() {
        let word =
            rest.find(|one: char| !one.is_ascii_alphanumeric() && one != '_' && one != ':').unwrap_or(rest.len());
        match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let (name, tail) = rest.split_at(word);
                rest = tail;
                let called = tail.trim_start().starts_with('(');
                match name {
                    _ if grouping => {
                        asked.groups.insert(name.to_owned());
                    }
                    _ if GROUPING.contains(&name) => grouping = called,
                    _ if OPERATORS.contains(&name) || OF_THE_SCRAPE.contains(&name) => {}
                    _ if AGGREGATIONS.contains(&name) || called && FUNCTIONS.contains(&name) => {}
                    _ if called => return Err(format!("no function is called {name}")),
                    _ => {
                        metric = name.to_owned();
                        asked.metrics.insert(name.to_owned());
                    }
                }
            }
            '{' => {
                let (inner, tail) = rest[1..].split_once('}').ok_or("a selector without an end")?;
                rest = tail;
                for matcher in inner.split(',').map(str::trim).filter(|matcher| !matcher.is_empty()) {
                    let end = matcher.find(['=', '!']).ok_or_else(|| format!("no matcher: {matcher}"))?;
                    let (label, test) = matcher.split_at(end);
                    let exact = test.strip_prefix("=\"").and_then(|value| value.strip_suffix('"')).map(str::to_owned);
                    asked.selects.insert((metric.clone(), label.to_owned(), exact));
                }
            }
            '[' => rest = rest.split_once(']').ok_or("a range without an end")?.1,
            '0'..='9' => rest = rest.trim_start_matches(|one: char| one.is_ascii_alphanumeric() || one == '.'),
            ')' => {
                grouping = false;
                rest = &rest[1..];
            }
            ' ' | '\n' | '(' | ',' | '+' | '-' | '*' | '/' | '<' | '>' | '=' | '!' => rest = &rest[1..],
            other => return Err(format!("unexpected {other:?} in {expression}")),
        }
    }
    asked.groups.retain(|label| !OF_THE_SCRAPE.contains(&&**label));
    asked.selects.retain(|(_, label, _)| !OF_THE_SCRAPE.contains(&&**label));
    if asked.metrics.is_empty() { Err(format!("it asks for nothing: {expression}")) } else { Ok(asked) }
}

#[test]
fn names_are_found_where_they_stand() {
    let found = asked(
        "sum by (instance, reason) (rate(a_total{x=\"1\",instance=~\"$i\"}[5m])) / on (y) b > 14 * 86400 and c{z!~\"q\"}",
    )
    .unwrap();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!((found.metrics, found.groups), (set(&["a_total", "b", "c"]), set(&["reason", "y"])));
    let selects = [("a_total", "x", Some("1")), ("c", "z", None)];
    let own = |(metric, label, value): (&str, &str, Option<&str>)| {
        (metric.to_owned(), label.to_owned(), value.map(str::to_owned))
    };
    assert_eq!(found.selects, selects.map(own).into());
    for wrong in ["frobnicate(a)", "a{x=\"1\"", "a[5m", "a % b", "14 > 3"] {
        assert!(asked(wrong).is_err(), "{wrong}");
    }
}
