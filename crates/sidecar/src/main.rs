//! `trueroute-sidecar`: flags in, one thread, exit 0 after an orderly stop, 1 if it can't start, 2 for wrong flags.

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use trueroute_sidecar::{Settings, Sidecar, StartError, flags::Flags, log};

// Gives memory back after a burst, where the system's allocator keeps it; the memory is the app's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let flags = Flags::parse();
    log::start(flags.log_level());
    // The default message of a panic takes several lines.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "Panicked")));
    let settings = flags.settings().unwrap_or_else(|error| error.exit());
    let _ = trueroute_sidecar::raise_limit();
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!(problem, "Could not start");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("runtime: {error}"))?;
    let served = runtime.block_on(serve(settings));
    // A name lookup may still hang in a thread; nothing waits for it.
    runtime.shutdown_background();
    served
}

async fn serve(settings: Settings) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM: {error}"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| format!("SIGINT: {error}"))?;
    let bound = Sidecar::bind(settings).await.map_err(|error| explain(&error))?;
    let until = CancellationToken::new();
    let mut running = std::pin::pin!(bound.run(until.clone()));
    tokio::select! {
        () = &mut running => {}
        name = first(&mut terminate, &mut interrupt) => {
            tracing::info!(signal = name, "Stopping");
            until.cancel();
            tokio::select! {
                () = running => tracing::info!("Stopped"),
                name = first(&mut terminate, &mut interrupt) => tracing::warn!(signal = name, "Stopped without waiting"),
            }
        }
    }
    Ok(())
}

async fn first(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "TERM",
        _ = interrupt.recv() => "INT",
    }
}

/// The error with its causes, and before it the flag to look at.
fn explain(error: &StartError) -> String {
    let flag = match error {
        StartError::NoListener | StartError::Listen { .. } => "--listen",
        StartError::ClientCaFile { .. } | StartError::ClientCa(_) => "--client-ca",
        StartError::Nats(_) => "--nats",
    };
    format!("{flag}: {}", log::chain(error))
}
