//! What can be wrong with a configuration, and what is only odd about it.
//!
//! Every text is one line, names the dotted key where there is one, and shows no secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::ciphers::CipherError;
use super::duration::DurationError;
use super::pem::PemError;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", shown(&path.display().to_string()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The text is not YAML.
    #[error("not valid YAML: {what} (line {line})")]
    Syntax {
        /// What the YAML parser says.
        what: String,
        /// Where, from 1.
        line: usize,
    },
    /// A key has a value that it cannot have.
    #[error("{key}: {problem}{}", At(*line))]
    Key {
        /// The dotted key, `nats.hosts[0].port`.
        key: String,
        /// Where, from 1; none for a key that is missing.
        line: Option<usize>,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl ConfigError {
    /// The dotted key that is wrong, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key { key, .. } => Some(key),
            Self::Unreadable { .. } | Self::Syntax { .. } => None,
        }
    }
}

/// What is wrong with the value of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value of another kind, or a number out of range. The wording is that of Go's yaml.v3.
    #[error("cannot unmarshal {found} into {wanted}")]
    Kind {
        /// The YAML kind and the start of the value.
        found: String,
        /// The type of the key.
        wanted: &'static str,
    },
    /// The key stands twice in one mapping.
    #[error("mapping key already defined at line {first}")]
    Duplicate {
        /// The line of the first.
        first: usize,
    },
    /// A text that is no duration.
    #[error("{0}")]
    Duration(#[from] DurationError),
    /// A word that is not on the list of the key.
    #[error("Invalid {noun} {value}. Allowed values are [{allowed}]")]
    NotAllowed {
        /// What the value is called.
        noun: &'static str,
        /// The word.
        value: String,
        /// The list, separated by spaces.
        allowed: String,
    },
    /// The key is absent or empty, and another setting needs it.
    #[error("is required {why}")]
    Missing {
        /// `with enable_ssl`, for example.
        why: &'static str,
    },
    /// A list of cipher names that cannot be used.
    #[error("{0}")]
    Cipher(#[from] CipherError),
    /// A text that is not PEM.
    #[error("{0}")]
    Pem(#[from] PemError),
    /// Two settings that exclude each other, or a value out of its bounds.
    #[error("{0}")]
    Rule(&'static str),
    /// The document refers to its own parts so often that it would never end.
    #[error("document contains excessive aliasing")]
    Aliasing,
}

/// Something odd that does not stop the router.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A key that nobody reads.
    #[error("unknown key {key} (line {line})")]
    UnknownKey {
        /// The dotted key.
        key: String,
        /// Where, from 1.
        line: usize,
    },
    /// A key that is read, and that neither Gorouter nor this router uses.
    #[error("{key} has no effect (line {line})")]
    NoEffect {
        /// The dotted key.
        key: String,
        /// Where, from 1.
        line: usize,
    },
    /// Known cipher suites that this TLS stack cannot offer.
    #[error("cipher_suites: left out, as they cannot be offered: {names}")]
    CiphersLeftOut {
        /// The names, separated by colons.
        names: String,
    },
    /// Without enable_ssl a bad list restricts nothing, instead of stopping the router.
    #[error("cipher_suites: {error}; the list is not used")]
    CiphersNotUsed {
        /// What is wrong with the list.
        error: CipherError,
    },
    /// TLS 1.0 and 1.1 cannot be offered.
    #[error("min_tls_version: TLS before 1.2 cannot be offered, the minimum is TLSv1.2")]
    MinTlsRaised,
    /// A limit above 1 MiB has no effect (the message is Gorouter's, spelling included).
    #[error("max_request_header_bytes: innefectual-max-header-bytes-value {value}, the limit is 1048576")]
    HeaderLimitCapped {
        /// The value of the file.
        value: i64,
    },
}

struct At(Option<usize>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// A text of the file as an error may show it: on one line, and cut when long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == LONGEST {
            out.push('…');
            break;
        }
        // Separators of lines and paragraphs break a line in some viewers though they are no control characters.
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
