//! What the fuzzer starts from, without the fuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a seed that can't be read is no test")]

use std::{fs, path::Path};

#[path = "../fuzz/properties.rs"]
mod properties;

/// Runs every seed of a target, and every beginning of it: the fuzzer's own first steps.
fn run(target: &str, property: fn(&[u8]), step: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(seeds.len() >= 4, "{seeds:?}");
    for seed in seeds {
        let bytes = fs::read(&seed).unwrap();
        property(&bytes);
        (0..bytes.len()).step_by(step).for_each(|end| property(&bytes[..end]));
    }
}

#[test]
fn bootstraps() {
    run("bootstrap", properties::bootstrap, 997);
}

#[test]
fn secrets() {
    run("secret", properties::secret, 7);
}

#[test]
fn certificates() {
    run("certificate", properties::certificate, 1);
}

#[test]
fn certificates_with_one_byte_changed() {
    let change = |bytes: &[u8]| {
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x15;
            properties::certificate(&changed);
        }
    };
    run("certificate", change, usize::MAX);
}

#[test]
fn the_fuzzer_has_a_target_for_every_property() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for target in ["bootstrap", "secret", "certificate"] {
        assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")));
        assert!(
            fs::read_to_string(fuzz.join(format!("targets/{target}.rs")))
                .unwrap()
                .contains(&format!("properties::{target}("))
        );
    }
}
