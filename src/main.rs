//! `trueroute -c gorouter.yml`: arguments, signals, exit codes.

use std::{
    io,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use tracing::level_filters::LevelFilter;
use trueroute::{
    app::{Router, Source, StartError, Surroundings},
    cli::Arguments,
    config::{self, Config, LogLevel, Parsed, TimestampFormat},
    observe::{
        log::{self, Guard, Timestamps},
        panics,
    },
};

/// Gives memory back that a burst of connections took, which the system's allocator does not.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Signals, from the start of the process on.
struct Signals {
    drain: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy)]
enum Asked {
    Drain,
    Stop,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            drain: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> (Asked, &'static str) {
        tokio::select! {
            _ = self.drain.recv() => (Asked::Drain, "user defined signal 1"),
            _ = self.terminate.recv() => (Asked::Stop, "terminated"),
            _ = self.interrupt.recv() => (Asked::Stop, "interrupt"),
        }
    }

    /// Logs every further signal: one way out is enough.
    async fn ignore(&mut self) {
        loop {
            let (_, signal) = self.next().await;
            tracing::info!(target: "router", signal, "gorouter.signal.ignored");
        }
    }
}

/// Where the configuration is read from again whenever `SIGHUP` comes. Without a file the signal only leaves a line: it
/// must not end the process, as it would unheard.
fn follow_hang_ups(path: Option<PathBuf>, read_at: SystemTime) -> io::Result<Option<Source>> {
    let mut signals = signal(SignalKind::hangup())?;
    let source = path.map(|path| Source { path, hang_up: Arc::new(Notify::new()), read_at });
    let hang_up = source.as_ref().map(|source| Arc::clone(&source.hang_up));
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            match &hang_up {
                Some(hang_up) => hang_up.notify_one(),
                None => tracing::info!(target: "router", signal = "hangup", "gorouter.signal.ignored"),
            }
        }
    });
    Ok(source)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(task) = arguments.task {
        return task.run();
    }
    let read_at = SystemTime::now();
    let parsed = match arguments.config.as_deref().map(config::load).transpose() {
        Ok(parsed) => parsed.unwrap_or_else(|| Parsed { config: Config::default(), warnings: Vec::new() }),
        Err(error) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
            println!("{}", config::start_failure_line(&error, now));
            return ExitCode::FAILURE;
        }
    };
    let guard = match log::init(log_settings(&parsed.config)) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("trueroute: {error}");
            return ExitCode::FAILURE;
        }
    };
    panics::watch();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "gorouter.failed-to-start");
            return ExitCode::FAILURE;
        }
    };
    give_memory_back_aside();
    let code = runtime.block_on(run(parsed, arguments.config, read_at, &guard));
    // What is left are tasks that wait for nothing more; a resolver stuck in the system must not hold the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    drop(guard);
    code
}

/// Has the allocator give memory back from a thread of its own, so that no worker has to.
fn give_memory_back_aside() {
    // Where it can't, workers do it while they allocate.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
}

async fn run(parsed: Parsed, path: Option<PathBuf>, read_at: SystemTime, log: &Guard) -> ExitCode {
    let Parsed { config, warnings } = parsed;
    tracing::info!("starting");
    tracing::debug!(AvailabilityZone = config.zone, "local-az-set");
    // Every deployment has some keys that change nothing; `check` names them.
    let worth_a_line = |warning: &config::Warning| !matches!(warning, config::Warning::NoEffect { .. });
    for warning in warnings.into_iter().filter(worth_a_line) {
        tracing::warn!(warning = %warning, "config-warning");
    }
    if config.route_integrity == config::RouteIntegrity::Off {
        tracing::warn!(
            route_integrity = "off",
            "route integrity is off: a stale route can lead to another app's instance"
        );
    }
    let (mut signals, source) =
        match Signals::listen().and_then(|signals| Ok((signals, follow_hang_ups(path, read_at)?))) {
            Ok(listening) => listening,
            Err(error) => return failed("gorouter.failed-to-start", &error),
        };
    let surroundings = Surroundings { source, log_level: Some(log.level()) };
    let (router, asked) = tokio::select! {
        started = start(config, surroundings) => match started {
            Ok(router) => (router, None),
            Err(error) => return failed(error.message(), &error),
        },
        (_, signal) = signals.next() => {
            tracing::info!(signal, "gorouter.exited");
            return ExitCode::SUCCESS;
        }
    };
    router.metrics().follow_log(log.dropped());
    let asked: Option<Asked> = match asked {
        Some(asked) => Some(asked),
        None => tokio::select! {
            (asked, _) = signals.next() => Some(asked),
            () = router.lost() => None,
            () = router.doors_lost() => None,
        },
    };
    let finish = async {
        if !matches!(asked, Some(Asked::Stop)) {
            router.drain().await;
        }
        router.stop().await;
    };
    tokio::select! {
        () = finish => {}
        () = signals.ignore() => {}
    }
    if asked.is_none() {
        tracing::error!("gorouter.exited-with-failure");
        return ExitCode::FAILURE;
    }
    tracing::info!("gorouter.exited");
    ExitCode::SUCCESS
}

async fn start(config: Config, surroundings: Surroundings) -> Result<Router, StartError> {
    Router::bind_in(config, surroundings).await?.open().await
}

fn failed(message: &'static str, error: &dyn std::error::Error) -> ExitCode {
    tracing::error!(error = %error, "{message}");
    ExitCode::FAILURE
}

fn log_settings(config: &Config) -> log::Settings {
    log::Settings {
        source: match config.logging.syslog.as_str() {
            "" => log::DEFAULT_SOURCE.into(),
            source => source.into(),
        },
        level: match config.logging.level {
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Error => LevelFilter::ERROR,
        },
        timestamps: match config.logging.format.timestamp {
            TimestampFormat::UnixEpoch => Timestamps::UnixEpoch,
            TimestampFormat::Rfc3339 => Timestamps::Rfc3339,
        },
    }
}
