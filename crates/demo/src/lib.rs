//! `cargo demo`: the whole system on one machine, and a story that proves what it is for.
//!
//! [`Stage`] starts everything that plays (NATS, apps, sidecars, routers) on ports of the kernel's choice, `story` tells
//! and checks, `traffic` sends requests and counts who answered, `witness` asks the router what it knows, [`Show`]
//! prints. Every step ends in a check that can fail, and everything that was started ends with the [`Stage`].

mod show;
mod stage;
mod story;
mod traffic;
mod witness;

use std::error::Error;

pub use show::{Show, wants_colour};
pub use stage::Stage;
pub use story::{farewell, tell};

/// Why the story ended early.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Something could not be started or asked.
    #[error("{what}")]
    Scene {
        /// What was tried.
        what: String,
        /// Why it did not work.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The product did not do what the story says it does.
    #[error("{0}")]
    Untrue(String),
    /// One of the above, with the step in which it happened.
    #[error("step {number} ({title}) did not hold")]
    Step {
        /// Number of the step, from 1.
        number: u32,
        /// Its title.
        title: &'static str,
        /// What happened.
        #[source]
        cause: Box<Failed>,
    },
}

impl Failed {
    /// Something could not be started or asked.
    pub(crate) fn scene<E: Into<Box<dyn Error + Send + Sync>>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |cause| Self::Scene { what: what.into(), cause: cause.into() }
    }

    /// The failure and its causes on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        trueroute_sidecar::log::chain(self)
    }
}

/// Holds a claim of the story against what happened.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(Failed::Untrue(otherwise())) }
}
