//! Rust source as words and marks: enough to see what refers to what, and no more.

use std::path::{Path, PathBuf};

/// A file of Rust source.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    tokens: Vec<Token>,
    /// Whether only tests see this file.
    pub(crate) test: bool,
}

/// A word or a mark, and whether it stands in code that only tests see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) test: bool,
}

/// A path in the code whose first word is a module at the top of the crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// The module at the top.
    pub(crate) module: String,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::new(path, text)
    }

    pub(crate) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let mut tokens = tokens(&text);
        mark_tests(&mut tokens);
        let mut source = Self { path, text, tokens, test: false };
        if is_test_file(&source.path) {
            source.mark_test();
        }
        source
    }

    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }

    fn mark_test(&mut self) {
        self.test = true;
        self.tokens.iter_mut().for_each(|token| token.test = true);
    }

    /// Marks the files of modules that are declared for tests only, as in `#[cfg(test)] mod capture;`.
    pub(crate) fn mark_declared_tests(sources: &mut [Self]) {
        let declared: Vec<PathBuf> = sources.iter().flat_map(Self::test_modules).collect();
        sources.iter_mut().filter(|source| declared.contains(&source.path)).for_each(Self::mark_test);
    }

    /// The files that the modules declared for tests may be in.
    fn test_modules(&self) -> Vec<PathBuf> {
        let folder = match self.path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") => self.path.parent().map(Path::to_owned).unwrap_or_default(),
            _ => self.path.with_extension(""),
        };
        let declared =
            self.tokens.windows(3).filter(|three| three[0].test && three[0].text == "mod" && three[2].text == ";");
        declared
            .map(|three| three[1].text.as_str())
            .flat_map(|name| [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")])
            .collect()
    }

    /// Every run of tokens that equals `pattern`, outside of tests.
    pub(crate) fn find(&self, pattern: &[&str]) -> Vec<&Token> {
        let equal = |window: &&[Token]| window.iter().zip(pattern).all(|(token, text)| token.text == *text);
        let found = self.tokens.windows(pattern.len()).filter(|window| !window[0].test).filter(equal);
        found.map(|window| &window[0]).collect()
    }

    /// The names of the functions, outside of tests.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Token> {
        self.tokens.windows(2).filter(|pair| pair[0].text == "fn" && !pair[0].test).map(|pair| &pair[1])
    }

    /// The attributes, each as its tokens between the brackets.
    pub(crate) fn attributes(&self) -> Vec<&[Token]> {
        let opens = self.tokens.iter().enumerate().filter_map(|(at, token)| {
            let before = |n: usize| at.checked_sub(n).map(|at| self.tokens[at].text.as_str());
            let outer = before(1) == Some("#");
            let inner = before(1) == Some("!") && before(2) == Some("#");
            (token.text == "[" && (outer || inner)).then_some(at)
        });
        opens.map(|open| &self.tokens[open + 1..closing(&self.tokens, open)]).collect()
    }

    /// The top-level modules of the crate that this file refers to by `crate::` or by climbing with `super::`.
    /// `module` is the file's own path from the top: `["proxy", "attempt"]`.
    pub(crate) fn references(&self, module: &[&str]) -> Vec<Reference> {
        let mut found = Vec::new();
        let mut inline: Vec<Option<String>> = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            match self.text_at(at) {
                "{" => {
                    let named = at >= 2 && self.text_at(at - 2) == "mod";
                    inline.push(named.then(|| self.text_at(at - 1).to_owned()));
                }
                "}" => {
                    inline.pop();
                }
                "crate" if self.text_at(at + 1) == "::" => self.heads(at + 2, &mut found),
                "super" if at == 0 || self.text_at(at - 1) != "::" => {
                    let depth = module.len() + inline.iter().flatten().count();
                    self.climb(at, depth, &mut found);
                }
                _ => {}
            }
            at += 1;
        }
        found.sort();
        found
    }

    /// Follows `super::super::…` from a module `depth` levels below the crate; what it says about modules that are
    /// not at the top is of no interest.
    fn climb(&self, mut at: usize, mut depth: usize, found: &mut Vec<Reference>) {
        while self.text_at(at) == "super" && self.text_at(at + 1) == "::" {
            depth = depth.saturating_sub(1);
            at += 2;
        }
        match self.text_at(at) {
            _ if depth == 0 => self.heads(at, found),
            "{" => {
                for start in self.members(at) {
                    if self.text_at(start) == "super" {
                        self.climb(start, depth, found);
                    }
                }
            }
            _ => {}
        }
    }

    /// The first words of the path, or of each path of the group, that starts at `at`.
    fn heads(&self, at: usize, found: &mut Vec<Reference>) {
        match self.text_at(at) {
            "{" => self.members(at).into_iter().for_each(|start| self.heads(start, found)),
            text if text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '*') => {
                found.push(Reference { module: text.to_owned(), line: self.tokens[at].line });
            }
            _ => {}
        }
    }

    /// Where the members of the group opened at `open` start.
    fn members(&self, open: usize) -> Vec<usize> {
        let close = closing(&self.tokens, open);
        let mut starts = vec![open + 1];
        let mut depth = 0;
        for at in open + 1..close {
            match self.text_at(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 0 => starts.push(at + 1),
                _ => {}
            }
        }
        starts.retain(|start| *start < close);
        starts
    }

    fn text_at(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }
}

/// Whether a whole file is for tests: `tests.rs`, or anything in a folder called `tests`.
fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "benches" || part == "examples")
}

/// Marks the item behind every `#[cfg(test)]`: to the end of its braces, or to its semicolon.
fn mark_tests(tokens: &mut [Token]) {
    let texts: Vec<String> = tokens.iter().map(|token| token.text.clone()).collect();
    let pattern = ["#", "[", "cfg", "(", "test", ")", "]"];
    for at in 0..texts.len() {
        if !texts[at..].iter().take(pattern.len()).eq(pattern.iter()) {
            continue;
        }
        let body = texts[at..].iter().position(|text| text == "{" || text == ";").map_or(texts.len(), |n| at + n);
        let end = if texts.get(body).is_some_and(|text| text == "{") { closing(tokens, body) } else { body };
        let end = end.min(tokens.len() - 1);
        tokens[at..=end].iter_mut().for_each(|token| token.test = true);
    }
}

/// Where the bracket opened at `open` closes; the last token if it never does.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}

/// Words, numbers, strings (as `""`) and marks; comments and blanks are left out. `::` is one token.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let start = at;
        let token = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => {
                at = end_of_line(&chars, at);
                None
            }
            '/' if chars.get(at + 1) == Some(&'*') => {
                at = end_of_comment(&chars, at);
                None
            }
            '"' => {
                at = end_of_string(&chars, at);
                Some("\"\"".to_owned())
            }
            '\'' => {
                at = end_of_char(&chars, at);
                None
            }
            c if c.is_alphanumeric() || c == '_' => {
                while chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                match raw_string(&word, &chars, at) {
                    Some(end) => {
                        at = end;
                        Some("\"\"".to_owned())
                    }
                    None => Some(word),
                }
            }
            ':' if chars.get(at + 1) == Some(&':') => {
                at += 2;
                Some("::".to_owned())
            }
            c => {
                at += 1;
                (!c.is_whitespace()).then(|| c.to_string())
            }
        };
        if let Some(text) = token {
            tokens.push(Token { text, line, test: false });
        }
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn end_of_line(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| from + n)
}

fn end_of_comment(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Past a character like `'{'`, or past the quote alone of a lifetime.
fn end_of_char(chars: &[char], from: usize) -> usize {
    if chars.get(from + 1) == Some(&'\\') {
        let close = chars[(from + 3).min(chars.len())..].iter().position(|c| *c == '\'');
        return close.map_or(chars.len(), |n| from + 3 + n + 1);
    }
    if chars.get(from + 2) == Some(&'\'') { from + 3 } else { from + 1 }
}

/// The end of the raw string that the prefix `word` starts at `at`, if it does.
fn raw_string(word: &str, chars: &[char], at: usize) -> Option<usize> {
    if !matches!(word, "r" | "br" | "cr") {
        return None;
    }
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let mut end = at + hashes + 1;
    while end < chars.len() {
        if chars[end] == '"' && chars[end + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return Some(end + 1 + hashes);
        }
        end += 1;
    }
    Some(chars.len())
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = r##"
        // crate::above
        /* crate::above /* crate::above */ */
        let a = "crate::above \" crate::above";
        let b = r#"crate::above " crate::above"#;
        let c: &'static str = 'x'; let d = '\''; let e = '"'; let f = b"crate::above"; let g = '{';
        crate::below::go();
    "##;
    let source = Source::new("src/a.rs", text);
    assert_eq!(source.references(&["a"]), [Reference { module: "below".into(), line: 7 }]);
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    let named = |module: &[&str], text: &str| -> Vec<String> {
        Source::new("src/a.rs", text).references(module).into_iter().map(|reference| reference.module).collect()
    };
    assert_eq!(named(&["a"], "use crate::{b::{self, c::D}, e};"), ["b", "e"]);
    assert_eq!(named(&["a"], "use crate::b as x; fn f(g: crate::h::I) {}"), ["b", "h"]);
    assert_eq!(named(&["a"], "use super::b;"), ["b"]);
    assert_eq!(named(&["a", "x"], "use super::b; use super::super::c;"), ["c"]);
    assert_eq!(named(&["a", "x"], "use super::{b, super::{c, d::E}};"), ["c", "d"]);
    assert_eq!(named(&["a"], "mod inner { use super::b; use super::super::c; }"), ["c"]);
    assert_eq!(named(&["a"], "mod inner { fn f() { match x { _ => {} } } } use super::c;"), ["c"]);
    assert_eq!(named(&["a"], "pub(crate) fn f() {} pub(in crate::b) fn g() {} use crate::*;"), ["*", "b"]);
}

#[test]
fn code_for_tests_is_told_apart() {
    let text = "fn f() { x.unwrap() }\n#[cfg(test)]\nmod tests { fn g() { x.unwrap() } }\nfn h() { y.unwrap() }\n\
                #[cfg(test)]\nuse a::b;\nfn i() { z.unwrap() }";
    let lines = |path: &str| -> Vec<usize> {
        Source::new(path, text).find(&[".", "unwrap", "("]).iter().map(|token| token.line).collect()
    };
    assert_eq!(lines("src/a.rs"), [1, 4, 7]);
    assert!(lines("src/a/tests.rs").is_empty());

    let mut sources = [
        Source::new("src/bus/mod.rs", "#[cfg(test)]\npub(crate) mod capture;\nmod link;"),
        Source::new("src/bus/capture.rs", "//! For tests.\nfn f() {}"),
        Source::new("src/bus/link.rs", "fn f() {}"),
    ];
    Source::mark_declared_tests(&mut sources);
    assert_eq!(sources.map(|source| source.test), [false, true, false]);
}
