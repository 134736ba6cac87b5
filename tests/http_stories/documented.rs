//! The page on compatibility is the checklist of what Gorouter does. It must be complete, and what it claims must name
//! tests that exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The groups of the checklist, and how many entries each has.
const GROUPS: [(char, usize); 11] = [
    ('P', 13),
    ('C', 4),
    ('N', 13),
    ('R', 17),
    ('B', 12),
    ('E', 13),
    ('F', 19),
    ('H', 12),
    ('S', 8),
    ('O', 12),
    ('M', 3),
];

const VERDICTS: [&str; 4] = ["yes", "better", "differs", "not yet"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/compatibility.md")).unwrap()
}

/// The cells of every row of a table, headings and rules left out.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = page.lines().collect();
    let is_rule = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("|--"));
    let bodies = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| line.starts_with('|') && !is_rule(Some(line)) && !is_rule(lines.get(at + 1)));
    bodies.map(|(_, line)| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// The tests that a cell names.
fn named(cell: &str) -> Vec<(&str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|word| word.split_once("::")).collect()
}

fn is_id(cell: &str) -> bool {
    cell.len() == 3 && GROUPS.iter().any(|(group, _)| cell.starts_with(*group)) && cell[1..].parse::<u8>().is_ok()
}

/// The files below `folder` that hold Rust.
fn sources(folder: PathBuf, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// The tests in `text`: functions behind an attribute that makes them tests.
fn tests_in(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        marked |= ["#[test]", "#[tokio::test"].iter().any(|mark| line.starts_with(mark));
        let name = line.split_once("fn ").filter(|_| marked).map(|(_, rest)| rest);
        if let Some(name) = name.and_then(|rest| rest.split(['(', '<']).next()) {
            found.insert(name);
            marked = false;
        }
    }
    found
}

/// Functions that tell a story over any of several servers; `list` makes tests of those it names.
fn told_over<'t>(text: &'t str, list: &'t str) -> BTreeSet<&'t str> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("pub(crate) async fn ")?.split_once('<'));
    let last = |path: &'t str| path.rsplit("::").next().unwrap_or(path);
    let listed: BTreeSet<&str> = list.lines().filter_map(|line| line.trim().strip_suffix(',')).map(last).collect();
    names.map(|(name, _)| name).filter(|name| listed.contains(name)).collect()
}

/// Every test of the workspace, by the last part of its module's path.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "crates"] {
        sources(root().join(folder), &mut files);
    }
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let parent = path.parent().unwrap();
        let module = match stem(&path).as_str() {
            "tests" | "mod" => stem(parent),
            name => name.to_owned(),
        };
        let mut tests = tests_in(&text);
        let list = fs::read_to_string(parent.with_extension("rs")).unwrap_or_default();
        tests.extend(told_over(&text, &list));
        known.entry(module).or_default().extend(tests.into_iter().map(str::to_owned));
    }
    known
}

#[test]
fn every_named_test_exists() {
    let (page, known) = (page(), known());
    let names: Vec<(&str, &str)> = rows(&page).iter().flat_map(|row| named(row.last().unwrap())).collect();
    assert!(names.len() > 100, "{names:?}");
    let missing = |(module, test): &&(&str, &str)| !known.get(*module).is_some_and(|tests| tests.contains(*test));
    let missing: Vec<_> = names.iter().filter(missing).collect();
    assert!(missing.is_empty(), "the page names tests that are not there: {missing:#?}");
}

#[test]
fn every_entry_of_the_checklist_is_there_once() {
    let page = page();
    let ids: Vec<&str> = rows(&page).into_iter().map(|row| row[0]).filter(|cell| is_id(cell)).collect();
    let expected: Vec<String> =
        GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |n| format!("{group}{n:02}"))).collect();
    assert_eq!(ids, expected);
}

#[test]
fn what_is_claimed_names_a_test_and_what_is_otherwise_a_reason() {
    let page = page();
    for row in rows(&page) {
        let tests = named(row.last().unwrap());
        if !is_id(row[0]) {
            assert!(row.len() >= 5 && row.iter().all(|cell| !cell.is_empty()), "an empty cell: {row:?}");
            assert!(!tests.is_empty(), "no test holds this difference in place: {row:?}");
            continue;
        }
        let [_, feature, verdict, remark, _] = row[..] else { panic!("not five cells: {row:?}") };
        assert!(!feature.is_empty() && VERDICTS.contains(&verdict), "{row:?}");
        assert_eq!(verdict == "not yet", tests.is_empty(), "what is there names tests, and nothing else does: {row:?}");
        assert!(verdict == "yes" || !remark.is_empty(), "no reason is given: {row:?}");
    }
}

#[test]
fn tests_are_told_from_other_functions() {
    let text =
        "#[test]\nfn one() {}\nfn two() {}\n#[tokio::test(start_paused = true)]\n#[should_panic]\nasync fn three() {}";
    assert_eq!(tests_in(text), BTreeSet::from(["one", "three"]));
    let text = "pub(crate) async fn four<B>() {}\npub(crate) async fn five<B>() {}\nfn six<B>() {}";
    assert_eq!(told_over(text, "  stories::four,\n six,"), BTreeSet::from(["four"]));
    let page = "| a | b |\n|---|---|\n| P01 | `x::y`, `z` |\n\ntext `p::q`";
    assert_eq!(rows(page), [["P01", "`x::y`, `z`"]]);
    assert_eq!(named("`x::y`, `z`, `p::q`"), [("x", "y"), ("p", "q")]);
}
