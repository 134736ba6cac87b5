//! Whether settings could be served with what lies on the disk now: `--mode validate`.
//!
//! Reads identities and authorities as serving does, and opens nothing. Promises: what Envoy refuses is a problem here.
//! A file of secrets has to be there and may not be complete yet: its writer comes when it likes, and serving waits.

use std::path::Path;

use crate::{
    log::{chain, one_line},
    material::{MaterialError, Watched},
    settings::{ClientCa, IdentitySource, Listener, Mode, Settings},
};

/// What was found out about settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What keeps a listener from ever serving, each on one line.
    pub problems: Vec<String>,
    /// What serving would wait for, each on one line.
    pub awaited: Vec<String>,
}

/// Reads what `settings` point to, once.
#[must_use]
pub fn validate(settings: &Settings) -> Findings {
    let mut findings = Findings::default();
    for listener in &settings.listeners {
        findings.look_at(listener);
    }
    findings
}

impl Findings {
    fn look_at(&mut self, listener: &Listener) {
        let secrets = match &listener.identity {
            IdentitySource::Secret(file) => Some(file.path.as_path()),
            IdentitySource::Given(_) | IdentitySource::Listeners(_) => None,
        };
        if let Some(Err(error)) = Watched::new(listener.identity.clone()).look() {
            self.note(listener, secrets, &error);
        }
        let secrets = match &listener.mode {
            Mode::Strict { client_ca: ClientCa::Secret(file), .. } => Some(file.path.as_path()),
            _ => None,
        };
        if let Some(Err(error)) = Watched::new(listener.mode.clone()).look() {
            self.note(listener, secrets, &error);
        }
    }

    /// Notes `error`, which came of the file `secrets` if that is where the thing stands.
    fn note(&mut self, listener: &Listener, secrets: Option<&Path>, error: &MaterialError) {
        let line = one_line(&format!("{}: {}", listener.name, chain(error)));
        let is_absent = matches!(error, MaterialError::Read { path, .. } if secrets == Some(path));
        match secrets {
            Some(_) if !is_absent => self.awaited.push(line),
            _ => self.problems.push(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use trueroute_testkit::{Tempdir, pki::Authority};

    use super::*;
    use crate::settings::{Pair, Pem, SecretFile};

    fn settings(identity: IdentitySource, mode: Mode) -> Settings {
        let any = ([127, 0, 0, 1], 0).into();
        Settings::new(vec![Listener { name: "door".into(), ..Listener::new(any, any.into(), identity, mode) }])
    }

    fn text(text: &str) -> Pem {
        Pem::Text(text.into())
    }

    #[test]
    fn what_could_never_be_served_is_a_problem_and_what_may_still_come_is_not() {
        let (dir, ca) = (Tempdir::new().unwrap(), Authority::new("ca"));
        let (leaf, other) = (ca.localhost().issue(), ca.localhost().issue());
        let (nowhere, garbage) = (dir.path().join("nowhere"), dir.path().join("garbage"));
        std::fs::write(&garbage, "- garbage").unwrap();
        let good = || IdentitySource::Given(Pair { chain: text(&leaf.chain_pem), key: text(&leaf.key_pem) });
        let given = |chain: Pem, key: Pem| settings(IdentitySource::Given(Pair { chain, key }), Mode::Tls);
        let secret = |path: &Path| SecretFile { path: path.to_owned(), name: "x".into(), watched: None };
        let strict = |client_ca| settings(good(), Mode::Strict { client_ca, names: vec![] });
        let (gone, (chain, key)) = (Pem::File(nowhere.clone()), (text(&leaf.chain_pem), text(&leaf.key_pem)));
        for (case, settings, problem, awaited) in [
            ("all is well", settings(good(), Mode::Tls), None, None),
            ("no certificate", given(gone.clone(), key), Some("door: {nowhere}: No such file"), None),
            ("no key", given(chain.clone(), gone.clone()), Some("door: {nowhere}: No such file"), None),
            ("no pair", given(chain, text(&other.key_pem)), Some("door: certificate and key: "), None),
            ("no PEM", given(text("a"), text("b")), Some("door: certificate and key: "), None),
            ("no client CA", strict(ClientCa::Given(gone)), Some("door: {nowhere}: No such file"), None),
            ("no PEM of a CA", strict(ClientCa::Given(text("a"))), Some("door: "), None),
            (
                "no SDS",
                settings(IdentitySource::Secret(secret(&nowhere)), Mode::Tls),
                Some("door: {nowhere}: No"),
                None,
            ),
            ("no SDS of a CA", strict(ClientCa::Secret(secret(&nowhere))), Some("door: {nowhere}: No"), None),
            ("SDS to come", settings(IdentitySource::Secret(secret(&garbage)), Mode::Tls), None, Some("{garbage}: ")),
            ("SDS of a CA to come", strict(ClientCa::Secret(secret(&garbage))), None, Some("{garbage}: ")),
        ] {
            let found = validate(&settings);
            for (lines, expected) in [(found.problems, problem), (found.awaited, awaited)] {
                let expected = expected.map(|text| text.replace("{nowhere}", &nowhere.display().to_string()));
                let expected = expected.map(|text| text.replace("{garbage}", &garbage.display().to_string()));
                assert_eq!(lines.len(), usize::from(expected.is_some()), "{case}: {lines:?}");
                assert!(lines.iter().all(|line| line.contains(expected.as_deref().unwrap_or_default())), "{lines:?}");
                assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
            }
        }
    }
}
