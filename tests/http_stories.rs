//! Stories about HTTP, told over real sockets: a raw client, a router in this process, an app that keeps each byte it
//! got. The tables hold what Gorouter does, recorded; `docs/compatibility.md` says where this router differs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "http_stories/aborted.rs"]
mod aborted;
#[path = "http_stories/access_log.rs"]
mod access_log;
#[path = "http_stories/bad_answers.rs"]
mod bad_answers;
#[path = "http_stories/deadlines.rs"]
mod deadlines;
#[path = "http_stories/documented.rs"]
mod documented;
#[path = "http_stories/forwarding.rs"]
mod forwarding;
#[path = "http_stories/framing.rs"]
mod framing;
#[path = "http_stories/gate.rs"]
mod gate;
#[path = "http_stories/lookup.rs"]
mod lookup;
#[path = "http_stories/message.rs"]
mod message;
#[path = "http_stories/metron.rs"]
mod metron;
#[path = "http_stories/routing_api.rs"]
mod routing_api;
#[path = "http_stories/scene.rs"]
mod scene;
#[path = "http_stories/status.rs"]
mod status;
#[path = "http_stories/streaming.rs"]
mod streaming;
mod support;
#[path = "http_stories/told.rs"]
mod told;
#[path = "http_stories/tunnels.rs"]
mod tunnels;
#[path = "http_stories/varz.rs"]
mod varz;
