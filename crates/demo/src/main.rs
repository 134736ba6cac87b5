//! `cargo demo`: arguments, signals, exit codes. The story itself is in the library.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trueroute_demo::{Failed, Show, Stage, farewell, tell, wants_colour};

/// The exit code of a process that a signal ended.
const INTERRUPTED: u8 = 130;

/// Shows Trueroute at work: a router, two apps behind their sidecars, and NATS, all on this machine.
#[derive(Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// Tell the story, stop, and exit with 1 if a step did not hold.
    #[arg(long)]
    once: bool,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(arguments.once))
}

async fn run(once: bool) -> ExitCode {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("demo: can not listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let out = io::stdout();
    let colour = wants_colour(out.is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    let mut show = Show::new(out, colour);
    let start = Instant::now();
    let mut stage = tokio::select! {
        stage = Stage::set() => match stage {
            Ok(stage) => stage,
            Err(failed) => return failure(&failed),
        },
        () = signals.next() => return ExitCode::from(INTERRUPTED),
    };
    let told = tokio::select! {
        told = tell(&mut stage, &mut show) => told,
        () = signals.next() => return ExitCode::from(INTERRUPTED),
    };
    if let Err(failed) = told {
        let code = failure(&failed);
        eprintln!("demo: logs and configuration are kept in {}", stage.keep_files().display());
        return code;
    }
    let took = start.elapsed().as_secs_f64();
    if !once {
        farewell(&stage, &mut show);
        signals.next().await;
    }
    show.title("\nStopping");
    tokio::select! {
        () = stage.stop() => {}
        () = signals.next() => return ExitCode::from(INTERRUPTED),
    }
    if once {
        show.title(format_args!("Every step held, in {took:.1} s."));
    }
    ExitCode::SUCCESS
}

fn failure(failed: &Failed) -> ExitCode {
    eprintln!("demo: {}", failed.chain());
    if failed.chain().contains("no default route") {
        eprintln!("demo: a router tells others its own address, so this machine needs a network with a default route");
    }
    ExitCode::FAILURE
}
