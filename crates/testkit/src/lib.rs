//! For tests and the demo: a certificate authority, peers named by their vice, a small NATS server, a raw client.
//!
//! Peers, apps and the small NATS server run on one thread of their own (see [`stage`]), so starting them is a plain
//! call, tests may block or pause their clock without stopping them, and dropping a handle ends what it started before
//! the drop returns. The [`client::Client`] and [`eventually`] run on the caller's runtime.
//!
//! ```
//! use trueroute_testkit::{App, Client, Registration, nats::Nats};
//!
//! # async fn story() -> std::io::Result<()> {
//! let (bus, app) = (Nats::start(), App::start("app-a"));
//! Registration::plain(app.addr()).uri("a.example").app("app-a").register(&bus.url()).await?;
//! let answer = Client::connect(app.addr()).await?.get("a.example", "/hello").await?;
//! assert_eq!(answer.header("x-app"), Some("app-a"));
//! assert_eq!(app.last().unwrap().target, "/hello");
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story()).unwrap();
//! ```
//!
//! Anything that keeps a scene from being set panics at once, with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test whose scene can't be set must stop there, loudly")]

pub mod app;
pub mod bus;
pub mod client;
pub mod client_h2;
mod house;
mod io;
pub mod nats;
pub mod nats_wire;
pub mod peers;
pub mod pki;
mod poll;
mod port;
pub mod real_nats;
mod registration;
pub mod routing_api;
pub mod stage;
pub mod tls;
mod wire;

pub use app::App;
pub use bus::{Bus, for_each_bus, for_each_bus_with_login};
pub use client::Client;
pub use nats::Nats;
pub use nats_wire::nats_publish;
pub use poll::{eventually, until};
pub use port::{ReservedPort, free_port};
pub use real_nats::RealNats;
pub use registration::Registration;
pub use tempfile::TempDir as Tempdir;
