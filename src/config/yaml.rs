//! A YAML text as a tree that keeps what the file says: quotes, tags and lines.
//!
//! serde's own data model forgets the quotes, and with them the difference between `5` and `"5"` that yaml.v3 makes;
//! so the tree is built from the events of the parser below serde-saphyr. Only the first document of a text counts,
//! as in yaml.v3. Nodes live in one list and refer to each other by number: an alias costs nothing, and a chain of
//! them cannot exhaust the stack.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Tag};

use super::error::{ConfigError, shown};
use super::scalar::by_looks;

/// The number of a node in its document.
pub(super) type NodeId = usize;

/// One document.
pub(super) struct Document {
    nodes: Vec<Node>,
    root: Option<NodeId>,
}

/// One value and where it begins.
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<NodeId>),
    /// Keys and values in the order of the file, doubles included.
    Map(Vec<(NodeId, NodeId)>),
}

/// A scalar before anybody decides what it means.
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) style: Style,
}

/// How a scalar says what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// By its looks.
    Plain,
    /// It is a string: quoted, a block, or tagged as one (or with a tag of the user's own).
    Text,
    /// By its looks although it may be quoted: tagged `!!int`, `!!bool`, `!!float`, `!!null`.
    Tagged,
}

/// A collection that is still being read.
struct Open {
    id: NodeId,
    anchor: usize,
    children: Vec<NodeId>,
}

impl Document {
    /// Reads the first document of a text.
    pub(super) fn parse(text: &str) -> Result<Document, ConfigError> {
        let mut options = granit_parser::Options::default();
        options.set_emit_comments(false);
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut tree = Tree::default();
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|e| syntax(&e.info(), e.marker().line()))?;
            if matches!(event, Event::DocumentEnd) {
                break;
            }
            tree.take(event, span.start.line())?;
        }
        Ok(Document { nodes: tree.nodes, root: tree.root })
    }

    /// The outermost value; none for an empty text.
    pub(super) fn root(&self) -> Option<NodeId> {
        self.root
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }
}

#[derive(Default)]
struct Tree {
    nodes: Vec<Node>,
    root: Option<NodeId>,
    open: Vec<Open>,
    /// What each anchor stands for, once it is complete.
    anchors: HashMap<usize, NodeId>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), ConfigError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar(text.into_owned(), style, tag.as_deref(), line)?;
                let id = self.add(line, Kind::Scalar(scalar));
                self.complete(id, anchor);
            }
            Event::SequenceStart(_, anchor, _) => self.begin(line, Kind::List(Vec::new()), anchor),
            Event::MappingStart(_, anchor, _) => self.begin(line, Kind::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(id) => self.place(*id),
                None => return Err(syntax("an anchor contains itself", line)),
            },
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, line: usize, kind: Kind) -> NodeId {
        self.nodes.push(Node { line, kind });
        self.nodes.len() - 1
    }

    fn begin(&mut self, line: usize, kind: Kind, anchor: usize) {
        let id = self.add(line, kind);
        self.open.push(Open { id, anchor, children: Vec::new() });
    }

    fn end(&mut self) {
        let Some(Open { id, anchor, children }) = self.open.pop() else { return };
        if let Some(node) = self.nodes.get_mut(id) {
            match &mut node.kind {
                Kind::List(items) => *items = children,
                Kind::Map(entries) => {
                    *entries = children.as_chunks().0.iter().map(|[key, value]| (*key, *value)).collect();
                }
                Kind::Scalar(_) => {}
            }
        }
        self.complete(id, anchor);
    }

    fn complete(&mut self, id: NodeId, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        self.place(id);
    }

    fn place(&mut self, id: NodeId) {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(id),
            None => self.root = Some(id),
        }
    }
}

/// A scalar as its style and its tag make it.
fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Result<Scalar, ConfigError> {
    let plain = if style == ScalarStyle::Plain { Style::Plain } else { Style::Text };
    let Some(tag) = tag.and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:")) else {
        let style = if tag.is_none() { plain } else { Style::Text };
        return Ok(Scalar { text, style });
    };
    let looks = by_looks(&text).tag();
    match tag.as_ref() {
        "float" if looks == "!!int" => Ok(Scalar { text, style: Style::Tagged }),
        "int" | "bool" | "float" | "null" if looks.strip_prefix("!!") == Some(tag.as_ref()) => {
            Ok(Scalar { text, style: Style::Tagged })
        }
        "int" | "bool" | "float" | "null" => {
            Err(syntax(&format!("cannot decode {looks} `{}` as a !!{tag}", shown(&text)), line))
        }
        "binary" => {
            let bytes = STANDARD.decode(text.replace(char::is_whitespace, ""));
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| syntax("!!binary value holds no text in base64", line))?;
            Ok(Scalar { text, style: Style::Text })
        }
        "merge" => Ok(Scalar { text, style: plain }),
        _ => Ok(Scalar { text, style: Style::Text }),
    }
}

fn syntax(what: &str, line: usize) -> ConfigError {
    ConfigError::Syntax { what: shown(what), line }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree on one line: `~` marks plain scalars, `!` tagged ones.
    fn draw(doc: &Document, id: NodeId) -> String {
        match &doc.node(id).kind {
            Kind::Scalar(s) => match s.style {
                Style::Plain => format!("~{}", s.text),
                Style::Tagged => format!("!{}", s.text),
                Style::Text => s.text.clone(),
            },
            Kind::List(items) => format!("[{}]", items.iter().map(|i| draw(doc, *i)).collect::<Vec<_>>().join(" ")),
            Kind::Map(entries) => {
                let one = |(k, v): &(NodeId, NodeId)| format!("{}:{}", draw(doc, *k), draw(doc, *v));
                format!("{{{}}}", entries.iter().map(one).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn texts_and_their_trees() {
        for (text, tree) in [
            ("a: 5\nb: '5'\nc: \"5\"\nd: |-\n  5\n", "{~a:~5 ~b:5 ~c:5 ~d:5}"),
            ("a: !!str 5\nb: !!int '5'\nc: !mine 5\nd: ! 5", "{~a:5 ~b:!5 ~c:5 ~d:5}"),
            ("[a, {b: [c]}]", "[~a {~b:[~c]}]"),
            ("a: &x [1]\nb: *x\nc: &x 2\nd: *x", "{~a:[~1] ~b:[~1] ~c:~2 ~d:~2}"),
            ("a:\nb: ~\nc: !!str", "{~a:~~ ~b:~~ ~c:}"),
            ("# only\n--- # comments\na: 1\n---\nb: {", "{~a:~1}"),
            ("\u{feff}a: 1", "{~a:~1}"),
            ("a: 1\na: 2", "{~a:~1 ~a:~2}"),
        ] {
            let doc = Document::parse(text).unwrap();
            assert_eq!(draw(&doc, doc.root().unwrap()), tree, "{text}");
        }
        assert!(Document::parse("").unwrap().root().is_none());
        assert!(Document::parse("# nothing\n").unwrap().root().is_none());
    }

    #[test]
    fn broken_texts_name_the_line() {
        for (text, line) in [("a: 1\nb: [", 2), ("a: 1\n b: 2\n", 2), ("a: &x\n  b: *x\n", 2), ("a: *nope", 1)] {
            match Document::parse(text) {
                Err(ConfigError::Syntax { line: at, .. }) => assert!(at >= line, "{text}: {at}"),
                other => panic!("{text}: {:?}", other.map(|d| d.nodes.len())),
            }
        }
    }

    #[test]
    fn a_long_chain_of_aliases_is_no_deep_tree() {
        let mut text = String::from("- &a0 []\n");
        for n in 1..100_000 {
            text.push_str(&format!("- &a{n} [*a{}]\n", n - 1));
        }
        let doc = Document::parse(&text).unwrap();
        assert!(doc.root().is_some());
    }
}
