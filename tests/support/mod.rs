//! Routers to tell stories about: a bus, a PKI, instances that register, and a router between them, all on ports of
//! the kernel's choice.
//!
//! ```ignore
//! let router = RouterUnderTest::start().await;
//! let app = router.instance("app-a").uri("a.example").register().await;
//! let answer = router.get("a.example", "/hello").await;
//! assert_eq!((answer.status, answer.header("x-app")), (200, Some("app-a")));
//! ```
//!
//! [`RouterUnderTest`] runs inside the test's process, on threads of its own; [`RouterProcess`] is the binary itself,
//! for signals, exit codes and what it prints. Both are asked through [`Reach`]. Whatever is started here ends when its
//! value is dropped, and a scene that can't be set panics at once.
//!
//! Declare it with `mod support;`. Each test binary uses a part of it.
#![allow(dead_code, unused_imports, reason = "each test binary uses another part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

mod instance;
mod logs;
mod process;
mod reach;
mod router;
mod scene;
mod settings;

use std::time::Duration;

pub(crate) use instance::{Instance, InstanceBuilder};
pub(crate) use logs::LogLine;
pub(crate) use process::RouterProcess;
pub(crate) use reach::Reach;
pub(crate) use router::RouterUnderTest;
pub(crate) use scene::{Pki, ROUTER_NAME, Scene};
pub(crate) use settings::RouterBuilder;

/// Nothing in a story takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
