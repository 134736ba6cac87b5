//! Stories about the program itself: how it starts, what it prints, how it leaves, what it weighs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "process_stories/asking.rs"]
mod asking;
#[path = "process_stories/commands.rs"]
mod commands;
#[path = "process_stories/debugging.rs"]
mod debugging;
#[path = "process_stories/draining.rs"]
mod draining;
#[path = "process_stories/leaving.rs"]
mod leaving;
#[path = "process_stories/reloading.rs"]
mod reloading;
#[path = "process_stories/starting.rs"]
mod starting;
#[path = "process_stories/stopping.rs"]
mod stopping;
mod support;
#[path = "process_stories/warm.rs"]
mod warm;
#[path = "process_stories/weight.rs"]
mod weight;
