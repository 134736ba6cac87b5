//! Stories about HTTP/2 in front: a client over TLS, a router in this process, an app that speaks HTTP/1.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "http2_front/ending.rs"]
mod ending;
#[path = "http2_front/exchanges.rs"]
mod exchanges;
#[path = "http2_front/leaving.rs"]
mod leaving;
#[path = "http2_front/malformed.rs"]
mod malformed;
#[path = "http2_front/scene.rs"]
mod scene;
#[path = "http2_front/stalls.rs"]
mod stalls;
mod support;
