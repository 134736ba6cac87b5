//! What is asked for at a scrape and counted nowhere: the state of the router's parts at that moment.

use std::time::SystemTime;

/// The state of the router at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Routes in the table.
    pub routes: u64,
    /// Endpoints in the table, each once per route.
    pub endpoints: u64,
    /// Milliseconds since the table last changed.
    pub quiet_ms: u64,
    /// Whether the connection to NATS stands.
    pub bus_connected: bool,
    /// How often it came back after a loss.
    pub bus_reconnects: u64,
    /// Whether nothing is pruned for its age because the connection is lost.
    pub pruning_suspended: bool,
    /// Whether `/health` says that traffic is welcome.
    pub healthy: bool,
    /// Whether clients are asked to leave.
    pub draining: bool,
    /// The file for the next start.
    pub snapshot: Snapshot,
}

/// What became of the snapshot file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was last written by this process.
    pub written: Option<SystemTime>,
    /// Its size then.
    pub bytes: u64,
    /// How often it could not be written.
    pub failures: u64,
}

/// Where the page asks.
pub(super) type Ask = Box<dyn Fn() -> Live + Send + Sync>;
