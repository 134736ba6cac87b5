//! Trueroute: an HTTP router that proves which instance answers before it sends a request.
//!
//! The floors of this crate, bottom to top; imports point down only (`tests/architecture.rs` checks it).

// 1 words
pub mod failure;
pub mod headers;
pub mod lifecycle;
pub mod route;
pub mod route_service;
// 2 state and shapes
pub mod config;
pub mod error_page;
pub mod observe;
pub mod registration;
pub mod table;
// 3 edges
pub mod bus;
pub mod pruner;
pub mod routing_api;
pub mod snapshot;
pub mod upstream;
// 4 the story
pub mod proxy;
// 5 doors
pub mod admin;
pub mod frontend;
// 6 assembly
pub mod app;
pub mod cli;
