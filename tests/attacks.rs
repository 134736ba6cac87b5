//! What attackers send, class by class, against a router whose app is a canary: it keeps each request that it gets.
//!
//! What holds in all of them: the canary gets exactly one request for each that the router accepted, each of them has
//! one reading only, and none of them is one that was hidden in another.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "attacks/behind.rs"]
mod behind;
#[path = "attacks/canary.rs"]
mod canary;
#[path = "attacks/chunks.rs"]
mod chunks;
#[path = "attacks/downgrade.rs"]
mod downgrade;
#[path = "attacks/early.rs"]
mod early;
#[path = "attacks/floods.rs"]
mod floods;
#[path = "attacks/framing.rs"]
mod framing;
#[path = "attacks/lingering.rs"]
mod lingering;
#[path = "attacks/named.rs"]
mod named;
#[path = "attacks/names.rs"]
mod names;
#[path = "attacks/pieces.rs"]
mod pieces;
#[path = "attacks/secure.rs"]
mod secure;
#[path = "attacks/sizes.rs"]
mod sizes;
#[path = "attacks/slow.rs"]
mod slow;
#[path = "attacks/spoofed.rs"]
mod spoofed;
#[path = "attacks/storms.rs"]
mod storms;
mod support;
#[path = "attacks/upgrades.rs"]
mod upgrades;
