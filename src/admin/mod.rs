//! The status ports: health, the table's listing, metrics (gorouter.md §10).
//!
//! Each is a small HTTP/1 server on a listener that the assembly has bound. They live on the control plane's thread; a
//! connection that fails, stalls or panics costs itself only, and no port holds more connections than [`Limits`] says.

mod content;
pub mod debug;
pub mod health;
pub mod metrics;
pub mod pools;
pub mod reload;
pub mod routes;
pub mod secure;
mod server;
pub mod shapes;
pub mod varz;
pub mod view;

pub use server::{Limits, Port};

#[cfg(test)]
mod tests;
