//! What the documents say, held against the tree: commands, configuration, tables, names and links.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a document that cannot be read is the failure itself")]

#[path = "documents/compose.rs"]
mod compose;
#[path = "documents/page.rs"]
mod page;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    time::SystemTime,
};

use clap::CommandFactory;
use page::{blocks, code_words, commands, links, rows, section};
use rustls::AlertDescription;
use trueroute::{
    cli::words,
    config::{self, RouteIntegrity},
    failure::{BadResponse, BrokenConnection, DialError, Failure, Http2Error},
    observe::metrics::Metrics,
    proxy::admit::Refused,
    route_service::SignatureError,
};
use trueroute_identity::{ExpectedName, Refusal, refusal::Untrusted};

const PAGES: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs/compatibility.md",
    "docs/admin.md",
    "docs/metrics.md",
    "docs/operations.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The steps of `.ci/run`: name and command.
fn steps(script: &str) -> BTreeMap<&str, &str> {
    let steps = script.lines().filter_map(|line| line.strip_prefix("step \"")?.split_once("\" "));
    steps.collect()
}

#[test]
fn the_commands_of_the_readme_are_those_that_the_run_runs() {
    let (readme, script) = (read("README.md"), read(".ci/run"));
    let steps = steps(&script);
    let known: Vec<&str> = steps.values().map(|command| command.trim_end_matches(" -- --once")).collect();
    let listed = commands(&readme);
    assert_eq!(listed[..2], ["cargo demo", "cargo test --workspace"]);
    for command in &listed {
        assert!(known.contains(&command.as_str()), "no step of .ci/run runs `{command}`");
    }
    assert!(steps.values().any(|command| *command == "cargo demo -- --once"));
}

#[test]
fn the_steps_of_the_run_are_those_that_contributing_lists() {
    let (contributing, script) = (read("CONTRIBUTING.md"), read(".ci/run"));
    let cargo: BTreeMap<&str, &str> =
        steps(&script).into_iter().filter(|(_, command)| command.contains("cargo ")).collect();
    let listed: BTreeMap<&str, &str> = rows(section(&contributing, "Before you send a change"))
        .into_iter()
        .map(|row| (row[0], row[1].trim_matches('`')))
        .collect();
    assert_eq!(listed, cargo);
    assert_eq!(commands(&contributing), ["bash .ci/run"]);
}

#[test]
fn the_configuration_in_the_readme_starts_a_router() {
    let readme = read("README.md");
    let yaml: Vec<_> = blocks(&readme).into_iter().filter(|block| block.language == "yaml").collect();
    assert_eq!(yaml.len(), 1);
    let parsed = config::parse(&yaml[0].text).unwrap();
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    assert_eq!(parsed.config.nats.hosts.len(), 2);
}

#[test]
fn the_modes_are_those_of_the_configuration() {
    let readme = read("README.md");
    let table = rows(section(&readme, "Modes of route integrity"));
    let words: Vec<&str> = table.iter().map(|row| row[0]).collect();
    assert_eq!(words, ["absent", "`off`", "`tls`", "`strict`"]);
    let pair = "ca_certs: []\nbackends:\n  cert_chain: \"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\"\n  \
                private_key: \"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\"\n";
    let mode = |line: &str| config::parse(&format!("{pair}{line}")).map(|parsed| parsed.config.route_integrity);
    assert_eq!(mode("").unwrap(), RouteIntegrity::AsRegistered);
    for (word, meaning) in
        [("off", RouteIntegrity::Off), ("tls", RouteIntegrity::Tls), ("strict", RouteIntegrity::Strict)]
    {
        assert_eq!(mode(&format!("route_integrity: {word}")).unwrap(), meaning);
    }
    let error = config::parse("route_integrity: none").unwrap_err().to_string();
    assert!(error.contains("[off tls strict]"), "the modes are others now: {error}");
    assert!(config::parse("route_integrity: strict").is_err(), "strict starts without a certificate");
}

/// One failure for every answer that the table of failures can give.
fn failures() -> Vec<Failure> {
    let host = || "a.example".to_owned();
    let broken = || BrokenConnection {
        operation: "read",
        local: None,
        remote: None,
        error: io::ErrorKind::ConnectionReset.into(),
    };
    let now = SystemTime::now();
    let refusals = [
        Refusal::NotTls,
        Refusal::WrongIdentity { expected: ExpectedName::new("a"), presented: Vec::new(), common_name_only: false },
        Refusal::Untrusted(Untrusted::UnknownAuthority(None)),
        Refusal::Expired { now, not_before: now, not_after: now },
        Refusal::OurCertificateRefused(AlertDescription::BadCertificate),
        Refusal::HandshakeFailure,
        Refusal::TimedOut,
        Refusal::Reset,
    ];
    let mut all: Vec<Failure> = refusals.into_iter().map(Failure::Refused).collect();
    all.extend([
        Failure::EmptyHost,
        Failure::UnknownRoute { host: host() },
        Failure::Misdirected,
        Failure::MalformedAppInstance,
        Failure::UnknownInstance { host: host(), named: host() },
        Failure::MalformedProcessInstance,
        Failure::RouteService,
        Failure::NoEndpoints { host: host() },
        Failure::RequestTooLarge,
        Failure::ConnectionLimit { host: host() },
        Failure::NoEndpointLeft,
        Failure::Dial(DialError::Timeout { address: host() }),
        Failure::RefusedLate(Refusal::OurCertificateRefused(AlertDescription::BadCertificate)),
        Failure::Unsent(broken()),
        Failure::Reset(broken()),
        Failure::Eof,
        Failure::Broken(broken()),
        Failure::Timeout,
        Failure::ConnectTimeout,
        Failure::BadResponse(BadResponse::Interim),
        Failure::TooManyHeaders,
        Failure::Declined(Http2Error::Silent),
        Failure::NoHttp2(Http2Error::Silent),
        Failure::Http2(Http2Error::Silent),
        Failure::Shared(std::sync::Arc::new(Failure::Eof)),
        Failure::RouteServiceTunnel,
        Failure::Signature(SignatureError::Expired),
        Failure::Signature(SignatureError::Unopened),
        Failure::StraySignature(SignatureError::Expired),
        Failure::StraySignature(SignatureError::OtherRoute),
        Failure::RouteServiceUrl,
        Failure::NoAttempt,
        Failure::Switched,
        Failure::ClientGone,
        Failure::MalformedBody,
    ]);
    all.iter().for_each(is_listed);
    all
}

/// Names every failure, so that a new one does not compile before it has a place in the list above.
fn is_listed(failure: &Failure) {
    match failure {
        Failure::EmptyHost
        | Failure::UnknownRoute { .. }
        | Failure::Misdirected
        | Failure::MalformedAppInstance
        | Failure::UnknownInstance { .. }
        | Failure::MalformedProcessInstance
        | Failure::RouteService
        | Failure::RouteServiceTunnel
        | Failure::Signature(_)
        | Failure::StraySignature(_)
        | Failure::RouteServiceUrl
        | Failure::NoAttempt
        | Failure::NoEndpoints { .. }
        | Failure::RequestTooLarge
        | Failure::ConnectionLimit { .. }
        | Failure::NoEndpointLeft
        | Failure::Dial(_)
        | Failure::Refused(_)
        | Failure::RefusedLate(_)
        | Failure::Unsent(_)
        | Failure::Reset(_)
        | Failure::Eof
        | Failure::Broken(_)
        | Failure::Timeout
        | Failure::ConnectTimeout
        | Failure::BadResponse(_)
        | Failure::TooManyHeaders
        | Failure::Declined(_)
        | Failure::NoHttp2(_)
        | Failure::Http2(_)
        | Failure::Shared(_)
        | Failure::Switched
        | Failure::ClientGone
        | Failure::MalformedBody => {}
    }
}

#[test]
fn the_status_codes_are_those_that_the_router_gives() {
    let readme = read("README.md");
    let table = rows(section(&readme, "Status codes"));
    let listed: BTreeSet<(u16, String)> =
        table.iter().map(|row| (row[0].parse().unwrap(), row[2].trim_matches('`').to_owned())).collect();

    let of_failures = failures().into_iter().map(|failure| {
        let answer = failure.answer();
        let error = answer.router_error.unwrap_or_default();
        let error = if error.starts_with("endpoint_failure (") { "endpoint_failure (…)".to_owned() } else { error };
        (answer.status, error)
    });
    let gate = [
        Refused::Malformed,
        Refused::MissingHost,
        Refused::MalformedHost,
        Refused::TransferCoding,
        Refused::Expectation,
    ];
    let of_the_gate = gate.into_iter().map(|refused| (refused.answer().0, String::new()));
    // A panic, and the heads that the server's parser refuses: both have no value that could be asked.
    let others = [(502, "unknown_failure".to_owned()), (431, String::new())];
    let given: BTreeSet<(u16, String)> = of_failures.chain(of_the_gate).chain(others).collect();
    assert_eq!(listed, given);
}

/// Clients tell the router's answers from an app's by this field (gorouter.md sections 6 and 7.3).
#[test]
fn failures_name_themselves_in_the_answer_but_for_those_that_gorouter_leaves_bare() {
    for failure in failures() {
        let answer = failure.answer();
        let bare = matches!(failure, Failure::Switched | Failure::Signature(_) | Failure::RouteServiceUrl);
        assert_eq!(answer.router_error.is_none_or(|error| error.is_empty()), bare, "{failure:?}");
        assert!(answer.body.is_none_or(|body| body.starts_with(&answer.status.to_string())), "{failure:?}");
    }
}

/// `trueroute why` tells the failures of endpoints in plain words.
#[test]
fn every_failure_of_an_endpoint_has_words() {
    for failure in failures() {
        let reason = failure.verdict().reason;
        let of_the_request = failure.answer().router_error.is_none_or(|error| !error.starts_with("endpoint_failure"))
            || matches!(failure, Failure::ClientGone | Failure::MalformedBody | Failure::NoEndpointLeft);
        let is_told = !words::failure(reason).is_empty();
        assert!(of_the_request && reason != "switched" || is_told, "{reason}");
    }
}

#[test]
fn the_flags_of_the_sidecar_are_those_that_it_takes() {
    let readme = read("README.md");
    let table = rows(section(&readme, "The sidecar"));
    let listed: BTreeSet<String> = table.iter().flat_map(|row| code_words(row[0])).map(str::to_owned).collect();
    let command = trueroute_sidecar::flags::Flags::command();
    let taken: BTreeSet<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|long| !matches!(*long, "help" | "version"))
        .map(|long| format!("--{long}"))
        .collect();
    assert_eq!(listed, taken);
    let example = blocks(section(&readme, "The sidecar")).remove(0).text.replace("\\\n", " ");
    let words = example.split_whitespace();
    clap::Parser::try_parse_from(words).and_then(trueroute_sidecar::flags::Flags::settings).unwrap();
}

#[test]
fn the_metrics_that_are_named_exist() {
    let readme = read("README.md");
    let operations = section(&readme, "Operations");
    let start = operations.find("Metrics have").unwrap();
    let end = operations.find("Log lines").unwrap();
    let metrics = Metrics::new(1, Default::default());
    metrics.registration_rejected("reason");
    metrics.set_certificates(vec![("tls_pem[0]".into(), SystemTime::now())]);
    let page = metrics.render();
    let names = code_words(&operations[start..end]);
    assert!(names.len() > 5);
    let guide = read("docs/operations.md");
    let named = code_words(&guide).into_iter().filter(|word| word.starts_with("trueroute_"));
    let of_the_guide: Vec<&str> = named.map(|word| word.split('{').next().unwrap_or(word)).collect();
    assert!(of_the_guide.len() > 3, "{of_the_guide:?}");
    for name in names.into_iter().chain(of_the_guide) {
        assert!(page.contains(&format!("\n# TYPE {name} ")), "no metric is called {name}");
    }
}

#[test]
fn links_lead_somewhere() {
    for page in PAGES {
        let (text, folder) = (read(page), root().join(page).parent().unwrap().to_owned());
        for link in links(&text) {
            assert!(folder.join(link).exists(), "{page}: {link}");
        }
    }
}

/// Every `fn` of the tree's Rust files below these folders.
fn functions() -> BTreeSet<String> {
    let mut folders = ["src", "tests", "crates"].map(|folder| root().join(folder)).to_vec();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                found.extend(
                    text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next()).map(str::to_owned),
                );
            }
        }
    }
    found
}

#[test]
fn the_stories_that_guard_the_invariants_exist() {
    let architecture = read("ARCHITECTURE.md");
    let functions = functions();
    let table = rows(section(&architecture, "The three invariants"));
    assert_eq!(table.len(), 3);
    for row in table {
        let stories = code_words(row[3]);
        assert!(stories.len() >= 2, "{row:?}");
        for story in stories {
            assert!(functions.contains(story), "no test is called {story}");
        }
    }
}

#[test]
fn the_request_path_is_told_alike_in_code_and_document() {
    let code = read("src/proxy/mod.rs");
    let line = code.lines().find_map(|line| line.strip_prefix("//! open -> ")).expect("the path is in the head");
    let architecture = read("ARCHITECTURE.md");
    assert!(architecture.contains(&format!("\nopen -> {}\n", line.trim_end_matches('.'))));
    let steps: Vec<&str> = rows(section(&architecture, "The request path")).into_iter().map(|row| row[0]).collect();
    let named: Vec<&str> =
        line.split([' ', '[', ']', '*', '|', '.']).filter(|word| word.chars().all(char::is_alphabetic)).collect();
    let named: Vec<&str> = std::iter::once("open").chain(named.into_iter().filter(|word| !word.is_empty())).collect();
    assert_eq!(steps, named);
}

#[test]
fn files_that_the_architecture_names_exist() {
    let architecture = read("ARCHITECTURE.md");
    for word in code_words(&architecture) {
        if word.ends_with(".rs") {
            let there = root().join(word).is_file() || root().join("src").join(word).is_file();
            assert!(there, "{word}");
        }
    }
}
