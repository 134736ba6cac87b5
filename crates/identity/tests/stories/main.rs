//! Stories over real sockets: who may answer, who is turned away, and in which words.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;
mod tickets;

mod accepting;
mod alerts;
mod chains;
mod holders;
mod invariants;
mod known_callers;
mod late_refusal;
mod names;
mod pieces;
mod renewal;
mod streaming;
