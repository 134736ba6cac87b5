//! Envoy's command line: what Diego's executor starts, and what people type.
//!
//! Whatever Envoy takes is taken, because a sidecar that refuses to start takes its app down with it: flags that change
//! nothing here are named in one warning. Pure, except for [`CommandLine::settings`], which reads the configuration.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crate::{
    bootstrap::{self, Bootstrap, BootstrapError},
    log::LogLevel,
    settings::{OnRefused, Settings},
};

mod translate;
mod words;

use words::Words;

/// Envoy's own drain time.
const DRAIN_TIME: Duration = Duration::from_secs(600);

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// What is to be done.
    pub task: Task,
    /// The bootstrap.
    pub config: Option<PathBuf>,
    /// Least important log lines to write.
    pub log_level: LogLevel,
    /// Open connections may finish for so long.
    pub drain_time: Duration,
    /// In place of the bootstrap's node id.
    pub node: Option<String>,
    /// In place of the bootstrap's node cluster.
    pub cluster: Option<String>,
    /// A file to write the address of the admin pages to.
    pub admin_address_path: Option<PathBuf>,
    /// Settings that Envoy does not have.
    pub own: Own,
    /// Flags of Envoy that change nothing here.
    pub passed_over: Vec<String>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Serve.
    #[default]
    Serve,
    /// Read the configuration and what it points to, say whether they could be served, and end.
    Validate,
    /// Say who and what this is, and end.
    Version,
    /// Show the flags, and end.
    Help,
}

/// Settings that Envoy does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// What a router sees when the app refuses a connection.
    pub on_refused: OnRefused,
    /// Whether the admin pages change nothing.
    pub admin_read_only: bool,
    /// Whether `/stats` shows figures although the bootstrap rejects all.
    pub keep_stats: bool,
    /// Unfinished handshakes at a time.
    pub max_handshakes: Option<usize>,
    /// Connections at a time.
    pub max_connections: Option<usize>,
    /// Time for a whole handshake.
    pub handshake_timeout: Option<Duration>,
}

/// Why a command line can not be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// A flag that stands for something has nothing behind it.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A value that makes no sense for its flag.
    #[error("{flag} {value}: expected {expected}")]
    Value {
        /// The flag.
        flag: String,
        /// What was given.
        value: String,
        /// What makes sense.
        expected: &'static str,
    },
    /// Nothing to serve.
    #[error("-c is missing: where is the configuration?")]
    NoConfig,
    /// Configuration on the command line.
    #[error("--config-yaml is not supported: put the configuration into a file")]
    ConfigYaml,
}

/// Who this is, in the form of Envoy's version: revision, release, state of the tree, kind of build, TLS library.
pub const VERSION: &str = concat!("trueroute-sidecar/", env!("CARGO_PKG_VERSION"), "/Clean/RELEASE/aws-lc");

/// What Envoy's flags do here, for `--help`.
pub const HELP: &str = "\
Terminates TLS beside an app, configured by an Envoy bootstrap as Diego writes it.

  -c, --config-path FILE       the bootstrap
      --drain-time-s S         time for open connections to finish after TERM or INT (600)
  -l, --log-level WORD         trace, debug, info, warn, error, critical, off (info)
      --mode serve|validate    validate reads configuration and certificates, and ends
      --service-node NAME      in place of the bootstrap's node.id
      --service-cluster NAME   in place of the bootstrap's node.cluster
      --admin-address-path F   write the address of the admin pages to a file
      --version, --help

`explain` before the flags says what they come to, and serves nothing.

Beyond Envoy's:
      --on-refused WORD        what a router sees when the app refuses: rst, alert or fin (rst)
      --admin-read-only        refuse requests to the admin pages that change something
      --keep-stats             show figures at /stats although the bootstrap rejects all
      --max-handshakes N       unfinished handshakes at a time (1024)
      --max-connections N      connections at a time (by the descriptor limit)
      --handshake-timeout-s S  time for a whole handshake (5)

Other flags of Envoy are taken and change nothing.
";

/// Whether `words`, the program's name first, are meant for Envoy: by the name it was started under, or by a
/// configuration file.
#[must_use]
pub fn is_meant(words: &[OsString]) -> bool {
    let name = words.first().map(PathBuf::from);
    let stem = name.as_deref().and_then(|name| name.file_stem()).and_then(|stem| stem.to_str());
    stem == Some("envoy")
        || words
            .iter()
            .skip(1)
            .filter_map(|word| word.to_str())
            .any(|word| word == "-c" || word == "--config-path" || word.starts_with("--config-path="))
}

impl CommandLine {
    /// Reads `words`, without the program's name.
    ///
    /// # Errors
    /// A flag that is known and can not be followed. Unknown ones are passed over.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, CommandLineError> {
        let mut read = Self {
            task: Task::Serve,
            config: None,
            log_level: LogLevel::INFO,
            drain_time: DRAIN_TIME,
            node: None,
            cluster: None,
            admin_address_path: None,
            own: Own::default(),
            passed_over: Vec::new(),
        };
        let mut words = Words::new(words);
        while let Some(flag) = words.flag() {
            read.take(&flag, &mut words)?;
        }
        Ok(read)
    }

    fn take(&mut self, flag: &str, words: &mut Words) -> Result<(), CommandLineError> {
        match flag {
            "-c" | "--config-path" => self.config = Some(words.value(flag)?.into()),
            "--config-yaml" => return Err(CommandLineError::ConfigYaml),
            "--drain-time-s" => self.drain_time = Duration::from_secs(words.number(flag)?),
            "-l" | "--log-level" => self.log_level = level(flag, &words.value(flag)?)?,
            "--mode" => self.task = task(flag, &words.value(flag)?)?,
            "--service-node" => self.node = Some(words.value(flag)?),
            "--service-cluster" => self.cluster = Some(words.value(flag)?),
            "--admin-address-path" => self.admin_address_path = Some(words.value(flag)?.into()),
            "--version" => self.task = Task::Version,
            "-h" | "--help" => self.task = Task::Help,
            "--on-refused" => self.own.on_refused = on_refused(flag, &words.value(flag)?)?,
            "--admin-read-only" => self.own.admin_read_only = true,
            "--keep-stats" => self.own.keep_stats = true,
            "--max-handshakes" => self.own.max_handshakes = Some(words.count(flag)?),
            "--max-connections" => self.own.max_connections = Some(words.count(flag)?),
            "--handshake-timeout-s" => {
                self.own.handshake_timeout = Some(Duration::from_secs(words.count(flag)? as u64));
            }
            other => {
                words.pass_over_value();
                self.passed_over.push(other.to_owned());
            }
        }
        Ok(())
    }

    /// The warning about flags that change nothing, if there are any.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        (!self.passed_over.is_empty())
            .then(|| format!("flags that change nothing here: {}", self.passed_over.join(" ")))
    }

    /// Reads the bootstrap, and makes settings of it.
    ///
    /// # Errors
    /// What keeps it from being served.
    pub fn settings(&self) -> Result<(Settings, Bootstrap), ConfigError> {
        let path = self.config.as_deref().ok_or(CommandLineError::NoConfig)?;
        let mut bootstrap = bootstrap::read(path, &|path| std::fs::read_to_string(path))?;
        if let Some(node) = &self.node {
            bootstrap.node.id.clone_from(node);
        }
        if let Some(cluster) = &self.cluster {
            bootstrap.node.cluster.clone_from(cluster);
        }
        Ok((translate::settings(&bootstrap, self), bootstrap))
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line names none.
    #[error(transparent)]
    CommandLine(#[from] CommandLineError),
    /// The document can not be served.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
}

fn wrong(flag: &str, value: &str, expected: &'static str) -> CommandLineError {
    CommandLineError::Value { flag: flag.to_owned(), value: value.to_owned(), expected }
}

fn level(flag: &str, word: &str) -> Result<LogLevel, CommandLineError> {
    LogLevel::named(word).ok_or_else(|| wrong(flag, word, "trace, debug, info, warn, error, critical or off"))
}

fn task(flag: &str, word: &str) -> Result<Task, CommandLineError> {
    match word {
        "serve" => Ok(Task::Serve),
        "validate" | "init_only" => Ok(Task::Validate),
        _ => Err(wrong(flag, word, "serve or validate")),
    }
}

fn on_refused(flag: &str, word: &str) -> Result<OnRefused, CommandLineError> {
    match word {
        "rst" => Ok(OnRefused::Reset),
        "alert" => Ok(OnRefused::Alert),
        "fin" => Ok(OnRefused::Close),
        _ => Err(wrong(flag, word, "rst, alert or fin")),
    }
}

#[cfg(test)]
mod tests;
