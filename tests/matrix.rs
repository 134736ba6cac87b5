//! Every way in times every way out: what one kind of client gets from one kind of endpoint, every other kind gets
//! from every other.
//!
//! [`cell`] lists the ways, `exchanges` and `leaving` what happens in each of them. A failure names its cell and case.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "matrix/asker.rs"]
mod asker;
#[path = "matrix/cell.rs"]
mod cell;
#[path = "matrix/delivery.rs"]
mod delivery;
#[path = "matrix/dying.rs"]
mod dying;
#[path = "matrix/exchanges.rs"]
mod exchanges;
#[path = "matrix/leaving.rs"]
mod leaving;
mod support;
