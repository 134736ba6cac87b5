//! Stories about routes that are bound to a service: the request goes there first, signed, and reaches the app only
//! with that signature, in time and for its own route.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "route_services/hairpin.rs"]
mod hairpin;
#[path = "route_services/passage.rs"]
mod passage;
#[path = "route_services/scene.rs"]
mod scene;
#[path = "route_services/signatures.rs"]
mod signatures;
mod support;
