//! `trueroute man`: one page for the program and its commands, in troff.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

/// Prints the page: what clap knows about `command`, what the process does with signals, and how it leaves.
///
/// # Errors
/// What writing to `out` says.
pub(super) fn print(mut command: Command, out: &mut impl Write) -> io::Result<()> {
    // Gives each command its whole name.
    command.build();
    let man = Man::new(command.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    write!(out, "{SYNOPSIS}")?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    for task in command.get_subcommands().filter(|task| task.get_name() != "help") {
        describe(task, out)?;
    }
    write!(out, "{SIGNALS}{EXIT_STATUS}")?;
    man.render_version_section(out)
}

/// A command with its arguments, as `--help` tells them.
fn describe(task: &Command, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, ".SS \"trueroute {}\"\n.nf", task.get_name())?;
    for line in task.clone().render_long_help().to_string().lines() {
        // A dot or an apostrophe at the beginning would be a request to troff.
        writeln!(out, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    writeln!(out, ".fi")
}

/// How it is started.
const SYNOPSIS: &str = "\
.SH SYNOPSIS
\\fBtrueroute\\fR [\\fB\\-c\\fR \\fIFILE\\fR]
.br
\\fBtrueroute\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]
";

/// What the router does with signals.
const SIGNALS: &str = "\
.SH SIGNALS
.TP
USR1
Drain: the router reports that it is not healthy, goes on accepting for \\fIdrain_wait\\fR, then closes its ports and gives \
what is under way \\fIdrain_timeout\\fR to end.
.TP
TERM, INT
Stop at once.
.TP
HUP
Read certificates, authorities and \\fIlogging.level\\fR again, at any time. No connection is dropped.
.PP
After the first of USR1, TERM and INT, further ones are only logged.
";

/// How the program leaves.
const EXIT_STATUS: &str = "\
.SH \"EXIT STATUS\"
.TP
0
It is done: the router was stopped or drained, the configuration is good, a route was found, an endpoint would be asked.
.TP
1
It is not: the router could not start, the configuration is bad, there is no route or nobody to ask, or the router \
gave no answer.
.TP
2
The arguments make no sense.
";
