//! Prometheus' text format 0.0.4, read strictly: what a scraper would accept or mend is an error here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A page, family by family.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) families: BTreeMap<String, Family>,
}

#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) series: Vec<Series>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

/// What is wrong, and on which line, counted from 1.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong(pub(crate) usize, pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.0, self.1)
    }
}

impl Page {
    /// Reads a page.
    pub(crate) fn read(text: &str) -> Result<Self, Wrong> {
        let mut page = Self::default();
        let mut open: Option<(String, Family)> = None;
        let body = text.strip_suffix('\n').ok_or_else(|| Wrong(0, "the last line has no end".into()))?;
        let mut lines = body.split('\n').enumerate().map(|(at, line)| (at + 1, line));
        while let Some((at, line)) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                page.close(open.take()).map_err(|why| Wrong(at, why))?;
                let (name, help) = rest.split_once(' ').ok_or_else(|| Wrong(at, "no help text".into()))?;
                let kind = lines.next().and_then(|(_, line)| line.strip_prefix(&format!("# TYPE {name} ")));
                let kind = kind.ok_or_else(|| Wrong(at + 1, "no type after the help".into()))?;
                if !is_name(name, true) || !["counter", "gauge", "histogram"].contains(&kind) || help.is_empty() {
                    return Err(Wrong(at, format!("no family: {line}")));
                }
                open = Some((name.into(), Family { kind: kind.into(), help: help.into(), series: Vec::new() }));
            } else {
                let (name, family) = open.as_mut().ok_or_else(|| Wrong(at, "a series of no family".into()))?;
                let series = series(line).ok_or_else(|| Wrong(at, format!("no series: {line}")))?;
                if !belongs(&series.name, name, &family.kind) {
                    return Err(Wrong(at, format!("not of {name}: {line}")));
                }
                family.series.push(series);
            }
        }
        page.close(open).map_err(|why| Wrong(body.split('\n').count(), why))?;
        Ok(page)
    }

    fn close(&mut self, family: Option<(String, Family)>) -> Result<(), String> {
        let Some((name, family)) = family else { return Ok(()) };
        if family.series.is_empty() {
            return Err(format!("{name} has no series"));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = family.series.iter().find(|one| !seen.insert((&one.name, &one.labels))) {
            return Err(format!("twice: {twice:?}"));
        }
        if family.kind == "histogram" {
            histogram(&family)?;
        }
        if family.kind == "counter" && family.series.iter().any(|one| one.value < 0.) {
            return Err(format!("{name} is below zero"));
        }
        if self.families.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(format!("{name} is not in order"));
        }
        self.families.insert(name, family);
        Ok(())
    }

    /// The names of the labels of a series' name (`latency_bucket`); none for a name that the page does not have.
    pub(crate) fn labels(&self, name: &str) -> Option<BTreeSet<String>> {
        let all = self.families.values().flat_map(|family| &family.series);
        let mut found = all.filter(|one| one.name == name).peekable();
        found.peek()?;
        Some(found.flat_map(|one| one.labels.iter().map(|(label, _)| label.clone())).collect())
    }
}

fn belongs(series: &str, family: &str, kind: &str) -> bool {
    let parts: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    series.strip_prefix(family).is_some_and(|rest| parts.contains(&rest))
}

/// For each set of labels: buckets whose bounds and counts grow, up to `+Inf`, which is the count; and a sum.
fn histogram(family: &Family) -> Result<(), String> {
    let mut rest = &family.series[..];
    while let Some(first) = rest.first() {
        let is_bucket = |one: &&Series| one.name.ends_with("_bucket");
        let buckets: Vec<&Series> = rest.iter().take_while(is_bucket).collect();
        let own = |one: &Series| one.labels.iter().filter(|(name, _)| name != "le").cloned().collect::<Vec<_>>();
        let bounds = buckets.iter().map(|one| match one.labels.last() {
            Some((name, bound)) if name == "le" && bound == "+Inf" => Some(f64::INFINITY),
            Some((name, bound)) if name == "le" => bound.parse().ok(),
            _ => None,
        });
        let bounds: Vec<f64> = bounds.collect::<Option<_>>().ok_or("a bucket without a bound at its end")?;
        let [sum, count] = rest.get(buckets.len()..buckets.len() + 2).ok_or("no sum, no count")? else {
            unreachable!()
        };
        let grow =
            bounds.is_sorted_by(|one, next| one < next) && buckets.is_sorted_by(|one, next| one.value <= next.value);
        let ends = bounds.last() == Some(&f64::INFINITY)
            && buckets.last().is_some_and(|last| last.value == count.value)
            && sum.name.ends_with("_sum")
            && count.name.ends_with("_count");
        let alike = buckets.iter().copied().chain([sum, count]).all(|one| own(one) == own(first));
        if !(grow && ends && alike) {
            return Err(format!("no histogram: {first:?}"));
        }
        rest = &rest[buckets.len() + 2..];
    }
    Ok(())
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |(at, one): (usize, char)| match one {
        'a'..='z' | 'A'..='Z' | '_' => true,
        ':' => colons,
        '0'..='9' => at > 0,
        _ => false,
    };
    !name.is_empty() && name.chars().enumerate().all(fits)
}

fn series(line: &str) -> Option<Series> {
    let end = line.find(['{', ' '])?;
    let name = &line[..end];
    let mut labels = Vec::new();
    let mut rest = &line[end..];
    if let Some(mut inner) = rest.strip_prefix('{') {
        loop {
            let (label, tail) = inner.split_once("=\"")?;
            let (value, tail) = quoted(tail)?;
            if !is_name(label, false) || labels.iter().any(|(known, _)| known == label) {
                return None;
            }
            labels.push((label.to_owned(), value));
            if let Some(tail) = tail.strip_prefix('}') {
                rest = tail;
                break;
            }
            inner = tail.strip_prefix(',')?;
        }
    }
    let value = rest.strip_prefix(' ')?;
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().ok()? };
    is_name(name, true).then(|| Series { name: name.into(), labels, value })
}

/// A label's value to its closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut all = text.char_indices();
    while let Some((at, one)) = all.next() {
        match one {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match all.next()?.1 {
                'n' => '\n',
                '\\' => '\\',
                '"' => '"',
                _ => return None,
            }),
            '\n' => return None,
            other => value.push(other),
        }
    }
    None
}

#[test]
fn a_page_is_read_to_the_letter() {
    let good = "# HELP a_b Text.\n# TYPE a_b counter\na_b{x=\"1\\n\\\"\\\\\",y=\"\"} 1\na_b 2.5\n\
                # HELP h Text.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let page = Page::read(good).unwrap();
    assert_eq!(page.families["a_b"].series[0].labels, [("x".into(), "1\n\"\\".into()), ("y".into(), String::new())]);
    assert_eq!(page.labels("h_bucket").unwrap().into_iter().collect::<Vec<_>>(), ["le"]);
    assert_eq!(page.labels("h"), None);
    for (from, to, line) in [
        ("a_b 2.5\n", "a_b 2.5", 0),
        ("a_b 2.5\n", "a_b two\n", 4),
        ("a_b 2.5\n", "\n", 4),
        ("a_b 2.5\n", "a_c 2.5\n", 4),
        ("a_b 2.5\n", "a_b -2.5\n", 5),
        ("a_b 2.5\n", "a_b{x=\"1\\n\\\"\\\\\",y=\"\"} 2\n", 5),
        ("y=\"\"", "x=\"\"", 3),
        ("y=\"\"", "y-z=\"\"", 3),
        ("\\n", "\\t", 3),
        ("# TYPE a_b counter", "# TYPE a_b count", 1),
        ("# TYPE a_b counter", "# TYPE a_c counter", 2),
        ("# HELP a_b Text.\n# TYPE a_b counter\n", "", 1),
        ("# HELP h ", "# HELP H ", 6),
        ("h_bucket{le=\"+Inf\"} 2", "h_bucket{le=\"+Inf\"} 3", 10),
        ("h_bucket{le=\"1\"} 1", "h_bucket{le=\"1\"} 3", 10),
        ("h_bucket{le=\"+Inf\"} 2\n", "", 9),
        ("h_sum 3\n", "", 9),
    ] {
        let bad = if from.starts_with("a_b 2.5") && to == "a_b 2.5" {
            good.strip_suffix('\n').unwrap().to_owned()
        } else {
            good.replacen(from, to, 1)
        };
        let wrong = Page::read(&bad).expect_err(&bad);
        assert_eq!(wrong.0, line, "{wrong} in\n{bad}");
    }
}
