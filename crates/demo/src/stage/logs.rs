//! Log lines of routers and sidecars go into files, so that the terminal is left to the story.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_subscriber::{Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};
use trueroute::observe::log::{self, Guard, Settings};

use crate::Failed;

const PATIENCE: Duration = Duration::from_secs(2);

/// The two files. Dropping it writes what is queued.
#[derive(Debug)]
pub(crate) struct Logs {
    routers: PathBuf,
    sidecars: PathBuf,
    guards: [Guard; 2],
}

impl Logs {
    /// Takes all log lines of the process; once per process.
    pub(crate) fn start(dir: &Path) -> Result<Self, Failed> {
        let (routers, sidecars) = (dir.join("router.log"), dir.join("sidecars.log"));
        let open = |file: &Path, source: &str| -> io::Result<_> {
            log::layer(Settings { source: source.into(), ..Settings::default() }, File::create(file)?)
        };
        let (router_lines, router_guard) =
            open(&routers, log::DEFAULT_SOURCE).map_err(Failed::scene("open the routers' log"))?;
        let (sidecar_lines, sidecar_guard) =
            open(&sidecars, "sidecar").map_err(Failed::scene("open the sidecars' log"))?;
        let of_a_sidecar = |target: &str| target.starts_with("trueroute_sidecar");
        tracing_subscriber::registry()
            .with(router_lines.with_filter(filter_fn(move |line| !of_a_sidecar(line.target()))))
            .with(sidecar_lines.with_filter(filter_fn(move |line| of_a_sidecar(line.target()))))
            .try_init()
            .map_err(Failed::scene("take the log lines of this process"))?;
        Ok(Self { routers, sidecars, guards: [router_guard, sidecar_guard] })
    }

    /// The routers' file, with every line in it that was logged before this call.
    pub(crate) fn routers(&self) -> &Path {
        for guard in &self.guards {
            guard.flush(PATIENCE);
        }
        &self.routers
    }

    /// The sidecars' file.
    pub(crate) fn sidecars(&self) -> &Path {
        &self.sidecars
    }
}
