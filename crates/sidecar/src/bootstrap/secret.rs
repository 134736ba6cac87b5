//! Certificates and authorities as documents hold them: inline, by file, or as the resource of an SDS file.

use serde_json::Value;

use super::{
    document,
    fields::{Fields, Node, Notes},
    problem::{Problem, Problems},
};
use crate::settings::{AllowedName, Pair, Pem};

/// Why an SDS file gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The text is not YAML. A file that is being written looks like this.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// Its shape is not that of a discovery response with secrets, or it asks for what is not supported.
    #[error("{0}")]
    Refused(Problems),
    /// It holds no secret of that name and kind.
    #[error("there is no {kind} named {name:?}")]
    Absent {
        /// What was looked for.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// What a validation context asks of a peer's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validation {
    /// The authorities; `None` where the platform wrote none, which proves nobody.
    pub authorities: Option<Pem>,
    /// Names of which the certificate must carry one. Empty: any certificate of the authorities.
    pub names: Vec<AllowedName>,
}

/// The certificate and key of the secret `name` in the SDS file `text`.
///
/// # Errors
/// What keeps the text from holding one.
pub fn certificate(text: &str, name: &str) -> Result<Pair, SecretError> {
    find(text, name, "certificate", |fields, notes| {
        let node = fields.take("tls_certificate");
        fields.pass_over(&["validation_context"]);
        (!node.is_empty()).then(|| tls_certificate(&node, notes)).flatten()
    })
}

/// The validation context of the secret `name` in the SDS file `text`.
///
/// # Errors
/// What keeps the text from holding one.
pub fn validation(text: &str, name: &str) -> Result<Validation, SecretError> {
    find(text, name, "validation context", |fields, notes| {
        let node = fields.take("validation_context");
        let of_another_kind = !fields.take("tls_certificate").is_empty();
        // An empty context is one: a sidecar that demands nothing gets it, and one that does lets nobody in.
        (!of_another_kind).then(|| validation_context(&node, notes)).flatten()
    })
}

fn find<T>(
    text: &str,
    name: &str,
    kind: &'static str,
    mut read: impl FnMut(&mut Fields<'_>, &mut Notes) -> Option<T>,
) -> Result<T, SecretError> {
    let document = document::parse(text).map_err(SecretError::Yaml)?;
    let mut notes = Notes::default();
    let mut found = None;
    for resource in resources(&document, &mut notes) {
        let value = resource.fields(&mut notes, |fields, notes| {
            fields.pass_over(&["@type"]);
            let called = fields.take("name").text(notes).unwrap_or_default();
            if called == name {
                return read(fields, notes);
            }
            fields.pass_over(&["tls_certificate", "validation_context", "session_ticket_keys", "generic_secret"]);
            None
        });
        found = found.or(value);
    }
    if !notes.problems.is_empty() {
        return Err(SecretError::Refused(Problems(notes.problems)));
    }
    found.ok_or_else(|| SecretError::Absent { kind, name: name.to_owned() })
}

/// The resources of a discovery response. Its version never changes with Diego, so nobody looks at it.
pub(super) fn resources<'v>(document: &'v Value, notes: &mut Notes) -> Vec<Node<'v>> {
    Node::root("", document).fields(notes, |fields, notes| {
        fields.pass_over(&["version_info", "type_url", "nonce", "canary", "control_plane"]);
        fields.take("resources").list(notes)
    })
}

/// Reads a `TlsCertificate`.
pub(super) fn tls_certificate(node: &Node<'_>, notes: &mut Notes) -> Option<Pair> {
    node.fields(notes, |fields, notes| {
        // The files that are named are watched, and their folders with them.
        fields.pass_over(&["watched_directory"]);
        let chain = data_source(&fields.take("certificate_chain"), "it is shown to every caller", notes);
        let key = data_source(&fields.take("private_key"), "the certificate is of no use without it", notes);
        Some(Pair { chain: chain?, key: key? })
    })
}

/// Reads a `CertificateValidationContext`.
pub(super) fn validation_context(node: &Node<'_>, notes: &mut Notes) -> Option<Validation> {
    node.fields(notes, |fields, notes| {
        fields.pass_over(&["watched_directory"]);
        let authorities = fields.take("trusted_ca");
        let authorities =
            if authorities.is_empty() { None } else { Some(data_source(&authorities, "it proves callers", notes)?) };
        let names = names(fields, notes);
        Some(Validation { authorities, names })
    })
}

/// Names in each of the three ways that Envoy has had of writing them.
fn names(fields: &mut Fields<'_>, notes: &mut Notes) -> Vec<AllowedName> {
    let mut names: Vec<AllowedName> = Vec::new();
    for matcher in fields.take("match_typed_subject_alt_names").list(notes) {
        names.extend(matcher.fields(notes, typed_name));
    }
    let untyped = fields.take("match_subject_alt_names");
    for matcher in untyped.list(notes) {
        if !names.is_empty() && names.iter().all(is_typed) {
            // Envoy refuses both or passes these over: whoever has such a name only is not let in.
            return untyped.wrong("nothing beside match_typed_subject_alt_names", notes).unwrap_or_default();
        }
        names.extend(exactly(&matcher, notes).map(AllowedName::from));
    }
    for name in fields.take("verify_subject_alt_name").list(notes) {
        names.extend(name.text(notes).map(AllowedName::from).or_else(|| name.wrong("a name", notes)));
    }
    names
}

fn is_typed(name: &AllowedName) -> bool {
    !matches!(name, AllowedName::Any(_))
}

/// Reads a `SubjectAltNameMatcher`.
fn typed_name(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<AllowedName> {
    let (kind, matcher) = (fields.take("san_type"), fields.take("matcher"));
    let name = exactly(&matcher, notes)?;
    match kind.text(notes) {
        Some("DNS") => Some(AllowedName::Dns(name.to_owned())),
        Some("URI") => Some(AllowedName::Uri(name.to_owned())),
        Some("IP_ADDRESS") => match name.parse() {
            Ok(address) => Some(AllowedName::Address(address)),
            Err(_) => matcher.wrong("an IP address", notes),
        },
        Some(_) => kind.unsupported(notes),
        None => kind.missing("names are compared by their type", notes),
    }
}

/// Reads a `StringMatcher`.
fn exactly<'v>(matcher: &Node<'v>, notes: &mut Notes) -> Option<&'v str> {
    matcher.fields(notes, |fields, notes| {
        let exact = fields.take("exact");
        exact.text(notes).or_else(|| exact.missing("only exact names are matched", notes))
    })
}

/// Reads a `DataSource`.
fn data_source(node: &Node<'_>, why: &'static str, notes: &mut Notes) -> Option<Pem> {
    if node.is_empty() {
        return node.missing(why, notes);
    }
    node.fields(notes, |fields, notes| {
        let file = fields.take("filename").text(notes);
        let text = fields.take("inline_string").text(notes);
        let bytes = fields.take("inline_bytes");
        let decoded = bytes.text(notes).map(|encoded| {
            use base64::Engine;
            let plain = base64::engine::general_purpose::STANDARD.decode(encoded).ok();
            plain.and_then(|bytes| String::from_utf8(bytes).ok()).or_else(|| bytes.wrong("base64 of PEM", notes))
        });
        match (file, text, decoded) {
            (Some(file), None, None) => Some(Pem::File(file.into())),
            (None, Some(text), None) => Some(Pem::Text(text.into())),
            (None, None, Some(decoded)) => decoded.map(|text| Pem::Text(text.into())),
            (None, None, None) => None, // what else stands there is noted as unsupported
            _ => node.wrong("one source", notes),
        }
    })
}

/// The first problem, for callers that can tell of one only.
impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3: &str = r#"
version_info: "0"
resources:
- '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: id-cert-and-key
  tls_certificate:
    certificate_chain:
      inline_string: |
        chain
    private_key:
      inline_string: |
        key
"#;

    #[test]
    fn every_generation_of_a_certificate_is_read() {
        let by_file = V3.replace("inline_string: |\n        chain", "filename: /c.pem");
        let v2 = V3.replace("extensions.transport_sockets.tls.v3", "api.v2.auth").replace("id-cert", "server-cert");
        let bytes = V3.replace("inline_string: |\n        chain", "inline_bytes: Y2hhaW4K");
        for (text, name, chain) in [
            (V3.to_owned(), "id-cert-and-key", Pem::Text("chain\n".into())),
            (v2, "server-cert-and-key", Pem::Text("chain\n".into())),
            (by_file, "id-cert-and-key", Pem::File("/c.pem".into())),
            (bytes, "id-cert-and-key", Pem::Text("chain\n".into())),
        ] {
            assert_eq!(certificate(&text, name).unwrap(), Pair { chain, key: Pem::Text("key\n".into()) });
        }
    }

    #[test]
    fn every_generation_of_a_validation_context_is_read() {
        let with = |body: &str| format!("resources: [{{name: v, validation_context: {body}}}]");
        for (body, authorities, names) in [
            (
                "{trusted_ca: {inline_string: ca}, match_subject_alt_names: [{exact: a}, {exact: b, prefix: ''}]}",
                Some("ca"),
                vec!["a", "b"],
            ),
            ("{trusted_ca: {inline_string: ca}, verify_subject_alt_name: [a]}", Some("ca"), vec!["a"]),
            ("{trusted_ca: {inline_string: ''}, match_subject_alt_names: null}", None, vec![]),
            ("{}", None, vec![]),
        ] {
            let expected = Validation {
                authorities: authorities.map(|text| Pem::Text(text.into())),
                names: names.into_iter().map(AllowedName::from).collect(),
            };
            assert_eq!(validation(&with(body), "v").unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn names_with_a_type_are_read_and_not_beside_those_without() {
        let with = |body: &str| format!("resources: [{{name: v, validation_context: {{{body}}}}}]");
        let typed = |kind: &str, name: &str| format!("{{san_type: {kind}, matcher: {{exact: {name}}}}}");
        let body = format!(
            "match_typed_subject_alt_names: [{}, {}, {}], match_subject_alt_names: []",
            typed("DNS", "a"),
            typed("URI", "'b:c'"),
            typed("IP_ADDRESS", "'::1'")
        );
        assert_eq!(
            validation(&with(&body), "v").unwrap().names,
            [
                AllowedName::Dns("a".into()),
                AllowedName::Uri("b:c".into()),
                AllowedName::Address("::1".parse().unwrap()),
            ]
        );
        let both = body.replace("names: []", "names: [{exact: d}]");
        let error = validation(&with(&both), "v").unwrap_err().to_string();
        assert!(error.contains("names: expected nothing beside match_typed_subject_alt_names"), "{error}");
        for (matcher, expected) in [
            (typed("EMAIL", "a"), "names[0].san_type: \"EMAIL\" is not supported"),
            (typed("OTHER_NAME", "a"), "names[0].san_type: \"OTHER_NAME\" is not supported"),
            (typed("''", "a"), "names[0].san_type: missing"),
            (typed("IP_ADDRESS", "a"), "names[0].matcher: expected an IP address"),
            ("{san_type: DNS, matcher: {suffix: a}}".to_owned(), "names[0].matcher.suffix: \"a\" is not supported"),
            ("{san_type: DNS}".to_owned(), "names[0].matcher.exact: missing"),
            ("{san_type: DNS, oid: '1.2', matcher: {exact: a}}".to_owned(), "names[0].oid: \"1.2\" is not supported"),
        ] {
            let text = with(&format!("match_typed_subject_alt_names: [{matcher}]"));
            let error = validation(&text, "v").unwrap_err().to_string();
            assert!(error.contains(expected), "{matcher}: {error}");
        }
    }

    #[test]
    fn what_no_secret_can_be_had_from_is_told() {
        let table = [
            ("", "there is no certificate named \"x\""),
            ("resources: []", "there is no certificate"),
            (
                "resources: [{name: y, tls_certificate: {certificate_chain: {inline_string: c}, private_key: {inline_string: k}}}]",
                "there is no certificate",
            ),
            ("resources: [{name: x, validation_context: {}}]", "there is no certificate"),
            (
                "resources: [{name: x, tls_certificate: {certificate_chain: {inline_string: c}}}]",
                "resources[0].tls_certificate.private_key: missing",
            ),
            (
                "resources: [{name: x, tls_certificate: {certificate_chain: {environment_variable: A}, private_key: {inline_string: k}}}]",
                "environment_variable: \"A\" is not supported",
            ),
            (
                "resources: [{name: x, tls_certificate: {certificate_chain: {inline_string: a, filename: b}, private_key: {inline_string: k}}}]",
                "certificate_chain: expected one source",
            ),
            (
                "resources: [{name: x, tls_certificate: {password: {inline_string: p}, certificate_chain: {inline_string: c}, private_key: {inline_string: k}}}]",
                "password: {inline_string} is not supported",
            ),
            ("resources: {", "not YAML"),
            ("- 1", "expected a map"),
        ];
        for (text, expected) in table {
            let error = certificate(text, "x").expect_err(text).to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn matchers_that_are_not_exact_let_nobody_in_by_mistake() {
        for (matcher, expected) in [
            ("{prefix: go}", "prefix"),
            ("{exact: a, ignore_case: true}", "ignore_case"),
            ("{safe_regex: {regex: .*}}", "safe_regex"),
        ] {
            let text =
                format!("resources: [{{name: v, validation_context: {{match_subject_alt_names: [{matcher}]}}}}]");
            let error = validation(&text, "v").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let spki = "resources: [{name: v, validation_context: {verify_certificate_spki: [a]}}]";
        assert!(validation(spki, "v").unwrap_err().to_string().contains("verify_certificate_spki"));
    }
}
