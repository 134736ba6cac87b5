//! Folders in which a change can put another file behind the same path.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

/// Links that are followed for one path, as many as Linux follows.
const LINKS: usize = 40;

/// The folder that `file` is in, and those of all links on the way there: a mounted secret is renewed by swapping one.
pub(super) fn to(file: &Path) -> BTreeSet<PathBuf> {
    let mut folders: BTreeSet<PathBuf> = file.parent().map(named).into_iter().collect();
    let (mut at, mut links) = (PathBuf::new(), 0);
    let mut ahead = backwards(file);
    while let Some(step) = ahead.pop() {
        let next = at.join(&step);
        let Ok(target) = std::fs::read_link(&next) else {
            at = next;
            continue;
        };
        links += 1;
        if links > LINKS {
            return folders;
        }
        folders.insert(named(&at));
        ahead.extend(backwards(&target));
    }
    // Where the last link leads: the file itself may be replaced there.
    folders.extend(at.parent().map(named));
    folders
}

/// The steps of `path`, first one last.
fn backwards(path: &Path) -> Vec<OsString> {
    path.components().rev().filter(|step| *step != Component::CurDir).map(|step| step.as_os_str().to_owned()).collect()
}

/// A folder by a name that the system takes.
fn named(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use trueroute_testkit::Tempdir;

    use super::*;

    #[test]
    fn every_folder_with_a_link_on_the_way_is_told() {
        let dir = Tempdir::new().unwrap();
        // Links of the machine's own on the way to the temporary folder are not of interest.
        let base = dir.path().canonicalize().unwrap();
        for folder in ["a", "w", "w/a", "w/mount", "w/mount/..1", "loop"] {
            std::fs::create_dir(base.join(folder)).unwrap();
        }
        for (target, link) in [
            ("a", "w/current"),
            (base.join("w/current").to_str().unwrap(), "a/again"),
            ("..1", "w/mount/..data"),
            ("..data/sds.yaml", "w/mount/sds.yaml"),
            ("../w/mount", "a/up"),
            ("me", "loop/me"),
        ] {
            symlink(target, base.join(link)).unwrap();
        }
        for (file, folders) in [
            ("w/a/sds.yaml", &["w/a"][..]),
            ("w/./a/sds.yaml", &["w/a"]),
            ("w/missing/sds.yaml", &["w/missing"]),
            ("w/current/sds.yaml", &["w", "w/a", "w/current"]),
            ("a/again/sds.yaml", &["a", "a/again", "w", "w/a"]),
            // A mounted secret of Kubernetes.
            ("w/mount/sds.yaml", &["w/mount", "w/mount/..1"]),
            ("a/up/sds.yaml", &["a", "a/../w/mount", "a/../w/mount/..1", "a/up"]),
            ("loop/me/sds.yaml", &["loop", "loop/me"]),
        ] {
            let expected: BTreeSet<PathBuf> = folders.iter().map(|folder| base.join(folder)).collect();
            assert_eq!(to(&base.join(file)), expected, "{file}");
        }
        assert!(to(Path::new("sds.yaml")).contains(Path::new(".")));
    }
}
