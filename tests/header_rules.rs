//! Stories about what a router adds to heads, takes from them and asks of them when its configuration says so, over
//! real sockets. The tables hold what Gorouter does with the same settings, recorded.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "header_rules/hop_by_hop.rs"]
mod hop_by_hop;
#[path = "header_rules/limits.rs"]
mod limits;
#[path = "http_stories/message.rs"]
#[allow(dead_code, reason = "the other stories use the rest")]
mod message;
#[path = "header_rules/pages.rs"]
mod pages;
#[path = "header_rules/recorded.rs"]
mod recorded;
#[path = "header_rules/responses.rs"]
mod responses;
#[path = "http_stories/scene.rs"]
#[allow(dead_code, reason = "the other stories use the rest")]
mod scene;
mod support;
#[path = "header_rules/tracing.rs"]
mod tracing;
