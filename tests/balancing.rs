//! Stories about the choice of an endpoint: the instance that a request names, the algorithms, zones, and sessions that
//! stick to an instance (gorouter.md sections 5 and 7.3).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "balancing/algorithms.rs"]
mod algorithms;
#[path = "balancing/crew.rs"]
mod crew;
#[path = "http_stories/message.rs"]
#[allow(dead_code, reason = "other stories use the rest")]
mod message;
#[path = "balancing/named.rs"]
mod named;
#[path = "http_stories/scene.rs"]
#[allow(dead_code, reason = "other stories use the rest")]
mod scene;
#[path = "balancing/sessions.rs"]
mod sessions;
mod support;
