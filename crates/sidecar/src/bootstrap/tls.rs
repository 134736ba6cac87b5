//! A listener's TLS: what it shows, what it demands, and what it agrees to.

use std::path::Path;

use trueroute_identity::accept::{Offer, Suite};

use super::{
    fields::{Fields, Node, Notes},
    secret,
    secret::Validation,
};
use crate::settings::{AllowedName, ClientCa, IdentitySource, ListenersFile, Mode, SecretFile};

/// TLS versions by the words that documents use for them.
const TLS12: &str = "TLSv1_2";
const TLS13: &str = "TLSv1_3";
const AUTO: &str = "TLS_AUTO";

/// Where the listener stands, which decides where its certificate is read again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// In the bootstrap, which is read once: Diego rewrites it in place while it is in use.
    Bootstrap,
    /// In a file of listeners, which is written anew at each rotation in the layout of 2018.
    Listeners(&'a Path),
}

/// What one listener's TLS comes to.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) identity: IdentitySource,
    pub(super) mode: Mode,
    pub(super) offer: Offer,
}

/// Reads a `DownstreamTlsContext` of the listener called `listener`.
pub(super) fn downstream(node: &Node<'_>, place: Place<'_>, listener: &str, notes: &mut Notes) -> Option<Tls> {
    node.fields(notes, |fields, notes| {
        // Sessions are resumed by ticket only, and tickets die with the certificate.
        fields.pass_over(&["@type", "disable_stateful_session_resumption", "session_timeout"]);
        // Our own order of suites is the client's order among equals.
        fields.pass_over(&["prefer_client_ciphers"]);
        let demands = fields.take("require_client_certificate");
        let demanded = demands.flag(notes);
        let tickets = !fields.take("disable_stateless_session_resumption").flag(notes);
        let common = fields.take("common_tls_context");
        let (identity, validation, mut offer) = common.fields(notes, |fields, notes| {
            let mut offer = Offer::default();
            fields.take("tls_params").fields(notes, |fields, notes| parameters(fields, &mut offer, notes));
            offer.protocols = protocols(&fields.take("alpn_protocols"), notes);
            (identity(fields, place, listener, notes), demand(fields, place, listener, notes), offer)
        });
        offer.tickets = tickets;
        let mode = match (demanded, validation?) {
            (false, None) => Mode::Tls,
            (true, Some((client_ca, names))) => Mode::Strict { client_ca, names },
            (true, None) => return demands.missing("a validation context says whom to believe", notes),
            // Asking for a certificate without insisting on one proves nothing to the app.
            (false, Some(_)) => return demands.missing("a validation context without it is not supported", notes),
        };
        Some(Tls { identity: identity?, mode, offer })
    })
}

fn identity(fields: &mut Fields<'_>, place: Place<'_>, listener: &str, notes: &mut Notes) -> Option<IdentitySource> {
    let (inline, by_name) = (fields.take("tls_certificates"), fields.take("tls_certificate_sds_secret_configs"));
    let (certificates, secrets) = (inline.list(notes), by_name.list(notes));
    match (certificates.as_slice(), secrets.as_slice()) {
        ([], [secret]) => secret_file(secret, notes).map(IdentitySource::Secret),
        ([certificate], []) => {
            let pair = secret::tls_certificate(certificate, notes)?;
            Some(match place {
                Place::Bootstrap => IdentitySource::Given(pair),
                Place::Listeners(path) => IdentitySource::Listeners(listeners_file(path, listener)),
            })
        }
        ([], []) => by_name.missing("a listener must show a certificate", notes),
        _ => inline.wrong("one certificate", notes),
    }
}

fn listeners_file(path: &Path, listener: &str) -> ListenersFile {
    ListenersFile { path: path.to_owned(), listener: listener.to_owned() }
}

/// The authorities and names that are demanded, if any. The outer `None` is a problem that was noted.
fn demand(
    fields: &mut Fields<'_>,
    place: Place<'_>,
    listener: &str,
    notes: &mut Notes,
) -> Option<Option<(ClientCa, Vec<AllowedName>)>> {
    let (inline, by_name) = (fields.take("validation_context"), fields.take("validation_context_sds_secret_config"));
    match (inline.is_empty(), by_name.is_empty()) {
        (true, true) => Some(None),
        (true, false) => secret_file(&by_name, notes).map(|file| Some((ClientCa::Secret(file), Vec::new()))),
        (false, true) => {
            let Validation { authorities, names } = secret::validation_context(&inline, notes)?;
            let Some(pem) = authorities else {
                return inline.missing("trusted_ca says whom to believe", notes);
            };
            Some(Some(match place {
                Place::Bootstrap => (ClientCa::Given(pem), names),
                Place::Listeners(path) => (ClientCa::Listeners(listeners_file(path, listener)), Vec::new()),
            }))
        }
        (false, false) => inline.wrong("one validation context", notes),
    }
}

/// Reads an `SdsSecretConfig`.
fn secret_file(node: &Node<'_>, notes: &mut Notes) -> Option<SecretFile> {
    node.fields(notes, |fields, notes| {
        let name = fields.take("name");
        let called = name.text(notes).or_else(|| name.missing("secrets are found by name", notes));
        let (path, watched) = watched_file(&fields.take("sds_config"), notes)?;
        Some(SecretFile { path: path.into(), name: called?.to_owned(), watched: watched.map(Into::into) })
    })
}

/// Reads a `ConfigSource` that is a file, whose folder is watched whatever it says.
pub(super) fn file_source<'v>(node: &Node<'v>, notes: &mut Notes) -> Option<&'v str> {
    watched_file(node, notes).map(|(path, _)| path)
}

/// Reads a `ConfigSource` that is a file: `path`, or `path_config_source` since 2026, which may name a folder to watch.
fn watched_file<'v>(node: &Node<'v>, notes: &mut Notes) -> Option<(&'v str, Option<&'v str>)> {
    if node.is_empty() {
        return node.missing("only files are read", notes);
    }
    node.fields(notes, |fields, notes| {
        fields.pass_over(&["resource_api_version", "initial_fetch_timeout"]);
        let old = fields.take("path");
        let older = old.text(notes);
        let newer = fields.take("path_config_source").fields(notes, |fields, notes| {
            let watched =
                fields.take("watched_directory").fields(notes, |fields, notes| fields.take("path").text(notes));
            fields.take("path").text(notes).map(|path| (path, watched))
        });
        match (older, newer) {
            (Some(path), None) => Some((path, None)),
            (None, Some(found)) => Some(found),
            (None, None) => old.missing("only files are read", notes),
            (Some(_), Some(_)) => old.wrong("one path", notes),
        }
    })
}

fn parameters(fields: &mut Fields<'_>, offer: &mut Offer, notes: &mut Notes) {
    let (lowest, highest) = (fields.take("tls_minimum_protocol_version"), fields.take("tls_maximum_protocol_version"));
    match lowest.text(notes) {
        None | Some(AUTO | TLS12) => {}
        Some(TLS13) => offer.tls12 = false,
        Some(_) => drop(lowest.unsupported::<()>(notes)),
    }
    match highest.text(notes) {
        None | Some(AUTO | TLS13) => {}
        Some(TLS12) => offer.tls13 = false,
        Some(_) => drop(highest.unsupported::<()>(notes)),
    }
    if !offer.tls12 && !offer.tls13 {
        highest.wrong::<()>("a version that the minimum allows", notes);
    }
    let suites = fields.take("cipher_suites");
    // The layout of 2018 has one text in brackets in the place of the list: equal preference, `[A|B]`.
    let words: Vec<(Node<'_>, &str)> = match suites.one_text() {
        Some(text) => vec![(suites, text)],
        None => suites.list(notes).into_iter().filter_map(|node| node.text(notes).map(|text| (node, text))).collect(),
    };
    let mut chosen = Vec::new();
    for (node, text) in words {
        for word in text.trim_matches(['[', ']']).split(['|', ':', ',']).map(str::trim).filter(|word| !word.is_empty())
        {
            match Suite::named(word) {
                Some(suite) => chosen.push(suite),
                None => drop(node.unsupported::<()>(notes)),
            }
        }
    }
    offer.suites = chosen;
}

/// One text with commas from Diego, a list from everybody else.
fn protocols(node: &Node<'_>, notes: &mut Notes) -> Vec<Vec<u8>> {
    let texts = match node.one_text() {
        Some(text) => vec![text],
        None => node.list(notes).into_iter().filter_map(|item| item.text(notes)).collect(),
    };
    let words = texts.into_iter().flat_map(|text| text.split(',')).map(str::trim).filter(|word| !word.is_empty());
    let protocols: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).collect();
    // RFC 7301: a name has at most 255 bytes.
    if protocols.iter().any(|name| name.len() > 255) {
        node.wrong::<()>("names of at most 255 bytes", notes);
    }
    protocols
}
