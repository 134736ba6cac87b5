//! What is wrong with a document, each by the path that it stands at.

use std::{fmt, io, path::PathBuf};

/// No more are listed than an operator reads.
const LISTED: usize = 12;

/// One thing that keeps a document from being served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A setting that would change what Envoy does, and that is not implemented.
    #[error("{path}: {value} is not supported")]
    Unsupported {
        /// Where it stands: keys joined by dots, positions in brackets.
        path: String,
        /// The value, cut short.
        value: String,
    },
    /// A value that can not be what it stands for.
    #[error("{path}: expected {expected}")]
    Wrong {
        /// Where it stands.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A setting without which nothing can be served.
    #[error("{path}: missing, {why}")]
    Missing {
        /// Where it should stand.
        path: String,
        /// What it is needed for.
        why: &'static str,
    },
    /// A name that nothing in the document bears.
    #[error("{path}: there is no cluster {name:?}")]
    Unknown {
        /// Where it stands.
        path: String,
        /// The name.
        name: String,
    },
    /// A name that stands for two things.
    #[error("{path}: the name {name:?} is taken")]
    Taken {
        /// Where it stands for the second time.
        path: String,
        /// The name.
        name: String,
    },
}

/// Why a document is not served.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A file can not be read.
    #[error("{}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The text is not YAML.
    #[error("{}: not YAML: {cause}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What the parser says, on one line.
        cause: String,
    },
    /// The document asks for what is not to be had. Every such place, so that one look is enough.
    #[error("{}: {problems}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// At least one.
        problems: Problems,
    },
}

/// All problems of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().take(LISTED).enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        match self.0.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
