//! The sidecar as its neighbours see it: short stories over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story that can't go on must stop there, loudly")]

#[path = "stories/admin.rs"]
mod admin;
#[path = "stories/admin_changes.rs"]
mod admin_changes;
#[path = "stories/admin_door.rs"]
mod admin_door;
#[path = "stories/diego.rs"]
mod diego;
#[path = "stories/diego_history.rs"]
mod diego_history;
#[path = "stories/envoy.rs"]
mod envoy;
#[path = "stories/exposition.rs"]
mod exposition;
#[path = "stories/limits.rs"]
mod limits;
#[path = "stories/origin.rs"]
mod origin;
#[path = "stories/process.rs"]
mod process;
#[path = "stories/refusals.rs"]
mod refusals;
#[path = "stories/registration.rs"]
mod registration;
#[path = "stories/relaying.rs"]
mod relaying;
#[path = "stories/rootfs.rs"]
mod rootfs;
#[path = "stories/rotation.rs"]
mod rotation;
#[path = "stories/scene.rs"]
mod scene;
