//! The shape of the tree, as rules that fail: floors, crates, and what no file may do.
//!
//! Each rule is a function from sources to complaints, shown to fail on a wrong sample and then held against
//! the tree.
#![allow(clippy::unwrap_used, reason = "a tree that cannot be read has no shape to judge")]

#[path = "architecture/manifest.rs"]
mod manifest;
#[path = "architecture/source.rs"]
mod source;

use std::path::{Path, PathBuf};
use std::process::Command;

use manifest::{Dependencies, dependencies};
use source::Source;

/// The floors of `src`, bottom to top. A module refers to its own floor and to those below.
const FLOORS: &[(&str, &[&str])] = &[
    ("words", &["failure", "headers", "lifecycle", "route", "route_service"]),
    ("state", &["config", "error_page", "observe", "registration", "table"]),
    ("edges", &["bus", "pruner", "routing_api", "snapshot", "upstream"]),
    ("story", &["proxy"]),
    ("doors", &["admin", "frontend"]),
    ("assembly", &["app", "cli"]),
];

/// Which of our crates each of our crates may use, and which its tests may use as well.
const CRATES: &[(&str, &[&str], &[&str])] = &[
    ("trueroute-identity", &[], &[]),
    ("trueroute-testkit", &[], &[]),
    ("trueroute-sidecar", &["trueroute-identity"], &["trueroute-testkit"]),
    ("trueroute", &["trueroute-identity"], &["trueroute-sidecar", "trueroute-testkit"]),
    ("trueroute-demo", &["trueroute", "trueroute-identity", "trueroute-sidecar", "trueroute-testkit"], &[]),
];

/// Crates that must not be built, whoever asks for them, and why.
const BANNED: &[(&str, &str)] = &[
    ("ring", "one provider of cryptography, aws-lc-rs"),
    ("openssl", "one TLS library, rustls"),
    ("openssl-sys", "one TLS library, rustls"),
    ("native-tls", "one TLS library, rustls"),
    ("serde_yaml", "unmaintained, and reads YAML unlike Go's yaml.v3"),
    ("serde_yml", "unmaintained, and reads YAML unlike Go's yaml.v3"),
    ("rustls-pemfile", "unmaintained; rustls reads PEM itself"),
];

/// The most lines of a file, and the files that have a reason for more.
const MOST_LINES: usize = 450;
const LONGER: &[(&str, usize, &str)] = &[];

/// Words that say nothing about what a file holds.
const EMPTY_WORDS: &[&str] = &["manager", "handler", "util", "utils", "helper", "helpers", "common", "context", "misc"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folder`, which need not exist.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(root().join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(Source::read(root(), &path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Source::mark_declared_tests(&mut found);
    found
}

/// The code that ships, of all crates.
fn shipped() -> Vec<Source> {
    let mut all = everything();
    all.retain(|source| !source.test);
    all
}

/// Every Rust file of the repository.
fn everything() -> Vec<Source> {
    let members = manifest::members(root());
    let folders = members.iter().flat_map(|member| {
        ["src", "tests", "benches", "examples"].map(|part| match member.as_str() {
            "." => part.to_owned(),
            member => format!("{member}/{part}"),
        })
    });
    folders.flat_map(|folder| sources(&folder)).collect()
}

fn agree(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The path of a file of `src` as a path of modules: `src/proxy/attempt.rs` is `proxy`, `attempt`.
fn module(path: &Path) -> Vec<&str> {
    let parts = path.iter().skip(1).filter_map(|part| part.to_str());
    parts.map(|part| part.trim_end_matches(".rs")).filter(|part| !matches!(*part, "mod" | "lib")).collect()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

fn upward(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let module = module(&source.path);
        let Some(own) = module.first() else { continue };
        let Some(here) = floor(own) else {
            complaints.push(format!("{}: `{own}` has no floor", source.path.display()));
            continue;
        };
        for reference in source.references(&module) {
            let (at, other) = (format!("{}:{}", source.path.display(), reference.line), &reference.module);
            match floor(other) {
                Some(there) if there > here => complaints
                    .push(format!("{at}: `{own}` ({}) refers up to `{other}` ({})", FLOORS[here].0, FLOORS[there].0)),
                Some(_) => {}
                None => complaints.push(format!("{at}: `{own}` refers to `{other}`, which has no floor")),
            }
        }
    }
    complaints
}

#[test]
fn imports_point_down() {
    let mut sources = sources("src");
    sources.retain(|source| source.path != Path::new("src/lib.rs") && source.path != Path::new("src/main.rs"));
    assert!(sources.len() > 50, "the sources are not where this test looks");
    agree(&upward(&sources));
}

#[test]
fn an_import_that_points_up_is_found() {
    let wrong = [
        Source::new("src/route/pick.rs", "use crate::{\n    failure::Failure,\n    table::Table,\n};"),
        Source::new("src/table.rs", "fn f() -> super::proxy::Proxy {}"),
        Source::new("src/proxy/mod.rs", "#[cfg(test)] mod tests { use crate::app::Router; }"),
        Source::new("src/nowhere.rs", ""),
        Source::new("src/bus/link.rs", "use crate::{table, Table};"),
    ];
    assert_eq!(
        upward(&wrong),
        [
            "src/route/pick.rs:3: `route` (words) refers up to `table` (state)",
            "src/table.rs:1: `table` (state) refers up to `proxy` (story)",
            "src/proxy/mod.rs:1: `proxy` (story) refers up to `app` (assembly)",
            "src/nowhere.rs: `nowhere` has no floor",
            "src/bus/link.rs:1: `bus` refers to `Table`, which has no floor",
        ]
    );
}

#[test]
fn the_floors_are_those_that_lib_rs_lists() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut listed: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            Some(module) => listed.last_mut().expect("a floor is named before its modules").push(module),
            None if line.starts_with("// ") => listed.push(Vec::new()),
            None => {}
        }
    }
    let floors: Vec<&[&str]> = FLOORS.iter().map(|(_, modules)| *modules).collect();
    assert_eq!(listed, floors);
}

fn wrong_use(package: &str, used: &Dependencies) -> Vec<String> {
    let ours = |name: &&String| CRATES.iter().any(|(ours, ..)| ours == name);
    let Some((_, code, tests)) = CRATES.iter().find(|(name, ..)| *name == package) else {
        return vec![format!("{package} is not in the list of crates")];
    };
    let in_code = used.code.iter().filter(ours).filter(|name| !code.contains(&name.as_str()));
    let in_tests = (used.tests.iter().filter(ours)).filter(|name| !code.iter().chain(*tests).any(|may| may == name));
    in_code
        .map(|name| format!("{package} must not use {name}"))
        .chain(in_tests.map(|name| format!("the tests of {package} must not use {name}")))
        .collect()
}

#[test]
fn crates_use_what_they_may() {
    let mut seen = 0;
    let mut complaints = Vec::new();
    for member in manifest::members(root()) {
        let text = std::fs::read_to_string(root().join(&member).join("Cargo.toml")).unwrap();
        complaints.extend(wrong_use(manifest::package_name(&text).unwrap(), &dependencies(&text)));
        seen += 1;
    }
    agree(&complaints);
    assert_eq!(seen, CRATES.len());
}

#[test]
fn a_wrong_use_of_a_crate_is_found() {
    let uses = |code: &[&str], tests: &[&str]| Dependencies {
        code: code.iter().map(ToString::to_string).collect(),
        tests: tests.iter().map(ToString::to_string).collect(),
    };
    let of_sidecar = wrong_use("trueroute-sidecar", &uses(&["tokio", "trueroute"], &["trueroute-testkit"]));
    assert_eq!(of_sidecar, ["trueroute-sidecar must not use trueroute"]);
    let of_testkit = wrong_use("trueroute-testkit", &uses(&[], &["trueroute-identity"]));
    assert_eq!(of_testkit, ["the tests of trueroute-testkit must not use trueroute-identity"]);
    assert_eq!(
        wrong_use("trueroute", &uses(&["trueroute-testkit"], &[])),
        ["trueroute must not use trueroute-testkit"]
    );
    assert_eq!(wrong_use("trueroute-extra", &uses(&[], &[])), ["trueroute-extra is not in the list of crates"]);
}

#[test]
fn no_two_crates_use_each_other() {
    for (position, (name, code, tests)) in CRATES.iter().enumerate() {
        for used in code.iter().chain(*tests) {
            let earlier = CRATES[..position].iter().any(|(other, ..)| other == used);
            assert!(earlier, "{name} uses {used}, which the list does not name before it");
        }
    }
}

/// Whether cargo builds `name` for this machine, whichever features are on. A lock may name a crate that nothing asks
/// for: the optional dependency of another one.
fn is_built(name: &str) -> bool {
    let arguments = ["tree", "--locked", "--workspace", "--all-features", "--edges", "all", "--invert", name];
    let tree = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    !tree.stdout.trim_ascii().is_empty()
}

fn banned(lock: &str, is_built: impl Fn(&str) -> bool) -> Vec<String> {
    let names = manifest::locked(lock);
    let found = BANNED.iter().filter(|(name, _)| names.contains(name) && is_built(name));
    found.map(|(name, why)| format!("{name} is built: {why}")).collect()
}

#[test]
fn no_banned_crate_is_built() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert!(manifest::locked(&lock).contains(&"rustls"), "the lock is not read");
    assert!(is_built("rustls"), "the tree is not read");
    agree(&banned(&lock, is_built));
}

#[test]
fn a_banned_crate_is_found() {
    let lock = "[[package]]\nname = \"ring\"\n\n[[package]]\nname = \"stringify\"\n";
    assert_eq!(banned(lock, |_| true), ["ring is built: one provider of cryptography, aws-lc-rs"]);
    assert!(banned(lock, |_| false).is_empty());
}

#[test]
fn deny_toml_bans_the_same_crates() {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let bans = text.split("[bans]").nth(1).and_then(|rest| rest.split("\n[").next()).expect("deny.toml has bans");
    let named: Vec<&str> = bans.split("crate = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let ours: Vec<&str> = BANNED.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, ours);
}

fn too_long(sources: &[Source]) -> Vec<String> {
    let limit = |source: &Source| {
        let longer = LONGER.iter().find(|(path, ..)| source.path == Path::new(path));
        longer.map_or(MOST_LINES, |(_, most, _)| *most)
    };
    let long = sources.iter().filter(|source| source.lines() > limit(source));
    long.map(|source| format!("{}: {} lines, at most {}", source.path.display(), source.lines(), limit(source)))
        .collect()
}

#[test]
fn files_are_short() {
    agree(&too_long(&everything()));
    let all = everything();
    for (path, ..) in LONGER {
        let file = all.iter().find(|source| source.path == Path::new(path)).unwrap_or_else(|| panic!("no {path}"));
        assert!(file.lines() > MOST_LINES, "{path} needs no exception any more");
    }
}

#[test]
fn a_long_file_is_found() {
    let long = Source::new("src/a.rs", "\n".repeat(MOST_LINES + 1));
    assert_eq!(too_long(&[long]), ["src/a.rs: 451 lines, at most 450"]);
}

fn without_head(sources: &[Source]) -> Vec<String> {
    let bare = sources.iter().filter(|source| !source.text.starts_with("//! "));
    bare.map(|source| format!("{}: does not open with what it owns (`//!`)", source.path.display())).collect()
}

#[test]
fn files_open_with_what_they_own() {
    agree(&without_head(&shipped()));
}

#[test]
fn a_file_without_a_head_is_found() {
    let sources = [Source::new("src/a.rs", "//! A.\n"), Source::new("src/b.rs", "use a;\n//! B.\n")];
    assert_eq!(without_head(&sources), ["src/b.rs: does not open with what it owns (`//!`)"]);
}

/// Lints are switched off with a reason, and `unwrap` and `expect` stand only where one says so.
fn unreasoned(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let mut may_panic = crate_may_panic(sources, source);
        for attribute in source.attributes() {
            let names = |word: &str| attribute.iter().any(|token| token.text == word);
            let Some(first) = attribute.first().filter(|first| matches!(first.text.as_str(), "allow" | "expect"))
            else {
                continue;
            };
            may_panic |= names("unwrap_used") || names("expect_used");
            if !names("reason") && !first.test {
                complaints.push(format!("{}:{}: a lint is off without a reason", source.path.display(), first.line));
            }
        }
        if may_panic {
            continue;
        }
        for call in ["unwrap", "expect"] {
            let found = source.find(&[".", call, "("]);
            complaints.extend(
                found
                    .iter()
                    .map(|token| format!("{}:{}: `{call}` without a stated reason", source.path.display(), token.line)),
            );
        }
    }
    complaints
}

/// Whether the crate of `source` allows `unwrap` and `expect` as a whole, as the one made for tests does.
fn crate_may_panic(all: &[Source], source: &Source) -> bool {
    let folder = |path: &Path| path.iter().take_while(|part| *part != "src").map(PathBuf::from).collect::<PathBuf>();
    let lib = folder(&source.path).join("src/lib.rs");
    all.iter().filter(|other| other.path == lib).any(|lib| lib.text.contains("#![allow(clippy::unwrap_used"))
}

#[test]
fn what_may_panic_says_why() {
    agree(&unreasoned(&shipped()));
}

#[test]
fn a_panic_without_a_reason_is_found() {
    let of = |path: &str, text: &str| unreasoned(&[Source::new(path, text)]);
    assert_eq!(of("src/a.rs", "fn f() {\n x.unwrap();\n}"), ["src/a.rs:2: `unwrap` without a stated reason"]);
    assert_eq!(of("src/a.rs", "fn f() { x.expect(\"y\"); }"), ["src/a.rs:1: `expect` without a stated reason"]);
    assert_eq!(of("src/a.rs", "#[expect(dead_code)] fn f() {}"), ["src/a.rs:1: a lint is off without a reason"]);
    let reasoned = "#[expect(clippy::unwrap_used, reason = \"x\")] fn f() { x.unwrap(); }";
    assert!(of("src/a.rs", reasoned).is_empty());
    assert!(of("src/a.rs", "#[cfg(test)] mod tests { fn f() { x.unwrap(); } }").is_empty());
    let testkit = [
        Source::new("crates/testkit/src/lib.rs", "#![allow(clippy::unwrap_used, reason = \"x\")]"),
        Source::new("crates/testkit/src/a.rs", "fn f() { x.unwrap(); }"),
        Source::new("crates/other/src/a.rs", "fn f() { x.unwrap(); }"),
    ];
    assert_eq!(unreasoned(&testkit), ["crates/other/src/a.rs:1: `unwrap` without a stated reason"]);
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let says_nothing = |path: &Path| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        stem.split('_').any(|word| EMPTY_WORDS.contains(&word))
    };
    let mut complaints: Vec<String> = (sources.iter().filter(|source| says_nothing(&source.path)))
        .map(|source| format!("{}: the name says nothing about what it holds", source.path.display()))
        .collect();
    for source in sources {
        let getters = source.functions().filter(|token| token.text.starts_with("get_"));
        complaints.extend(getters.map(|token| format!("{}:{}: `{}`", source.path.display(), token.line, token.text)));
    }
    complaints
}

#[test]
fn names_say_something() {
    agree(&empty_names(&shipped()));
}

#[test]
fn an_empty_name_is_found() {
    let sources = [Source::new("src/route_utils.rs", ""), Source::new("src/a.rs", "fn get_pool() {} fn getter() {}")];
    assert_eq!(
        empty_names(&sources),
        ["src/route_utils.rs: the name says nothing about what it holds", "src/a.rs:1: `get_pool`"]
    );
}
