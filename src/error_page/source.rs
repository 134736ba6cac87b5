//! The text of a template before the library reads it: what the library takes and Go refuses is refused, and the one
//! method that a page has is called as the library wants it.
//!
//! The library knows values that are functions, and calls them by `call`; Go's templates call a method by naming it. A
//! block that does not end, or an `end` without one, would silently cost the rest of the page.

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where, from 1.
    pub(super) line: usize,
    pub(super) what: What,
}

/// A kind of fault, in Go's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// An action has no end.
    #[error("unclosed action")]
    Action,
    /// A block has no end.
    #[error("unexpected EOF, the block has no {{{{end}}}}")]
    Block,
    /// An end of no block.
    #[error("unexpected {{{{end}}}}")]
    End,
    /// An else of no block that may have one.
    #[error("unexpected {{{{else}}}}")]
    Else,
    /// A name that pages are not given.
    #[error("a page is given no {0}, only .Status, .StatusText, .Message and .Header.Get \"Name\"")]
    NotGiven(String),
}

/// A block that is open.
struct Block {
    has_else: bool,
    /// Whether `.` may be another thing in it.
    rebinds: bool,
    line: usize,
}

/// The template with `.Header.Get "Name"` written as `call .Header.Get "Name"`, wherever a chain of names that ends in
/// `Get` stands in an action. Texts, quoted strings and comments stay as they are, and so does the number of lines.
///
/// # Errors
/// An action or a block that does not end, or the end of none.
pub(super) fn prepared(text: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(text.len());
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let (before, action) = rest.split_at(at + 2);
        out.push_str(before);
        let line = 1 + out.matches('\n').count();
        let end = end(action).ok_or(Fault { line, what: What::Action })?;
        // What a block gives to `.` is not known here.
        if !blocks.iter().any(|block: &Block| block.rebinds) {
            only_given(&action[..end]).map_err(|name| Fault { line, what: What::NotGiven(name) })?;
        }
        follow(&mut blocks, first_word(&action[..end]), line)?;
        let (action, after) = action.split_at(end);
        match comment(action) {
            Some(text) if action.starts_with('-') && after.starts_with("}}") => trim_before(&mut out, action, text),
            _ => write(&mut out, action),
        }
        rest = after;
    }
    match blocks.pop() {
        Some(Block { line, .. }) => Err(Fault { line, what: What::Block }),
        None => Ok(out + rest),
    }
}

/// Keeps account of the blocks that are open.
fn follow(blocks: &mut Vec<Block>, word: &str, line: usize) -> Result<(), Fault> {
    let has_else = matches!(word, "if" | "range" | "with");
    match word {
        "if" | "range" | "with" | "define" | "block" => blocks.push(Block { has_else, rebinds: word != "if", line }),
        "else" if !blocks.last().is_some_and(|block| block.has_else) => return Err(Fault { line, what: What::Else }),
        "end" if blocks.pop().is_none() => return Err(Fault { line, what: What::End }),
        _ => {}
    }
    Ok(())
}

/// Looks for a name in an action that pages are not given.
fn only_given(action: &str) -> Result<(), String> {
    let mut after_value = false;
    for piece in pieces(action) {
        let name = piece.strip_prefix('$').unwrap_or(piece);
        let is_field = name.strip_prefix('.').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
        if is_field && !after_value && !GIVEN.contains(&name) {
            return Err(piece.to_owned());
        }
        after_value = piece == ")";
    }
    Ok(())
}

const GIVEN: [&str; 5] = [".Status", ".StatusText", ".Message", ".Header", ".Header.Get"];

fn first_word(action: &str) -> &str {
    let body = action.strip_prefix('-').unwrap_or(action).trim_start();
    &body[..body.find(|c| !is_of_chain(c)).unwrap_or(body.len())]
}

/// Where the action that `text` begins with ends: before its `}}`, which may stand in a string or a comment, too.
fn end(text: &str) -> Option<usize> {
    if comment(text).is_some() {
        return text.find("*/").map(|at| at + 2);
    }
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("}}") {
            return Some(at);
        }
        at += quoted(rest).unwrap_or_else(|| rest.chars().next().map_or(1, char::len_utf8));
    }
    None
}

/// The comment that an action is, behind the sign to trim the text before it.
fn comment(action: &str) -> Option<&str> {
    let trims = |rest: &&str| rest.starts_with(char::is_whitespace);
    let body = action.strip_prefix('-').filter(trims).unwrap_or(action);
    Some(body.trim_start()).filter(|body| body.starts_with("/*"))
}

/// Trims the text before a comment, whose `{{` is written already: the library would also trim what follows it. The
/// lines, and those between the sign to trim and the comment, go into the comment, so that those after it keep their
/// numbers.
fn trim_before(out: &mut String, action: &str, comment: &str) {
    let text = out.strip_suffix("{{").unwrap_or(out);
    let kept = text.trim_end().len();
    let skipped = &action[..action.len() - comment.len()];
    let lines = text[kept..].matches('\n').count() + skipped.matches('\n').count();
    out.truncate(kept);
    out.push_str("{{/*");
    out.push_str(&"\n".repeat(lines));
    out.push_str(&comment["/*".len()..]);
}

/// How long the string or character that `text` begins with is, quotes included.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '`' | '\''))?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped && quote != '`';
    }
    Some(text.len())
}

fn write(out: &mut String, action: &str) {
    for piece in pieces(action) {
        if piece.starts_with(['.', '$']) && piece.ends_with(".Get") {
            out.push_str("call ");
        }
        out.push_str(piece);
    }
}

/// The strings, chains of names and single characters that an action consists of; a comment is one piece.
fn pieces(action: &str) -> impl Iterator<Item = &str> {
    let mut rest = action;
    let is_comment = comment(action).is_some();
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = match quoted(rest) {
            _ if is_comment => rest.len(),
            Some(length) => length,
            None if is_of_chain(first) => rest.find(|c| !is_of_chain(c)).unwrap_or(rest.len()),
            None => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some(piece)
    })
}

/// What names, and dots between them, are made of.
fn is_of_chain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '$')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_calls_in_actions_are_rewritten() {
        for (text, expected) in [
            ("", ""),
            ("a .Header.Get \"b\"", "a .Header.Get \"b\""),
            ("{{.Header.Get \"a\"}}", "{{call .Header.Get \"a\"}}"),
            ("{{- .Header.Get \"a\" -}}", "{{- call .Header.Get \"a\" -}}"),
            (
                "{{if eq (.Header.Get `}}.Get`) \"x.Get\"}}y{{end}}",
                "{{if eq (call .Header.Get `}}.Get`) \"x.Get\"}}y{{end}}",
            ),
            ("{{$h := .Header}}{{$h.Get \"\\\".Get\"}}", "{{$h := .Header}}{{call $h.Get \"\\\".Get\"}}"),
            ("{{with .Header}}{{.Get \"x\"}}{{end}}", "{{with .Header}}{{call .Get \"x\"}}{{end}}"),
            ("{{/* it's .Header.Get */}}{{.Header.Get \"x\"}}", "{{/* it's .Header.Get */}}{{call .Header.Get \"x\"}}"),
            ("{{- /* .Header.Get }} */ -}}x", "{{- /* .Header.Get }} */ -}}x"),
            ("a \n\n {{- /* b\n */}}\nc", "a{{/*\n\n b\n */}}\nc"),
            ("a\n{{- \n/* b */}}", "a{{/*\n\n b */}}"),
            ("{{with 1}}{{.Gets}} {{.Get}}{{end}}", "{{with 1}}{{.Gets}} {{call .Get}}{{end}}"),
            ("{{é.Get}} {{.5}} {{(.).Odd}}", "{{é.Get}} {{.5}} {{(.).Odd}}"),
        ] {
            assert_eq!(prepared(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_does_not_end_and_what_ends_nothing_is_found() {
        for (text, line, what) in [
            ("{{", 1, What::Action),
            ("a\n{{.Status}}\n{{.Message", 3, What::Action),
            ("{{\"}}", 1, What::Action),
            ("\n{{/* x }}", 2, What::Action),
            ("{{'}}", 1, What::Action),
            ("a\n{{- if .Status -}}b", 2, What::Block),
            ("{{if 1}}\n{{range .Message}}{{end}}", 1, What::Block),
            ("{{define \"x\"}}", 1, What::Block),
            ("\n{{end}}", 2, What::End),
            ("{{if 1}}{{end}}{{- end}}", 1, What::End),
            ("{{else}}", 1, What::Else),
            ("{{if 1}}{{end}}{{else if 2}}", 1, What::Else),
            ("{{define \"x\"}}{{else}}{{end}}", 1, What::Else),
        ] {
            assert_eq!(prepared(text), Err(Fault { line, what }), "{text}");
        }
        for text in
            ["{{if 1}}a{{else if 2}}b{{else}}c{{end}}", "{{/* if */}}", "{{block \"x\" .}}{{end}}", "{{ending}}"]
        {
            assert_eq!(prepared(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_a_page_is_not_given_is_found_in_every_branch() {
        for (text, line, name) in [
            ("{{.Missing}}", 1, ".Missing"),
            ("a\n{{if .Status}}{{else}}\n{{$.Stat}}{{end}}", 3, "$.Stat"),
            ("{{.Header.Del \"x\"}}", 1, ".Header.Del"),
            ("{{with .Odd}}{{end}}", 1, ".Odd"),
            ("{{eq \".Fine\" .Status.Code}}", 1, ".Status.Code"),
        ] {
            assert_eq!(prepared(text), Err(Fault { line, what: What::NotGiven(name.into()) }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_calls_is_added(text in r#"([a-z.$ "`'\\é]|\{\{|\}\}|/\*|\*/|\.Header\.Get|- |\n){0,40}"#) {
            if let Ok(written) = prepared(&text) {
                let bare = |text: &str| text.replace("call ", "").replace([' ', '\n', '-'], "");
                prop_assert_eq!(bare(&written), bare(&text));
                prop_assert_eq!(written.lines().count(), text.lines().count());
            }
        }
    }
}
