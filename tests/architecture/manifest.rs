//! Cargo's files, as far as the rules about crates need them.

use std::path::Path;

/// The dependencies of one package.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependencies {
    /// Of the code itself and of its build script.
    pub(crate) code: Vec<String>,
    /// Of its tests, examples and benches.
    pub(crate) tests: Vec<String>,
}

/// Reads the tables of dependencies of a `Cargo.toml`, those of a single target included.
pub(crate) fn dependencies(manifest: &str) -> Dependencies {
    let mut all = Dependencies::default();
    let mut table = String::new();
    for line in manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name.trim_matches(['[', ']']).to_owned();
            // `[dependencies.name]` is one dependency spread over a table of its own.
            if let Some((kind, name)) = kind_of(&table).zip(table.rsplit_once("dependencies.").map(|(_, name)| name)) {
                all.list(kind).push(name.trim_matches('"').to_owned());
            }
            continue;
        }
        let whole = table.ends_with("dependencies");
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default().trim_matches('"');
        if let Some(kind) = kind_of(&table).filter(|_| whole && !name.is_empty()) {
            all.list(kind).push(name.to_owned());
        }
    }
    all
}

#[derive(Clone, Copy)]
enum Kind {
    Code,
    Tests,
}

fn kind_of(table: &str) -> Option<Kind> {
    let words: Vec<&str> = table.split('.').collect();
    match words.iter().find(|word| word.ends_with("dependencies")).copied() {
        _ if words.first() == Some(&"workspace") => None,
        Some("dependencies" | "build-dependencies") => Some(Kind::Code),
        Some("dev-dependencies") => Some(Kind::Tests),
        _ => None,
    }
}

impl Dependencies {
    fn list(&mut self, kind: Kind) -> &mut Vec<String> {
        match kind {
            Kind::Code => &mut self.code,
            Kind::Tests => &mut self.tests,
        }
    }
}

/// The names of the packages in a `Cargo.lock`.
pub(crate) fn locked(lock: &str) -> Vec<&str> {
    let names = lock.split("[[package]]").skip(1);
    names.filter_map(|package| package.lines().find_map(|line| line.strip_prefix("name = "))).map(unquoted).collect()
}

/// The `name` of the package of a `Cargo.toml`.
pub(crate) fn package_name(manifest: &str) -> Option<&str> {
    let package = manifest.split("[package]").nth(1)?;
    package.lines().find_map(|line| line.strip_prefix("name = ")).map(unquoted)
}

/// The members of the workspace, and the root package itself.
pub(crate) fn members(root: &Path) -> Vec<String> {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let line = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    let members = line.trim_end_matches(']').split(',').map(|member| unquoted(member.trim()).to_owned());
    std::iter::once(".".to_owned()).chain(members).collect()
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

#[test]
fn every_kind_of_dependency_is_read() {
    let manifest = "[package]\nname = \"x\"\n[workspace.dependencies]\nno = \"1\"\n[dependencies]\na.workspace = true\n\
                    b = { path = \"../b\" } # c = 1\n\n[dependencies.d]\nversion = \"1\"\n[target.'cfg(unix)'.dependencies]\n\
                    e=\"1\"\n[build-dependencies]\nf = \"1\"\n[dev-dependencies]\ng = \"1\"\n[features]\nno = []\n";
    let all = dependencies(manifest);
    assert_eq!(all.code, ["a", "b", "d", "e", "f"]);
    assert_eq!(all.tests, ["g"]);
    assert_eq!(package_name(manifest), Some("x"));
}

#[test]
fn a_lock_names_its_packages() {
    let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1\"\ndependencies = [\n \"ring\",\n]\n\n[[package]]\nname = \"b\"\n";
    assert_eq!(locked(lock), ["a", "b"]);
}
