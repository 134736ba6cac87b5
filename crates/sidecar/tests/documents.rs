//! docs/sidecar.md against the tree.
#![allow(clippy::unwrap_used, reason = "a document that can't be read is no document")]

use std::{fs, path::Path};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/sidecar.md")).unwrap()
}

#[test]
fn every_test_that_is_named_exists() {
    let page = page();
    let (_, table) = page.split_once("row by row").unwrap();
    let named: Vec<&str> = table.split('`').filter(|word| word.contains("::") && !word.contains(' ')).collect();
    let named: Vec<&str> = named.into_iter().filter(|word| !word.ends_with("module::test")).collect();
    assert!(named.len() > 50, "{named:?}");
    for name in named {
        let (module, test) = name.split_once("::").unwrap();
        let file = match (module.strip_prefix("src/"), module.strip_prefix("identity/")) {
            (Some(path), _) => format!("crates/sidecar/src/{path}"),
            (_, Some(module)) => format!("crates/identity/tests/stories/{module}.rs"),
            _ if module.starts_with("router/") => {
                format!("tests/identity_stories/{}.rs", module.trim_start_matches("router/"))
            }
            _ => format!("crates/sidecar/tests/stories/{module}.rs"),
        };
        let text = fs::read_to_string(root().join(&file)).unwrap_or_default();
        assert!(text.contains(&format!("fn {test}(")), "{name} is not in {file}");
    }
}

#[test]
fn every_row_is_there() {
    let page = page();
    let rows: Vec<u32> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |").map(|(first, _)| first))
        .flat_map(|first| first.split(", "))
        .filter_map(|number| number.parse().ok())
        .collect();
    assert_eq!(rows, (1..=46).collect::<Vec<_>>());
}

#[test]
fn links_lead_somewhere() {
    for link in page().split("](").skip(1) {
        let target = link.split([')', '#']).next().unwrap();
        assert!(root().join("docs").join(target).exists(), "{target}");
    }
}
