//! What the router tells about itself: log lines, the access log, metrics.
//!
//! Nothing here may slow or stop traffic: writing happens on threads of its own behind bounded queues,
//! what does not fit is dropped and counted, and counting is a plain store into the worker's own memory.

pub mod access_log;
pub mod dropsonde;
pub mod exchange;
pub mod failures;
pub mod log;
pub mod metrics;
pub mod panics;
pub mod runtimes;
pub mod spool;
mod stamp;
pub mod varz;
