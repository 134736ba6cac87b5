//! The TLS terminator beside an app: proves to routers which instance answers, demands in strict mode that they prove
//! who they are, and relays to the app's plain port.
//!
//! [`Settings`] say everything, [`Sidecar::bind`] opens the doors, [`Bound::run`] serves until told to stop. From the
//! bottom up: `settings`, `stats` and `log` are words; `dial`, `relay`, `admission`, `descriptors`, `origin` and `presented`
//! each own one concern; `terminate` is the story of one connection, `register` the conversation with the routers, `engine`
//! the life of the whole; `validate` and `explain` say beforehand what settings come to; `flags` reads the command line
//! and is known to nobody below.

mod access;
mod admin;
mod admission;
pub mod bootstrap;
mod descriptors;
mod dial;
pub mod engine;
pub mod envoy;
pub mod explain;
pub mod flags;
mod keeper;
mod leftovers;
pub mod log;
mod material;
mod origin;
mod presented;
mod register;
mod relay;
mod seldom;
pub mod settings;
pub mod stats;
mod terminate;
pub mod validate;

pub use access::AccessLogs;
pub use descriptors::raise_limit;
pub use engine::{Bound, Sidecar, StartError};
pub use leftovers::keep_little;
pub use register::SetUpError;
pub use settings::Settings;
pub use stats::Stats;
