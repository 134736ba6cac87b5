//! Stories about endpoints that speak HTTP/2: how requests travel to them, what a failure on a shared connection means
//! for each of its requests, and that the promises about identity hold there too (gorouter.md section 6,
//! engineering.md B4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

mod support;

#[path = "http2_behind/basics.rs"]
mod basics;
#[path = "http2_behind/failures.rs"]
mod failures;
#[path = "http2_behind/hostile.rs"]
mod hostile;
#[path = "http2_behind/identity.rs"]
mod identity;
#[path = "http2_behind/limits.rs"]
mod limits;
#[path = "http2_behind/messages.rs"]
mod messages;
#[path = "http2_behind/sharing.rs"]
mod sharing;
