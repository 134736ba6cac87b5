//! Stories about who comes in: certificates and versions, clients that prove who they are or cannot, PROXY lines, and
//! what apps are told about it all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "doors/client_cert.rs"]
mod client_cert;
#[path = "doors/clients.rs"]
mod clients;
#[path = "doors/domains.rs"]
mod domains;
#[path = "doors/http2.rs"]
mod http2;
#[path = "doors/proxy_lines.rs"]
mod proxy_lines;
#[path = "doors/scene.rs"]
mod scene;
#[path = "doors/server.rs"]
mod server;
#[path = "doors/subjects.rs"]
mod subjects;
mod support;
