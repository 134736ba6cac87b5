//! A page in Markdown, as far as the checks need it.

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// What stands behind the opening fence.
    pub(crate) language: &'a str,
    pub(crate) text: String,
}

/// The fenced blocks of a page, in their order.
pub(crate) fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some(Block { language: language.trim(), text: String::new() }),
            (Some(_), Some(block)) => found.push(block),
            (None, Some(mut block)) => {
                block.text += line;
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is never closed");
    found
}

/// The lines of the blocks marked `sh`: commands for people to type.
pub(crate) fn commands(page: &str) -> Vec<String> {
    let shell = blocks(page).into_iter().filter(|block| block.language == "sh");
    shell.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The text below the heading `title`, to the next heading.
pub(crate) fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let heading = format!("\n## {title}\n");
    let start = page.find(&heading).unwrap_or_else(|| panic!("no section {title:?}")) + heading.len();
    let rest = &page[start..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The rows of the tables in a text, without their heads; each row as its cells.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_row = |line: &str| line.starts_with('|') && line.ends_with('|');
    let is_rule = |line: &str| is_row(line) && line.chars().all(|c| "|-: ".contains(c));
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_head = lines.get(at + 1).is_some_and(|next| is_rule(next));
        if is_row(line) && !is_rule(line) && !is_head {
            found.push(line.trim_matches('|').split('|').map(str::trim).collect());
        }
    }
    found
}

/// What stands between backticks in a text, outside of fenced blocks.
pub(crate) fn code_words(text: &str) -> Vec<&str> {
    let plain = text.split("```").step_by(2);
    plain.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

/// The targets of the links of a page.
pub(crate) fn links(page: &str) -> Vec<&str> {
    page.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn a_page_is_taken_apart() {
    let page = "# A\n\n## B\n```sh\ncargo x\ncargo y\n```\n\n```yaml\na: `b`\n```\n\n| h | i |\n|---|---|\n| `1` | 2 |\n| 3 | |\n\n## C\n[d](e.md) `f`\n";
    assert_eq!(commands(page), ["cargo x", "cargo y"]);
    assert_eq!(blocks(page)[1], Block { language: "yaml", text: "a: `b`\n".into() });
    assert_eq!(rows(page), [["`1`", "2"], ["3", ""]]);
    assert_eq!(section(page, "C"), "[d](e.md) `f`\n");
    assert!(!section(page, "B").contains('f'));
    assert_eq!(links(page), ["e.md"]);
    assert_eq!(code_words(page), ["1", "f"]);
}
