//! `/config_dump`: the whole configuration, so that a port can be followed to its listener, its cluster and the app.
//!
//! What is shown was taken free of keys when it was read. Secrets are shown as they are in force, and their keys as
//! `[redacted]`.

use base64::Engine;
use regex_lite::Regex;
use serde_json::{Map, Value, json};

use super::{
    certs::moment,
    house::{Flat, House},
    http::{Answer, Request},
    settings_document,
};
use crate::settings::{AllowedName, ClientCa, Documents, IdentitySource, Mode};

const ADMIN: &str = "type.googleapis.com/envoy.admin.v3";
const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// What a mask may begin with: fields of the four parts, and of one resource.
const MASKED: [&str; 20] = [
    "active_state",
    "bootstrap",
    "client_status",
    "cluster",
    "draining_state",
    "dynamic_active_clusters",
    "dynamic_active_secrets",
    "dynamic_listeners",
    "dynamic_warming_clusters",
    "dynamic_warming_secrets",
    "error_state",
    "last_updated",
    "listener",
    "name",
    "secret",
    "static_clusters",
    "static_listeners",
    "static_secrets",
    "version_info",
    "warming_state",
];

/// One of the four parts.
struct Section {
    kind: &'static str,
    /// What stands beside the lists.
    rest: Map<String, Value>,
    /// Lists of resources: the key, the type of one, and those that there are.
    lists: Vec<(&'static str, &'static str, Named)>,
}

/// Resources by their names.
type Named = Vec<(String, Value)>;

/// The page, as much of it as is asked for.
pub(super) fn page(house: &House, request: &Request) -> Answer {
    let mut sections = sections(house);
    if let Some(pattern) = request.asks("name_regex") {
        // Envoy's has to match the whole name.
        let Ok(pattern) = Regex::new(&format!("^(?:{pattern})$")) else {
            return Answer::text(400, "error: name_regex is not a regular expression\n");
        };
        let lists = sections.iter_mut().flat_map(|section| &mut section.lists);
        lists.for_each(|(_, _, found)| found.retain(|(name, _)| pattern.is_match(name)));
    }
    let mut configs: Vec<Value> = match request.asks("resource") {
        None => sections.into_iter().map(whole).collect(),
        Some("bootstrap") => {
            let refusal = "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field\n";
            return Answer::text(400, refusal);
        }
        Some(resource) => {
            let lists = sections.into_iter().flat_map(|section| section.lists);
            let Some((_, kind, found)) = lists.into_iter().find(|(key, _, _)| *key == resource) else {
                return Answer::text(404, format!("{resource} not found in config dump\n"));
            };
            let typed = |mut value: Value| {
                value["@type"] = format!("{ADMIN}.{kind}").into();
                value
            };
            found.into_iter().map(|(_, value)| typed(value)).collect()
        }
    };
    if let Some(mask) = request.asks("mask") {
        let paths: Vec<Vec<&str>> = mask.split(',').map(|path| path.split('.').collect()).collect();
        if !paths.iter().all(|path| path.first().is_some_and(|first| MASKED.contains(first))) {
            let refusal = format!("FieldMask {mask} could not be successfully applied to any configs.\n");
            return Answer::text(400, refusal);
        }
        configs = configs.iter().filter_map(|config| masked(config, &paths)).collect();
    }
    Answer::json(&json!({"configs": configs}))
}

fn whole(section: Section) -> Value {
    let mut value = section.rest;
    value.insert("@type".into(), format!("{ADMIN}.{}", section.kind).into());
    for (key, _, found) in section.lists {
        if !found.is_empty() {
            value.insert(key.into(), found.into_iter().map(|(_, value)| value).collect());
        }
    }
    Value::Object(value)
}

/// What of `value` the paths lead to, and its type; `None` where they lead to nothing.
fn masked(value: &Value, paths: &[Vec<&str>]) -> Option<Value> {
    let mut kept = Map::new();
    for path in paths {
        let Some((first, rest)) = path.split_first() else { continue };
        let Some(child) = value.get(first) else { continue };
        match (rest, child) {
            ([], child) => drop(kept.insert((*first).to_owned(), child.clone())),
            // A mask goes into every member of a list.
            (rest, Value::Array(items)) => {
                let items = items.iter().filter_map(|item| masked(item, &[rest.to_vec()]));
                kept.insert((*first).to_owned(), items.collect());
            }
            (rest, child) => {
                let Some(Value::Object(inner)) = masked(child, &[rest.to_vec()]) else { continue };
                match kept.get_mut(*first) {
                    Some(Value::Object(earlier)) => earlier.extend(inner),
                    _ => drop(kept.insert((*first).to_owned(), inner.into())),
                }
            }
        }
    }
    if kept.is_empty() {
        return None;
    }
    if let Some(kind) = value.get("@type") {
        kept.insert("@type".into(), kind.clone());
    }
    Some(kept.into())
}

fn sections(house: &House) -> Vec<Section> {
    let updated = moment(house.started.at);
    let made;
    let documents = match &house.subject.documents {
        Some(documents) => documents,
        None => {
            made = Documents { bootstrap: settings_document::of(house).to_string().into(), ..Documents::default() };
            &made
        }
    };
    // Written by ourselves, so it can be read.
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let bootstrap = parsed(&documents.bootstrap);
    let of_bootstrap = |key: &str| {
        let found = bootstrap.pointer(&format!("/static_resources/{key}")).and_then(Value::as_array);
        found.cloned().unwrap_or_default()
    };
    let fixed = |key: &str, inner: &str, kind: &str| {
        let each = of_bootstrap(key).into_iter().map(|value| {
            let (name, value) = typed(value, kind);
            (name, json!({inner: value, "last_updated": updated}))
        });
        each.collect()
    };
    let dynamic_listeners = documents.dynamic_listeners.iter().map(|text| {
        let (name, value) = typed(parsed(text), LISTENER);
        let state = json!({"version_info": "0", "listener": value, "last_updated": updated});
        (name.clone(), json!({"name": name, "active_state": state}))
    });
    let dynamic_clusters = documents.dynamic_clusters.iter().map(|text| {
        let (name, value) = typed(parsed(text), CLUSTER);
        (name, json!({"version_info": "0", "cluster": value, "last_updated": updated}))
    });
    let (active, warming) = secrets(house);
    let mut rest = Map::new();
    rest.insert("bootstrap".into(), bootstrap.clone());
    rest.insert("last_updated".into(), updated.clone().into());
    vec![
        Section { kind: "BootstrapConfigDump", rest, lists: vec![] },
        Section {
            kind: "ClustersConfigDump",
            rest: Map::new(),
            lists: vec![
                ("static_clusters", "ClustersConfigDump.StaticCluster", fixed("clusters", "cluster", CLUSTER)),
                ("dynamic_active_clusters", "ClustersConfigDump.DynamicCluster", dynamic_clusters.collect()),
            ],
        },
        Section {
            kind: "ListenersConfigDump",
            rest: Map::new(),
            lists: vec![
                ("static_listeners", "ListenersConfigDump.StaticListener", fixed("listeners", "listener", LISTENER)),
                ("dynamic_listeners", "ListenersConfigDump.DynamicListener", dynamic_listeners.collect()),
            ],
        },
        Section {
            kind: "SecretsConfigDump",
            rest: Map::new(),
            lists: vec![
                ("dynamic_active_secrets", "SecretsConfigDump.DynamicSecret", active),
                ("dynamic_warming_secrets", "SecretsConfigDump.DynamicSecret", warming),
            ],
        },
    ]
}

fn typed(mut value: Value, kind: &str) -> (String, Value) {
    let name = value["name"].as_str().unwrap_or_default().to_owned();
    if value.is_object() {
        value["@type"] = kind.into();
    }
    (name, value)
}

/// Secrets in force, and those that are waited for, each once.
fn secrets(house: &House) -> (Named, Named) {
    let (mut active, mut warming): (Named, Named) = Default::default();
    let mut add = |name: &str, since: Option<String>, body: Option<(&str, Value)>| {
        let known = |list: &Named| list.iter().any(|(known, _)| known == name);
        if known(&active) || known(&warming) {
            return;
        }
        let mut secret = json!({"@type": SECRET, "name": name});
        let (list, version) = match body {
            Some((key, body)) => {
                secret[key] = body;
                (&mut active, "0")
            }
            None => (&mut warming, "uninitialized"),
        };
        let updated = since.unwrap_or_else(|| moment(house.started.at));
        let entry = json!({"name": name, "version_info": version, "last_updated": updated, "secret": secret});
        list.push((name.to_owned(), entry));
    };
    for flat in &house.flats {
        let since = || flat.presented.in_force().since.map(moment);
        if let IdentitySource::Secret(file) = &flat.identity {
            add(&file.name, since(), certificate(flat));
        }
        if let Mode::Strict { client_ca: ClientCa::Secret(file), .. } = &flat.mode {
            add(&file.name, since(), validation(flat));
        }
    }
    (active, warming)
}

fn certificate(flat: &Flat) -> Option<(&'static str, Value)> {
    let credentials = flat.presented.in_force().credentials?;
    let chain: String = credentials.certified().cert.iter().map(|der| pem(der)).collect();
    let body = json!({"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": "[redacted]"}});
    Some(("tls_certificate", body))
}

fn validation(flat: &Flat) -> Option<(&'static str, Value)> {
    let believed = flat.presented.in_force().believed?;
    let mut body = json!({"trusted_ca": {"inline_string": believed.pem}});
    add_names(&mut body, &believed.names);
    Some(("validation_context", body))
}

/// Adds the matchers of `names` to a validation context.
pub(super) fn add_names(context: &mut Value, names: &[AllowedName]) {
    let (mut typed, mut others) = (Vec::new(), Vec::new());
    for name in names {
        let (kind, name) = match name {
            AllowedName::Any(name) => {
                others.push(json!({"exact": name}));
                continue;
            }
            AllowedName::Dns(name) => ("DNS", name.clone()),
            AllowedName::Uri(name) => ("URI", name.clone()),
            AllowedName::Address(address) => ("IP_ADDRESS", address.to_string()),
        };
        typed.push(json!({"san_type": kind, "matcher": {"exact": name}}));
    }
    for (key, matchers) in [("match_typed_subject_alt_names", typed), ("match_subject_alt_names", others)] {
        if !matchers.is_empty() {
            context[key] = matchers.into();
        }
    }
}

fn pem(der: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    // 64 characters a line (RFC 7468, 2).
    let lines = encoded.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_they_could_have_been_written() {
        let mut context = json!({});
        add_names(&mut context, &["a".into(), AllowedName::Dns("b".into()), AllowedName::Address([1; 4].into())]);
        let typed = |kind: &str, name: &str| json!({"san_type": kind, "matcher": {"exact": name}});
        let typed = [typed("DNS", "b"), typed("IP_ADDRESS", "1.1.1.1")];
        assert_eq!(
            context,
            json!({"match_typed_subject_alt_names": typed, "match_subject_alt_names": [{"exact": "a"}]})
        );
    }

    #[test]
    fn a_mask_keeps_what_it_names_and_the_type() {
        let value = json!({"@type": "T", "a": {"b": 1, "c": 2}, "d": [{"e": 1, "f": 2}], "g": 3});
        let paths = |mask: &'static str| mask.split(',').map(|path| path.split('.').collect()).collect::<Vec<_>>();
        for (mask, expected) in [
            ("g", Some(json!({"@type": "T", "g": 3}))),
            ("a.b", Some(json!({"@type": "T", "a": {"b": 1}}))),
            ("a.b,a.c", Some(json!({"@type": "T", "a": {"b": 1, "c": 2}}))),
            ("d.e", Some(json!({"@type": "T", "d": [{"e": 1}]}))),
            ("x", None),
            ("g.x", None),
        ] {
            assert_eq!(masked(&value, &paths(mask)), expected, "{mask}");
        }
    }
}
