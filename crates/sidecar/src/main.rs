//! `trueroute-sidecar`: flags in, one thread, exit 0 after an orderly stop, 1 if it can't start, 2 for wrong flags.
//!
//! Under the name `envoy`, or with `-c`, the flags are Envoy's. `explain` before the flags says what they come to.

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use trueroute_sidecar::{
    AccessLogs, Settings, Sidecar, StartError,
    envoy::{self, CommandLine, Task},
    explain::explain,
    flags::Flags,
    keep_little, log,
    validate::validate,
};

// Gives memory back after a burst, where the system's allocator keeps it; the memory is the app's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    keep_little();
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let explains = words.get(1).is_some_and(|word| word == "explain");
    if explains {
        words.remove(1);
    }
    let asked = if envoy::is_meant(&words) { as_envoy(words, explains) } else { as_ourselves(words) };
    match asked {
        Ok((settings, _)) if explains => {
            print!("{}", explain(&settings));
            ExitCode::SUCCESS
        }
        Ok((settings, source)) => serve_or_say_why(settings, source),
        Err(code) => code,
    }
}

/// Where settings come from, which is where to look when something is wrong with them.
#[derive(Clone, Copy)]
enum Origin {
    Flags,
    Bootstrap,
}

fn as_ourselves(words: Vec<OsString>) -> Result<(Settings, Origin), ExitCode> {
    let flags = Flags::parse_from(words);
    log::start(flags.log_level());
    Ok((flags.settings().unwrap_or_else(|error| error.exit()), Origin::Flags))
}

/// Settings to serve with, or the end when there is nothing to serve.
fn as_envoy(words: Vec<OsString>, explains: bool) -> Result<(Settings, Origin), ExitCode> {
    let line = CommandLine::parse(words.into_iter().skip(1)).map_err(|error| {
        eprintln!("error: {}", log::one_line(&error.to_string()));
        ExitCode::FAILURE
    })?;
    match line.task {
        Task::Version => {
            println!("envoy  version: {}", envoy::VERSION);
            return Err(ExitCode::SUCCESS);
        }
        Task::Help => {
            print!("{}", envoy::HELP);
            return Err(ExitCode::SUCCESS);
        }
        Task::Serve | Task::Validate => {}
    }
    log::start(line.log_level);
    let (settings, bootstrap) = line.settings().map_err(|error| {
        // Whatever the level is: nothing else says why there is no sidecar.
        eprintln!("error: {}", log::one_line(&log::chain(&error)));
        ExitCode::FAILURE
    })?;
    for warning in line.warning().iter().chain(&bootstrap.warnings) {
        tracing::warn!("{warning}");
    }
    if line.task == Task::Validate && !explains {
        return Err(validated(&line, &settings));
    }
    Ok((settings, Origin::Bootstrap))
}

/// Says whether what `settings` point to could be served.
fn validated(line: &CommandLine, settings: &Settings) -> ExitCode {
    let findings = validate(settings);
    for awaited in &findings.awaited {
        tracing::warn!("serving would wait: {awaited}");
    }
    // As with the document: whatever the level is.
    findings.problems.iter().for_each(|problem| eprintln!("error: {problem}"));
    if !findings.problems.is_empty() {
        return ExitCode::FAILURE;
    }
    println!("configuration '{}' OK", line.config.as_deref().unwrap_or(Path::new("")).display());
    ExitCode::SUCCESS
}

fn serve_or_say_why(settings: Settings, origin: Origin) -> ExitCode {
    // The default message of a panic takes several lines.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "Panicked")));
    let _ = trueroute_sidecar::raise_limit();
    match run(settings, origin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!(problem, "Could not start");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings, origin: Origin) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("runtime: {error}"))?;
    let served = runtime.block_on(serve(settings, origin));
    // A name lookup may still hang in a thread; nothing waits for it.
    runtime.shutdown_background();
    served
}

async fn serve(settings: Settings, origin: Origin) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM: {error}"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| format!("SIGINT: {error}"))?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(|error| format!("SIGHUP: {error}"))?;
    let mut rotated = signal(SignalKind::user_defined1()).map_err(|error| format!("SIGUSR1: {error}"))?;
    let bound = Sidecar::bind(settings).await.map_err(|error| explain_error(&error, origin))?;
    let (until, look_now, logs) = (CancellationToken::new(), bound.look_now(), bound.access_logs());
    let mut running = std::pin::pin!(bound.run(until.clone()));
    loop {
        tokio::select! {
            () = &mut running => return Ok(()),
            _ = hang_up.recv() => {
                tracing::info!(signal = "HUP", "Reading the certificate files");
                look_now.notify_one();
            }
            _ = rotated.recv() => reopen(&logs),
            name = first(&mut terminate, &mut interrupt) => {
                tracing::info!(signal = name, "Stopping");
                break;
            }
        }
    }
    until.cancel();
    tokio::select! {
        () = running => tracing::info!("Stopped"),
        name = first(&mut terminate, &mut interrupt) => tracing::warn!(signal = name, "Stopped without waiting"),
    }
    Ok(())
}

fn reopen(logs: &AccessLogs) {
    match logs.reopen() {
        Ok(()) => tracing::info!(signal = "USR1", "Opened the access logs again"),
        Err(error) => tracing::error!(problem = log::chain(&error), "An access log can not be opened again"),
    }
}

async fn first(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "TERM",
        _ = interrupt.recv() => "INT",
    }
}

/// The error with its causes, and before it the flag to look at if there is one.
fn explain_error(error: &StartError, origin: Origin) -> String {
    let flag = match error {
        _ if matches!(origin, Origin::Bootstrap) => return log::chain(error),
        StartError::NoListener | StartError::Listen { .. } => "--listen",
        StartError::ClientCaFile { .. } | StartError::ClientCa(_) => "--client-ca",
        StartError::Admin { .. } => "--admin",
        StartError::AccessLog { .. } => "--access-log",
        StartError::Nats(_) => "--nats",
    };
    format!("{flag}: {}", log::chain(error))
}
