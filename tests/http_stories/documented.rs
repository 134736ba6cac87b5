//! The page on compatibility names the tests that hold it in place; each of them must exist.

use std::path::Path;

#[test]
fn every_named_test_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/compatibility.md")).unwrap();
    let names: Vec<(&str, &str)> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter_map(|word| word.split_once("::"))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for (module, test) in names {
        let sources = ["http_stories", "header_rules", "process_stories"]
            .map(|dir| root.join(format!("tests/{dir}/{module}.rs")));
        let source: String = sources.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
        assert!(source.contains(&format!("async fn {test}()")), "{module}::{test}");
    }
}
