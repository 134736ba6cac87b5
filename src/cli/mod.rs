//! `trueroute <command>`: what the program does beside routing. Every command reads, none changes anything.

pub mod check;
pub mod explain;

use std::{
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Command, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

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
        let mut out = io::stdout().lock();
        let done = match self {
            Self::Check { file, json } => check::run(&file.config, json, &mut out),
            Self::Explain { file, json } => explain::run(&file.config, json, &mut out),
            Self::Completions { shell } => {
                clap_complete::generate(shell, &mut command(), "trueroute", &mut out);
                Ok(true)
            }
            Self::Man => clap_mangen::Man::new(command()).render(&mut out).map(|()| true),
        };
        match done.and_then(|good| out.flush().map(|()| good)) {
            Ok(true) => ExitCode::SUCCESS,
            // Whoever reads only the first lines has what they wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => failed(&error),
        }
    }
}

fn command() -> Command {
    Arguments::command()
}

fn failed(error: &dyn Display) -> ExitCode {
    eprintln!("trueroute: {error}");
    ExitCode::FAILURE
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
