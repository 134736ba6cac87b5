//! `trueroute <command>`: what the program does beside routing. Every command reads, none changes anything.

pub mod admin;
pub mod check;
pub mod explain;
mod manual;
pub mod ports;
pub mod routes;
pub mod text;
pub mod why;
pub mod words;

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Command, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::{
    admin::{AskError, Asker, Which},
    routes::Wanted,
};

/// The exit code for arguments that make no sense; clap has the same.
const USAGE: u8 = 2;

/// The version; of a release build in a repository, with its commit.
pub const VERSION: &str = env!("TRUEROUTE_VERSION");

/// HTTP router that proves which instance answers before it sends a request.
#[derive(Debug, Parser)]
#[command(name = "trueroute", version = VERSION, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Configuration file, in Gorouter's format; built-in defaults without it.
    #[arg(short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Something else than routing.
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Says everything that is wrong or odd about a configuration; leaves with 1 if the router would not start.
    Check {
        /// The file.
        #[command(flatten)]
        file: File,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints every key with the value that the router would use.
    Explain {
        /// The file.
        #[command(flatten)]
        file: File,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the table of a running router.
    Routes {
        /// A host, with a path or without, or a wildcard that covers what is meant (`*.example.com`).
        #[arg(value_name = "HOST")]
        host: Option<String>,
        /// Which router.
        #[command(flatten)]
        router: Which,
        /// Looks again every second, until it is interrupted.
        #[arg(long)]
        watch: bool,
        /// Prints JSON, a line for each route.
        #[arg(long)]
        json: bool,
    },
    /// Says what a running router would do with a request for URL, and why.
    Why {
        /// The URL; the scheme may be missing.
        #[arg(value_name = "URL")]
        url: String,
        /// Which router.
        #[command(flatten)]
        router: Which,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints a completion script for a shell.
    Completions {
        /// Which one.
        shell: Shell,
    },
    /// Prints the manual page, in troff.
    Man,
}

/// A configuration file that must be named.
#[derive(Debug, Args)]
pub struct File {
    /// Configuration file, in Gorouter's format.
    #[arg(short = 'c', value_name = "FILE")]
    config: PathBuf,
}

impl Task {
    /// Does it, and says how it went.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let mut out = BufWriter::new(io::stdout().lock());
        let done = match self {
            Self::Check { file, json } => check::run(&file.config, json, &mut out).map_err(AskError::Print),
            Self::Explain { file, json } => explain::run(&file.config, json, &mut out).map_err(AskError::Print),
            Self::Routes { host, router, watch, json } => {
                Asker::of(&router).and_then(|asker| routes::run(&asker, &Wanted { host, watch, json }, &mut out))
            }
            Self::Why { url, router, json } => {
                Asker::of(&router).and_then(|asker| why::run(&asker, &url, json, &mut out))
            }
            Self::Completions { shell } => {
                clap_complete::generate(shell, &mut command(), "trueroute", &mut out);
                Ok(true)
            }
            Self::Man => manual::print(command(), &mut out).map(|()| true).map_err(AskError::Print),
        };
        match done.and_then(|good| Ok(out.flush().map(|()| good)?)) {
            Ok(true) => ExitCode::SUCCESS,
            // Whoever reads only the first lines has what they wanted.
            Err(AskError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error @ AskError::Usage(_)) => {
                eprintln!("trueroute: {error}");
                ExitCode::from(USAGE)
            }
            Err(error) => {
                eprintln!("trueroute: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn command() -> Command {
    Arguments::command()
}

/// The file's text, or why it cannot be read.
fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_make_sense() {
        command().debug_assert();
        assert!(Arguments::try_parse_from(["trueroute", "-c", "a.yml"]).unwrap().task.is_none());
        assert!(Arguments::try_parse_from(["trueroute", "check"]).is_err(), "which file?");
        assert!(Arguments::try_parse_from(["trueroute", "-c", "a.yml", "check", "-c", "b.yml"]).is_err());
    }
}
